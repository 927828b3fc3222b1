"""Laws of the values: dates read and written, order, intervals, units, three-valued answers."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.elm.operators.comparison import equal, every, order
from cds.elm.operators.date_time import moved
from cds.elm.operators.interval import collapse, end, holds, includes, intersect, overlaps, start, union
from cds.elm.values import Date, DateTime, Interval, Quantity, Time
from cds.elm.values.date_time import compare, highest, lowest
from cds.elm.values.quantity import convertible, factor, scaled
from cds.errors import UnitError

days = st.dates(date(1, 1, 1), date(9999, 12, 31)).map(lambda day: Date(day.year, day.month, day.day))


@st.composite
def dates(draw: st.DrawFn) -> Date:
    """A date to the year, the month or the day."""
    day = draw(days)
    return Date(*day.parts[: draw(st.integers(1, 3))])  # type: ignore[arg-type]


@st.composite
def moments(draw: st.DrawFn) -> DateTime:
    """A moment of some precision, with or without an offset, away from the first and last year."""
    moment = draw(st.datetimes(min_value=date_time(2), max_value=date_time(9998)))
    parts = (
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond // 1000,
    )
    offset = draw(st.none() | st.integers(-14 * 60, 14 * 60))
    known = draw(st.integers(1, 7))
    return DateTime(*parts[:known], *[None] * (7 - known), offset)  # type: ignore[arg-type]


def date_time(year: int):  # type: ignore[no-untyped-def]
    from datetime import datetime

    return datetime(year, 1, 1)


@given(dates())
def test_a_date_reads_as_it_is_written(value: Date) -> None:
    assert Date.parse(str(value)) == value


@given(moments())
def test_a_moment_reads_as_it_is_written(value: DateTime) -> None:
    written = DateTime.parse(str(value))
    assert written is not None
    assert written.parts == value.parts
    # A date without a time has no place for an offset.
    assert written.offset == (value.offset if value.hour is not None else None)


NO_DATES = """
2026-13 2026-02-30 2025-02-29 20261120 0000 2026-11-20T24:00:00Z 2026-11-20T10:60 yesterday
2026-11-20T10:00:00+25:00 2026-11-2 ２０２６
"""


@pytest.mark.parametrize("text", ["", *NO_DATES.split()])
def test_text_that_is_no_date_is_null(text: str) -> None:
    assert DateTime.parse(text) is None
    assert Date.parse(text) is None


def test_a_time_reads_as_it_is_written() -> None:
    assert str(Time.parse("T10:30")) == "10:30"
    assert Time.parse("10:30:15.5") == Time(10, 30, 15, 500)
    assert Time.parse("25:00") is None


@given(days, days)
def test_full_dates_are_ordered_as_the_calendar_is(first: Date, second: Date) -> None:
    one, other = date(*first.parts), date(*second.parts)  # type: ignore[arg-type]
    assert compare(first, second) == (one > other) - (one < other)


@given(dates(), dates())
def test_a_certain_order_holds_for_all_that_the_dates_may_mean(first: Date, second: Date) -> None:
    found = compare(first, second)
    if found == -1:
        assert compare(highest(first), lowest(second)) == -1
    if found == 1:
        assert compare(lowest(first), highest(second)) == 1


@given(moments(), moments())
def test_order_is_antisymmetric(first: DateTime, second: DateTime) -> None:
    one, other = compare(first, second), compare(second, first)
    assert one == (None if other is None else -other)


@given(days.filter(lambda day: 200 < day.year < 9800), st.integers(-30000, 30000))
def test_days_are_added_as_the_calendar_does(day: Date, number: int) -> None:
    expected = date(*day.parts) + timedelta(days=number)  # type: ignore[arg-type]
    assert moved(day, Quantity(Decimal(number), "days"), 1) == Date(expected.year, expected.month, expected.day)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low, size = draw(st.integers(-50, 50)), draw(st.integers(1, 20))
    return Interval(low, low + size, draw(st.booleans()), draw(st.booleans()) if size > 1 else True)


def points(interval: Interval) -> set[int]:
    return set(range(start(interval), end(interval) + 1))


@given(intervals(), intervals())
def test_intervals_are_sets_of_points(first: Interval, second: Interval) -> None:
    one, other = points(first), points(second)
    assert overlaps(first, second) is bool(one & other)
    assert includes(first, second) is (one >= other)
    common = intersect(first, second)
    assert (points(common) if common else set()) == one & other
    joined = union(first, second)
    if joined:
        assert points(joined) == one | other


@given(intervals(), st.integers(-60, 80))
def test_a_point_is_in_an_interval_or_not(interval: Interval, point: int) -> None:
    assert holds(interval, point) is (point in points(interval))


@given(st.lists(intervals(), max_size=8))
def test_collapsing_keeps_the_points_and_leaves_gaps(given_: list[Interval]) -> None:
    collapsed = collapse(given_)
    assert set().union(*map(points, collapsed)) == set().union(*map(points, given_))
    for earlier, later in pairwise(collapsed):
        assert end(earlier) + 1 < start(later)


def test_an_unknown_bound_leaves_open_what_hangs_on_it() -> None:
    assert holds(Interval(1, None, True, False), 5) is None
    assert holds(Interval(1, None, True, False), 0) is False
    assert holds(Interval(1, None), 5) is True


# Each pair of units with the factor from the first to the second; None where they have no common dimension.
UNITS = [
    ("mm", "cm", Fraction(1, 10)),
    ("g/dL", "g/L", Fraction(10)),
    ("10*9/L", "/uL", Fraction(1000)),
    ("10*3/uL", "10*9/L", Fraction(1)),
    ("[IU]/mL", "[IU]/L", Fraction(1000)),
    ("%", "1", Fraction(1, 100)),
    ("{score}", "1", Fraction(1)),
    ("weeks", "days", Fraction(7)),
    ("mg/dL", "umol/L", None),
    ("K/uL", "10*9/L", None),
]


@pytest.mark.parametrize(("source", "target", "expected"), UNITS, ids=str)
def test_units(source: str, target: str, expected: Fraction | None) -> None:
    assert factor(source, target) == expected


@pytest.mark.parametrize("unit", ["furlong", "units", "mg per dL", "Cel"])
def test_a_unit_that_cannot_be_converted_is_named_and_compares_as_null(unit: str) -> None:
    with pytest.raises(UnitError, match=unit):
        factor(unit, "m")
    assert convertible(unit, "m") is None
    assert order(Quantity(Decimal(1), unit), Quantity(Decimal(1), "m")) is None


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=3))
def test_a_conversion_there_and_back_is_the_same(value: Decimal) -> None:
    assert scaled(scaled(value, Fraction(1, 10)), Fraction(10)) == value


def test_calendar_years_are_no_ucum_years() -> None:
    assert equal(Quantity(Decimal(1), "year"), Quantity(Decimal(1), "a")) is None
    assert equal(Quantity(Decimal(1), "week"), Quantity(Decimal(7), "d")) is True


@given(st.lists(st.sampled_from([True, False, None])))
def test_every_is_the_three_valued_and(answers: list[bool | None]) -> None:
    expected = False if False in answers else None if None in answers else True
    assert every(answers) is expected
