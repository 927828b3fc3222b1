"""Is, As, Convert and CanConvert: the type operators that carry a type specifier (CQL 1.5, section B.5; ELM 22)."""

from __future__ import annotations

from collections.abc import Mapping

from cds.elm import types
from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame
from cds.elm.library import Run
from cds.elm.operators import OPERATORS, Operator
from cds.elm.ports import Value
from cds.elm.types import SYSTEM, ChoiceOf, Json, Named, Type
from cds.errors import EvaluationError


def _type(compiler: Compiler, node: Json, name: str, specifier: str) -> Type:
    kind = types.stated(node, name, specifier)
    if kind is None:
        compiler.refuse(node, f"{node['type']} without a type")
    return kind


@node("Is", fields=("operand", "isType", "isTypeSpecifier"))
def _is(compiler: Compiler, node: Json) -> Run:
    """Whether the value is of the type; null is of none."""
    operand = compiler.operand(node)
    test = types.tester(_type(compiler, node, "isType", "isTypeSpecifier"), compiler.model)

    def run(frame: Frame) -> Value:
        value = operand(frame)
        return value is not None and test(value)

    return run


@node("As", fields=("operand", "asType", "asTypeSpecifier", "strict"))
def _as(compiler: Compiler, node: Json) -> Run:
    """The value where it is of the type; else null, or an error where the cast is strict."""
    operand = compiler.operand(node)
    kind = _type(compiler, node, "asType", "asTypeSpecifier")
    if isinstance(operand, Constant) and operand.value is None:
        return operand
    if kind == types.ANY or _widens(compiler.result_type(_only(node)), kind):
        return operand
    test = types.tester(kind, compiler.model)
    return _strictly(operand, kind, test, compiler.place(node)) if node.get("strict") else _leniently(operand, test)


def _only(node: Json) -> Json | None:
    operand = node.get("operand")
    if isinstance(operand, list):
        operand = operand[0] if operand else None
    return operand if isinstance(operand, Mapping) else None


def _widens(given: Type | None, wanted: Type) -> bool:
    """Whether every value of the static type is one of the wanted type: the cast is for the translator alone."""
    if given is None or isinstance(given, ChoiceOf):
        return False
    return given == wanted or (isinstance(wanted, ChoiceOf) and given in wanted.choices)


def _leniently(operand: Run, test: types.Test) -> Run:
    def run(frame: Frame) -> Value:
        value = operand(frame)
        return value if value is not None and test(value) else None

    return run


def _strictly(operand: Run, kind: Type, test: types.Test, place: str) -> Run:
    def run(frame: Frame) -> Value:
        value = operand(frame)
        if value is not None and not test(value):
            raise EvaluationError(f"a value is not of the type {kind} that it is cast to", where=place)
        return value

    return run


@node("Convert", fields=("operand", "toType", "toTypeSpecifier"))
def _convert(compiler: Compiler, node: Json) -> Run:
    """The conversion that the target type names: ``To<Type>`` among the operators."""
    kind = _type(compiler, node, "toType", "toTypeSpecifier")
    operator = _conversion(kind, "To")
    if operator is None:
        compiler.refuse(node, f"a conversion to {kind}")
    return compiler.compile({**_conversion_node(node), "type": f"To{kind}"})


@node("CanConvert", fields=("operand", "toType", "toTypeSpecifier"))
def _can_convert(compiler: Compiler, node: Json) -> Run:
    """Whether the conversion would give a value: ``ConvertsTo<Type>`` among the operators."""
    kind = _type(compiler, node, "toType", "toTypeSpecifier")
    if _conversion(kind, "ConvertsTo") is None:
        compiler.refuse(node, f"a test for the conversion to {kind}")
    return compiler.compile({**_conversion_node(node), "type": f"ConvertsTo{kind}"})


def _conversion(kind: Type, prefix: str) -> Operator | None:
    if isinstance(kind, Named) and kind.name.startswith(SYSTEM):
        return OPERATORS.get(f"{prefix}{kind}")
    return None


def _conversion_node(node: Json) -> dict[str, object]:
    return {"operand": _only(node), "locator": node.get("locator")}
