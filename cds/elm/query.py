"""Queries: sources, lets, relationships, where, return, aggregate and sort (CQL 1.5, sections 2.3 and 3.1; ELM 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

from cds.elm.compiler import Binding, Compiler, Constant, node
from cds.elm.evaluation import UNSET, Frame
from cds.elm.inference import element
from cds.elm.library import Run
from cds.elm.nodes.retrieve import narrowed
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.sorting import Sorter, sorter
from cds.elm.types import Json
from cds.elm.values import Tuple

#: Whether the row in the frame is kept.
Keeps = Callable[[Frame], bool]

_FIELDS = ("source", "let", "relationship", "where", "return", "aggregate", "sort")


_UNREADY: Run = Constant(None)


@dataclass(slots=True)
class Query:
    """The compiled clauses of a query; a row is one combination of the sources' items, in their slots."""

    sources: list[Run]
    slots: list[int]
    aliases: list[str]
    lets: list[int] = field(default_factory=list)
    keeps: list[Keeps] = field(default_factory=list)
    result: Run = _UNREADY
    distinct: bool = False
    sort: Sorter | None = None

    def rows(self, frame: Frame, values: Sequence[Value]) -> Iterator[None]:
        """Steps through the rows that are kept, given the sources' values; each stands in the frame."""
        lists = [_items(value) for value in values]
        frame[0].spend(math.prod(map(len, lists)))
        slots, keeps = self.slots, self.keeps
        for row in product(*lists):
            for slot, item in zip(slots, row, strict=True):
                frame[slot] = item
            if all(keep(frame) for keep in keeps):
                yield


def _items(value: Value) -> list[Value]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@node("Query", fields=_FIELDS)
def _query(compiler: Compiler, node: Json) -> Run:
    with _clauses(compiler, node) as query:
        if clause := node.get("aggregate"):
            return _aggregate(compiler, query, node, clause)
        query.distinct = bool(node.get("return")) and node["return"].get("distinct") is not False
        query.sort = _sort(compiler, node)
        return _single(query) if len(query.sources) == 1 else _listing(query)


@node("Exists", fields=("operand",))
def _exists(compiler: Compiler, node: Json) -> Run:
    """Whether a list has an element that is not null; a query is left at its first one (section B.10)."""
    operand = node["operand"]
    if isinstance(operand, Mapping) and operand.get("type") == "Query" and not operand.get("aggregate"):
        compiler.check_rule(operand)
        with _clauses(compiler, operand) as query:
            return _any_row(query)
    strict = OPERATORS["Exists"].function
    return compiler.apply(node, strict, [compiler.operand(node)])


@contextmanager
def _clauses(compiler: Compiler, node: Json) -> Iterator[Query]:
    """The query up to its return; while open, aliases and lets are in scope."""
    sources = node["source"]
    for source in sources:
        compiler.check_clause(node, source, "a source of a query", ("alias", "expression"))
    narrow = narrowed(compiler, node) if len(sources) == 1 and compiler.shortcuts else None
    query = Query(
        sources=[narrow] if narrow else compiler.each([source["expression"] for source in sources]),
        slots=[compiler.slot() for _ in sources],
        aliases=[source["alias"] for source in sources],
    )
    names = {
        source["alias"]: Binding(slot, kind=element(compiler.result_type(source["expression"])))
        for source, slot in zip(sources, query.slots, strict=True)
    }
    with compiler.naming(names):
        lets = _lets(compiler, node)
        if lets:
            query.lets = [binding.slot for binding in lets.values()]
            query.keeps.append(_resetting(query.lets))
        with compiler.naming(lets):
            query.keeps += [_relationship(compiler, query, item) for item in node.get("relationship") or ()]
            if node.get("where"):
                query.keeps.append(_where(compiler.compile(node["where"])))
            query.result = _result(compiler, query, node)
            yield query


def _lets(compiler: Compiler, node: Json) -> dict[str, Binding]:
    """Names of lets; each is evaluated once per row, when first asked for, and sees the ones before it."""
    lets: dict[str, Binding] = {}
    for clause in node.get("let") or ():
        compiler.check_clause(node, clause, "a let", ("identifier", "expression"))
        with compiler.naming(lets):
            lazy, kind = compiler.compile(clause["expression"]), compiler.result_type(clause["expression"])
        lets[clause["identifier"]] = Binding(compiler.slot(), lazy, kind)
    return lets


def _resetting(slots: Sequence[int]) -> Keeps:
    def keep(frame: Frame) -> bool:
        for slot in slots:
            frame[slot] = UNSET
        return True

    return keep


def _where(condition: Run) -> Keeps:
    return lambda frame: condition(frame) is True


def _result(compiler: Compiler, query: Query, node: Json) -> Run:
    if clause := node.get("return"):
        compiler.check_clause(node, clause, "a return", ("expression", "distinct"))
        return compiler.compile(clause["expression"])
    if len(query.slots) == 1:
        slot = query.slots[0]
        return lambda frame: frame[slot]
    names = list(zip(query.aliases, query.slots, strict=True))
    return lambda frame: Tuple({alias: frame[slot] for alias, slot in names})


def _relationship(compiler: Compiler, query: Query, node: Json) -> Keeps:
    """With and Without: whether some item of the other source makes `such that` true (section 2.3.3)."""
    if node["type"] not in ("With", "Without"):
        compiler.refuse(node, f"a relationship of type {node['type']}")
    compiler.check_clause(node, node, f"a {node['type']}", ("alias", "expression", "suchThat"))
    source = _hoisted(compiler, query, node["expression"])
    slot = compiler.slot()
    kind = element(compiler.result_type(node["expression"]))
    with compiler.naming({node["alias"]: Binding(slot, kind=kind)}):
        condition = compiler.compile(node["suchThat"]) if node.get("suchThat") else Constant(True)
    wanted: bool = node["type"] == "With"

    def keep(frame: Frame) -> bool:
        items = _items(source(frame))
        frame[0].spend(len(items))
        for item in items:
            frame[slot] = item
            if condition(frame) is True:
                return wanted
        return not wanted

    return keep


def _hoisted(compiler: Compiler, query: Query, expression: Json) -> Run:
    """A source that does not change from row to row is evaluated once for each run of the query."""
    with compiler.reading() as reads:
        source = compiler.compile(expression)
    if isinstance(source, Constant) or not reads.isdisjoint((*query.slots, *query.lets)):
        return source
    kept = compiler.slot()

    def once(frame: Frame) -> Value:
        value = frame[kept]
        if value is UNSET:
            value = frame[kept] = source(frame)
        return value

    query.sources[0] = _starting(query.sources[0], kept)
    return once


def _starting(source: Run, kept: int) -> Run:
    def run(frame: Frame) -> Value:
        frame[kept] = UNSET
        return source(frame)

    return run


def _single(query: Query) -> Run:
    """A query over one source: the hot path, without the product of sources."""
    source, slot, result = query.sources[0], query.slots[0], query.result
    keep, finish = _all(query.keeps), _finish(query)

    def run(frame: Frame) -> Value:
        items = source(frame)
        if items is None:
            return None
        if not isinstance(items, list):
            frame[slot] = items
            return result(frame) if keep is None or keep(frame) else None
        evaluation = frame[0]
        evaluation.remaining -= len(items)
        if evaluation.remaining < 0:
            evaluation.spend(0)
        found = []
        for item in items:
            frame[slot] = item
            if keep is None or keep(frame):
                found.append(result(frame))
        return found if finish is None else finish(frame, found)

    return run


def _all(keeps: Sequence[Keeps]) -> Keeps | None:
    if len(keeps) < 2:
        return keeps[0] if keeps else None

    def keep_all(frame: Frame) -> bool:
        for keep in keeps:  # noqa: SIM110 (the loop is what is fast here)
            if not keep(frame):
                return False
        return True

    return keep_all


def _finish(query: Query) -> Callable[[Frame, list[Value]], list[Value]] | None:
    distinct, sort = OPERATORS["Distinct"].function, query.sort
    if query.distinct and sort is not None:
        return lambda frame, found: sort(frame, distinct(found))
    if query.distinct:
        return lambda frame, found: distinct(found)
    return sort


def _listing(query: Query) -> Run:
    """A query over several sources; of nothing but single values, it gives a single value."""
    finish = _finish(query)

    def run(frame: Frame) -> Value:
        values = [source(frame) for source in query.sources]
        if all(value is None for value in values):
            return None
        found = [query.result(frame) for _ in query.rows(frame, values)]
        if not any(isinstance(value, list) for value in values):
            return found[0] if found else None
        return found if finish is None else finish(frame, found)

    return run


def _any_row(query: Query) -> Run:
    if len(query.sources) > 1:
        return _any_of_rows(query)
    source, slot, result, keep = query.sources[0], query.slots[0], query.result, _all(query.keeps)

    def run(frame: Frame) -> Value:
        items = _items(source(frame))
        frame[0].spend(len(items))
        for item in items:
            frame[slot] = item
            if (keep is None or keep(frame)) and result(frame) is not None:
                return True
        return False

    return run


def _any_of_rows(query: Query) -> Run:
    def run(frame: Frame) -> Value:
        values = [source(frame) for source in query.sources]
        return any(query.result(frame) is not None for _ in query.rows(frame, values))

    return run


def _aggregate(compiler: Compiler, query: Query, node: Json, clause: Json) -> Run:
    """Rows folded into one value, from `starting` (null where it is absent)."""
    compiler.check_clause(node, clause, "an aggregate", ("identifier", "expression", "starting", "distinct"))
    slot = compiler.slot()
    starting = compiler.optional(clause.get("starting"))
    with compiler.naming({clause["identifier"]: Binding(slot, kind=compiler.result_type(clause.get("starting")))}):
        step = compiler.compile(clause["expression"])
    slots, distinct = query.slots, clause.get("distinct") is True
    same = OPERATORS["Distinct"].function

    def run(frame: Frame) -> Value:
        values = [source(frame) for source in query.sources]
        if all(value is None for value in values):
            return None
        total = starting(frame)
        for _ in _distinct_rows(frame, query, values, slots, same) if distinct else query.rows(frame, values):
            frame[slot] = total
            total = step(frame)
        return total

    return run


def _distinct_rows(
    frame: Frame, query: Query, values: Sequence[Value], slots: Sequence[int], same: Callable[..., Value]
) -> Iterator[None]:
    rows = [Tuple({str(slot): frame[slot] for slot in slots}) for _ in query.rows(frame, values)]
    for row in same(rows):
        for slot in slots:
            frame[slot] = row.get(str(slot))
        yield


def _sort(compiler: Compiler, node: Json) -> Sorter | None:
    clause = node.get("sort")
    if not clause:
        return None
    compiler.check_clause(node, clause, "a sort", ("by",))
    return sorter(compiler, clause["by"]) if clause.get("by") else None
