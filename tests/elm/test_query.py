"""Queries in full: sources, lets, relationships, where, return, aggregate, sort."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import compiled, define, elm, evaluation, library, literal

from cds.elm import Evaluation
from cds.elm.values import Tuple
from cds.errors import EvaluationError

ANN, BOB, DEE = (Tuple({"name": name, "age": age}) for name, age in (("Ann", 61), ("Bob", 45), ("Dee", 45)))


@pytest.fixture(scope="module")
def queries() -> Evaluation:
    return evaluation(compiled(elm("Queries")))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Where keeps true alone", [ANN]),
        ("Return distinct", [1, 0]),
        ("Return all", [1, 1, 0, 1]),
        ("Return with gaps", [61, 45, None, 45]),
        ("Let", [7, 5, 7]),
        ("Lazy let", []),
        ("Two sources", [Tuple({"N": 2, "L": "a"}), Tuple({"N": 2, "L": "b"})]),
        ("Two sources returned", [11, 21, 12, 22]),
        ("One of two null", []),
        ("Null source", None),
        ("Single source", 5),
        ("Single source left out", None),
        ("With", [BOB, DEE]),
        ("Without", ["Ann", "Cid"]),
        ("With depends", [2]),
        ("Sum", 9),
        ("Sum of distinct", 6),
        ("Product of two", 21),
        ("Sorted down", [3, 3, 2, 1]),
        ("Sorted by column", ["Cid", "Dee", "Bob", "Ann"]),
        ("Sorted by column down", ["Ann", "Bob", "Dee", "Cid"]),
        ("Sorted by expression", ["Cid", "Ann", "Bob", "Dee"]),
        ("Nested", [[10, 20], [], [10], [10, 20]]),
        ("Exists stops", True),
        ("Exists of nulls", False),
        ("Exists none", False),
        ("Names", ["Ann", "Bob", "Cid", "Dee"]),
        ("Above one", [3, 2, 3]),
        ("Counts in function", [0, 3, 2, 0]),
    ],
)
def test_answers(queries: Evaluation, name: str, value: object) -> None:
    assert queries.evaluate("Queries", name) == value


def test_a_budget_bounds_rows_and_calls() -> None:
    libraries = compiled(elm("Queries"))
    assert evaluation(libraries, budget=100).evaluate("Queries", "Two sources returned") == [11, 21, 12, 22]
    for name in ("Two sources returned", "With", "Sum", "Counts in function", "Exists none"):
        with pytest.raises(EvaluationError, match="budget") as raised:
            evaluation(libraries, budget=2).evaluate("Queries", name)
        assert raised.value.where is not None
        assert raised.value.where.startswith("Queries.")


def test_a_budget_stops_a_product_before_it_is_walked() -> None:
    """Six sources of a hundred items are 10^12 rows; they are counted, not stepped through."""
    numbers = {"type": "List", "element": [literal(number) for number in range(100)]}
    sources = [{"alias": f"A{number}", "expression": numbers} for number in range(6)]
    libraries = compiled(library(define("Answer", {"type": "Exists", "operand": {"type": "Query", "source": sources}})))
    with pytest.raises(EvaluationError, match="budget"):
        evaluation(libraries, budget=1_000_000).evaluate("Made", "Answer")


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=8), st.booleans())
def test_sorting_keeps_every_item_and_puts_nulls_lowest(values: list[int | None], down: bool) -> None:
    items = [{"type": "Null"} if value is None else _integer(value) for value in values]
    query = {
        "type": "Query",
        "source": [{"alias": "X", "expression": {"type": "List", "element": items}}],
        "sort": {"by": [{"type": "ByDirection", "direction": "desc" if down else "asc"}]},
    }
    found = evaluation(compiled(library(define("Answer", query)))).evaluate("Made", "Answer")
    assert found == sorted(values, key=lambda value: -9 if value is None else value, reverse=down)


def _integer(value: int) -> dict[str, object]:
    return literal(value) if value >= 0 else {"type": "Negate", "operand": literal(-value)}


def test_an_aggregate_of_a_query_sees_its_lets() -> None:
    numbers = {"type": "List", "element": [literal(1), literal(2)]}
    twice = {"type": "Add", "operand": [{"type": "AliasRef", "name": "N"}, {"type": "AliasRef", "name": "N"}]}
    total = {"type": "Add", "operand": [{"type": "QueryLetRef", "name": "T"}, {"type": "QueryLetRef", "name": "twice"}]}
    query = {
        "type": "Query",
        "source": [{"alias": "N", "expression": numbers}],
        "let": [{"identifier": "twice", "expression": twice}],
        "aggregate": {"identifier": "T", "expression": total, "starting": literal(0)},
    }
    assert evaluation(compiled(library(define("Answer", query)))).evaluate("Made", "Answer") == 6


def test_in_a_sort_a_name_is_first_an_element_of_what_is_sorted() -> None:
    def pair(first: int, second: int) -> dict[str, object]:
        return {
            "type": "Tuple",
            "element": [{"name": "A", "value": literal(first)}, {"name": "B", "value": literal(second)}],
        }

    query = {
        "type": "Query",
        "source": [{"alias": "A", "expression": {"type": "List", "element": [pair(2, 1), pair(1, 2)]}}],
        "return": {"distinct": False, "expression": {"type": "AliasRef", "name": "A"}},
        "sort": {
            "by": [{"type": "ByExpression", "direction": "asc", "expression": {"type": "IdentifierRef", "name": "A"}}]
        },
    }
    found = evaluation(compiled(library(define("Answer", query)))).evaluate("Made", "Answer")
    assert [item.get("B") for item in found] == [2, 1]
