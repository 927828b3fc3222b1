"""An answer about what is not wholly known holds for all that it may be: checked against every completion.

Small domains are walked whole: intervals over few points with known, unknown (open null) and endless (closed null)
ends, and dates of every precision with every day that they may mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from cds.elm.compiler import _load_rules
from cds.elm.operators import OPERATORS
from cds.elm.values import Date, DateTime, Interval, Uncertainty
from cds.errors import EvaluationError

Points = tuple[int, int]

_load_rules()


def answer(name: str, *operands: Any, **settings: Any) -> Any:
    """What an operator says; the text ``error`` where it fails."""
    operator = OPERATORS[name]
    try:
        return operator.function(*operands, **{**dict.fromkeys(operator.settings), **settings})
    except EvaluationError:
        return "error"


def of_all(answers: Iterable[Any]) -> Any:
    """The answer that all completions give; null where they give different ones."""
    found = set(answers)
    return found.pop() if len(found) == 1 else None


# -- intervals ---------------------------------------------------------------------------------------------------

#: Points that ends are written with, and those that an unknown end may lie at: beyond them nothing changes.
WRITTEN = (2, 3, 4, 5)
LEAST, MOST = -2, 9
MINIMUM, MAXIMUM = -(2**31), 2**31 - 1


def intervals() -> Iterator[Interval]:
    """Every interval of written ends, and those of which one end is null."""
    for low_closed, high_closed in product((True, False), repeat=2):
        for low, high in product(WRITTEN, repeat=2):
            first, last = low + (not low_closed), high - (not high_closed)
            if first <= last:
                yield Interval(low, high, low_closed, high_closed)
        for end in WRITTEN:
            yield Interval(None, end, low_closed, high_closed)
            yield Interval(end, None, low_closed, high_closed)


def completions(interval: Interval) -> Iterator[Points]:
    """The first and the last point, wherever they may lie."""
    first = None if interval.low is None else interval.low + (not interval.low_closed)
    last = None if interval.high is None else interval.high - (not interval.high_closed)
    firsts = (first,) if first is not None else (MINIMUM,) if interval.low_closed else (MINIMUM, *range(LEAST, MOST))
    lasts = (last,) if last is not None else (MAXIMUM,) if interval.high_closed else (*range(LEAST, MOST), MAXIMUM)
    for one, other in product(firsts, lasts):
        if one <= other:
            yield one, other


RELATIONS: dict[str, Callable[[int, int, int, int], bool]] = {
    "Before": lambda a, b, c, d: b < c,
    "After": lambda a, b, c, d: a > d,
    "SameOrBefore": lambda a, b, c, d: b <= c,
    "SameOrAfter": lambda a, b, c, d: a >= d,
    "Overlaps": lambda a, b, c, d: a <= d and c <= b,
    "OverlapsBefore": lambda a, b, c, d: a < c <= b,
    "OverlapsAfter": lambda a, b, c, d: b > d >= a,
    "Includes": lambda a, b, c, d: a <= c and d <= b,
    "IncludedIn": lambda a, b, c, d: c <= a and b <= d,
    "ProperIncludes": lambda a, b, c, d: a <= c and d <= b and (a, b) != (c, d),
    "ProperIncludedIn": lambda a, b, c, d: c <= a and b <= d and (a, b) != (c, d),
    "Meets": lambda a, b, c, d: b + 1 == c or d + 1 == a,
    "MeetsBefore": lambda a, b, c, d: b + 1 == c,
    "MeetsAfter": lambda a, b, c, d: d + 1 == a,
    "Starts": lambda a, b, c, d: a == c and b <= d,
    "Ends": lambda a, b, c, d: c <= a and b == d,
    "Equal": lambda a, b, c, d: (a, b) == (c, d),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_of_intervals_is_that_of_their_points_wherever_unknown_ends_lie(name: str) -> None:
    relation, every = RELATIONS[name], list(intervals())
    for first, second in product(every, repeat=2):
        possible = {relation(*one, *other) for one, other in product(completions(first), completions(second))}
        found = answer(name, first, second)
        assert found is None or {found} == possible, (first, second, possible)
        known = None not in (first.low, first.high, second.low, second.high)
        assert found is not None or not known, (first, second)


@pytest.mark.parametrize("name", ["Overlaps", "Before", "After", "SameOrBefore", "SameOrAfter"])
def test_an_answer_that_all_completions_give_is_given(name: str) -> None:
    relation, every = RELATIONS[name], list(intervals())
    for first, second in product(every, repeat=2):
        possible = {relation(*one, *other) for one, other in product(completions(first), completions(second))}
        assert answer(name, first, second) is of_all(possible), (first, second, possible)


MEMBERSHIP: dict[str, Callable[[int, int, int], bool]] = {
    "In": lambda p, a, b: a <= p <= b,
    "ProperIn": lambda p, a, b: a < p < b,
}


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_membership_is_that_of_the_points(name: str) -> None:
    for interval, point in product(intervals(), range(8)):
        possible = {MEMBERSHIP[name](point, *ends) for ends in completions(interval)}
        found = answer(name, point, interval)
        assert found is of_all(possible), (point, interval, possible)
        contains = "ProperContains" if name == "ProperIn" else "Contains"
        assert answer(contains, interval, point) is found


def points(interval: Any) -> set[int]:
    return set() if interval is None else set(range(answer("Start", interval), answer("End", interval) + 1))


def test_set_operations_are_those_of_the_points() -> None:
    known = [one for one in intervals() if None not in (one.low, one.high)]
    for first, second in product(known, repeat=2):
        one, other = points(first), points(second)
        assert points(answer("Intersect", first, second)) == one & other
        joined, rest = answer("Union", first, second), answer("Except", first, second)
        whole = one | other
        assert points(joined) == (whole if len(whole) == max(whole) - min(whole) + 1 else set()), (first, second)
        left = one - other
        assert points(rest) == (left if left and len(left) == max(left) - min(left) + 1 else set()), (first, second)


DUALS = [
    ("Before", "After"),
    ("SameOrBefore", "SameOrAfter"),
    ("Includes", "IncludedIn"),
    ("MeetsBefore", "MeetsAfter"),
    ("ProperIncludes", "ProperIncludedIn"),
    ("Overlaps", "Overlaps"),
    ("Meets", "Meets"),
    ("Equal", "Equal"),
]


@pytest.mark.parametrize(("name", "dual"), DUALS)
def test_a_relation_seen_from_the_other_side(name: str, dual: str) -> None:
    for first, second in product(list(intervals()), repeat=2):
        assert answer(name, first, second) is answer(dual, second, first), (first, second)


# -- dates -------------------------------------------------------------------------------------------------------

FROM, TO = date(2023, 11, 1), date(2024, 3, 31)
DAYS = [FROM + timedelta(days=number) for number in range((TO - FROM).days + 1)]
DATES = [
    *(Date(day.year, day.month, day.day) for day in DAYS if day.day in (1, 15, 28, 29, 30, 31)),
    *(Date(*month) for month in sorted({(day.year, day.month) for day in DAYS})),
    Date(2023),
    Date(2024),
]


def days_of(value: Date | DateTime) -> list[date]:
    """Every day that a date may mean."""
    parts = value.parts[: min(value.known, 3)]
    if len(parts) == 3:
        return [date(*parts)]  # type: ignore[arg-type]
    year, month = parts[0], parts[1] if len(parts) > 1 else None
    assert year is not None
    start = date(year, month or 1, 1)
    end = date(year + (month in (None, 12)), (month or 12) % 12 + 1, 1)
    return [start + timedelta(days=number) for number in range((end - start).days)]


ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "Less": lambda one, other: one < other,
    "LessOrEqual": lambda one, other: one <= other,
    "Greater": lambda one, other: one > other,
    "GreaterOrEqual": lambda one, other: one >= other,
    "Equal": lambda one, other: one == other,
    "Before": lambda one, other: one < other,
    "SameOrAfter": lambda one, other: one >= other,
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_of_dates_is_that_of_all_days_they_may_mean(name: str) -> None:
    for first, second in product(DATES, repeat=2):
        if first == second:
            continue  # known to the same precision and alike in it, they count as equal (12.1)
        ends = ((min(days), max(days)) for days in (days_of(first), days_of(second)))
        possible = {ORDERS[name](one, other) for one, other in product(*ends)}
        found = answer(name, first, second)
        # Components are compared one by one (12.1), so null is answered of 30 November and November.
        assert found is None or {found} == possible, (first, second, possible)
        assert found is not None or min(first.known, second.known) < 3


PRECISIONS: dict[str, Callable[[date], Any]] = {
    "Year": lambda day: day.year,
    "Month": lambda day: (day.year, day.month),
    "Day": lambda day: day,
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["SameAs", "Before", "After", "SameOrBefore", "SameOrAfter"])
def test_an_order_to_a_precision_is_that_of_all_days(name: str, precision: str) -> None:
    relation: Callable[[Any, Any], bool] = {
        "SameAs": lambda one, other: one == other,
        "Before": lambda one, other: one < other,
        "After": lambda one, other: one > other,
        "SameOrBefore": lambda one, other: one <= other,
        "SameOrAfter": lambda one, other: one >= other,
    }[name]
    cut = PRECISIONS[precision]
    for first, second in product(DATES, repeat=2):
        possible = {relation(cut(one), cut(other)) for one, other in product(days_of(first), days_of(second))}
        found = answer(name, first, second, precision=precision)
        assert found is None or {found} == possible, (first, second, possible)


MEASURES: dict[tuple[str, str], Callable[[date, date], int]] = {
    ("DifferenceBetween", "Year"): lambda one, other: other.year - one.year,
    ("DifferenceBetween", "Month"): lambda one, other: 12 * (other.year - one.year) + other.month - one.month,
    ("DifferenceBetween", "Day"): lambda one, other: (other - one).days,
    ("DurationBetween", "Day"): lambda one, other: (other - one).days,
    ("DurationBetween", "Week"): lambda one, other: abs((other - one).days) // 7 * (1 if other >= one else -1),
}


@pytest.mark.parametrize(("name", "precision"), MEASURES)
def test_a_measure_lies_between_those_of_all_days_and_no_wider(name: str, precision: str) -> None:
    measure = MEASURES[name, precision]
    for first, second in product(DATES, repeat=2):
        possible = [measure(one, other) for one, other in product(days_of(first), days_of(second))]
        found = answer(name, first, second, precision=precision)
        low, high = (found.low, found.high) if isinstance(found, Uncertainty) else (found, found)
        assert (low, high) == (min(possible), max(possible)), (first, second)


@pytest.mark.parametrize("unit", ["Year", "Month"])
def test_whole_months_and_years_of_dates_are_those_of_all_days(unit: str) -> None:
    for first, second in product(DATES, repeat=2):
        possible = [
            answer("DurationBetween", Date(*one.timetuple()[:3]), Date(*other.timetuple()[:3]), precision=unit)
            for one, other in product(
                days_of(first)[::5] + days_of(first)[-1:], days_of(second)[::5] + days_of(second)[-1:]
            )
        ]
        found = answer("DurationBetween", first, second, precision=unit)
        low, high = (found.low, found.high) if isinstance(found, Uncertainty) else (found, found)
        assert low <= min(possible), (first, second)
        assert high >= max(possible), (first, second)
