"""Iteration over lists outside of queries, and what a step of it sees (ELM, chapters 9 and 20)."""

from __future__ import annotations

from collections.abc import Iterator

from cds.elm.compiler import Binding, Compiler, node
from cds.elm.evaluation import Frame
from cds.elm.inference import element
from cds.elm.library import Run
from cds.elm.operators.list import ElementSet
from cds.elm.ports import Value
from cds.elm.sorting import sorter
from cds.elm.types import Json


class _Steps:
    """The slots of one iteration: ``$this`` (or its named scope), ``$index`` and ``$total``."""

    def __init__(self, compiler: Compiler, node: Json) -> None:
        self.this, self.index, self.total = compiler.slot(), compiler.slot(), compiler.slot()
        this = Binding(self.this, kind=element(compiler.result_type(node["source"])))
        self.names = {
            node.get("scope") or "$this": this,
            "$this": this,
            "$index": Binding(self.index),
            "$total": Binding(self.total),
        }

    def over(self, frame: Frame, items: list[Value]) -> Iterator[Value]:
        """Steps through the items; each stands in the frame."""
        frame[0].spend(len(items))
        for position, item in enumerate(items):
            frame[self.this], frame[self.index] = item, position
            yield item


def _compile(compiler: Compiler, node: Json, body: str) -> tuple[Run, _Steps, Run]:
    source = compiler.compile(node["source"])
    steps = _Steps(compiler, node)
    with compiler.naming(steps.names):
        return source, steps, compiler.compile(node[body])


@node("ForEach", fields=("source", "element", "scope"))
def _for_each(compiler: Compiler, node: Json) -> Run:
    source, steps, element = _compile(compiler, node, "element")

    def run(frame: Frame) -> Value:
        items = source(frame)
        return None if items is None else [element(frame) for _ in steps.over(frame, items)]

    return run


@node("Filter", fields=("source", "condition", "scope"))
def _filter(compiler: Compiler, node: Json) -> Run:
    source, steps, condition = _compile(compiler, node, "condition")

    def run(frame: Frame) -> Value:
        items = source(frame)
        return None if items is None else [item for item in steps.over(frame, items) if condition(frame) is True]

    return run


@node("Repeat", fields=("source", "element", "scope"))
def _repeat(compiler: Compiler, node: Json) -> Run:
    """What `element` gives of the items, and of what it gave, until nothing new comes."""
    source, steps, element = _compile(compiler, node, "element")

    def run(frame: Frame) -> Value:
        waiting = source(frame)
        if waiting is None:
            return None
        found: list[Value] = []
        known = ElementSet()
        while waiting:
            fresh: list[Value] = []
            for _ in steps.over(frame, waiting):
                given = element(frame)
                items = given if isinstance(given, list) else [] if given is None else [given]
                frame[0].spend(len(items))
                fresh += filter(known.add, items)
            found += fresh
            waiting = fresh
        return found

    return run


@node("Aggregate", fields=("source", "iteration", "initialValue", "scope"))
def _aggregate(compiler: Compiler, node: Json) -> Run:
    """The items folded into ``$total``, from the initial value."""
    source, steps, iteration = _compile(compiler, node, "iteration")
    initial = compiler.optional(node.get("initialValue"))

    def run(frame: Frame) -> Value:
        items = source(frame)
        if items is None:
            return None
        total = initial(frame)
        for _ in steps.over(frame, items):
            frame[steps.total] = total
            total = iteration(frame)
        return total

    return run


@node("Current", "Iteration", "Total", fields=("scope",))
def _step(compiler: Compiler, node: Json) -> Run:
    names = {"Current": node.get("scope") or "$this", "Iteration": "$index", "Total": "$total"}
    binding = compiler.binding(names[node["type"]])
    if binding is None:
        compiler.refuse(node, f"{node['type']} outside of an iteration")
    return compiler.read(binding)


@node("Sort", fields=("source", "by"))
def _sort(compiler: Compiler, node: Json) -> Run:
    source, sort = compiler.compile(node["source"]), sorter(compiler, node["by"])

    def run(frame: Frame) -> Value:
        items = source(frame)
        return None if items is None else sort(frame, items)

    return run
