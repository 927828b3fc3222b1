"""A date that moves: what is asked of it is answered for its day, and it tells until when the answer stays so."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.elm.operators import OPERATORS
from cds.elm.operators.date_time import moved
from cds.elm.operators.list import distinct
from cds.elm.values import Date, DateTime, Quantity
from cds.elm.values.moving import Watch

START, END = date(2026, 11, 20), date(2028, 11, 20)


def watch(day: date = START) -> Watch:
    return Watch(day, START, END, {})


def shifted(value: Any, moves: list[tuple[int, str]]) -> Any:
    for amount, unit in moves:
        value = moved(value, Quantity(Decimal(amount), unit), 1)
    return value


def plain(day: date) -> Date:
    return Date(day.year, day.month, day.day)


def until(found: Watch) -> date:
    return date.fromordinal(found.until)


MOVES = st.lists(st.tuples(st.integers(-30, 30), st.sampled_from(("days", "weeks", "months", "years"))), max_size=3)
OTHERS = st.one_of(
    st.builds(plain, st.dates(date(2020, 1, 1), date(2032, 1, 1))),
    st.builds(Date, st.integers(2024, 2030), st.integers(1, 12)),
    st.builds(Date, st.integers(2020, 2032)),
    st.builds(DateTime, st.integers(2024, 2030), st.integers(1, 12), st.integers(1, 28), st.integers(0, 23)),
)
ASKED = st.sampled_from(
    [(name, None) for name in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equivalent")]
    + [(name, part) for name in ("Before", "SameOrAfter", "SameAs") for part in (None, "year", "month", "day")]
)


@given(moves=MOVES, other=OTHERS, asked=ASKED, turned=st.booleans(), ahead=st.integers(0, 700))
def test_an_answer_stays_until_the_day_that_is_told(
    moves: list[tuple[int, str]], other: Any, asked: tuple[str, str | None], turned: bool, ahead: int
) -> None:
    name, precision = asked
    settings = {"precision": precision} if OPERATORS[name].settings else {}

    def ask(value: Any) -> Any:
        pair = (other, value) if turned else (value, other)
        return OPERATORS[name].function(*pair, **settings)

    day = START + timedelta(days=ahead)
    found = watch(day)
    answer = ask(shifted(found.moving_date, moves))
    assert answer == ask(shifted(plain(day), moves))
    for later in (found.until - 1, (found.day + found.until) // 2):
        assert ask(shifted(plain(date.fromordinal(later)), moves)) == answer
    assert found.until > found.day


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Date(2026, 12, 1), date(2026, 12, 1)),
        (Date(2026, 12), date(2026, 12, 1)),
        (Date(2026, 11, 20), date(2026, 11, 21)),
        (Date(2026, 11, 1), None),
        (Date(2026), date(2027, 1, 1)),
        (Date(2030), None),
    ],
)
def test_a_comparison_tells_the_next_day_on_which_it_may_differ(other: Date, expected: date | None) -> None:
    found = watch()
    OPERATORS["LessOrEqual"].function(found.moving_date, other)
    assert until(found) == (expected or END + timedelta(days=1))


def test_a_window_that_moves_along_with_its_bound_never_changes() -> None:
    found = watch()
    today = found.moving_date
    assert OPERATORS["Less"].function(shifted(today, [(-3, "days")]), today) is True
    assert OPERATORS["Less"].function(shifted(today, [(-2, "years")]), today) is True
    assert until(found) == END + timedelta(days=1)


def test_what_looks_at_the_components_changes_every_day() -> None:
    for look in (lambda day: day.year, str, hash, lambda day: day.parts):
        found = watch()
        look(found.moving_date)
        assert until(found) == START + timedelta(days=1)


def test_an_age_changes_on_the_birthday() -> None:
    found = watch()
    born = Date(2008, 12, 5)
    assert OPERATORS["DurationBetween"].function(born, found.moving_date, precision="Year") == 17
    assert until(found) == date(2026, 12, 5)


def test_the_same_days_in_a_list_are_one() -> None:
    found = watch()
    days = [found.moving_date, Date(2026, 11, 20), Date(2026, 12, 1), found.moving_date]
    assert len(distinct(days)) == 2
    assert until(found) == date(2026, 11, 21)
