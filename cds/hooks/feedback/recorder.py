"""Recorder: writes the cards that were issued in the background, so that no answer waits for the database."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from cds.errors import StoreUnavailableError
from cds.hooks.feedback.cards import IssuedCard
from cds.hooks.feedback.store import FeedbackStore

_log = logging.getLogger("cds.feedback")

#: How many cards wait in memory while the database is away, and how many are written in one transaction.
CAPACITY = 10_000
_BATCH = 500
#: Seconds: how long cards are collected; the waits after failures, and that while the service ends.
_COLLECT = 0.2
_FIRST_WAIT, _LONGEST_WAIT, _LAST_WAIT = 0.5, 30.0, 0.2

Today = Callable[[], date]


def _today() -> date:
    return datetime.now(UTC).date()


class Recorder:
    """The cards that wait to be written, and the one thread of this process that writes them.

    `add` never waits and never fails. While the database is away up to `capacity` cards wait; of those that come
    then, the number is kept, logged, and written into the database once it is back.
    """

    def __init__(
        self,
        store: FeedbackStore,
        *,
        retention: timedelta,
        capacity: int = CAPACITY,
        today: Today = _today,
        counted: Callable[[int, int], None] = lambda recorded, lost: None,
    ) -> None:
        """`counted` is told how many cards were recorded and lost, whenever some were."""
        self._store = store
        self._retention = retention
        self._capacity = capacity
        self._today = today
        self._counted = counted
        self._waiting: deque[IssuedCard] = deque()
        self._lost = 0
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._purged: date | None = None
        self._failed = False

    def add(self, cards: Iterable[IssuedCard]) -> None:
        """Takes cards to be written."""
        issued = list(cards)
        with self._changed:
            room = 0 if self._closing.is_set() else max(self._capacity - len(self._waiting), 0)
            self._waiting.extend(issued[:room])
            if len(issued) > room:
                self._lose(len(issued) - room, "too many wait for the database")
            if self._thread is None and not self._closing.is_set():
                # Begun with the first card, since a thread would not follow into a forked worker.
                self._thread = threading.Thread(target=self._run, name="cards", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, wait: float = 5.0) -> None:
        """Writes what waits, in `wait` seconds at most; then nothing more is written."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(wait)
        self._ended.set()
        with self._changed:
            if self._waiting:
                self._lose(len(self._waiting), "the service ends")
                self._waiting.clear()

    def _lose(self, number: int, why: str) -> None:
        if not self._lost:
            _log.error("cards are issued that cannot be recorded: %s", why)
        self._lost += number
        self._counted(0, number)

    def _run(self) -> None:
        wait = _FIRST_WAIT
        while self._work_comes():
            self._closing.wait(_COLLECT)
            if self._write():
                wait = _FIRST_WAIT
                continue
            if not self._closing.is_set():
                self._closing.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            elif self._ended.wait(_LAST_WAIT):
                return  # close() counts what is left

    def _work_comes(self) -> bool:
        """Waits for something to write; False where nothing more is to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._lost or self._closing.is_set())
            return bool(self._waiting or self._lost)

    def _write(self) -> bool:
        """Writes some of the cards, and how many were lost; whether that was possible."""
        try:
            self._write_cards()
            self._write_lost()
            self._purge()
        except Exception as error:  # whatever it is, this thread goes on
            if not self._failed:
                said = error.message if isinstance(error, StoreUnavailableError) else type(error).__name__
                _log.error("cards cannot be recorded now, and wait: %s", said)
            self._failed = True
            return False
        if self._failed:
            _log.warning("cards are recorded again")
        self._failed = False
        return True

    def _write_cards(self) -> None:
        with self._changed:
            batch = list(islice(self._waiting, _BATCH))
        if not batch:
            return
        self._store.add_cards(batch)
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
        self._counted(len(batch), 0)

    def _write_lost(self) -> None:
        with self._changed:
            lost = self._lost
        if not lost:
            return
        self._store.add_lost(lost, self._today())
        with self._changed:
            self._lost -= lost
        _log.error("%d cards were issued that are not recorded", lost)

    def _purge(self) -> None:
        """Deletes once a day what is older than it is to be kept."""
        today = self._today()
        if self._purged != today:
            deleted = self._store.purge(today - self._retention)
            self._purged = today
            if deleted:
                _log.info("%d cards and reactions were deleted, as old as they are kept", deleted)
