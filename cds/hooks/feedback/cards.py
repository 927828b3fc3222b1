"""What is kept of a card that was issued."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from cds.hooks.cards import about

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class IssuedCard:
    """One card as feedback will name it, and what it was about. Nothing in it says whose chart was open.

    `issued` is the day (UTC): a time of day could be held against an EHR's log of who was seen when.
    """

    service: str
    uuid: str
    hook: str
    trial: str
    status: str
    issued: date
    suggestions: tuple[str, ...] = ()


def issued_cards(service: str, hook: str, cards: Iterable[Json], now: datetime) -> Iterator[IssuedCard]:
    """What is kept of the `cards` that a service answered with at `now`."""
    day = now.astimezone(UTC).date()
    for card in cards:
        trial, status = about(card)
        suggestions = tuple(suggestion["uuid"] for suggestion in card.get("suggestions", ()))
        yield IssuedCard(service, card["uuid"], hook, trial, status, day, suggestions)
