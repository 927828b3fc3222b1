"""What would run for ever, or fill the memory, ends with a named error: rows, lists, texts, regular expressions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.elm import Evaluation, Libraries
from cds.elm.patterns import Pattern, repetitions
from cds.errors import EvaluationError

Json = dict[str, Any]

BUDGET = 200_000


def literal(value: object, kind: str = "Integer") -> Json:
    return {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}" + kind, "value": str(value)}


def text(value: str) -> Json:
    return literal(value, "String")


def expand(least: int, most: int) -> Json:
    interval = {"type": "Interval", "low": literal(least), "high": literal(most)}
    return {"type": "Expand", "operand": [{"type": "List", "element": [interval]}, {"type": "Null"}]}


MANY = expand(1, 50_000)
SOFAR = {"type": "QueryLetRef", "name": "sofar"}


def folded(step: Json, starting: Json) -> Json:
    aggregate = {"identifier": "sofar", "starting": starting, "expression": step}
    return {"type": "Query", "source": [{"alias": "A", "expression": MANY}], "aggregate": aggregate}


def count(source: Json) -> Json:
    return {"type": "Count", "source": source}


def answer(expression: Json, budget: int = BUDGET) -> Any:
    libraries = Libraries()
    definition = {"name": "X", "expression": expression}
    libraries.add({"library": {"identifier": {"id": "L"}, "statements": {"def": [definition]}}})
    libraries.compile()
    return Evaluation(libraries, None, None, datetime(2026, 11, 20), budget=budget).evaluate("L", "X")  # type: ignore[arg-type]


def quantities(number: int) -> Json:
    """As many different quantities, which only comparing tells apart."""
    value = {"type": "ToQuantity", "operand": {"type": "Start", "operand": {"type": "AliasRef", "name": "A"}}}
    source = {"alias": "A", "expression": expand(1, number)}
    return {"type": "Query", "source": [source], "return": {"expression": value, "distinct": False}}


RUNAWAYS = {
    "an interval expanded to its billions": (expand(1, 2_147_483_647), "expand gives more than 100000 intervals"),
    "every row with every row": (
        count({"type": "Query", "source": [{"alias": a, "expression": MANY} for a in "ABC"]}),
        "more steps than its budget",
    ),
    "a text doubled at each row": (
        {"type": "Length", "operand": folded({"type": "Concatenate", "operand": [SOFAR, SOFAR]}, text("ab"))},
        "a text has grown beyond 1000000",
    ),
    "a list doubled at each row": (
        count(
            folded(
                {"type": "Flatten", "operand": {"type": "List", "element": [SOFAR, SOFAR]}},
                {"type": "List", "element": [literal(1)]},
            )
        ),
        "a list has grown beyond 1000000",
    ),
    "what always brings something new": (
        {
            "type": "Repeat",
            "source": {"type": "List", "element": [literal(1)]},
            "element": {"type": "Add", "operand": [{"type": "Current", "scope": "$this"}, literal(1)]},
            "scope": "$this",
        },
        "more steps than its budget",
    ),
    "a long list of what only comparing tells apart": (
        count({"type": "Distinct", "operand": quantities(5000)}),
        "a list is too long to be compared with itself",
    ),
    "a regular expression that tries every way": (
        {"type": "Matches", "operand": [text("a" * 60 + "b"), text("(a|aa)+$")]},
        "a regular expression takes longer than 0.1 s",
    ),
}


@pytest.mark.parametrize(("expression", "message"), RUNAWAYS.values(), ids=RUNAWAYS)
def test_what_runs_away_is_a_named_error(expression: Json, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        answer(expression)
    assert caught.value.where is not None
    assert caught.value.where.startswith("L.X")


def test_a_long_list_of_what_has_something_in_common_is_no_trouble() -> None:
    assert answer(count({"type": "Distinct", "operand": MANY})) == 50_000
    assert answer(count({"type": "Intersect", "operand": [MANY, MANY]})) == 50_000
    assert answer(count({"type": "Distinct", "operand": quantities(1000)})) == 1000


def test_a_new_budget_is_given_for_each_question() -> None:
    libraries = Libraries()
    runaway, _ = RUNAWAYS["every row with every row"]
    definitions = [{"name": "Runaway", "expression": runaway}, {"name": "Neighbour", "expression": count(MANY)}]
    libraries.add({"library": {"identifier": {"id": "L"}, "statements": {"def": definitions}}})
    libraries.compile()
    evaluation = Evaluation(libraries, None, None, datetime(2026, 11, 20), budget=10)  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="budget"):
        evaluation.evaluate("L", "Runaway")
    evaluation.remaining = BUDGET
    assert evaluation.evaluate("L", "Neighbour") == 50_000


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        ("C50", 0),
        (".*cerv(ix|ical).*(cancer|carcinoma).*|.*cancer.*", 3),
        (r"\[[^\]]*\]|\([^)]*\)", 1),
        (r"(^|\s)[0-9][0-9.,]*\s*(mg|g)(\s*/\s*[0-9.,]*\s*(mg|ml))?(?=\s|$)", 6),
        (r"\(a+\)+", 2),
        ("[(a+)]+", 1),
        ("(ab){2}", 1),
        ("(a+)+", None),
        ("(a|aa)*", None),
        ("((ab?)c){2,}", None),
        ("(?:x*y)*", None),
        ("(?P<name>a*)*", None),
    ],
)
def test_how_often_a_pattern_repeats_is_known(pattern: str, number: int | None) -> None:
    assert repetitions(pattern) == number


def _is_read(pattern: str) -> bool:
    try:
        Pattern(pattern)
    except EvaluationError:
        return False
    return True


@given(
    st.from_regex(r"[ab|()*+?.]{1,8}", fullmatch=True).filter(_is_read),
    st.text("ab", max_size=6),
)
def test_with_a_limit_and_without_a_pattern_says_the_same(pattern: str, subject: str) -> None:
    import re

    found = Pattern(pattern)
    assert found.matches(subject) == (re.fullmatch(pattern, subject, re.DOTALL) is not None)


def test_a_long_text_is_searched_with_a_limit_too() -> None:
    long = "cervix " * 1000
    assert Pattern(".*cancer.*").matches(long) is False
    assert Pattern("cervix ").replaced(long, "") == ""
    assert Pattern(" ").split("a b" + "c" * 3000) == ["a", "b" + "c" * 3000]
