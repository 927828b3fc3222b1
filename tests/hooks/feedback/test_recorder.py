"""Cards are written behind the answers: in batches, again after failures, and never lost without being counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

import pytest
from reactions import DAY, card

from cds.errors import StoreUnavailableError
from cds.hooks.feedback import FeedbackStore, IssuedCard, Recorder
from cds.hooks.feedback.report import report

SOON = 30.0  # seconds; nothing waits that long where it works
RETENTION = timedelta(days=365)


class Desk:
    """A store that works, waits or fails as it is told."""

    def __init__(self) -> None:
        self.cards: list[IssuedCard] = []
        self.lost = 0
        self.purged: list[date] = []
        self.error: Exception | None = None
        self.failures = 0
        self.tried = threading.Event()
        self.stored = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def add_cards(self, cards: Sequence[IssuedCard]) -> None:
        self._work()
        self.cards += cards
        self.stored.set()

    def add_lost(self, number: int, day: date) -> None:
        self._work()
        self.lost += number
        self.stored.set()

    def purge(self, before: date) -> int:
        self._work()
        self.purged.append(before)
        return 0

    def _work(self) -> None:
        self.tried.set()
        assert self.may_go_on.wait(SOON)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the database is away for a moment")
        if self.error is not None:
            raise self.error


@pytest.fixture
def desk() -> Desk:
    return Desk()


Make = Callable[..., Recorder]


@pytest.fixture
def recorder(desk: Desk) -> Iterator[Make]:
    made: list[Recorder] = []

    def make(**more: object) -> Recorder:
        made.append(Recorder(desk, retention=RETENTION, today=lambda: DAY, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def cards(number: int) -> list[IssuedCard]:
    return [card(str(place)) for place in range(number)]


def test_all_cards_are_written_in_their_order(desk: Desk, recorder: Make) -> None:
    counted: list[tuple[int, int]] = []
    made = recorder(counted=lambda *numbers: counted.append(numbers))
    for one in cards(1200):
        made.add([one])
    made.close()
    assert desk.cards == cards(1200)
    assert (sum(recorded for recorded, _ in counted), sum(lost for _, lost in counted)) == (1200, 0)


def test_no_caller_waits_for_the_database(desk: Desk, recorder: Make) -> None:
    desk.may_go_on.clear()
    made = recorder()
    for one in cards(100):
        made.add([one])  # the store has not answered yet, and does only below
    assert desk.cards == []
    desk.may_go_on.set()
    made.close()
    assert len(desk.cards) == 100


@pytest.mark.parametrize("error", [StoreUnavailableError("the database is locked"), ValueError("a bug of ours")])
def test_what_could_not_be_written_is_written_later(
    desk: Desk, recorder: Make, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    desk.error = error
    made = recorder()
    made.add(cards(3))
    assert desk.tried.wait(SOON)
    desk.error = None
    assert desk.stored.wait(SOON)
    made.close()
    assert (desk.cards, desk.lost) == (cards(3), 0)
    assert "cannot be recorded now, and wait" in caplog.text and "recorded again" in caplog.text


def test_cards_that_find_no_room_are_counted_and_the_number_is_kept(
    desk: Desk, recorder: Make, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[tuple[int, int]] = []
    desk.error = StoreUnavailableError("the database is away")
    made = recorder(capacity=5, counted=lambda *numbers: counted.append(numbers))
    made.add(cards(4))
    made.add(cards(10)[4:])
    made.add(cards(1))
    assert (0, 5) in counted and (0, 1) in counted
    assert "too many wait for the database" in caplog.text
    desk.error = None
    made.close()
    assert (desk.cards, desk.lost) == (cards(5), 6)


def test_at_the_end_it_is_tried_until_the_time_is_up(desk: Desk, recorder: Make) -> None:
    desk.failures = 3
    made = recorder()
    made.add(cards(7))
    made.close(SOON)
    assert (desk.cards, desk.lost) == (cards(7), 0)


def test_what_cannot_be_written_before_the_end_is_said(
    desk: Desk, recorder: Make, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[tuple[int, int]] = []
    desk.error = StoreUnavailableError("the database is away")
    made = recorder(counted=lambda *numbers: counted.append(numbers))
    made.add(cards(7))
    made.close(0.1)
    made.add(cards(1))
    assert sum(lost for _, lost in counted) == 8
    assert "the service ends" in caplog.text


def test_a_database_that_hangs_does_not_hold_up_the_end(desk: Desk, recorder: Make) -> None:
    desk.may_go_on.clear()
    made = recorder()
    made.add(cards(1))
    assert desk.tried.wait(SOON)
    made.close(wait=0)
    desk.may_go_on.set()


def test_old_cards_are_deleted_once_a_day(desk: Desk, recorder: Make) -> None:
    made = recorder()
    for one in cards(3):
        desk.stored.clear()
        made.add([one])
        assert desk.stored.wait(SOON)
    made.close()
    assert desk.purged == [DAY - RETENTION]


def test_with_a_database(store: FeedbackStore) -> None:
    made = Recorder(store, retention=RETENTION, today=lambda: DAY, capacity=10)
    made.add(cards(12))
    made.close()
    told = report(store)
    assert (told.trials[0].issued, told.not_recorded) == (10, 2)


def test_nothing_is_begun_before_there_is_a_card(recorder: Make, caplog: pytest.LogCaptureFixture) -> None:
    before = threading.active_count()
    with caplog.at_level(logging.INFO):
        recorder().close()
    assert threading.active_count() == before and not caplog.text
