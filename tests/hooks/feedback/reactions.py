"""Cards and reactions of tests, told apart by short names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID, uuid5

from cds.hooks.feedback import IssuedCard
from cds.hooks.feedback.reported import Feedback, Reaction

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 20)
_SPACE = UUID("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea")


def card_id(name: str) -> str:
    return str(uuid5(_SPACE, name))


def card(
    name: str, *, trial: str = "alpha", service: str = "trial-match", day: date = DAY, status: str = "eligible"
) -> IssuedCard:
    return IssuedCard(service, card_id(name), "patient-view", trial, status, day, (card_id(f"{name}/refer"),))


def accepted(name: str, at: datetime = NOW) -> Feedback:
    return Feedback(card_id(name), Reaction.ACCEPTED, at, suggestions=(card_id(f"{name}/refer"),))


def overridden(name: str, at: datetime = NOW, reason: str | None = None) -> Feedback:
    return Feedback(card_id(name), Reaction.OVERRIDDEN, at, reason=reason)
