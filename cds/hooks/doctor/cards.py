"""Whether an answer of a CDS service is what clients expect (CDS Hooks 2.0.1, CDS Service Response)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

Json = dict[str, Any]
#: A rule's number, the place, what is wrong there, what to do.
Problem = tuple[int, str, str, str]

_CARD = frozenset(
    ("uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior", "overrideReasons", "links")
)


def problems(body: Any) -> Iterator[Problem]:
    """What is wrong with the body of a 200."""
    if not isinstance(body, dict) or not isinstance(body.get("cards"), list):
        yield 48, "cards", "is no list", 'answer {"cards": []} where there is nothing to say'
        return
    for at in empties(body):
        yield 2, at, "is null or empty", "leave out what is not there"
    seen: set[str] = set()
    for place, card in enumerate(body["cards"]):
        at = f"cards[{place}]"
        if not isinstance(card, dict):
            yield 48, at, "is no object", "send cards"
            continue
        yield from _card(card, at)
        for name, uuid in _uuids(card, at):
            if uuid in seen:
                yield 53, name, "is the same as another's", "give every card and suggestion its own"
            seen.add(uuid)
    yield from _actions(body.get("systemActions"), "systemActions", in_suggestion=False)


def empties(value: Any, at: str = "$") -> Iterator[str]:
    """Where null and empty values stand; `cards` and `services` may be empty, and FHIR has its own rules."""
    if value is None or value in ("", {}) or (value == [] and at not in ("$.cards", "$.services")):
        yield at
    elif isinstance(value, dict):
        for name, item in value.items():
            if name != "resource":
                yield from empties(item, f"{at}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from empties(item, f"{at}[{place}]")


def _card(card: Json, at: str) -> Iterator[Problem]:
    summary = card.get("summary")
    if not isinstance(summary, str) or not 0 < len(summary) < 140:
        yield 49, f"{at}.summary", "is not a text of 1 to 139 characters", "shorten it; say the rest in detail"
    if card.get("indicator") not in ("info", "warning", "critical"):
        yield 50, f"{at}.indicator", "is none of info, warning, critical", "choose one of them"
    if not isinstance(card.get("detail", ""), str):
        yield 52, f"{at}.detail", "is no text", "send Markdown"
    for name in sorted(card.keys() - _CARD - {"extension"}):
        yield 13, f"{at}.{name}", "is no field of a card", "put it into extension"
    yield from _source(card.get("source"), f"{at}.source")
    yield from _uuid(card, at)
    yield from _suggestions(card, at)
    for place, reason in enumerate(_list(card.get("overrideReasons"))):
        yield from _coding(reason, f"{at}.overrideReasons[{place}]", 57, ("code", "system", "display"))
    for place, link in enumerate(_list(card.get("links"))):
        yield from _link(link, f"{at}.links[{place}]")


def _source(source: Any, at: str) -> Iterator[Problem]:
    if not isinstance(source, dict) or not isinstance(source.get("label"), str) or not source["label"]:
        yield 51, f"{at}.label", "is missing", "say where the guidance comes from"
        return
    for name in ("url", "icon"):
        if name in source and not _absolute(source[name]):
            yield 51, f"{at}.{name}", "is no absolute URL", "write it out, with https://"
    if "topic" in source:
        yield from _coding(source["topic"], f"{at}.topic", 51, ("code", "system"))


def _suggestions(card: Json, at: str) -> Iterator[Problem]:
    suggestions = _list(card.get("suggestions"))
    behavior = card.get("selectionBehavior")
    if suggestions and behavior not in ("at-most-one", "any"):
        yield 54, f"{at}.selectionBehavior", "is neither at-most-one nor any", "say how many may be chosen"
    if (
        behavior == "at-most-one"
        and sum(isinstance(one, dict) and one.get("isRecommended") is True for one in suggestions) > 1
    ):
        yield 54, f"{at}.suggestions", "recommend more than one, of which one may be chosen", "recommend one"
    for place, one in enumerate(suggestions):
        where = f"{at}.suggestions[{place}]"
        if not isinstance(one, dict) or not isinstance(one.get("label"), str) or not one["label"]:
            yield 55, f"{where}.label", "is missing", "say what the suggestion does"
            continue
        if not isinstance(one.get("isRecommended", False), bool):
            yield 55, f"{where}.isRecommended", "is no boolean", "send true or false"
        yield from _uuid(one, where)
        yield from _actions(one.get("actions"), f"{where}.actions", in_suggestion=True)


def _actions(actions: Any, at: str, *, in_suggestion: bool) -> Iterator[Problem]:
    for place, action in enumerate(_list(actions)):
        where = f"{at}[{place}]"
        kind = action.get("type") if isinstance(action, dict) else None
        if kind not in ("create", "update", "delete"):
            yield 56, f"{where}.type", "is none of create, update, delete", "write it in small letters"
            continue
        if in_suggestion and not action.get("description"):
            yield 56, f"{where}.description", "is missing", "say to the clinician what it does"
        resource = action.get("resource")
        if kind != "delete" and not (isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)):
            yield 56, f"{where}.resource", "is no FHIR resource", "send the whole resource, as an object"
        if kind == "delete" and "resourceId" not in action and resource is None:
            yield 56, f"{where}.resourceId", "is missing", "say what is deleted, as Type/id"


def _link(link: Any, at: str) -> Iterator[Problem]:
    if not isinstance(link, dict) or not isinstance(link.get("label"), str) or not link["label"]:
        yield 58, f"{at}.label", "is missing", "name the link"
        return
    if not _absolute(link.get("url")):
        yield 58, f"{at}.url", "is no absolute URL", "write it out, with https://"
    if link.get("type") not in ("absolute", "smart"):
        yield 58, f"{at}.type", "is neither absolute nor smart", "say which it is"
    if "appContext" in link and (link.get("type") != "smart" or not isinstance(link["appContext"], str)):
        yield 58, f"{at}.appContext", "stands at a link that is not smart, or is no text", "leave it out"


def _coding(coding: Any, at: str, rule: int, required: tuple[str, ...]) -> Iterator[Problem]:
    for name in required:
        if not isinstance(coding, dict) or not isinstance(coding.get(name), str) or not coding[name]:
            yield rule, f"{at}.{name}", "is missing", "send the whole Coding"
    if isinstance(coding, dict):
        for name in sorted(coding.keys() - {"code", "system", "display", "extension"}):
            yield 60, f"{at}.{name}", "is no field of a CDS Hooks Coding", "leave it out"


def _uuid(holder: Json, at: str) -> Iterator[Problem]:
    if "uuid" not in holder:
        return
    try:
        UUID(holder["uuid"])
    except (ValueError, TypeError, AttributeError):
        yield 53, f"{at}.uuid", "is no UUID", "feedback names the card by it"


def _uuids(card: Json, at: str) -> Iterator[tuple[str, str]]:
    holders = [(at, card)]
    holders += [
        (f"{at}.suggestions[{place}]", one)
        for place, one in enumerate(_list(card.get("suggestions")))
        if isinstance(one, dict)
    ]
    for where, holder in holders:
        if isinstance(holder.get("uuid"), str):
            yield f"{where}.uuid", holder["uuid"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _absolute(url: Any) -> bool:
    try:
        return isinstance(url, str) and urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        return False
