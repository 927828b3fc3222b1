"""FeedbackStore: cards and feedback in a SQL database that may be locked, full, away or replaced at any time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from math import inf
from time import monotonic
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, and_, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from cds.errors import StoreUnavailableError
from cds.hooks.feedback import database
from cds.hooks.feedback.cards import IssuedCard
from cds.hooks.feedback.database import engine, migrate
from cds.hooks.feedback.reported import Feedback, Reaction
from cds.hooks.feedback.tables import ACCEPTED, CARD, FEEDBACK, LOST, SUGGESTION

Row = dict[str, Any]

_REMEDY = "send it again later"


class FeedbackStore:
    """Cards issued and feedback on them. Every call raises StoreUnavailableError where the database does not serve.

    The tables are made when they are first needed, and again after a failure: the database may come late, or be
    replaced. After a failure the next calls fail at once for a moment, so that threads do not queue up before a
    database that is away. Nothing is half written: each call is one transaction.
    """

    def __init__(self, url: str) -> None:
        self._engine = engine(url)
        self._failed = (-inf, "")
        self._ready = False
        self._migrating = threading.Lock()
        self._writing = threading.Lock()

    def open(self) -> None:
        """Makes the tables, so that what is wrong shows at start."""
        with self._transaction():
            pass

    def close(self) -> None:
        """Closes what connections are open; the next call opens new ones."""
        self._engine.dispose()

    def add_cards(self, cards: Sequence[IssuedCard]) -> None:
        """Keeps cards that were issued; those known already stay as they were first told of."""
        rows = [
            {
                "service": card.service,
                "uuid": card.uuid,
                "hook": card.hook,
                "trial": card.trial,
                "status": card.status,
                "issued": card.issued,
            }
            for card in cards
        ]
        suggested = [
            {"service": card.service, "uuid": suggestion, "card": card.uuid, "issued": card.issued}
            for card in cards
            for suggestion in card.suggestions
        ]
        with self._transaction() as connection:
            for table, new in ((CARD, rows), (SUGGESTION, suggested)):
                if new:
                    connection.execute(self._insert(table).on_conflict_do_nothing(), new)

    def add_lost(self, number: int, day: date) -> None:
        """Keeps how many cards were issued of which nothing else is known."""
        with self._transaction() as connection:
            connection.execute(LOST.insert(), [{"day": day, "number": number}])

    def add_feedback(self, service: str, feedback: Iterable[Feedback], now: datetime) -> None:
        """Keeps reactions to cards of a service: all of them or none. A repeat changes nothing.

        Of several reactions to one card the latest counts; of two at one moment an acceptance does. What cards
        there are does not matter.
        """
        day = now.astimezone(UTC).date()
        given = list(feedback)
        accepted = {
            (one.card, suggestion): {
                "service": service,
                "card": one.card,
                "suggestion": suggestion,
                "received": day,
            }
            for one in given
            for suggestion in one.suggestions
        }
        with self._transaction() as connection:
            for row in _latest(service, given, day):
                connection.execute(self._upsert(row))
            for _, row in sorted(accepted.items()):
                connection.execute(self._insert(ACCEPTED).on_conflict_do_nothing(), row)

    def purge(self, before: date) -> int:
        """Deletes cards issued, and feedback received, before a day; how many of both there were."""
        dated = (
            (CARD, CARD.c.issued),
            (FEEDBACK, FEEDBACK.c.received),
            (SUGGESTION, SUGGESTION.c.issued),
            (ACCEPTED, ACCEPTED.c.received),
            (LOST, LOST.c.day),
        )
        with self._transaction() as connection:
            deleted = [connection.execute(delete(table).where(day < before)).rowcount for table, day in dated]
        return deleted[0] + deleted[1]

    def check(self) -> None:
        """Raises StoreUnavailableError where the database cannot be reached, or its tables cannot be made."""
        with self.reading() as connection:
            connection.execute(select(CARD.c.uuid).limit(1))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with, as of one moment."""
        with self._told(), self._engine.connect().execution_options(reads=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._told(), self._turn(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Lets the threads of this process write one after the other, as SQLite does, but in the order they come."""
        if not self._writing.acquire(timeout=database.WAIT):
            raise TimeoutError("others are writing")
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Lets what is done within find the tables made, and fail in our words."""
        try:
            with self._migrating:
                self._recently_failed()
                if not self._ready:
                    migrate(self._engine)
                    self._ready = True
            yield
        except (SQLAlchemyError, CommandError, OSError) as error:
            self._ready = False
            self._failed = (monotonic(), _problem(error))
            raise StoreUnavailableError(self._failed[1], where="CDS_DATABASE_URL", remedy=_REMEDY) from None

    def _recently_failed(self) -> None:
        when, problem = self._failed
        if monotonic() - when < database.PAUSE:
            raise StoreUnavailableError(problem, where="CDS_DATABASE_URL", remedy=_REMEDY)

    def _insert(self, table: Any) -> Any:
        """An insert that may say what happens where the row is there already."""
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)

    def _upsert(self, row: Row) -> Any:
        """Puts a reaction in the place of an earlier one to the same card."""
        statement = self._insert(FEEDBACK).values(row)
        new, old = statement.excluded, FEEDBACK.c
        later = or_(new.at > old.at, and_(new.at == old.at, new.outcome < old.outcome))  # accepted < overridden
        return statement.on_conflict_do_update(
            index_elements=[FEEDBACK.c.service, FEEDBACK.c.card],
            set_={name: new[name] for name in ("outcome", "reason", "at", "received")},
            where=later,
        )


def _latest(service: str, feedback: Iterable[Feedback], day: date) -> list[Row]:
    """One row for each card, in the order of the cards, so that calls at once wait for one another in one order."""
    latest: dict[str, Feedback] = {}
    for one in feedback:
        known = latest.get(one.card)
        if known is None or (one.at, one.outcome is Reaction.ACCEPTED) > (known.at, known.outcome is Reaction.ACCEPTED):
            latest[one.card] = one
    return [
        {
            "service": service,
            "card": card,
            "outcome": one.outcome.value,
            "reason": one.reason,
            "at": one.at,
            "received": day,
        }
        for card, one in sorted(latest.items())
    ]


def _problem(error: Exception) -> str:
    """What the database says, in one line and without the statement; it holds no patient data."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(cause).strip().splitlines()
    return f"the database does not serve ({type(cause).__name__}{': ' + said[0] if said else ''})"
