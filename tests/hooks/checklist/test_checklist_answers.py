"""Rules 48 to 61, and 80 to 81: cards, suggestions, links; which hooks."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from caller import REQUESTS, Caller, body, context, prefetch
from fhir.resources.R4B.servicerequest import ServiceRequest
from fhir.resources.R4B.task import Task

ANSWERED = sorted(path.stem for path in REQUESTS.glob("*.json") if not path.stem.startswith("error-"))


def _codings(value: Any) -> list[dict[str, Any]]:
    """The CDS Hooks Codings of a card: its topic and its override reasons."""
    topic = value["source"].get("topic")
    return [*([topic] if topic else []), *value.get("overrideReasons", ())]


def _absolute(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


@pytest.fixture(params=ANSWERED)
def answer(caller: Caller, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The answer to every request of hooks/ that is answered with 200."""
    got = caller.post(body(request.param))
    assert got.status_code == 200, got.text
    told: dict[str, Any] = got.json()
    return told


def test_48_cards_are_there_even_when_there_are_none(answer: dict[str, Any]) -> None:
    assert isinstance(answer["cards"], list)


def test_48_nothing_to_say_is_200_with_no_cards(caller: Caller) -> None:
    assert caller.cards(body("no-cancer")) == []


def test_49_summaries_are_shorter_than_140(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        assert 0 < len(card["summary"]) < 140 and "\n" not in card["summary"]


def test_50_matches_are_info(answer: dict[str, Any]) -> None:
    assert {card["indicator"] for card in answer["cards"]} <= {"info"}


def test_51_the_source_is_named(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        source = card["source"]
        assert source["label"] and set(source) <= {"label", "url", "icon", "topic"}
        assert all(_absolute(source[name]) for name in ("url", "icon") if name in source)


def test_52_charts_bring_no_markup(caller: Caller) -> None:
    hostile = '<img src=x onerror=alert(1)> **bold** [x](javascript:alert(1)) <script>alert("x")</script>'
    chart = prefetch()
    for entry in chart["observation"]["entry"]:
        entry["resource"]["code"]["text"] = hostile
    for entry in chart["condition"]["entry"]:
        entry["resource"]["code"]["text"] = hostile
    for card in caller.cards(body(prefetch=chart)):
        assert not re.search(r"(?<!\\)<(img|script)", card["detail"])
        assert not re.search(r"(?<!\\)\]\(javascript:", card["detail"])


def test_53_uuids_are_unique(answer: dict[str, Any]) -> None:
    uuids = [card["uuid"] for card in answer["cards"]]
    uuids += [one["uuid"] for card in answer["cards"] for one in card.get("suggestions", ())]
    assert len(set(uuids)) == len(uuids)
    assert all(str(UUID(one)) == one for one in uuids)


def test_54_suggestions_say_how_to_choose(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        if card.get("suggestions"):
            assert card["selectionBehavior"] in ("at-most-one", "any")
            assert sum(bool(one.get("isRecommended")) for one in card["suggestions"]) <= 1


def test_55_suggestions_have_labels(answer: dict[str, Any]) -> None:
    known = {"label", "uuid", "isRecommended", "actions"}
    for card in answer["cards"]:
        for one in card.get("suggestions", ()):
            assert one["label"] and set(one) <= known and isinstance(one.get("isRecommended", True), bool)


def test_56_actions_carry_whole_resources(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        for suggestion in card.get("suggestions", ()):
            for action in suggestion.get("actions", ()):
                assert action["type"] in ("create", "update", "delete") and action["description"]
                drafted = {"ServiceRequest": ServiceRequest, "Task": Task}[action["resource"]["resourceType"]]
                drafted.model_validate(action["resource"])


def test_57_override_reasons_are_complete(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        for reason in card.get("overrideReasons", ()):
            assert all(isinstance(reason[name], str) and reason[name] for name in ("code", "system", "display"))


def test_58_links_are_links(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        for link in card.get("links", ()):
            assert link["label"] and _absolute(link["url"]) and link["type"] in ("absolute", "smart")
            assert "appContext" not in link or (link["type"] == "smart" and isinstance(link["appContext"], str))


def test_59_nothing_is_done_by_itself(answer: dict[str, Any]) -> None:
    assert "systemActions" not in answer
    assert "systemActions" not in answer.get("extension", {})


def test_60_codings_have_three_parts(answer: dict[str, Any]) -> None:
    for card in answer["cards"]:
        for coding in _codings(card):
            assert set(coding) <= {"code", "system", "display"}


def test_61_few_cards(answer: dict[str, Any]) -> None:
    assert len(answer["cards"]) <= 5


def test_13_answers_and_cards_hold_nothing_invented(answer: dict[str, Any]) -> None:
    assert set(answer) <= {"cards", "systemActions", "extension"}
    known = {"uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior", "overrideReasons"}
    for card in answer["cards"]:
        assert set(card) <= known | {"links", "extension"}
        assert isinstance(card.get("extension", {}), dict)


def test_80_patient_view_comes_first(caller: Caller) -> None:
    assert "patient-view" in {service["hook"] for service in caller.discovery()}


def test_81_unknown_context_is_never_refused(caller: Caller) -> None:
    assert caller.cards(body(context=context(encounterId="e1", fhirVersion="R6", new={"a": [None]})))
