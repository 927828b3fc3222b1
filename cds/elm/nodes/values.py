"""Messages, and the values inside a value (CQL 1.5, sections B.11 and 9.11; ELM, chapters 20 and 24)."""

from __future__ import annotations

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame
from cds.elm.library import Run
from cds.elm.ports import Structured, Value
from cds.elm.types import Json
from cds.elm.values import Code, Concept, Interval, Quantity, Ratio, Tuple
from cds.errors import EvaluationError


@node("Message", fields=("source", "condition", "code", "severity", "message"))
def _message(compiler: Compiler, node: Json) -> Run:
    """The source; where the condition holds and the severity is Error, an EvaluationError.

    A text that is written out in the logic is shown; a computed one is not, for it may quote patient data.
    """
    source = compiler.optional(node.get("source"))
    condition, severity = compiler.optional(node.get("condition")), compiler.optional(node.get("severity"))
    text = ": ".join(filter(None, (_written(compiler, node, "code"), _written(compiler, node, "message"))))
    place = compiler.place(node)

    def run(frame: Frame) -> Value:
        if severity(frame) == "Error" and condition(frame) is True:
            raise EvaluationError(text or "the logic raised an error", where=place)
        return source(frame)

    return run


def _written(compiler: Compiler, node: Json, field: str) -> str | None:
    run = compiler.optional(node.get(field))
    return run.value if isinstance(run, Constant) and isinstance(run.value, str) else None


@node("Children", fields=("source",))
def _children(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node["source"])

    def run(frame: Frame) -> Value:
        value = source(frame)
        if value is None:
            return None
        found = children(value)
        frame[0].spend(len(found))
        return found

    return run


@node("Descendents", "Descendants", fields=("source",))
def _descendents(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node["source"])

    def run(frame: Frame) -> Value:
        value = source(frame)
        if value is None:
            return None
        found: list[Value] = []
        waiting = children(value)[::-1]
        spend = frame[0].spend
        while waiting:
            item = waiting.pop()
            found.append(item)
            below = children(item)
            spend(1 + len(below))
            waiting.extend(reversed(below))
        return found

    return run


def children(value: Value) -> list[Value]:
    """The values that a value is directly made of; none of a simple one."""
    if isinstance(value, list):
        return [item for item in value if item is not None]
    if isinstance(value, Structured):
        return value.children()
    return [item for item in _parts(value) if item is not None]


def _parts(value: Value) -> list[Value]:
    match value:
        case Tuple():
            return list(value.values())
        case Quantity():
            return [value.value, value.unit]
        case Ratio():
            return [value.numerator, value.denominator]
        case Interval():
            return [value.low, value.high]
        case Code():
            return [value.code, value.system, value.version, value.display]
        case Concept():
            return [*value.codes, value.display]
    return []
