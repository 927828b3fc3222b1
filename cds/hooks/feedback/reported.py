"""What an EHR reports of its users' reactions to cards, checked (CDS Hooks 2.0.1, Feedback)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from cds.errors import RequestError

Json = dict[str, Any]

#: How many reactions one call may report.
MOST = 1000
#: What stands for a reason that the card did not offer: the reason's own code could be any text.
OTHER = "other"
#: What stands for a reason given in words alone: the words are not kept.
COMMENT = "comment"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: RFC 3339, section 5.6: date-time, with its offset.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Reaction(StrEnum):
    """What became of a card."""

    ACCEPTED = "accepted"
    OVERRIDDEN = "overridden"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One reaction to one card, with nothing in it that a person wrote. `at` is in UTC.

    `reason` is a code that the card offered, `other` for any other code, `comment` where there are words alone.
    """

    card: str
    outcome: Reaction
    at: datetime
    suggestions: tuple[str, ...] = ()
    reason: str | None = None


def parse(body: Any, offered: Collection[Mapping[str, Any]]) -> list[Feedback]:
    """The reactions in a JSON body to a service's cards, which offered these override reasons (Codings).

    RequestError names the field that is wrong. What we do not know is ignored.
    """
    if not isinstance(body, dict):
        raise RequestError("the body is not a JSON object", where="body", remedy='send {"feedback": [...]}')
    entries = _list(body, "feedback", "")
    if len(entries) > MOST:
        raise RequestError(f"has more than {MOST} entries", where="feedback", remedy="send them in several calls")
    codes = {(reason["system"], reason["code"]) for reason in offered}
    return [_feedback(entry, f"feedback[{place}]", codes) for place, entry in enumerate(entries)]


def _feedback(entry: Any, where: str, offered: Collection[tuple[str, str]]) -> Feedback:
    if not isinstance(entry, dict):
        raise RequestError("is not a JSON object", where=where, remedy="send one object for each card")
    card = _uuid(entry, "card", where)
    try:
        outcome = Reaction(_text(entry, "outcome", where))
    except ValueError:
        raise RequestError("is not known", where=f"{where}.outcome", remedy="send accepted or overridden") from None
    at = _moment(entry, where)
    if outcome is Reaction.ACCEPTED:
        return Feedback(card, outcome, at, suggestions=_suggestions(entry, where))
    return Feedback(card, outcome, at, reason=_reason(entry, f"{where}.overrideReason", offered))


def _suggestions(entry: Json, where: str) -> tuple[str, ...]:
    """The uuids of the accepted suggestions (cds-fb-2: at least one)."""
    accepted = _list(entry, "acceptedSuggestions", where)
    where = f"{where}.acceptedSuggestions"
    if not accepted:
        raise RequestError("is empty", where=where, remedy='send [{"id": "<uuid of the suggestion>"}]')
    for place, one in enumerate(accepted):
        if not isinstance(one, dict):
            raise RequestError("is not a JSON object", where=f"{where}[{place}]", remedy='send {"id": "<uuid>"}')
    return tuple(dict.fromkeys(_uuid(one, "id", f"{where}[{place}]") for place, one in enumerate(accepted)))


def _reason(entry: Json, where: str, offered: Collection[tuple[str, str]]) -> str | None:
    """Why a card was passed over, as a code of ours."""
    told = entry.get("overrideReason")
    if told is None:
        return None
    if not isinstance(told, dict):
        raise RequestError("is not a JSON object", where=where, remedy="send reason, userComment or both")
    comment = told.get("userComment")
    if comment is not None and not isinstance(comment, str):
        raise RequestError("is not text", where=f"{where}.userComment", remedy="send it as text")
    reason = told.get("reason")
    if reason is None:
        return COMMENT if comment else None
    if not isinstance(reason, dict):
        raise RequestError("is not a Coding", where=f"{where}.reason", remedy="send code and system")
    coding = (_text(reason, "system", f"{where}.reason"), _text(reason, "code", f"{where}.reason"))
    return coding[1] if coding in offered else OTHER


def _moment(entry: Json, where: str) -> datetime:
    text = _text(entry, "outcomeTimestamp", where)
    try:
        if not _DATE_TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RequestError(
            "is not a date-time of RFC 3339",
            where=f"{where}.outcomeTimestamp",
            remedy="such as 2026-11-20T12:00:00Z",
        ) from None


def _list(holder: Json, name: str, within: str) -> list[Any]:
    value = holder.get(name)
    if not isinstance(value, list):
        problem = "is missing" if value is None else "is not an array"
        raise RequestError(problem, where=_join(within, name), remedy=f"send {name} as an array")
    return value


def _uuid(holder: Json, name: str, within: str) -> str:
    text = _text(holder, name, within)
    if not _UUID.fullmatch(text):
        raise RequestError("is not a UUID", where=_join(within, name), remedy="send the uuid that the answer gave")
    return str(UUID(text))


def _text(holder: Json, name: str, within: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        problem = "is missing" if value is None else "is not a non-empty string"
        raise RequestError(problem, where=_join(within, name), remedy=f"send {name} as text")
    return value


def _join(within: str, name: str) -> str:
    return f"{within}.{name}" if within else name
