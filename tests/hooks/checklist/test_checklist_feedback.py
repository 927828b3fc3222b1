"""Rules 62 to 68: what clinicians did with the cards. It is optional: where there is none, they are skipped."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import requests
from caller import Caller, body, refused

FEEDBACK = "/cds-services/trial-match/feedback"
AT = "2026-11-20T12:00:00Z"
REASON = {"code": "not-eligible", "system": "https://trial-match.example/fhir/CodeSystem/override-reason"}


@pytest.fixture
def reporter(caller: Caller) -> Caller:
    """A caller of a service that takes feedback."""
    if caller.post({"feedback": []}, FEEDBACK).status_code == 404:
        pytest.skip("the service offers no feedback (rule 62: MAY)")
    return caller


def _send(reporter: Caller, *entries: dict[str, Any]) -> requests.Response:
    return reporter.post({"feedback": list(entries)}, FEEDBACK)


def _card(reporter: Caller) -> dict[str, Any]:
    return reporter.cards(body())[0]


def _overridden(card: str, **more: Any) -> dict[str, Any]:
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": AT, **more}


def _accepted(card: dict[str, Any]) -> dict[str, Any]:
    suggestions = [{"id": card["suggestions"][0]["uuid"]}]
    told = {"card": card["uuid"], "outcome": "accepted", "outcomeTimestamp": AT}
    return {**told, "acceptedSuggestions": suggestions}


def test_62_feedback_on_a_card(reporter: Caller) -> None:
    assert _send(reporter, _accepted(_card(reporter))).status_code == 200


def test_63_several_cards_and_repeats(reporter: Caller) -> None:
    entries = [_accepted(_card(reporter)), _overridden(_card(reporter)["uuid"])]
    for _ in range(2):
        assert _send(reporter, *entries, *entries).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"card": None},
        {"card": 5},
        {"outcome": "ignored"},
        {"outcome": None},
        {"outcomeTimestamp": "yesterday"},
        {"outcomeTimestamp": None},
        {"acceptedSuggestions": None},
        {"acceptedSuggestions": ["x"]},
        {"acceptedSuggestions": {}},
    ],
)
def test_64_an_entry_says_which_card_what_and_when(reporter: Caller, change: dict[str, Any]) -> None:
    wrong = {name: value for name, value in {**_accepted(_card(reporter)), **change}.items() if value is not None}
    refused(_send(reporter, wrong), 400)


@pytest.mark.parametrize(
    "reason",
    [
        {},
        {"overrideReason": {"reason": REASON}},
        {"overrideReason": {"reason": {**REASON, "display": "Not eligible"}}},
        {"overrideReason": {"userComment": "not now"}},
        {"overrideReason": {"reason": REASON, "userComment": "not now"}},
    ],
)
def test_65_overridden_with_or_without_reason(reporter: Caller, reason: dict[str, Any]) -> None:
    assert _send(reporter, _overridden(_card(reporter)["uuid"], **reason)).status_code == 200


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"feedback": {}}', b'{"feedback": [5]}', b"null"])
def test_68_what_is_no_feedback(reporter: Caller, data: bytes) -> None:
    refused(reporter.post(data, FEEDBACK), 400)


def test_68_an_unknown_service_and_an_unknown_card(reporter: Caller) -> None:
    refused(reporter.post({"feedback": []}, "/cds-services/other/feedback"), 404)
    assert _send(reporter, _overridden(str(uuid4()))).status_code < 500
    assert _send(reporter).status_code == 200
