"""Laws of the values: dates read and written, order, intervals, units, three-valued answers."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.elm.operators.comparison import bounds, equal, every, order
from cds.elm.operators.date_time import duration_between, moved
from cds.elm.operators.interval import collapse, end, holds, includes, intersect, overlaps, start, union
from cds.elm.operators.list import distinct, same
from cds.elm.values import Date, DateTime, Interval, Quantity, Time
from cds.elm.values.date_time import compare, highest, lowest
from cds.elm.values.quantity import convertible, factor, scaled
from cds.errors import EvaluationError, UnitError

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


middle_days = days.filter(lambda day: 200 < day.year < 9800)


@given(middle_days, middle_days, st.integers(0, 3000))
def test_a_number_of_months_is_between_two_days_when_adding_it_does_not_pass_the_second(
    first: Date, second: Date, months: int
) -> None:
    if compare(first, second) == 1:
        first, second = second, first
    reached = compare(moved(first, Quantity(Decimal(months), "months"), 1), second) != 1
    assert (duration_between(first, second, precision="Month") >= months) is reached


@given(middle_days, middle_days, st.sampled_from(["Year", "Month", "Week", "Day"]))
def test_a_duration_backwards_is_the_same_below_zero(first: Date, second: Date, precision: str) -> None:
    forwards = duration_between(first, second, precision=precision)
    assert duration_between(second, first, precision=precision) == -forwards


@given(dates(), dates(), st.sampled_from(["Year", "Month", "Day"]))
def test_an_uncertain_duration_holds_all_that_the_dates_may_mean(first: Date, second: Date, precision: str) -> None:
    low, high = bounds(duration_between(first, second, precision=precision))
    for one in (lowest(first), highest(first)):
        for other in (lowest(second), highest(second)):
            assert low <= duration_between(one, other, precision=precision) <= high


def test_an_absent_millisecond_is_zero_unless_it_is_asked_for() -> None:
    whole, exact, later = Time(10, 30, 15), Time(10, 30, 15, 0), Time(10, 30, 15, 1)
    assert compare(whole, exact) == compare(exact, whole) == 0
    assert (compare(whole, later), compare(later, whole)) == (-1, 1)
    assert compare(whole, exact, "millisecond") is None
    assert compare(Time(10, 30), exact) is None


@pytest.mark.parametrize(("value", "precision"), [(Date(2026), "week"), (Time(10), "day")])
def test_a_precision_that_is_not_compared_by_is_named(value: Date | Time, precision: str) -> None:
    with pytest.raises(EvaluationError, match=precision):
        compare(value, value, precision)


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


@given(intervals(), intervals(), st.sampled_from(["low", "high"]))
def test_an_unknown_bound_decides_only_what_holds_wherever_it_lies(
    first: Interval, second: Interval, side: str
) -> None:
    unknown = Interval(None, end(first), False) if side == "low" else Interval(start(first), None, True, False)
    found = overlaps(unknown, second)
    possible = {
        overlaps(Interval(at, end(first)) if side == "low" else Interval(start(first), at), second)
        for at in (range(-120, end(first) + 1) if side == "low" else range(start(first), 120))
    }
    assert found in possible if len(possible) == 1 else found is None


@given(st.lists(st.integers(-3, 3) | st.none() | st.decimals(-3, 3, places=1)))
def test_distinct_keeps_the_first_of_each(items: list[object]) -> None:
    kept: list[object] = []
    for item in items:
        if not any(same(item, other) for other in kept):
            kept.append(item)
    assert distinct(items) == kept


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
    ("{cells}/uL", "10*3.{cells}/uL", Fraction(1, 1000)),
    ("mg/{dose}", "mg", Fraction(1)),
    ("10^9/L", "10*9/L", Fraction(1)),
    # An arbitrary unit is no number: a viral load in [IU]/mL says nothing of copies.
    ("[IU]/mL", "{copies}/mL", None),
    ("k[IU]/L", "[IU]/mL", Fraction(1)),
    ("[IU]", "[USP'U]", None),
    ("/[HPF]", "/[LPF]", None),
]


@pytest.mark.parametrize(("source", "target", "expected"), UNITS, ids=str)
def test_units(source: str, target: str, expected: Fraction | None) -> None:
    assert factor(source, target) == expected


@pytest.mark.parametrize("unit", ["10*99999999", "10^-99999999", "m123456789", "m" * 500])
def test_a_unit_of_a_power_that_no_one_measures_is_not_computed(unit: str) -> None:
    assert convertible(unit, "m") is None


@pytest.mark.parametrize("unit", ["furlong", "units", "mg per dL", "Cel"])
def test_a_unit_that_cannot_be_converted_is_named_and_compares_as_null(unit: str) -> None:
    with pytest.raises(UnitError, match=unit):
        factor(unit, "m")
    assert convertible(unit, "m") is None
    assert order(Quantity(Decimal(1), unit), Quantity(Decimal(1), "m")) is None


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=3))
def test_a_conversion_there_and_back_is_the_same(value: Decimal) -> None:
    assert scaled(scaled(value, Fraction(1, 10)), Fraction(10)) == value


def test_the_smallest_amount_is_more_than_none() -> None:
    assert order(Quantity(Decimal(0), "kg"), Quantity(Decimal("0.0000001"), "pg")) == -1


@given(st.decimals(min_value=0, max_value=1000, places=4), st.decimals(min_value=0, max_value=1000, places=4))
def test_the_order_of_quantities_does_not_depend_on_their_units(one: Decimal, other: Decimal) -> None:
    first, second = Quantity(one, "g"), Quantity(other, "g")
    in_milligrams = Quantity(other * 1000, "mg")
    assert order(first, second) == order(first, in_milligrams) == (one > other) - (one < other)


def test_calendar_years_are_no_ucum_years() -> None:
    assert equal(Quantity(Decimal(1), "year"), Quantity(Decimal(1), "a")) is None
    assert equal(Quantity(Decimal(1), "week"), Quantity(Decimal(7), "d")) is True


@given(st.lists(st.sampled_from([True, False, None])))
def test_every_is_the_three_valued_and(answers: list[bool | None]) -> None:
    expected = False if False in answers else None if None in answers else True
    assert every(answers) is expected
