"""Operators on lists that need more than their values: what a null of the static type means, an element, an order."""

from __future__ import annotations

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame
from cds.elm.library import Run
from cds.elm.nodes.literals import property_of
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.sorting import sorter
from cds.elm.types import Json, ListOf

_AGGREGATES = (
    "AllTrue",
    "AnyTrue",
    "Avg",
    "Count",
    "GeometricMean",
    "Max",
    "Median",
    "Min",
    "Mode",
    "PopulationStdDev",
    "PopulationVariance",
    "Product",
    "StdDev",
    "Sum",
    "Variance",
)


@node("Length", fields=("operand",))
def _length(compiler: Compiler, node: Json) -> Run:
    """Of a null list 0 (CQL 1.5, appendix B, List Operators, Length)."""
    run = compiler.strict(node, OPERATORS["Length"])
    return _without_null(run, 0) if isinstance(compiler.result_type(node["operand"]), ListOf) else run


@node("Union", fields=("operand",))
def _union(compiler: Compiler, node: Json) -> Run:
    """Of two null lists the empty one; of null intervals null (CQL 1.5, appendix B, List Operators, Union)."""
    run = compiler.strict(node, OPERATORS["Union"])
    return _without_null(run, []) if isinstance(compiler.result_type(node), ListOf) else run


@node(*_AGGREGATES, fields=("source", "path"))
def _aggregate(compiler: Compiler, node: Json) -> Run:
    """An aggregate of a list; with a path, of what stands there in each of its items (ELM, AggregateExpression)."""
    operator = OPERATORS[node["type"]]
    if not node.get("path"):
        return compiler.strict(node, operator)
    return compiler.apply(node, operator.function, [_each(compiler, node, node["path"])])


def _each(compiler: Compiler, node: Json, path: str) -> Run:
    source, slot = compiler.compile(node["source"]), compiler.slot()
    element = property_of(compiler, node, lambda frame: frame[slot], path)

    def run(frame: Frame) -> Value:
        items = source(frame)
        if items is None:
            return None
        frame[0].spend(len(items))
        found = []
        for item in items:
            frame[slot] = item
            found.append(element(frame))
        return found

    return run


@node("First", "Last", fields=("source", "orderBy"))
def _first(compiler: Compiler, node: Json) -> Run:
    """The first or last item; where an order is asked for, of the list sorted by that element."""
    operator = OPERATORS[node["type"]]
    if not node.get("orderBy"):
        return compiler.strict(node, operator)
    source = compiler.compile(node["source"])
    sort = sorter(compiler, [{"type": "ByColumn", "path": node["orderBy"], "locator": node.get("locator")}])

    def ordered(frame: Frame) -> Value:
        items = source(frame)
        return None if items is None else sort(frame, items)

    return compiler.apply(node, operator.function, [ordered])


def _without_null(run: Run, instead: Value) -> Run:
    if isinstance(run, Constant):
        return run if run.value is not None else Constant(instead)

    def answer(frame: Frame) -> Value:
        value = run(frame)
        return instead if value is None else value

    return answer
