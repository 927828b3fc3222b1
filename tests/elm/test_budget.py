"""What never ends, or fills the memory, ends as its definition's error; its neighbours keep their answers."""

from __future__ import annotations

from typing import Any

import pytest
from small_world import compiled, define, evaluation, library, literal

from cds.elm.budget import spending_at_most
from cds.elm.operators import OPERATORS
from cds.elm.values import Date, DateTime, Interval, Quantity, Time, Tuple
from cds.errors import EvaluationError

Json = dict[str, Any]
#: What `cds.trials.apply` gives each definition.
BUDGET = 200_000
INTEGER = "{urn:hl7-org:elm-types:r1}Integer"


def node(kind: str, *operands: Json, **fields: Any) -> Json:
    return {"type": kind, **({"operand": list(operands)} if operands else {}), **fields}


def listed(*items: Json) -> Json:
    return node("List", element=list(items))


def ref(name: str) -> Json:
    return node("ExpressionRef", name=name)


def numbers(count: int) -> Json:
    interval = node("Interval", low=literal(1), high=literal(count), lowClosed=True, highClosed=True)
    return node("Expand", interval, node("Quantity", value=1, unit="1"))


def query(source: Json, **clauses: Any) -> Json:
    return node("Query", source=[{"alias": "X", "expression": source}], relationship=[], **clauses)


X = node("AliasRef", name="X")
THIS, TOTAL = node("Current"), node("Total")
MANY = ref("Many")
PAIR = listed(ref("Many"), ref("Many"))


def doubling(start: Json, step: Json) -> Json:
    return node("Aggregate", source=MANY, initialValue=start, iteration=step)


def again(name: str, **fields: Any) -> Json:
    """An operator on the whole list, for each of its items."""
    return query(MANY, **{"return": {"expression": node(name, **fields), "distinct": False}})


RUNAWAYS: dict[str, Json] = {
    "sources of a query": node("Query", source=[{"alias": a, "expression": MANY} for a in "XYZ"], relationship=[]),
    "with": query(MANY)
    | {"relationship": [node("With", alias="Y", expression=MANY, suchThat=node("Less", X, literal(0)))]},
    "without": query(MANY)
    | {"relationship": [node("Without", alias="Y", expression=MANY, suchThat=node("Less", X, literal(0)))]},
    "nested iteration": node("ForEach", source=MANY, element=node("Filter", source=MANY, condition=literal(False))),
    "repeat without end": node("Repeat", source=listed(literal(1)), element=node("Add", THIS, literal(1))),
    "text that doubles": doubling(literal("text"), node("Concatenate", TOTAL, TOTAL)),
    "list that doubles": doubling(listed(literal(1)), node("Flatten", listed(TOTAL, TOTAL))),
    "list that combines": doubling(
        literal("text"),
        node("Combine", source=node("Split", stringToSplit=TOTAL, separator=literal("t")), separator=TOTAL),
    ),
    "text that is replaced by itself": doubling(literal("text"), node("ReplaceMatches", TOTAL, literal("t"), TOTAL)),
    "tuples that double": doubling(
        listed(node("Tuple", element=[{"name": "a", "value": literal(1)}])),
        node("Times", TOTAL, node("Flatten", listed(TOTAL, TOTAL))),
    ),
    "equality of what shares its parts": node("Equal", ref("Shared"), ref("Shared again")),
    "equivalence of what shares its parts": node("Equivalent", ref("Shared"), ref("Shared again")),
    "descendants of what shares its parts": node("Descendents", source=ref("Shared")),
    "expand": numbers(50_000)
    | {
        "operand": [
            node("Interval", low=literal(1), high=literal(2147483647), lowClosed=True, highClosed=True),
            node("Null"),
        ]
    },
    "expand again and again": again(
        "Expand", operand=[node("Interval", low=literal(1), high=X, lowClosed=True, highClosed=True), node("Null")]
    ),
    "collapse": again(
        "Collapse", operand=[node("ForEach", source=MANY, element=node("Interval", low=THIS, high=THIS)), node("Null")]
    ),
    "distinct": again("Distinct", operand=MANY),
    "union": again("Union", operand=[MANY, MANY]),
    "intersect": again("Intersect", operand=[MANY, MANY]),
    "except": again("Except", operand=[MANY, MANY]),
    "flatten": again("Flatten", operand=PAIR),
    "includes": again("Includes", operand=[MANY, MANY]),
    "in": again("In", operand=[node("Negate", X), MANY]),
    "index of": again("IndexOf", source=MANY, element=node("Negate", X)),
    "slice": again("Slice", source=MANY, startIndex=literal(1), endIndex=node("Null")),
    "equal lists": again("Equal", operand=[MANY, MANY]),
    "sum": again("Sum", source=MANY),
    "max": again("Max", source=MANY),
    "median": again("Median", source=MANY),
    "mode": again("Mode", source=MANY),
    "sort": again("Sort", source=MANY, by=[node("ByDirection", direction="desc")]),
    "is a list": again(
        "Is",
        operand=MANY,
        isTypeSpecifier=node("ListTypeSpecifier", elementType=node("NamedTypeSpecifier", name=INTEGER)),
    ),
    "coalesce": again("Coalesce", operand=[node("ForEach", source=MANY, element=node("Null"))]),
    "choices of a pattern": node("Matches", ref("Long"), literal("(a|aa)+x")),
    "function in a loop": query(MANY, where=node("Exists", query(MANY, where=node("FunctionRef", X, name="Never")))),
}

WORLD = [
    define("Many", numbers(2000)),
    define(
        "Long",
        node(
            "ReplaceMatches",
            node("Combine", source=node("ForEach", source=numbers(1000), element=literal("a")), separator=literal("a")),
            literal("x"),
            literal("y"),
        ),
    ),
    define(
        "Shared",
        doubling(
            literal(1),
            node(
                "If",
                condition=node("Less", node("Iteration"), literal(60)),
                then=listed(TOTAL, TOTAL),
                **{"else": TOTAL},
            ),
        ),
    ),
    define(
        "Shared again",
        doubling(
            literal(1),
            node(
                "If",
                condition=node("Less", node("Iteration"), literal(60)),
                then=listed(TOTAL, TOTAL),
                **{"else": TOTAL},
            ),
        ),
    ),
    define("Neighbour", node("Count", source=MANY)),
    {
        "type": "FunctionDef",
        "name": "Never",
        "operand": [{"name": "x", "operandTypeName": INTEGER}],
        "expression": literal(False),
    },
]


@pytest.mark.parametrize("name", RUNAWAYS)
def test_what_runs_away_is_stopped_and_its_neighbours_go_on(name: str) -> None:
    libraries = compiled(library(*WORLD, define("Runaway", RUNAWAYS[name]), define("After", literal("here"))))
    running = evaluation(libraries, budget=BUDGET)
    with pytest.raises(EvaluationError, match=r"budget|more than 100000|longer than 0.1 s|beyond 1000000") as raised:
        running.evaluate("Made", "Runaway")
    assert raised.value.where == "Made.Runaway @ 7:1-7:20"
    assert running.evaluate("Made", "Neighbour") == 2000
    assert running.evaluate("Made", "After") == "here"


def test_a_repeat_takes_null_once() -> None:
    repeat = node("Repeat", source=listed(literal(1)), element=listed(node("Null"), THIS))
    assert evaluation(compiled(library(define("Answer", repeat)))).evaluate("Made", "Answer") == [None, 1]


def test_what_a_definition_refers_to_spends_its_own() -> None:
    """Whoever asks first: a definition fails by what it does itself, or because one that it needs failed."""
    runaway = define("Runaway", RUNAWAYS["with"])
    both = define("Both", listed(ref("Neighbour"), ref("Runaway")))
    for asked in (["Both", "Neighbour"], ["Neighbour", "Both"]):
        running = evaluation(compiled(library(*WORLD, runaway, both)), budget=5000)
        for name in asked:
            if name == "Both":
                with pytest.raises(EvaluationError) as raised:
                    running.evaluate("Made", name)
                assert raised.value.where == "Made.Runaway @ 7:1-7:20"
            else:
                assert running.evaluate("Made", name) == 2000


def test_all_definitions_together_have_a_bound_too() -> None:
    names = [f"D{number}" for number in range(9)]
    made = library(define("Many", numbers(1000)), *(define(name, node("Sum", source=MANY)) for name in names))
    running = evaluation(compiled(made), budget=5000, total=8000)
    assert [running.evaluate("Made", name) for name in names[:6]] == [500_500] * 6
    with pytest.raises(EvaluationError, match="budget"):
        [running.evaluate("Made", name) for name in names]


def test_a_constant_that_costs_much_is_not_computed_at_load() -> None:
    libraries = compiled(library(define("Wide", numbers(90_000))))
    assert len(evaluation(libraries).evaluate("Made", "Wide")) == 90_000


# -- lists of many -----------------------------------------------------------------------------------------------

DAYS = [Date(2000 + n // 300, 1 + n // 25 % 12, 1 + n % 25) for n in range(3000)]
MOMENTS = [DateTime(*day.parts, 10, 0, 0, None, 60) for day in DAYS]
SERIES: dict[str, list[Any]] = {
    "dates": DAYS,
    "moments": MOMENTS,
    "times": [Time(n // 3600 % 24, n // 60 % 60, n % 60) for n in range(3000)],
    "quantities": [Quantity(n, "mg") for n in range(3000)],
    "intervals": [Interval(day, None) for day in DAYS],
    "lists": [[n, "x"] for n in range(3000)],
    "tuples": [Tuple({"n": n, "d": day}) for n, day in enumerate(DAYS)],
}


@pytest.mark.parametrize("name", SERIES)
def test_distinct_grows_with_the_list_and_not_with_its_square(name: str) -> None:
    items = SERIES[name]
    with spending_at_most(20 * len(items)):
        assert len(OPERATORS["Distinct"].function([*items, *items])) == len(set(map(repr, items)))
        assert OPERATORS["Except"].function(items, items[1:]) == items[:1]
        assert OPERATORS["Includes"].function(items, items[::-1], precision=None) is True
