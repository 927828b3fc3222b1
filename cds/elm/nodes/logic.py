"""Three-valued logic and conditionals, evaluated no further than needed (CQL 1.5, sections B.2, 4.1 and 9)."""

from __future__ import annotations

from collections.abc import Sequence

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame
from cds.elm.library import Run
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.types import Json


@node("And", "Or", fields=("operand",))
def _and_or(compiler: Compiler, node: Json) -> Run:
    """A chain of the same operator is one closure: ``a and b and c`` stops at the first false."""
    deciding = node["type"] == "Or"
    terms = [compiler.compile(term) for term in _chain(node)]
    if len(terms) == 2:
        return _pair(terms[0], terms[1], deciding)
    return _many(terms, deciding)


def _chain(node: Json) -> list[Json]:
    kind, found, waiting = node["type"], [], [node]
    while waiting:
        item = waiting.pop()
        if item.get("type") == kind:
            waiting.extend(reversed(item["operand"]))
        else:
            found.append(item)
    return found


def _pair(first: Run, second: Run, deciding: bool) -> Run:
    def run(frame: Frame) -> Value:
        left = first(frame)
        if left is deciding:
            return deciding
        right = second(frame)
        if right is deciding:
            return deciding
        return None if left is None or right is None else not deciding

    return run


def _many(terms: Sequence[Run], deciding: bool) -> Run:
    def run(frame: Frame) -> Value:
        answer: bool | None = not deciding
        for term in terms:
            value = term(frame)
            if value is deciding:
                return deciding
            if value is None:
                answer = None
        return answer

    return run


@node("Not", fields=("operand",))
def _not(compiler: Compiler, node: Json) -> Run:
    operand = compiler.operand(node)

    def run(frame: Frame) -> Value:
        value = operand(frame)
        return None if value is None else not value

    return run


@node("Xor", fields=("operand",))
def _xor(compiler: Compiler, node: Json) -> Run:
    first, second = compiler.each(node["operand"])

    def run(frame: Frame) -> Value:
        left, right = first(frame), second(frame)
        return None if left is None or right is None else left is not right

    return run


@node("Implies", fields=("operand",))
def _implies(compiler: Compiler, node: Json) -> Run:
    first, second = compiler.each(node["operand"])

    def run(frame: Frame) -> Value:
        left = first(frame)
        if left is False:
            return True
        right = second(frame)
        if left is None:
            return True if right is True else None
        return right

    return run


@node("If", fields=("condition", "then", "else"))
def _if(compiler: Compiler, node: Json) -> Run:
    condition = compiler.compile(node["condition"])
    then, otherwise = compiler.compile(node["then"]), compiler.optional(node.get("else"))
    if isinstance(condition, Constant):
        return then if condition.value is True else otherwise
    return lambda frame: then(frame) if condition(frame) is True else otherwise(frame)


@node("Case", fields=("comparand", "caseItem", "else"))
def _case(compiler: Compiler, node: Json) -> Run:
    for item in node["caseItem"]:
        compiler.check_clause(node, item, "a caseItem", ("when", "then"))
    items = [(compiler.compile(item["when"]), compiler.compile(item["then"])) for item in node["caseItem"]]
    otherwise = compiler.optional(node.get("else"))
    if node.get("comparand"):
        return _case_of(compiler.compile(node["comparand"]), items, otherwise)

    def run(frame: Frame) -> Value:
        for when, then in items:
            if when(frame) is True:
                return then(frame)
        return otherwise(frame)

    return run


def _case_of(comparand: Run, items: Sequence[tuple[Run, Run]], otherwise: Run) -> Run:
    equal = OPERATORS["Equal"].function

    def run(frame: Frame) -> Value:
        value = comparand(frame)
        for when, then in items:
            if equal(value, when(frame)) is True:
                return then(frame)
        return otherwise(frame)

    return run


@node("Coalesce", fields=("operand",))
def _coalesce(compiler: Compiler, node: Json) -> Run:
    """The first operand that is not null; of a single list, its first element that is not (section B.3)."""
    operands = compiler.each(node["operand"])
    single = len(operands) == 1

    def run(frame: Frame) -> Value:
        for operand in operands:
            value = operand(frame)
            if single and isinstance(value, list):
                frame[0].spend(len(value))
                return next((item for item in value if item is not None), None)
            if value is not None:
                return value
        return None

    return run
