"""Literals, selectors and access to elements (CQL 1.5, section B.1; ELM, chapters 1 and 2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame, located
from cds.elm.library import Run
from cds.elm.operators import OPERATORS
from cds.elm.operators.interval import selected
from cds.elm.ports import Structured, Value
from cds.elm.types import SYSTEM, IntervalOf, Json, Named
from cds.elm.values import (
    Code,
    CodeSystemRef,
    Concept,
    Date,
    DateTime,
    Interval,
    Long,
    Quantity,
    Ratio,
    Time,
    Tuple,
    ValueSetRef,
)
from cds.elm.values.moving import MovingDate
from cds.elm.values.primitive import DECIMAL_BOUND, INTEGER_MAX, INTEGER_MIN, LONG_MAX, LONG_MIN
from cds.errors import EvaluationError

_PARSERS: dict[str, Callable[[str], Value]] = {
    "Boolean": lambda text: text == "true",
    "Integer": int,
    "Long": lambda text: Long(text.rstrip("L")),
    "Decimal": Decimal,
    "String": str,
    "Date": lambda text: Date.parse(text.lstrip("@")),
    "DateTime": lambda text: DateTime.parse(text.lstrip("@")),
    "Time": lambda text: Time.parse(text.lstrip("@T")),
}


@node("Null", fields=("valueType",))
def _null(compiler: Compiler, node: Json) -> Run:
    return Constant(None)


@node("Literal", fields=("valueType", "value"))
def _literal(compiler: Compiler, node: Json) -> Run:
    kind = node["valueType"]
    parse = _PARSERS.get(kind[len(SYSTEM) :]) if kind.startswith(SYSTEM) else None
    if parse is None:
        compiler.refuse(node, f"a literal of type {kind}")
    value = parse(str(node.get("value", "")))
    if value is None or _beyond(value):
        compiler.refuse(node, f"{node.get('value')} is no {kind.rpartition('}')[2]}", "write a value of the type")
    return Constant(value)


def _beyond(value: Any) -> bool:
    """Whether a number lies outside its type."""
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return value.copy_abs() >= DECIMAL_BOUND or (isinstance(exponent, int) and exponent < -8)
    if isinstance(value, Long):
        return value > LONG_MAX
    return isinstance(value, int) and value > INTEGER_MAX


@node("Negate", fields=("operand",))
def _negate(compiler: Compiler, node: Json) -> Run:
    """What is negated; the least Integer and Long are written as the negation of a literal that is none by itself."""
    operand = node.get("operand")
    if isinstance(operand, Mapping) and operand.get("type") == "Literal":
        compiler.check_rule(operand)
        kind, text = str(operand.get("valueType")).removeprefix(SYSTEM), str(operand.get("value")).rstrip("L")
        if (kind, text) == ("Integer", str(-INTEGER_MIN)):
            return Constant(INTEGER_MIN)
        if (kind, text) == ("Long", str(-LONG_MIN)):
            return Constant(Long(LONG_MIN))
    return compiler.strict(node, OPERATORS["Negate"])


def exact(number: Any) -> Decimal:
    """The decimal that a JSON number was written as (a float is read back by its shortest text)."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(str(number))


def _codes(given: Any) -> tuple[Code, ...]:
    """The codes of a Concept selector: a list of them, or one."""
    return (given,) if isinstance(given, Code) else tuple(given or ())


def _quantity_of(node: Json) -> Quantity:
    return Quantity(exact(node.get("value", 0)), node.get("unit") or "1")


@node("Quantity", fields=("value", "unit"))
def _quantity(compiler: Compiler, node: Json) -> Run:
    return Constant(_quantity_of(node))


@node("Ratio", fields=("numerator", "denominator"))
def _ratio(compiler: Compiler, node: Json) -> Run:
    return Constant(Ratio(_quantity_of(node["numerator"]), _quantity_of(node["denominator"])))


@node("List", fields=("element", "typeSpecifier"))
def _list(compiler: Compiler, node: Json) -> Run:
    elements = compiler.each(node.get("element"))
    if all(isinstance(element, Constant) for element in elements):
        return Constant([element([]) for element in elements])
    return lambda frame: [element(frame) for element in elements]


#: The System types whose limits are values; those of a Quantity have the unit of what they are compared with.
_LIMITED = frozenset(("Integer", "Long", "Decimal", "Date", "DateTime", "Time"))


@node("Interval", fields=("low", "high", "lowClosed", "highClosed", "lowClosedExpression", "highClosedExpression"))
def _interval(compiler: Compiler, node: Json) -> Run:
    """An interval's four parts. Closed and null at both ends, it goes from limit to limit of its static type (19.1)."""
    operands = [
        compiler.optional(node.get("low")),
        compiler.optional(node.get("high")),
        _closed(compiler, node, "lowClosed"),
        _closed(compiler, node, "highClosed"),
    ]
    kind = compiler.result_type(node)
    point = kind.point.name if isinstance(kind, IntervalOf) and isinstance(kind.point, Named) else ""
    if point.removeprefix(SYSTEM) not in _LIMITED or not point.startswith(SYSTEM):
        return compiler.apply(node, _interval_of, operands)
    least = OPERATORS["MinValue"].function(valueType=point)

    def of_type(low: Value, high: Value, low_closed: Value, high_closed: Value) -> Value:
        if low is None and high is None and low_closed is not False and high_closed is not False:
            return Interval(None, None, True, True, like=least)
        return _interval_of(low, high, low_closed, high_closed)

    return compiler.apply(node, of_type, operands)


def _interval_of(low: Value, high: Value, low_closed: Value, high_closed: Value) -> Value:
    """An interval of model primitives (FHIR.dateTime) is one of elements: its parts are converted when it is read."""
    if isinstance(low, Structured) or isinstance(high, Structured):
        return Interval(low, high, low_closed is not False, high_closed is not False)
    return selected(low, high, low_closed, high_closed)


def _closed(compiler: Compiler, node: Json, name: str) -> Run:
    if expression := node.get(name + "Expression"):
        return compiler.compile(expression)
    return Constant(node.get(name, True) is not False)


@node("Tuple", fields=("element",))
def _tuple(compiler: Compiler, node: Json) -> Run:
    names, values = _elements(compiler, node)
    return lambda frame: Tuple({name: value(frame) for name, value in zip(names, values, strict=True)})


@node("Instance", fields=("classType", "element"))
def _instance(compiler: Compiler, node: Json) -> Run:
    """An instance selector: a class of the System model, or of the data model."""
    names, values = _elements(compiler, node)
    make = _maker(compiler, node)
    place = compiler.place(node)

    def run(frame: Frame) -> Value:
        try:
            return make({name: value(frame) for name, value in zip(names, values, strict=True)})
        except Exception as error:
            raise located(error, place) from None

    return run


def _elements(compiler: Compiler, node: Json) -> tuple[tuple[str, ...], Sequence[Run]]:
    elements = node.get("element") or ()
    for item in elements:
        compiler.check_clause(node, item, "an element", ("name", "value"))
    return tuple(item["name"] for item in elements), [compiler.compile(item["value"]) for item in elements]


def _maker(compiler: Compiler, node: Json) -> Callable[[Mapping[str, Value]], Value]:
    name: str = node["classType"]
    if name.startswith(SYSTEM):
        made = _SYSTEM_CLASSES.get(name[len(SYSTEM) :])
        if made is None:
            compiler.refuse(node, f"an instance of {name}")
        return made
    model = compiler.model
    if model is None:
        compiler.refuse(node, f"an instance of {name} without its data model")
    return lambda elements: model.instance(name, elements)


_SYSTEM_CLASSES: dict[str, Callable[[Mapping[str, Value]], Value]] = {
    "Quantity": lambda of: None if of.get("value") is None else Quantity(of["value"], of.get("unit") or "1"),
    "Ratio": lambda of: Ratio(of["numerator"], of["denominator"]),
    "Code": lambda of: Code(
        code=of.get("code"), system=of.get("system"), version=of.get("version"), display=of.get("display")
    ),
    "Concept": lambda of: Concept(codes=_codes(of.get("codes")), display=of.get("display")),
    "ValueSet": lambda of: ValueSetRef(id=of["id"], version=of.get("version"), name=of.get("name")),
    "CodeSystem": lambda of: CodeSystemRef(id=of["id"], version=of.get("version"), name=of.get("name")),
}

_OF_DATE: dict[str, Callable[[Any], Value]] = {part: attrgetter(part) for part in ("year", "month", "day")}
#: The elements of System classes by path; a path that is not here is refused when it is met.
_MEMBERS: dict[type, dict[str, Callable[[Any], Value]]] = {
    Quantity: {"value": lambda of: of.value, "unit": lambda of: of.unit},
    Ratio: {"numerator": lambda of: of.numerator, "denominator": lambda of: of.denominator},
    Code: {
        "code": lambda of: of.code,
        "system": lambda of: of.system,
        "version": lambda of: of.version,
        "display": lambda of: of.display,
    },
    Concept: {"codes": lambda of: list(of.codes), "display": lambda of: of.display},
    Interval: {
        "low": lambda of: of.low,
        "high": lambda of: of.high,
        "lowClosed": lambda of: of.low_closed,
        "highClosed": lambda of: of.high_closed,
    },
    ValueSetRef: {"id": lambda of: of.id, "version": lambda of: of.version, "name": lambda of: of.name},
    CodeSystemRef: {"id": lambda of: of.id, "version": lambda of: of.version, "name": lambda of: of.name},
    Date: _OF_DATE,
    MovingDate: _OF_DATE,
}


def member(value: Value, path: str) -> Value:
    """The element at `path` (of one or more steps) of any value; null of null (ELM Property)."""
    for step in path.split("."):
        if value is None:
            return None
        if isinstance(value, (Structured, Tuple)):
            value = value.get(step)
        elif step in (elements := _MEMBERS.get(type(value), {})):
            value = elements[step](value)
        else:
            raise EvaluationError(f"a {type(value).__name__} has no element {step!r}")
    return value


#: A name in a path, or the place of an item in the list before it.
Step = str | int

_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d+)\]")


def steps_of(path: str) -> tuple[Step, ...] | None:
    """The steps of a simple path (``name[0].given``); None for one that has other qualifiers."""
    found = list(_STEP.finditer(path))
    if not found or "".join(step[0] for step in found) != path:
        return None
    return tuple(step[1] or int(step[2]) for step in found)


def at(value: Value, steps: Sequence[Step]) -> list[Value]:
    """The values at a path, through lists; those that are null left out."""
    found = [value]
    for step in steps:
        if isinstance(step, int):
            found = found[step : step + 1]
            continue
        inner = [member(item, step) for item in found]
        found = [item for one in inner for item in (one if isinstance(one, list) else (one,)) if item is not None]
    return found


def property_of(compiler: Compiler, node: Json, source: Run, path: str) -> Run:
    """A closure for what stands at `path` (names, and places of items) of what `source` gives."""
    place = compiler.place(node)
    if "[" not in path:
        return element_of(source, path, place)
    steps = steps_of(path)
    if steps is None:
        compiler.refuse(node, f"the path {path!r}", "write names and whole numbers: name[0].given")

    def run(frame: Frame) -> Value:
        value = source(frame)
        for step in steps:
            value = _element(value, step, place) if isinstance(step, str) else _item(value, step)
        return value

    return run


def _source(compiler: Compiler, node: Json) -> Run:
    if node.get("source"):
        return compiler.compile(node["source"])
    binding = compiler.binding(node["scope"])
    if binding is None:
        compiler.refuse(node, f"{node['scope']!r} is not in scope here")
    return compiler.read(binding)


def _item(value: Value, position: int) -> Value:
    """The item of a list; of a single value, itself is the first."""
    if isinstance(value, list):
        return value[position] if position < len(value) else None
    return value if position == 0 else None


@node("Property", fields=("path", "scope", "source"))
def _property(compiler: Compiler, node: Json) -> Run:
    path: str = node["path"]
    if "[" in path:
        return property_of(compiler, node, _source(compiler, node), path)
    if node.get("source"):
        return element_of(compiler.compile(node["source"]), path, compiler.place(node))
    binding = compiler.binding(node["scope"])
    if binding is None:
        compiler.refuse(node, f"{node['scope']!r} is not in scope here")
    if binding.lazy is None and "." not in path:
        return _element_in(binding.slot, path, compiler.place(node))
    return element_of(compiler.read(binding), path, compiler.place(node))


def element_of(source: Run, path: str, place: str) -> Run:
    """A closure for the element at `path` of what `source` gives."""
    if isinstance(source, Constant):
        return Constant(member(source.value, path))

    def run(frame: Frame) -> Value:
        value = source(frame)
        try:
            return value.get(path)
        except AttributeError:
            return None if value is None else _element(value, path, place)

    def run_steps(frame: Frame) -> Value:
        try:
            return member(source(frame), path)
        except EvaluationError as error:
            raise located(error, place) from None

    return run_steps if "." in path else run


def _element_in(slot: int, path: str, place: str) -> Run:
    """`element_of` for an alias: what queries do most."""

    def run(frame: Frame) -> Value:
        value = frame[slot]
        try:
            return value.get(path)
        except AttributeError:
            return None if value is None else _element(value, path, place)

    return run


def _element(value: Value, path: str, place: str) -> Value:
    try:
        return member(value, path)
    except Exception as error:
        raise located(error, place) from None
