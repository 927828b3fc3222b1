"""Interval operators (CQL 1.5, Logical Specification, chapter 19); those that lists share (In, Union) dispatch here.

A closed null bound is the type's limit; an open null bound is unknown, and what hangs on it is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from cds.elm.budget import spend
from cds.elm.operators import operator
from cds.elm.operators.arithmetic import add, limit_like, step, subtract
from cds.elm.operators.comparison import Truth, bounds, every, order
from cds.elm.operators.comparison import equal as equal_values
from cds.elm.ports import Value
from cds.elm.values import Date, DateTime, Interval, Quantity, Time, Uncertainty
from cds.elm.values.date_time import PLACE
from cds.elm.values.quantity import comparable, scaled
from cds.errors import EvaluationError, UnitError

_TEMPORAL = (Date, DateTime, Time)


@operator("Start")
def start(interval: Value) -> Value:
    """19.29 Start: the first point that is in it; null where unknown."""
    if interval is None:
        return None
    if interval.low is None:
        known = interval.like if interval.high is None else interval.high
        return limit_like(known, 0) if interval.low_closed and known is not None else None
    return interval.low if interval.low_closed else step(interval.low, 1)


@operator("End")
def end(interval: Value) -> Value:
    """19.6 End: the last point that is in it; null where unknown."""
    if interval is None:
        return None
    if interval.high is None:
        known = interval.like if interval.low is None else interval.low
        return limit_like(known, 1) if interval.high_closed and known is not None else None
    return interval.high if interval.high_closed else step(interval.high, -1)


def selected(low: Value, high: Value, low_closed: Value, high_closed: Value) -> Interval:
    """The interval of an Interval selector (19.1). Raises EvaluationError where its end lies before its start.

    One of two nulls is an interval still: a period of which neither end is known holds any day or none.
    """
    interval = Interval(low, high, low_closed is not False, high_closed is not False)
    if low is not None and high is not None:
        found = order(low, high)
        if found is not None and (found > 0 or (found == 0 and not (interval.low_closed and interval.high_closed))):
            raise EvaluationError("an interval that ends before it starts")
    return interval


def _place(precision: str | None) -> Any:
    return None if precision is None else precision.lower()


def _before(first: Value, second: Value, precision: Any = None) -> Truth:
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        (low, high), (least, most) = bounds(first), bounds(second)
        return True if _before(high, least, precision) else False if _at_or_before(most, low, precision) else None
    found = order(first, second, precision)
    return None if found is None else found < 0


def _at_or_before(first: Value, second: Value, precision: Any = None) -> Truth:
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        return _not(_before(second, first, precision))
    found = order(first, second, precision)
    return None if found is None else found <= 0


def _same(first: Value, second: Value, precision: Any = None) -> Truth:
    return every((_at_or_before(first, second, precision), _at_or_before(second, first, precision)))


def _not(answer: Truth) -> Truth:
    return None if answer is None else not answer


def _some(answers: Iterable[Truth]) -> Truth:
    return _not(every(_not(answer) for answer in answers))


def _low(interval: Interval) -> Value:
    """The first point; where it is unknown, any from the type's limit up to the last point."""
    if interval.low is None and not interval.low_closed and interval.high is not None:
        return Uncertainty(limit_like(interval.high, 0), end(interval))
    return start(interval)


def _high(interval: Interval) -> Value:
    """The last point; where it is unknown, any from the first point up to the type's limit."""
    if interval.high is None and not interval.high_closed and interval.low is not None:
        return Uncertainty(start(interval), limit_like(interval.low, 1))
    return end(interval)


def _edges(value: Value) -> tuple[Value, Value]:
    """The first and the last point of an interval, or a point twice."""
    return (_low(value), _high(value)) if isinstance(value, Interval) else (value, value)


# -- membership -------------------------------------------------------------------------------------------------


def holds(interval: Interval, point: Value, precision: Any = None) -> Truth:
    """Whether a point is in an interval."""
    if point is None:
        return None
    if _place_is_finer(precision, point):
        low, high = _edges(interval)
        return every((_at_or_before(low, point, precision), _at_or_before(point, high, precision)))
    return every((_after_low(interval, point, precision), _before_high(interval, point, precision)))


def _place_is_finer(precision: Any, point: Value) -> bool:
    return precision is not None and isinstance(point, _TEMPORAL)


def _after_low(interval: Interval, point: Value, precision: Any) -> Truth:
    if interval.low is None:
        return True if interval.low_closed else _at_or_before(_low(interval), point)
    return (
        _at_or_before(interval.low, point, precision)
        if interval.low_closed
        else _before(interval.low, point, precision)
    )


def _before_high(interval: Interval, point: Value, precision: Any) -> Truth:
    if interval.high is None:
        return True if interval.high_closed else _at_or_before(point, _high(interval))
    return (
        _at_or_before(point, interval.high, precision)
        if interval.high_closed
        else _before(point, interval.high, precision)
    )


def includes(outer: Interval, inner: Interval, precision: Any = None) -> Truth:
    """Whether every point of `inner` is in `outer`."""
    (low, high), (first, last) = _edges(outer), _edges(inner)
    return every((_at_or_before(low, first, precision), _at_or_before(last, high, precision)))


def properly_includes(outer: Interval, inner: Interval, precision: Any = None) -> Truth:
    """Whether `outer` includes `inner` and holds a point beside it."""
    (low, high), (first, last) = _edges(outer), _edges(inner)
    larger = _some((_before(low, first, precision), _before(last, high, precision)))
    return every((includes(outer, inner, precision), larger))


def properly_holds(interval: Interval, point: Value, precision: Any = None) -> Truth:
    """Whether a point lies inside an interval, at neither of its ends."""
    if point is None:
        return None
    low, high = _edges(interval)
    return every((_before(low, point, precision), _before(point, high, precision)))


# -- before and after -------------------------------------------------------------------------------------------


@operator("Before", settings=("precision",))
def before(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.3 Before; of dates, section 18.3."""
    if first is None or second is None:
        return None
    return _before(_edges(first)[1], _edges(second)[0], _place(precision))


@operator("After", settings=("precision",))
def after(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.2 After; of dates, section 18.2."""
    return before(second, first, precision=precision)


@operator("SameOrBefore", settings=("precision",))
def same_or_before(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """18.15 SameOrBefore, of intervals and of dates."""
    if first is None or second is None:
        return None
    return _at_or_before(_edges(first)[1], _edges(second)[0], _place(precision))


@operator("SameOrAfter", settings=("precision",))
def same_or_after(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """18.16 SameOrAfter, of intervals and of dates."""
    return same_or_before(second, first, precision=precision)


# -- relations of two intervals ---------------------------------------------------------------------------------


def _pair(first: Value, second: Value) -> bool:
    return isinstance(first, Interval) and isinstance(second, Interval)


@operator("Overlaps", settings=("precision",))
def overlaps(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.20 Overlaps."""
    if not _pair(first, second):
        return None
    (low, high), (least, most), place = _edges(first), _edges(second), _place(precision)
    return every((_at_or_before(low, most, place), _at_or_before(least, high, place)))


@operator("OverlapsBefore", settings=("precision",))
def overlaps_before(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.21 Overlaps Before."""
    if not _pair(first, second):
        return None
    place = _place(precision)
    starts = _before(_low(first), _low(second), place)
    return every((starts, _at_or_before(_low(second), _high(first), place)))


@operator("OverlapsAfter", settings=("precision",))
def overlaps_after(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.22 Overlaps After."""
    if not _pair(first, second):
        return None
    place = _place(precision)
    ends = _before(_high(second), _high(first), place)
    return every((ends, _at_or_before(_low(first), _high(second), place)))


def _meets(earlier: Interval, later: Interval, precision: Any) -> Truth:
    last, first = end(earlier), start(later)
    if last is None or first is None:
        return None
    if equal_values(last, limit_like(last, 1)):
        return False
    if precision is not None and isinstance(last, _TEMPORAL):
        from cds.elm.operators.date_time import moved

        following = moved(last, Quantity(Decimal(1), precision), 1)
    else:
        following = step(last, 1)
    return _same(following, first, precision)


@operator("MeetsBefore", settings=("precision",))
def meets_before(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.17 Meets Before."""
    return _meets(first, second, _place(precision)) if _pair(first, second) else None


@operator("MeetsAfter", settings=("precision",))
def meets_after(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.18 Meets After."""
    return _meets(second, first, _place(precision)) if _pair(first, second) else None


@operator("Meets", settings=("precision",))
def meets(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.16 Meets."""
    return _some((meets_before(first, second, precision=precision), meets_after(first, second, precision=precision)))


@operator("Starts", settings=("precision",))
def starts(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.30 Starts."""
    if not _pair(first, second):
        return None
    place = _place(precision)
    return every((_same(_low(first), _low(second), place), _at_or_before(_high(first), _high(second), place)))


@operator("Ends", settings=("precision",))
def ends(first: Value, second: Value, *, precision: str | None = None) -> Truth:
    """19.7 Ends."""
    if not _pair(first, second):
        return None
    place = _place(precision)
    return every((_at_or_before(_low(second), _low(first), place), _same(_high(first), _high(second), place)))


# -- new intervals ----------------------------------------------------------------------------------------------


def _least(first: Value, second: Value) -> Value:
    found = order(first, second)
    return None if found is None else first if found <= 0 else second


def _greatest(first: Value, second: Value) -> Value:
    found = order(first, second)
    return None if found is None else second if found <= 0 else first


def union(first: Interval, second: Interval) -> Interval | None:
    """19.31 Union: null where the two neither overlap nor meet."""
    if _some((overlaps(first, second), meets(first, second))) is not True:
        return None
    return _between(_least(start(first), start(second)), _greatest(end(first), end(second)))


def _between(low: Value, high: Value) -> Interval:
    """The interval of two points, of which one that is null is unknown."""
    return Interval(low, high, low is not None, high is not None)


def intersect(first: Interval, second: Interval) -> Interval | None:
    """Intersect: null where the two do not overlap. What is unknown at one end stays unknown there."""
    if overlaps(first, second) is False:
        return None
    low, high = _greatest(start(first), start(second)), _least(end(first), end(second))
    return None if low is None and high is None else _between(low, high)


def except_(first: Interval, second: Interval) -> Interval | None:
    """Except: null where nothing, or two pieces, would be left."""
    if overlaps(first, second) is False:
        return first
    (low, high), (least, most) = _edges(first), _edges(second)
    left, right = _before(low, least), _before(most, high)
    if left is True and right is False and (last := start(second)) is not None:
        return _between(start(first), step(last, -1))
    if left is False and right is True and (last := end(second)) is not None:
        return _between(step(last, 1), end(first))
    return None


@operator("Width")
def width(interval: Value) -> Value:
    """19.32 Width. Raises EvaluationError for dates, whose widths are durations."""
    if interval is None:
        return None
    low, high = start(interval), end(interval)
    if isinstance(low, _TEMPORAL) or isinstance(high, _TEMPORAL):
        raise EvaluationError("the width of an interval of dates: ask for its duration instead")
    return subtract(high, low)


@operator("Size")
def size(interval: Value, per: Value = None) -> Value:
    """19.28 Size: the width and one step of the type (or `per`) more."""
    found = width(interval)
    return None if found is None else add(found, per if per is not None else _one_step(found))


def _one_step(like: Value) -> Value:
    if isinstance(like, Quantity):
        return Quantity(_one_step(like.value), like.unit)
    return Decimal("0.00000001") if isinstance(like, Decimal) else 1


@operator("PointFrom")
def point_from(interval: Value) -> Value:
    """19.23 Point From. Raises EvaluationError where the interval has more than one point."""
    if interval is None:
        return None
    low, high = start(interval), end(interval)
    if equal_values(low, high) is not True:
        raise EvaluationError("the interval has more than one point")
    return low


@operator("Collapse")
def collapse(intervals: Value, per: Value = None) -> Value:
    """19.4 Collapse: the fewest intervals that hold the same points; gaps of up to `per` are closed."""
    if intervals is None:
        return None
    known = [item for item in intervals if item is not None]
    if not known:
        return known
    spend(len(known) * len(known).bit_length())
    known.sort(key=cmp_to_key(_by_start))
    found = [known[0]]
    for interval in known[1:]:
        last = found[-1]
        if _touches(last, interval, per):
            found[-1] = _between(start(last), _later(end(last), end(interval)))
        else:
            found.append(interval)
    return found


def _later(first: Value, second: Value) -> Value:
    """The later of two ends; unknown where one is, and the coarser where they differ in what it does not know."""
    if first is None or second is None:
        return None
    found = order(first, second)
    if found is None:
        return first if getattr(first, "known", 0) < getattr(second, "known", 0) else second
    return first if found > 0 else second


def _by_start(first: Interval, second: Interval) -> int:
    low, least = start(first), start(second)
    if low is None or least is None:
        return (low is not None) - (least is not None)
    return order(low, least) or order(end(first), end(second)) or 0


def _touches(first: Interval, second: Interval, per: Quantity | None) -> bool:
    if overlaps(first, second) is True or meets(first, second) is True:
        return True
    if per is None or per.value == 0:
        return False
    last, following = end(first), start(second)
    if last is None or following is None:
        return False
    reach = add(last, per if isinstance(last, (*_TEMPORAL, Quantity)) else _plain(per, last))
    found = order(following, reach)
    return found is not None and found <= 0


def _plain(per: Quantity, like: Value) -> Value:
    return per.value if isinstance(like, Decimal) else int(per.value)


@operator("Expand")
def expand(source: Value, per: Value = None) -> Value:
    """19.11 Expand: the unit intervals of a list of intervals, or the points of one interval."""
    if source is None:
        return None
    if isinstance(source, Interval):
        return [interval.low for interval in _expanded(source, per)]
    pieces = dict.fromkeys(piece for item in source if item is not None for piece in _expanded(item, per))
    return sorted(pieces, key=cmp_to_key(_by_start))


#: More pieces than this are a mistake of the unit or an end that is not there, not an answer.
_PIECES = 100_000


def _counted(pieces: list[Interval]) -> list[Interval]:
    if len(pieces) > _PIECES:
        raise EvaluationError(
            f"expand gives more than {_PIECES} intervals", remedy="expand per a coarser unit, or bound the interval"
        )
    return pieces


def _expanded(interval: Interval, per: Quantity | None) -> list[Interval]:
    low, high = start(interval), end(interval)
    if low is None or high is None:
        return []
    if isinstance(low, _TEMPORAL):
        return _expanded_dates(low, high, per)
    return _expanded_numbers(low, high, per)


def _expanded_dates(low: Any, high: Any, per: Quantity | None) -> list[Interval]:
    from cds.elm.operators.date_time import moved
    from cds.elm.values.date_time import rebuilt
    from cds.elm.values.quantity import CALENDAR_UNITS

    step_by = per or Quantity(Decimal(1), low.precision)
    unit = CALENDAR_UNITS.get(step_by.unit, step_by.unit)
    name = {"a": "year", "mo": "month", "wk": "day", "d": "day", "h": "hour", "min": "minute", "s": "second"}.get(
        unit, "millisecond"
    )
    keep = PLACE[name] - low.first + 1
    if keep < 1 or keep > low.known or keep > high.known:
        return []
    low = rebuilt(low, (*low.parts[:keep], *([None] * (len(low.parts) - keep))))
    high = rebuilt(high, (*high.parts[:keep], *([None] * (len(high.parts) - keep))))
    found: list[Interval] = []
    one = Quantity(Decimal(1), name)
    while True:
        spend(2)
        following = moved(low, step_by, 1)
        last = moved(following, one, -1)
        if order(last, high) == 1 or len(found) > _PIECES:
            return _counted(found)
        found.append(Interval(low, last))
        if order(following, low) != 1:
            return found
        low = following


def _expanded_numbers(low: Value, high: Value, per: Quantity | None) -> list[Interval]:
    unit = None
    if isinstance(low, Quantity):
        if per is not None and per.unit != "1":
            # In the unit of the step, so that its pieces come out whole.
            low, high = _in_unit(low, per.unit), _in_unit(high, per.unit)
        unit, low, high = low.unit, low.value, _in_unit(high, low.unit).value
    by = per.value if per is not None else _coarser_step(low, high)
    whole = not isinstance(low, Decimal) and by == int(by)
    low, high = (low, high) if whole else (Decimal(low), Decimal(high))
    grain: Any = 1 if whole else Decimal(1).scaleb(-max(0, -int(by.normalize().as_tuple().exponent)))
    amount: Any = int(by) if whole else by
    found: list[Interval] = []
    if not whole:
        low, high = _floored(low, grain), _floored(high, grain)
    while low + amount - grain <= high and len(found) <= _PIECES:
        spend(1)
        last = low + amount - grain
        found.append(Interval(_with_unit(low, unit), _with_unit(last, unit)))
        low += amount
    return _counted(found)


def _in_unit(value: Quantity, unit: str) -> Quantity:
    by = comparable(value.unit, unit)
    if by is None:
        raise UnitError(f"{value.unit!r} cannot be converted to {unit!r}")
    return Quantity(scaled(value.value, by), unit)


def _coarser_step(low: Value, high: Value) -> Decimal:
    places = min(max(0, -int(Decimal(value).as_tuple().exponent)) for value in (low, high))
    return Decimal(1).scaleb(-places)


def _floored(value: Decimal, grain: Decimal) -> Decimal:
    return (value // grain) * grain


def _with_unit(value: Value, unit: str | None) -> Value:
    return value if unit is None else Quantity(Decimal(value), unit)
