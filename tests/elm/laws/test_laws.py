"""Laws of the operators, for any values.

The first of them: a definite answer on values that are not wholly known is the answer for whatever they may turn out to
be.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cds.elm import Evaluation, Libraries
from cds.elm.operators import OPERATORS
from cds.elm.operators.comparison import bounds
from cds.elm.values import Date, DateTime, Interval, Quantity, Time
from cds.elm.values.date_time import days_in_month
from cds.errors import EvaluationError

LOADING = Libraries()
LOADING.add({"library": {"identifier": {"id": "Nothing"}}})
LOADING.compile()  # which registers all operators
RUNNING = Evaluation(LOADING, None, None, datetime(2026, 11, 20, tzinfo=UTC))  # type: ignore[arg-type]

INTEGER_MAX = 2**31 - 1


def op(name: str, *operands: Any, **settings: Any) -> Any:
    """What the operator gives; the settings that are not named are absent."""
    operator = OPERATORS[name]
    context = (RUNNING,) if operator.context else ()
    return operator.function(*context, *operands, **{**dict.fromkeys(operator.settings), **settings})


# -- intervals: relations against the sets of their points --------------------------------------------------------

small = st.integers(-4, 4)


@st.composite
def closed(draw: st.DrawFn) -> Interval:
    """An interval of integers whose ends are known and in it."""
    low = draw(small)
    return Interval(low, draw(st.integers(low, 5)), True, True)


@st.composite
def told(draw: st.DrawFn, exact: Interval) -> Interval:
    """What a chart may tell of an interval: an open end written as the next point, or an end left open as unknown."""
    low, low_closed = draw(st.sampled_from([(exact.low, True), (exact.low - 1, False), (None, False)]))
    high, high_closed = draw(st.sampled_from([(exact.high, True), (exact.high + 1, False), (None, False)]))
    return Interval(low, high, low_closed, high_closed)


RELATIONS: dict[str, Callable[[Interval, Interval], bool]] = {
    "Before": lambda a, b: a.high < b.low,
    "After": lambda a, b: a.low > b.high,
    "Includes": lambda a, b: a.low <= b.low and b.high <= a.high,
    "IncludedIn": lambda a, b: b.low <= a.low and a.high <= b.high,
    "ProperIncludes": lambda a, b: a.low <= b.low and b.high <= a.high and a != b,
    "ProperIncludedIn": lambda a, b: b.low <= a.low and a.high <= b.high and a != b,
    "Overlaps": lambda a, b: a.low <= b.high and b.low <= a.high,
    "OverlapsBefore": lambda a, b: a.low < b.low <= a.high,
    "OverlapsAfter": lambda a, b: a.low <= b.high < a.high,
    "Meets": lambda a, b: a.high + 1 == b.low or b.high + 1 == a.low,
    "MeetsBefore": lambda a, b: a.high + 1 == b.low,
    "MeetsAfter": lambda a, b: b.high + 1 == a.low,
    "Starts": lambda a, b: a.low == b.low and a.high <= b.high,
    "Ends": lambda a, b: a.low >= b.low and a.high == b.high,
    "Equal": lambda a, b: a == b,
    "SameAs": lambda a, b: a == b,
    "SameOrBefore": lambda a, b: a.high <= b.low,
    "SameOrAfter": lambda a, b: a.low >= b.high,
}


@pytest.mark.parametrize("name", RELATIONS)
@given(data=st.data(), first=closed(), second=closed())
def test_a_relation_is_that_of_the_points(name: str, data: st.DataObject, first: Interval, second: Interval) -> None:
    truth = RELATIONS[name](first, second)
    assert op(name, first, second) is truth
    answer = op(name, data.draw(told(first)), data.draw(told(second)))
    assert answer is None or answer is truth


@given(data=st.data(), interval=closed(), point=small)
def test_membership_is_that_of_the_points(data: st.DataObject, interval: Interval, point: int) -> None:
    truth = interval.low <= point <= interval.high
    assert op("In", point, interval) is truth
    assert op("Contains", interval, point) is truth
    seen = data.draw(told(interval))
    assert op("In", point, seen) in (None, truth)
    assert op("Contains", seen, point) is op("In", point, seen)


@given(first=closed(), second=closed())
def test_union_intersection_and_difference_are_those_of_the_points(first: Interval, second: Interval) -> None:
    one, other = points(first), points(second)
    common = op("Intersect", first, second)
    assert (points(common) if common else set()) == one & other
    both = op("Union", first, second)
    assert both is None or points(both) == one | other
    rest = op("Except", first, second)
    assert rest is None or points(rest) == one - other
    assert op("Width", first) == len(one) - 1
    assert op("Size", first) == len(one)


@given(st.lists(closed(), max_size=5))
def test_collapsed_intervals_have_the_same_points_and_none_touches_another(intervals: list[Interval]) -> None:
    found = op("Collapse", intervals, None)
    assert set().union(*map(points, found)) == set().union(*map(points, intervals))
    assert op("Collapse", found, None) == found
    assert all(a == b or not (op("Overlaps", a, b) or op("Meets", a, b)) for a in found for b in found)


@given(st.lists(closed(), max_size=4))
def test_expanded_intervals_have_the_same_points(intervals: list[Interval]) -> None:
    found = op("Expand", intervals, None)
    assert [piece.low for piece in found] == sorted(set().union(*map(points, intervals)))
    assert op("Collapse", found, None) == op("Collapse", intervals, None)


def points(interval: Interval) -> set[int]:
    return set(range(op("Start", interval), op("End", interval) + 1))


# -- dates: what is not written may be anything -------------------------------------------------------------------


@st.composite
def days(draw: st.DrawFn) -> tuple[Date, Date]:
    """A date as written, to the year, the month or the day, and a day that it may mean."""
    year, month = draw(st.integers(2019, 2022)), draw(st.integers(1, 12))
    exact = Date(year, month, draw(st.integers(1, days_in_month(year, month))))
    return Date(*exact.parts[: draw(st.integers(1, 3))]), exact  # type: ignore[arg-type]


@st.composite
def moments(draw: st.DrawFn) -> tuple[DateTime, DateTime]:
    """A DateTime as written, to any precision, and a moment that it may mean."""
    _, day = draw(days())
    clock = (draw(st.integers(0, 23)), draw(st.integers(0, 59)), draw(st.integers(0, 59)), draw(st.integers(0, 999)))
    parts, known = (*day.parts, *clock), draw(st.integers(1, 6) | st.just(7))
    exact = DateTime(*parts, 0)  # type: ignore[arg-type]
    if known == 6:  # an absent millisecond is 0
        exact = DateTime(*parts[:6], 0, 0)  # type: ignore[arg-type]
    return DateTime(*parts[:known], *[None] * (7 - known), 0), exact  # type: ignore[arg-type]


PRECISIONS = ("Year", "Month", "Day")
COMPARISONS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")


@pytest.mark.parametrize("name", COMPARISONS)
@given(first=days() | moments(), second=days() | moments())
def test_a_definite_comparison_holds_for_whatever_is_not_written(
    name: str, first: tuple[Any, Any], second: tuple[Any, Any]
) -> None:
    assume(type(first[0]) is type(second[0]))
    if op("Equal", first[0], second[0]) is True:
        return  # as written: two dates of the same month are equal, and may be different days (CQL 1.5, 12.1)
    answer = op(name, first[0], second[0])
    assert answer is None or answer is op(name, first[1], second[1])


@pytest.mark.parametrize("name", ["SameAs", "SameOrBefore", "SameOrAfter", "Before", "After"])
@pytest.mark.parametrize("precision", PRECISIONS)
@given(first=days(), second=days())
def test_a_definite_comparison_to_a_precision_holds_for_whatever_is_not_written(
    name: str, precision: str, first: tuple[Date, Date], second: tuple[Date, Date]
) -> None:
    answer = op(name, first[0], second[0], precision=precision)
    assert answer is None or answer is op(name, first[1], second[1], precision=precision)


@pytest.mark.parametrize("name", ["DurationBetween", "DifferenceBetween"])
@pytest.mark.parametrize("precision", [*PRECISIONS, "Week"])
@given(first=days(), second=days())
def test_a_time_between_is_within_its_bounds(
    name: str, precision: str, first: tuple[Date, Date], second: tuple[Date, Date]
) -> None:
    answer = op(name, first[0], second[0], precision=precision)
    exact = op(name, first[1], second[1], precision=precision)
    if answer is not None:
        least, most = bounds(answer)
        assert least <= exact <= most


@given(days(), st.integers(-40, 40), st.sampled_from(["years", "months", "weeks", "days"]))
def test_what_is_added_can_be_taken_away(day: tuple[Date, Date], number: int, unit: str) -> None:
    _, exact = day
    moved = op("Add", exact, Quantity(Decimal(number), unit))
    assert op("DurationBetween", *sorted([exact, moved], key=str), precision=unit[:-1].title()) == abs(number) or (
        unit in ("years", "months") and exact.parts[2] > 28
    )
    if unit in ("weeks", "days"):
        assert op("Subtract", moved, Quantity(Decimal(number), unit)) == exact


@given(days() | moments())
def test_boundaries_hold_what_is_not_written(written: tuple[Any, Any]) -> None:
    seen, exact = written
    digits = 8 if isinstance(seen, Date) else 17
    low, high = op("LowBoundary", seen, digits), op("HighBoundary", seen, digits)
    assert op("LessOrEqual", low, exact) is True
    assert op("LessOrEqual", exact, high) is True


# -- numbers ------------------------------------------------------------------------------------------------------

integers = st.integers(-INTEGER_MAX - 1, INTEGER_MAX)
decimals = st.decimals(-(10**9), 10**9, places=8, allow_nan=False)


@given(integers, integers)
def test_whole_numbers_add_up_or_overflow_to_null(first: int, second: int) -> None:
    for name, truth in (("Add", first + second), ("Subtract", first - second), ("Multiply", first * second)):
        assert op(name, first, second) == (truth if -INTEGER_MAX - 1 <= truth <= INTEGER_MAX else None)
    assert op("Add", first, second) == op("Add", second, first)


@given(integers, integers.filter(bool))
def test_division_and_its_rest_give_the_dividend(first: int, second: int) -> None:
    quotient, rest = op("TruncatedDivide", first, second), op("Modulo", first, second)
    assume(quotient is not None)
    assert quotient * second + rest == first
    assert abs(rest) < abs(second)
    assert op("Divide", first, 0) is None


@given(decimals, decimals)
def test_decimals_are_exact_to_the_eighth_place(first: Decimal, second: Decimal) -> None:
    assert op("Subtract", op("Add", first, second), second) == first
    product = op("Multiply", first, second)
    assert product is None or abs(product - first * second) <= Decimal("0.00000001")
    assert op("Negate", op("Negate", first)) == first
    assert op("Floor", first) <= first <= op("Ceiling", first)
    assert abs(op("Round", first, 2) - first) <= Decimal("0.005")


# -- texts, lists, conversions ------------------------------------------------------------------------------------

letters = st.text("ab,c", max_size=8)


@given(st.lists(st.text("abc", max_size=3), min_size=1, max_size=5))
def test_what_is_combined_can_be_split(parts: list[str]) -> None:
    assert op("Split", op("Combine", parts, ","), ",") == parts


@given(letters, letters, st.integers(-2, 9))
def test_places_in_a_text(text: str, part: str, place: int) -> None:
    found = op("PositionOf", part, text)
    assert (found >= 0) is (part in text)
    assert found < 0 or op("Substring", text, found, len(part)) == part or not part
    piece = op("Substring", text, place, None)
    assert piece is None or (text.endswith(piece) and op("EndsWith", text, piece) is True)
    letter = op("Indexer", text, place)
    assert letter == (text[place] if 0 <= place < len(text) else None)


items = st.lists(st.none() | st.integers(0, 4), max_size=6)


@given(items, items)
def test_lists_as_sets(first: list[Any], second: list[Any]) -> None:
    assert set(op("Union", first, second)) == set(first) | set(second)
    assert set(op("Intersect", first, second)) == set(first) & set(second)
    assert set(op("Except", first, second)) == set(first) - set(second)
    assert op("Distinct", first) == list(dict.fromkeys(first))
    assert op("Includes", op("Union", first, second), first) is True
    assert op("Includes", first, second) is op("IncludedIn", second, first)
    assert op("Exists", first) is any(item is not None for item in first)
    for item in range(5):
        assert op("Contains", first, item) is op("In", item, first) is (item in first)


quantities = st.builds(Quantity, decimals, st.sampled_from(["mg", "g/dL", "1", "days", "[IU]/mL"]))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Integer", integers),
        ("Decimal", decimals),
        ("Boolean", st.booleans()),
        ("Date", days().map(lambda day: day[0])),
        ("DateTime", moments().map(lambda moment: moment[0])),
        ("Time", st.builds(Time, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))),
        ("Quantity", quantities),
    ],
)
@given(data=st.data())
def test_what_is_written_as_a_text_reads_as_the_same(name: str, values: st.SearchStrategy[Any], data: Any) -> None:
    value = data.draw(values)
    text = op("ToString", value)
    read = op(f"To{name}", text)
    assert op("Equivalent", read, value) is True
    assert op(f"ConvertsTo{name}", text) is True


ANY = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    decimals,
    letters,
    days().map(lambda day: day[0]),
    moments().map(lambda moment: moment[0]),
    quantities,
    closed(),
    items,
)


@given(ANY, ANY)
def test_equality_and_equivalence_of_any_values(first: Any, second: Any) -> None:
    for one in (first, second):
        assert op("Equivalent", one, one) is True
        try:
            assert op("Equal", one, one) in (True, None)
        except EvaluationError:
            continue
    assert op("Equivalent", first, second) is op("Equivalent", second, first)
    try:
        assert op("Equal", first, second) is op("Equal", second, first)
    except EvaluationError:
        assume(False)
