"""Date and time operators (CQL 1.5, Logical Specification, chapter 18)."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from cds.elm.operators import operator
from cds.elm.ports import Value
from cds.elm.values import Date, DateTime, Interval, Quantity, Time
from cds.elm.values.date_time import PLACE, PRECISIONS, days_in_month, highest, lowest, rebuilt
from cds.elm.values.quantity import CALENDAR_UNITS
from cds.elm.values.uncertainty import uncertain
from cds.errors import EvaluationError

if TYPE_CHECKING:
    from cds.elm.evaluation import Evaluation

_TEMPORAL = (Date, DateTime, Time)
#: The precision that a duration's unit moves, and how many of it one unit is.
_UNITS = {
    "a": ("year", 1),
    "mo": ("month", 1),
    "wk": ("day", 7),
    "d": ("day", 1),
    "h": ("hour", 1),
    "min": ("minute", 1),
    "s": ("second", 1),
    "ms": ("millisecond", 1),
}
#: How many of the finer precision make one of the coarser, where a value does not know the finer.
_PER_COARSER = {"month": 12, "day": 30, "hour": 24, "minute": 60, "second": 60, "millisecond": 1000}
_MILLISECONDS = {"hour": 3_600_000, "minute": 60_000, "second": 1000, "millisecond": 1}
_DAY = 86_400_000
_MAX_ORDINAL = date.max.toordinal()


def moved(value: Any, by: Quantity, direction: int) -> Any:
    """`value` moved by a duration. Raises EvaluationError beyond the years 1 to 9999, or for a unit of no duration.

    A duration finer than the value's precision is turned into that precision first, cutting what is left over.
    """
    unit = CALENDAR_UNITS.get(by.unit, by.unit)
    if unit not in _UNITS:
        raise EvaluationError(f"{by.unit!r} is no unit of a duration")
    precision, size = _UNITS[unit]
    number = by.value * size * direction
    if precision == "second" and number != number.to_integral_value() and value.component("millisecond") is not None:
        precision, number = "millisecond", number * 1000
    amount = int(number.to_integral_value(ROUND_DOWN))
    finest = PLACE[value.precision]
    while PLACE[precision] > finest:
        per = 365 if precision == "day" and finest == 0 else _PER_COARSER[precision]
        amount = int(amount / per) if abs(amount) < 2**53 else amount // per
        precision = "year" if per == 365 else PRECISIONS[PLACE[precision] - 1]
    if isinstance(value, Time):
        return _moved_time(value, precision, amount)
    move = _moved_months if PLACE[precision] < 2 else _moved_days
    if value.moving:
        return value.moved(lambda day: move(day, precision, amount), precision, amount)
    return move(value, precision, amount)


def _moved_months(value: Any, precision: str, amount: int) -> Any:
    year, month, day = value.parts[:3]
    if precision == "year":
        year += amount
    else:
        months = year * 12 + month - 1 + amount
        year, month = months // 12, months % 12 + 1
    _check_year(year)
    if day is not None:
        day = min(day, days_in_month(year, month))
    return rebuilt(value, (year, month, day, *value.parts[3:]))


def _moved_days(value: Any, precision: str, amount: int) -> Any:
    year, month, day, *time = value.parts
    ordinal = date(year, month, day).toordinal()
    if precision == "day":
        ordinal += amount
    else:
        total = _since_midnight(time) + amount * _MILLISECONDS[precision]
        ordinal += total // _DAY
        time = _clock(total % _DAY, time)
    if not 1 <= ordinal <= _MAX_ORDINAL:
        raise EvaluationError("the date lies outside the years 1 to 9999")
    day_found = date.fromordinal(ordinal)
    return rebuilt(value, (day_found.year, day_found.month, day_found.day, *time))


def _moved_time(value: Time, precision: str, amount: int) -> Time:
    if precision not in _MILLISECONDS:
        raise EvaluationError("a time of day is moved by hours or finer")
    parts = list(value.parts)
    total = _since_midnight(parts) + amount * _MILLISECONDS[precision]
    return rebuilt(value, tuple(_clock(total % _DAY, parts)))  # type: ignore[no-any-return]


def _check_year(year: int) -> None:
    if not 1 <= year <= 9999:
        raise EvaluationError("the date lies outside the years 1 to 9999")


def _since_midnight(time: Any) -> int:
    hour, minute, second, millisecond = (part or 0 for part in time)
    return int(((hour * 60 + minute) * 60 + second) * 1000 + millisecond)


def _clock(milliseconds: int, like: Any) -> list[int | None]:
    parts = (
        milliseconds // 3_600_000,
        milliseconds // 60_000 % 60,
        milliseconds // 1000 % 60,
        milliseconds % 1000,
    )
    return [None if known is None else part for part, known in zip(parts, like, strict=True)]


# -- selectors and components -----------------------------------------------------------------------------------


@operator("Date", fields=("year", "month", "day"))
def date_selector(year: Value, month: Value, day: Value) -> Value:
    """18.6 Date, from its components."""
    return None if year is None else _made(Date, (year, month, day))


@operator(
    "DateTime",
    fields=("year", "month", "day", "hour", "minute", "second", "millisecond", "timezoneOffset"),
    context=True,
)
def date_time_selector(evaluation: Evaluation, year: Value, *rest: Value) -> Value:
    """18.8 DateTime, from its components; without an offset, in the evaluation's time zone."""
    if year is None:
        return None
    *parts, zone = rest
    offset = evaluation.timezone_offset if zone is None else int(zone * 60)
    return _made(DateTime, (year, *parts, offset))


@operator("Time", fields=("hour", "minute", "second", "millisecond"))
def time_selector(hour: Value, minute: Value, second: Value, millisecond: Value) -> Value:
    """18.18 Time, from its components."""
    return None if hour is None else _made(Time, (hour, minute, second, millisecond))


def _made(kind: Any, parts: tuple[Value, ...]) -> Value:
    try:
        return kind(*parts)
    except ValueError as error:
        raise EvaluationError(f"these components are no {kind.__name__}") from error


@operator("DateFrom")
def date_from(value: Value) -> Value:
    """18.7 date from: the calendar date as written."""
    if value is None or isinstance(value, Date):
        return value
    return value.date


@operator("TimeFrom")
def time_from(value: Value) -> Value:
    """18.19 time from."""
    return None if value is None or value.hour is None else Time(*value.parts[3:])


@operator("TimezoneOffsetFrom", "TimezoneFrom")
def timezone_offset_from(value: Value) -> Value:
    """18.20 timezoneoffset from (timezone from, before CQL 1.3): in hours."""
    return None if value is None or value.offset is None else Decimal(value.offset) / 60


@operator("DateTimeComponentFrom", settings=("precision",))
def component_from(value: Value, *, precision: str) -> Value:
    """18.9 year from, month from, ..."""
    return None if value is None else value.component(_precision(precision))


# -- comparison -------------------------------------------------------------------------------------------------


def _precision(name: str | None) -> Any:
    return None if name is None else name.lower()


@operator("SameAs", settings=("precision",))
def same_as(first: Value, second: Value, *, precision: str | None) -> Value:
    """18.14 Same As, of points and of intervals."""
    if first is None or second is None:
        return None
    if isinstance(first, Interval) and isinstance(second, Interval):
        from cds.elm.operators.comparison import every
        from cds.elm.operators.interval import end, start

        return every(
            (
                same_as(start(first), start(second), precision=precision),
                same_as(end(first), end(second), precision=precision),
            )
        )
    from cds.elm.operators.comparison import order

    found = order(first, second, _precision(precision))
    return None if found is None else found == 0


# -- durations and differences ----------------------------------------------------------------------------------


@operator("DurationBetween", settings=("precision",))
def duration_between(first: Value, second: Value, *, precision: str) -> Value:
    """18.11 Duration: whole periods between; an uncertainty where the values are not precise enough."""
    return _between(first, second, _precision(precision), _duration)


@operator("DifferenceBetween", settings=("precision",))
def difference_between(first: Value, second: Value, *, precision: str) -> Value:
    """18.10 Difference: boundaries crossed between; an uncertainty where the values are not precise enough."""
    return _between(first, second, _precision(precision), _difference)


def _between(first: Value, second: Value, precision: str, measure: Any) -> Value:
    if first is None or second is None:
        return None
    if isinstance(first, Date) and isinstance(second, DateTime):
        second = second.date
    if isinstance(second, Date) and isinstance(first, DateTime):
        first = first.date
    if first.moving or second.moving:
        return _between_moving(first, second, precision, measure)
    if precision != "week" and PLACE[precision] - first.first >= len(first.parts):
        raise EvaluationError(f"{type(first).__name__} knows no {precision}")
    if precision != "millisecond":
        first, second = _to_the_millisecond(first), _to_the_millisecond(second)
    # Boundaries of days and longer are crossed on the calendars as written; durations, and hours, in one time zone.
    as_written = measure is _difference and PLACE.get(precision, 2) <= 2
    beside = _as_written if as_written else _in_one_zone
    if first.parts[-1] is not None and second.parts[-1] is not None:
        return measure(*beside(first, second), precision)
    low = measure(*beside(highest(first), lowest(second)), precision)
    high = measure(*beside(lowest(first), highest(second)), precision)
    return uncertain(low, high)


def _between_moving(first: Any, second: Any, precision: str, measure: Any) -> Value:
    """The same of a date that moves, which sees until when it stays so. Two that move may go any way."""
    if first.moving and second.moving:
        return _between(rebuilt(first, first.parts), rebuilt(second, second.parts), precision, measure)
    if first.moving:
        return first.watch.follow(lambda day: _between(first.on(day), second, precision, measure))
    return second.watch.follow(lambda day: _between(first, second.on(day), precision, measure))


def _as_written(first: Any, second: Any) -> tuple[Any, Any]:
    return first, second


def _in_one_zone(first: Any, second: Any) -> tuple[Any, Any]:
    """The two, the second in the time zone of the first."""
    if isinstance(first, DateTime) and first.offset is not None and second.offset != first.offset:
        return first, second.at_offset(first.offset)
    return first, second


def _to_the_millisecond(value: Any) -> Any:
    """Seconds and milliseconds are one decimal: seconds without milliseconds are whole."""
    parts = value.parts
    if len(parts) > 3 and parts[-1] is None and parts[-2] is not None:
        return rebuilt(value, (*parts[:-1], 0))
    return value


def _duration(first: Any, second: Any, precision: str) -> int:
    """Whole periods. A month is over when adding it gives no later date: from 31 January to 28 February is one.

    So it is in appendix H, example 4.b (from 29 February 2012 to 28 February 2014 are two years).
    """
    if precision in ("year", "month"):
        if second.parts < first.parts:
            return -_duration(second, first, precision)
        months = _months(second) - _months(first)
        day = min(first.day, days_in_month(second.year, second.month))
        if second.parts[2:] < (day, *first.parts[3:]):
            months -= 1
        return months // 12 if precision == "year" else months
    span = _milliseconds(second) - _milliseconds(first)
    return _towards_zero(span, _SIZES[precision])


def _difference(first: Any, second: Any, precision: str) -> int:
    if precision == "year":
        return int(second.year - first.year)
    if precision == "month":
        return _months(second) - _months(first)
    if precision == "week":
        # A week begins on Sunday.
        return _ordinal(second) // 7 - _ordinal(first) // 7
    return _milliseconds(second) // _SIZES[precision] - _milliseconds(first) // _SIZES[precision]


_SIZES = {**_MILLISECONDS, "day": _DAY, "week": 7 * _DAY}


def _towards_zero(number: int, size: int) -> int:
    return number // size if number >= 0 else -(-number // size)


def _months(value: Any) -> int:
    return int(value.year * 12 + value.month)


def _ordinal(value: Any) -> int:
    return date(value.year, value.month, value.day).toordinal()


def _milliseconds(value: Any) -> int:
    if isinstance(value, Time):
        return _since_midnight(value.parts)
    midnight = _ordinal(value) * _DAY
    return midnight + _since_midnight(value.parts[3:]) if isinstance(value, DateTime) else midnight
