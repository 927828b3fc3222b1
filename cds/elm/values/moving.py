"""A date that stands for each of the days on which something may be planned, and knows until when nothing changes.

Logic that is evaluated with a `MovingDate` answers for one day, and its `Watch` has seen every comparison that the
day took part in: so it knows the first later day on which one of them may come out another way. Up to that day the
logic would go the same way and give the same answer; no day between needs to be tried.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from cds.elm.values.date_time import Components, Date, compare, days_in_month

#: By how many days a move by months or years may differ from one day to another.
_UNEVEN: Final = 8
#: How far from the estimated day of a bound the day itself is looked for.
_NEAR: Final = 64

Move = Callable[[Date], Date]


class Watch:
    """The day on which a `MovingDate` stands, and the first later one on which an answer may be another.

    The days of interest lie from `start` to `end`; `until` is the day behind them where nothing changes before.
    `bounds` keeps what was found out about the dates compared with; watches of the same days share it.
    """

    __slots__ = ("bounds", "day", "end", "start", "until")

    def __init__(self, day: date, start: date, end: date, bounds: dict[Any, tuple[int, int]]) -> None:
        self.day = day.toordinal()
        self.start = start.toordinal()
        self.end = end.toordinal()
        self.until = self.end + 1
        self.bounds = bounds

    @property
    def moving_date(self) -> MovingDate:
        """The day as a value of CQL."""
        return MovingDate(self, lambda day: day, ())

    def may_change_on(self, ordinal: int) -> None:
        """Takes note of a day on which something that was asked of the date comes out another way."""
        if self.day < ordinal < self.until:
            self.until = ordinal

    def follow(self, measure: Callable[[date], Any]) -> Any:
        """What `measure` gives on the day; it never falls, or never rises, as the day moves on."""
        found = measure(date.fromordinal(self.day))
        same, step = self.day, 1
        while (other := min(same + step, self.until)) < self.until and measure(date.fromordinal(other)) == found:
            same, step = other, 2 * step
        while other - same > 1:
            middle = (same + other) // 2
            if measure(date.fromordinal(middle)) == found:
                same = middle
            else:
                other = middle
        self.may_change_on(other)
        return found


class MovingDate(Date):
    """A calendar day that moves with the day of its watch: that day itself, or some time before or after it.

    It is compared as the Date that it is on the day. Whatever else looks at its components counts as changing daily.
    """

    __slots__ = ("_date", "_move", "_moves", "_watch")

    _watch: Watch
    _move: Move
    _moves: tuple[tuple[str, int], ...]
    _date: Date

    moving = True
    known = 3
    precision = "day"

    def __init__(self, watch: Watch, move: Move, moves: tuple[tuple[str, int], ...]) -> None:
        object.__setattr__(self, "_watch", watch)
        object.__setattr__(self, "_move", move)
        object.__setattr__(self, "_moves", moves)
        object.__setattr__(self, "_date", move(_dated(watch.day)))

    @property
    def parts(self) -> Components:  # type: ignore[override]
        """The components; who asks for them may do anything with them."""
        self._watch.may_change_on(self._watch.day + 1)
        return self._date.parts

    def on(self, day: date) -> Date:
        """The date that it is where the watch's day is `day`."""
        return self._move(Date(day.year, day.month, day.day))

    @property
    def watch(self) -> Watch:
        """What sees how it is used."""
        return self._watch

    def moved(self, move: Move, unit: str, amount: int) -> MovingDate:
        """The date moved by so many days, months or years: what `move` does with a Date."""
        earlier = self._move
        return MovingDate(self._watch, lambda day: move(earlier(day)), (*self._moves, (unit, amount)))

    def compared(self, other: Any, precision: str | None) -> int | None:
        """As `compare` says of the date that it is on the day."""
        if other.moving:
            return self._compared_moving(other, precision)
        found = compare(self._date, other, precision)
        for bound in self._bounds(other, precision):
            self._watch.may_change_on(bound)
        return found

    def _compared_moving(self, other: MovingDate, precision: str | None) -> int | None:
        found = compare(self._date, other._date, precision)
        if self._moves != other._moves:
            apart = abs(_ordinal(self._date) - _ordinal(other._date))
            uneven = sum(unit != "day" for unit, _ in self._moves + other._moves)
            if precision not in (None, "day") or (uneven and apart <= _UNEVEN * uneven):
                self._watch.may_change_on(self._watch.day + 1)
        return found

    def _bounds(self, other: Any, precision: str | None) -> tuple[int, int]:
        """The first days of the watch on which this date is no longer before `other`, and on which it is after it."""
        year, month, day = other.parts[:3]
        if precision in ("year", "month"):
            day = None
        if precision == "year":
            month = None
        key = (self._moves, year, month, day)
        found = self._watch.bounds.get(key)
        if found is None:
            first = date(year, month or 1, day or 1).toordinal()
            last = date(year, month or 12, day or days_in_month(year, month or 12)).toordinal()
            found = self._watch.bounds[key] = self._reaching(first), self._reaching(last + 1)
        return found

    def _reaching(self, ordinal: int) -> int:
        """The first day of the watch on which this date is not before the day of that number.

        Far before the first day of interest, or behind the last, it is an estimate: any such day is as good.
        """
        watch = self._watch
        day = watch.day + ordinal - _ordinal(self._date)
        if day < watch.start - _NEAR or day > watch.end + _NEAR:
            return day
        while _ordinal(self._move(_dated(day))) >= ordinal:
            day -= 1
        while _ordinal(self._move(_dated(day))) < ordinal:
            day += 1
        return day

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Date) and compare(self, other) == 0

    def __hash__(self) -> int:
        return hash(self.parts)

    def __str__(self) -> str:
        self._watch.may_change_on(self._watch.day + 1)
        return str(self._date)


def _dated(ordinal: int) -> Date:
    day = date.fromordinal(ordinal)
    return Date(day.year, day.month, day.day)


def _ordinal(day: Date) -> int:
    year, month, day_of_month = day.parts
    assert month is not None and day_of_month is not None
    return date(year or 1, month, day_of_month).toordinal()
