"""Date, DateTime and Time, each known to some precision (CQL 1.5, appendix B, Types).

A value keeps its components as they were written; the last ones may be absent. A DateTime keeps its offset and is
compared in one time zone only where hours or finer are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final

from cds.errors import EvaluationError

#: The precisions of a DateTime, coarsest first; a Date has the first three, a Time the last four.
PRECISIONS: Final = ("year", "month", "day", "hour", "minute", "second", "millisecond")
PLACE: Final = {name: place for place, name in enumerate(PRECISIONS)}
_DATE_LOW, _DATE_HIGH = (1, 1, 1), (9999, 12, 31)
_TIME_LOW, _TIME_HIGH = (0, 0, 0, 0), (23, 59, 59, 999)
_DIGITS: Final = (4, 2, 2, 2, 2, 2, 3)

Components = tuple[int | None, ...]


def days_in_month(year: int, month: int) -> int:
    """The number of days of a month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


class _Temporal:
    """What the three share: components, coarsest first, of which the last may be None."""

    __slots__ = ("parts",)

    #: The place of the first component in PRECISIONS.
    first: int = 0
    #: Whether it stands for one day after the other (`cds.elm.values.moving`).
    moving: bool = False
    parts: Components

    def _set(self, parts: Components) -> None:
        object.__setattr__(self, "parts", parts)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    @property
    def known(self) -> int:
        """How many components are known."""
        parts = self.parts
        return parts.index(None) if None in parts else len(parts)

    @property
    def precision(self) -> str:
        """The name of the finest component that is known."""
        return PRECISIONS[self.first + self.known - 1]

    def component(self, precision: str) -> int | None:
        """The component of that name; None where it is not known, or the type has none."""
        place = PLACE[precision] - self.first
        return self.parts[place] if 0 <= place < len(self.parts) else None

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.parts == getattr(other, "parts", None)

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


def _checked(parts: Components, low: tuple[int, ...], high: tuple[int, ...]) -> Components:
    absent = False
    for part, least, most in zip(parts, low, high, strict=True):
        if part is None:
            absent = True
        elif absent or not least <= part <= most:
            raise ValueError("a component is out of its range, or stands behind one that is absent")
    return parts


class _Calendar(_Temporal):
    """The components of a calendar date."""

    __slots__ = ()

    @property
    def year(self) -> int:
        return self.parts[0]  # type: ignore[return-value]

    @property
    def month(self) -> int | None:
        return self.parts[1]

    @property
    def day(self) -> int | None:
        return self.parts[2]


class _Clock(_Temporal):
    """The components of a time of day, which are the last four."""

    __slots__ = ()

    @property
    def hour(self) -> int | None:
        return self.parts[-4]

    @property
    def minute(self) -> int | None:
        return self.parts[-3]

    @property
    def second(self) -> int | None:
        return self.parts[-2]

    @property
    def millisecond(self) -> int | None:
        return self.parts[-1]


class Date(_Calendar):
    """A calendar date, to the year, the month or the day."""

    __slots__ = ()

    def __init__(self, year: int, month: int | None = None, day: int | None = None) -> None:
        parts = _checked((year, month, day), _DATE_LOW, _DATE_HIGH)
        if day is not None and month is not None and day > days_in_month(year, month):
            raise ValueError("the month has no such day")
        self._set(parts)

    @classmethod
    @lru_cache(maxsize=16384)
    def parse(cls, text: str) -> Date | None:
        """The date in ISO 8601 text (``2026``, ``2026-11``, ``2026-11-20``); None where it is none."""
        found = _DATE.fullmatch(text)
        try:
            return cls(*(int(part) for part in found.groups() if part)) if found else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return "-".join(_digits(self.parts, 0))


class DateTime(_Calendar, _Clock):
    """A moment, to some precision; `offset` is that of its time zone in minutes (None: unknown)."""

    __slots__ = ("offset",)

    offset: int | None

    def __init__(
        self,
        year: int,
        month: int | None = None,
        day: int | None = None,
        hour: int | None = None,
        minute: int | None = None,
        second: int | None = None,
        millisecond: int | None = None,
        offset: int | None = None,
    ) -> None:
        parts = (year, month, day, hour, minute, second, millisecond)
        _checked(parts, _DATE_LOW + _TIME_LOW, _DATE_HIGH + _TIME_HIGH)
        if day is not None and month is not None and day > days_in_month(year, month):
            raise ValueError("the month has no such day")
        self._set(parts)
        object.__setattr__(self, "offset", offset)

    @classmethod
    @lru_cache(maxsize=65536)
    def parse(cls, text: str) -> DateTime | None:
        """The moment in ISO 8601 text, to the precision written; None where it is none.

        Seconds beyond the millisecond are cut; a leap second and 24:00 are none.
        """
        found = _DATE_TIME.fullmatch(text)
        if not found:
            return None
        *whole, fraction, zone = found.groups()
        parts = _components(whole, fraction)
        try:
            return cls(*parts, *([None] * (7 - len(parts))), _offset(zone))  # type: ignore[call-arg]
        except ValueError:
            return None

    @property
    def date(self) -> Date:
        """The calendar date as written."""
        return Date(*self.parts[:3])  # type: ignore[arg-type]

    def at_offset(self, offset: int) -> DateTime:
        """The same moment in another time zone; unchanged where no hour, or no offset, is known."""
        if self.offset is None or self.offset == offset or self.parts[3] is None:
            return self
        year, month, day, hour, minute = (part or 0 for part in self.parts[:5])
        shifted = date(year, month, day).toordinal() * 1440 + hour * 60 + minute + offset - self.offset
        ordinal, rest = divmod(shifted, 1440)
        if not 1 <= ordinal <= _MAX_ORDINAL:
            return self
        moved = date.fromordinal(ordinal)
        minutes = rest % 60 if self.parts[4] is not None else None
        return DateTime(moved.year, moved.month, moved.day, rest // 60, minutes, *self.parts[5:], offset)  # type: ignore[call-arg]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DateTime) and self.parts == other.parts and self.offset == other.offset

    def __hash__(self) -> int:
        return hash((self.parts, self.offset))

    def __str__(self) -> str:
        digits = list(_digits(self.parts, 0))
        text = "-".join(digits[:3])
        if len(digits) > 3:
            text += "T" + ":".join(digits[3:6]) + ("." + digits[6] if len(digits) > 6 else "")
            if self.offset is not None:
                text += _zone(self.offset)
        return text


class Time(_Clock):
    """A time of day."""

    __slots__ = ()
    first = 3

    def __init__(
        self, hour: int, minute: int | None = None, second: int | None = None, millisecond: int | None = None
    ) -> None:
        self._set(_checked((hour, minute, second, millisecond), _TIME_LOW, _TIME_HIGH))

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Time | None:
        """The time in ISO 8601 text (``T`` before it is allowed); None where it is none."""
        found = _TIME.fullmatch(text)
        if not found:
            return None
        *whole, fraction = found.groups()
        try:
            return cls(*_components(whole, fraction))
        except ValueError:
            return None

    def __str__(self) -> str:
        digits = list(_digits(self.parts, 3))
        return ":".join(digits[:3]) + ("." + digits[3] if len(digits) > 3 else "")


Temporal = Date | DateTime | Time

_MAX_ORDINAL: Final = date.max.toordinal()
_YMD = r"(\d{4})(?:-(\d\d)(?:-(\d\d)"
_DATE = re.compile(_YMD + r")?)?", re.ASCII)
_DATE_TIME = re.compile(_YMD + r"(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?(Z|[+-]\d\d:\d\d)?)?)?)?)?", re.ASCII)
_TIME = re.compile(r"T?(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?", re.ASCII)


def _components(whole: list[str | None], fraction: str | None) -> list[int]:
    """The numbers of the components that a text names; a fraction of a second is cut to the millisecond."""
    parts = [int(part) for part in whole if part]
    return [*parts, int((fraction + "00")[:3])] if fraction else parts


def _digits(parts: Components, first: int) -> Iterator[str]:
    for place, part in enumerate(parts, first):
        if part is not None:
            yield f"{part:0{_DIGITS[place]}d}"


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:])
    if minutes > 14 * 60 or zone[4] > "5":
        raise ValueError("there is no such time zone")
    return -minutes if zone[0] == "-" else minutes


def _zone(offset: int) -> str:
    if offset == 0:
        return "Z"
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"


def rebuilt(like: Temporal, parts: Components) -> Any:
    """A value of the type (and offset) of `like` with other components."""
    if isinstance(like, DateTime):
        return DateTime(*parts, like.offset)  # type: ignore[arg-type, call-arg]
    return (Date if like.moving else type(like))(*parts)  # type: ignore[arg-type]


def rebuilt_at(moment: DateTime, offset: int) -> DateTime:
    """The same components, said to be of the time zone `offset`."""
    return DateTime(*moment.parts, offset)  # type: ignore[arg-type, call-arg]


def lowest(value: Temporal) -> Any:
    """The earliest that a value of limited precision may mean, to full precision."""
    lows = (_DATE_LOW + _TIME_LOW)[value.first : value.first + len(value.parts)]
    return rebuilt(value, tuple(low if part is None else part for part, low in zip(value.parts, lows, strict=True)))


def highest(value: Temporal) -> Any:
    """The latest that a value of limited precision may mean, to full precision."""
    highs = (_DATE_HIGH + _TIME_HIGH)[value.first : value.first + len(value.parts)]
    parts = [high if part is None else part for part, high in zip(value.parts, highs, strict=True)]
    if value.first == 0 and value.parts[2] is None:
        parts[2] = days_in_month(parts[0], parts[1])
    return rebuilt(value, tuple(parts))


def _beside(first: DateTime, second: DateTime, precision: str | None) -> DateTime:
    """`second` in the time zone of `first`, where hours or finer are compared; days without hours stay as written."""
    if first.offset is None or first.parts[3] is None or (precision is not None and PLACE.get(precision, 0) <= 2):
        return second
    return second.at_offset(first.offset)


def compare(first: Temporal, second: Temporal, precision: str | None = None) -> int | None:
    """-1, 0 or 1 as `first` lies before, at or after `second`, down to `precision`; None where that is uncertain.

    Without a precision, values known to the same, limited precision and equal in it are equal; seconds and
    milliseconds are one decimal then, so that an absent millisecond is 0. DateTimes of different time zones are
    compared in one where hours or finer are asked for. Raises EvaluationError for a precision that is not compared by.
    """
    if type(first) is not Date or type(second) is not Date:
        if first.moving:
            return first.compared(second, precision)  # type: ignore[no-any-return, union-attr]
        if second.moving:
            found = second.compared(first, precision)  # type: ignore[union-attr]
            return None if found is None else -found
        if isinstance(first, DateTime) and isinstance(second, DateTime) and first.offset != second.offset:
            second = _beside(first, second, precision)
    left, right = first.parts, second.parts
    if precision is None:
        return _compare_all(left, right)
    for place in range(_place(first, precision) + 1):
        one = left[place] if place < len(left) else None
        other = right[place] if place < len(right) else None
        if one is None or other is None:
            return None
        if one != other:
            return -1 if one < other else 1
    return 0


def _compare_all(left: Components, right: Components) -> int | None:
    if left == right:
        return 0
    alike = len(left) == len(right)
    if alike and left[-1] is not None and right[-1] is not None:
        return -1 if left < right else 1
    millisecond = len(left) - 1 if alike and len(left) > len(_DATE_LOW) else None
    for place, (one, other) in enumerate(zip_longest(left, right)):
        if place == millisecond and (one is None) is not (other is None):
            one, other = one or 0, other or 0
        if one is None or other is None:
            return 0 if one is other else None
        if one != other:
            return -1 if one < other else 1
    return 0


def _place(value: Temporal, precision: str) -> int:
    """Where the component of that name stands in the parts of `value`."""
    place = PLACE.get(precision, -1) - value.first
    if place < 0:
        raise EvaluationError(f"{type(value).__name__} values are not compared by {precision}")
    return place
