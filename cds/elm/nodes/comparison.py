"""Shorter ways for comparisons whose static types allow them; what they answer is what the operators answer."""

from __future__ import annotations

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame
from cds.elm.library import Run
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.types import SYSTEM, Json, Named

_STRING = Named(SYSTEM + "String")


@node("Equal", fields=("operand",))
def _equal(compiler: Compiler, node: Json) -> Run:
    """Of two Strings, Python's own equality."""
    operands = node["operand"]
    if any(compiler.result_type(operand) != _STRING for operand in operands):
        return compiler.strict(node, OPERATORS["Equal"])
    first, second = compiler.each(operands)
    if isinstance(second, Constant) and second.value is not None:
        return _equal_to(first, second.value)

    def run(frame: Frame) -> Value:
        left, right = first(frame), second(frame)
        return None if left is None or right is None else left == right

    return run


def _equal_to(operand: Run, constant: str) -> Run:
    def run(frame: Frame) -> Value:
        value = operand(frame)
        return None if value is None else value == constant

    return run


@node("In", fields=("operand", "precision"))
def _in(compiler: Compiler, node: Json) -> Run:
    """Of a String among written-out Strings, membership of a set."""
    element, texts = node["operand"]
    if compiler.result_type(element) != _STRING or texts.get("type") != "List":
        return compiler.strict(node, OPERATORS["In"])
    written = compiler.compile(texts)
    if not isinstance(written, Constant) or not all(isinstance(text, str) for text in written.value):
        return compiler.strict(node, OPERATORS["In"])
    operand, members = compiler.compile(element), frozenset(written.value)
    of_null = OPERATORS["In"].function(None, written.value, **dict.fromkeys(OPERATORS["In"].settings))

    def run(frame: Frame) -> Value:
        value = operand(frame)
        return of_null if value is None else value in members

    return run
