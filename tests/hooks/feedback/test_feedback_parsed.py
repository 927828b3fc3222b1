"""What an EHR may report, and what is refused by the name of its field (CDS Hooks 2.0.1, Feedback)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.errors import RequestError
from cds.hooks.feedback import Feedback, parse
from cds.hooks.feedback.reported import COMMENT, MOST, OTHER, Reaction

CARD = "4e0a3a1e-3283-4575-ab82-028d55fe2719"
SUGGESTION = "e56e1945-20b3-4393-8503-a1a20fd73152"
OFFERED = ({"code": "patient-declined", "system": "https://reasons.example", "display": "The patient declined"},)
ACCEPTED = {
    "card": CARD,
    "outcome": "accepted",
    "acceptedSuggestions": [{"id": SUGGESTION}],
    "outcomeTimestamp": "2026-11-20T12:00:00Z",
}
OVERRIDDEN = {"card": CARD, "outcome": "overridden", "outcomeTimestamp": "2026-11-20T12:00:00Z"}
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def one(**changes: Any) -> Feedback:
    base = ACCEPTED if changes.get("outcome", "accepted") == "accepted" else OVERRIDDEN
    (parsed,) = parse({"feedback": [base | changes]}, OFFERED)
    return parsed


def reason(told: Any) -> str | None:
    return one(outcome="overridden", overrideReason=told).reason


def test_accepted_and_overridden() -> None:
    body = {"feedback": [ACCEPTED, OVERRIDDEN], "extension": {"x": 1}}
    assert parse(body, OFFERED) == [
        Feedback(CARD, Reaction.ACCEPTED, AT, suggestions=(SUGGESTION,)),
        Feedback(CARD, Reaction.OVERRIDDEN, AT),
    ]
    assert parse({"feedback": []}, OFFERED) == []


def test_uuids_are_compared_whatever_their_case() -> None:
    assert one(card=CARD.upper()).card == CARD
    twice = [{"id": SUGGESTION}, {"id": SUGGESTION.upper()}]
    assert one(acceptedSuggestions=twice).suggestions == (SUGGESTION,)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (None, None),
        ({}, None),
        ({"reason": {"code": "patient-declined", "system": "https://reasons.example"}}, "patient-declined"),
        ({"reason": {"code": "patient-declined", "system": "https://elsewhere.example"}}, OTHER),
        ({"reason": {"code": "Anna Berger declined", "system": "https://reasons.example"}}, OTHER),
        ({"userComment": "Anna Berger declined"}, COMMENT),
        ({"userComment": ""}, None),
        (
            {"reason": {"code": "patient-declined", "system": "https://reasons.example"}, "userComment": "Anna"},
            "patient-declined",
        ),
    ],
)
def test_of_a_reason_no_word_of_a_person_is_kept(told: Any, kept: str | None) -> None:
    assert reason(told) == kept


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T13:00:00.000+01:00", AT),
        ("2026-11-20t12:00:00z", AT),
        ("2026-11-20T12:00:00.1234567Z", AT.replace(microsecond=123456)),
    ],
)
def test_moments_are_told_in_utc(text: str, moment: datetime) -> None:
    assert one(outcomeTimestamp=text).at == moment


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"card": None}, "feedback[0].card"),
        ({"card": 5}, "feedback[0].card"),
        ({"card": "urn:uuid:" + CARD}, "feedback[0].card"),
        ({"card": CARD + "\n"}, "feedback[0].card"),
        ({"outcome": None}, "feedback[0].outcome"),
        ({"outcome": "ignored"}, "feedback[0].outcome"),
        ({"outcome": "Accepted"}, "feedback[0].outcome"),
        ({"outcomeTimestamp": None}, "feedback[0].outcomeTimestamp"),
        ({"outcomeTimestamp": "yesterday"}, "feedback[0].outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-11-20"}, "feedback[0].outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-11-20T12:00:00"}, "feedback[0].outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-13-20T12:00:00Z"}, "feedback[0].outcomeTimestamp"),
        ({"outcomeTimestamp": "0001-01-01T00:00:00+14:00"}, "feedback[0].outcomeTimestamp"),
        ({"outcomeTimestamp": 1763640000}, "feedback[0].outcomeTimestamp"),
        ({"acceptedSuggestions": None}, "feedback[0].acceptedSuggestions"),
        ({"acceptedSuggestions": []}, "feedback[0].acceptedSuggestions"),
        ({"acceptedSuggestions": {}}, "feedback[0].acceptedSuggestions"),
        ({"acceptedSuggestions": [SUGGESTION]}, "feedback[0].acceptedSuggestions[0]"),
        ({"acceptedSuggestions": [{"id": SUGGESTION}, {}]}, "feedback[0].acceptedSuggestions[1].id"),
        ({"outcome": "overridden", "overrideReason": "no"}, "feedback[0].overrideReason"),
        ({"outcome": "overridden", "overrideReason": {"reason": "no"}}, "feedback[0].overrideReason.reason"),
        ({"outcome": "overridden", "overrideReason": {"reason": {}}}, "feedback[0].overrideReason.reason.system"),
        (
            {"outcome": "overridden", "overrideReason": {"reason": {"system": "x"}}},
            "feedback[0].overrideReason.reason.code",
        ),
        ({"outcome": "overridden", "overrideReason": {"userComment": 5}}, "feedback[0].overrideReason.userComment"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as raised:
        one(**changes)
    assert raised.value.where == field
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "feedback"),
        ({"feedback": {}}, "feedback"),
        ({"feedback": [ACCEPTED, 5]}, "feedback[1]"),
        ({"feedback": [ACCEPTED] * (MOST + 1)}, "feedback"),
    ],
)
def test_bodies_that_are_no_feedback(body: Any, field: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse(body, OFFERED)
    assert raised.value.where == field


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([ACCEPTED, OVERRIDDEN]), st.sampled_from([*ACCEPTED, "overrideReason"]), _JSON)
def test_whatever_stands_in_a_field_is_taken_or_refused(entry: dict[str, Any], name: str, value: Any) -> None:
    try:
        parse({"feedback": [entry | {name: value}]}, OFFERED)
    except RequestError as error:
        assert error.where and error.where.startswith("feedback[0]")
