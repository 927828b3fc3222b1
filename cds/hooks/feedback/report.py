"""What became of the cards: acceptance and override rates by trial and reason. Counts alone, no card and no patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import and_, func, or_, select

from cds.hooks.feedback.reported import Reaction
from cds.hooks.feedback.store import FeedbackStore
from cds.hooks.feedback.tables import ACCEPTED, CARD, FEEDBACK, LOST, SUGGESTION

Json = dict[str, Any]

#: The columns of a count, in the order of an export.
COLUMNS = ("day", "service", "hook", "trial", "status", "outcome", "reason", "cards")


@dataclass(frozen=True, slots=True)
class Count:
    """How many cards of one day (of issue, UTC), service, hook, trial and status came to one outcome.

    `outcome` is None for cards on which nothing was reported: that is no rejection.
    """

    day: date
    service: str
    hook: str
    trial: str
    status: str
    outcome: str | None
    reason: str | None
    cards: int


@dataclass(slots=True)
class TrialReport:
    """One trial's cards: issued, accepted, overridden, and the reasons given with their numbers."""

    trial: str
    issued: int = 0
    accepted: int = 0
    overridden: int = 0
    reasons: dict[str | None, int] = field(default_factory=dict)

    @property
    def unanswered(self) -> int:
        """Cards on which nothing was reported."""
        return self.issued - self.accepted - self.overridden

    @property
    def ranked_reasons(self) -> list[tuple[str | None, int]]:
        """The reasons with their numbers of cards, the most frequent first; None is that none was given."""
        return sorted(self.reasons.items(), key=lambda item: (-item[1], item[0] or ""))

    def share(self, number: int) -> float | None:
        """A number of cards as a share of those issued."""
        return number / self.issued if self.issued else None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the cards issued since a day.

    `unknown_cards` are reactions to cards that the database does not hold (lost, purged, or none of ours),
    `not_recorded` the cards that were issued and are not counted here.
    """

    since: date | None
    counts: tuple[Count, ...]
    unknown_cards: int
    not_recorded: int
    accepted_suggestions: int
    unknown_suggestions: int

    @property
    def trials(self) -> list[TrialReport]:
        """The report by trial, in the order of their ids."""
        found: dict[str, TrialReport] = {}
        for count in self.counts:
            trial = found.setdefault(count.trial, TrialReport(count.trial))
            trial.issued += count.cards
            if count.outcome == Reaction.ACCEPTED:
                trial.accepted += count.cards
            elif count.outcome == Reaction.OVERRIDDEN:
                trial.overridden += count.cards
                trial.reasons[count.reason] = trial.reasons.get(count.reason, 0) + count.cards
        return [found[name] for name in sorted(found)]

    def as_json(self) -> Json:
        """The report in the JSON of ``cds feedback``."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "trials": [_trial_json(trial) for trial in self.trials],
            "acceptedSuggestions": self.accepted_suggestions,
            "unknownSuggestions": self.unknown_suggestions,
            "feedbackOnUnknownCards": self.unknown_cards,
            "cardsNotRecorded": self.not_recorded,
        }

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The counts as rows of COLUMNS."""
        for count in self.counts:
            yield tuple(getattr(count, name) for name in COLUMNS)


def report(store: FeedbackStore, since: date | None = None) -> Report:
    """What became of the cards issued since a day (default: all). Raises StoreUnavailableError."""
    first = since or date.min
    reacted = and_(FEEDBACK.c.service == CARD.c.service, FEEDBACK.c.card == CARD.c.uuid)
    grouped = (CARD.c.issued, CARD.c.service, CARD.c.hook, CARD.c.trial, CARD.c.status)
    outcome = (FEEDBACK.c.outcome, FEEDBACK.c.reason)
    counts = (
        select(*grouped, *outcome, func.count())
        .select_from(CARD.outerjoin(FEEDBACK, reacted))
        .where(CARD.c.issued >= first)
        .group_by(*grouped, *outcome)
        .order_by(*grouped, *outcome)
    )
    unknown = (
        select(func.count())
        .select_from(FEEDBACK.outerjoin(CARD, reacted))
        .where(CARD.c.uuid.is_(None), FEEDBACK.c.received >= first)
    )
    made = and_(
        SUGGESTION.c.service == ACCEPTED.c.service,
        SUGGESTION.c.uuid == ACCEPTED.c.suggestion,
        SUGGESTION.c.card == ACCEPTED.c.card,
    )
    suggestions = (
        select(func.count(SUGGESTION.c.uuid), func.count())
        .select_from(ACCEPTED.outerjoin(SUGGESTION, made))
        .where(or_(SUGGESTION.c.issued >= first, and_(SUGGESTION.c.uuid.is_(None), ACCEPTED.c.received >= first)))
    )
    with store.reading() as connection:
        known, accepted = connection.execute(suggestions).one()
        return Report(
            since=since,
            counts=tuple(_counts(connection.execute(counts))),
            unknown_cards=connection.execute(unknown).scalar_one(),
            not_recorded=connection.execute(
                select(func.coalesce(func.sum(LOST.c.number), 0)).where(LOST.c.day >= first)
            ).scalar_one(),
            accepted_suggestions=accepted,
            unknown_suggestions=accepted - known,
        )


def _counts(rows: Iterable[Any]) -> Iterator[Count]:
    return (Count(*row) for row in rows)


def _trial_json(trial: TrialReport) -> Json:
    return {
        "trial": trial.trial,
        "issued": trial.issued,
        "accepted": trial.accepted,
        "overridden": trial.overridden,
        "unanswered": trial.unanswered,
        "acceptanceRate": trial.share(trial.accepted),
        "overrideRate": trial.share(trial.overridden),
        "reasons": [{"reason": reason, "cards": cards} for reason, cards in trial.ranked_reasons],
    }
