"""The types of ELM: type specifiers read from JSON, and whether a value is of a type (CQL 1.5, section B.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cds.elm.budget import FREE, spend
from cds.elm.ports import Model, Value
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

Json = Mapping[str, Any]
Test = Callable[[Value], bool]

SYSTEM = "{urn:hl7-org:elm-types:r1}"


@dataclass(frozen=True, slots=True)
class Named:
    """A class or simple type by its qualified name, such as ``{http://hl7.org/fhir}Observation``."""

    name: str

    def __str__(self) -> str:
        return self.name.rpartition("}")[2]


@dataclass(frozen=True, slots=True)
class ListOf:
    """``List<element>``."""

    element: Type

    def __str__(self) -> str:
        return f"List<{self.element}>"


@dataclass(frozen=True, slots=True)
class IntervalOf:
    """``Interval<point>``."""

    point: Type

    def __str__(self) -> str:
        return f"Interval<{self.point}>"


@dataclass(frozen=True, slots=True)
class TupleOf:
    """``Tuple { name type, ... }``."""

    elements: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return "Tuple { " + ", ".join(f"{name} {kind}" for name, kind in self.elements) + " }"


@dataclass(frozen=True, slots=True)
class ChoiceOf:
    """``Choice<one, or another, ...>``."""

    choices: tuple[Type, ...]

    def __str__(self) -> str:
        return "Choice<" + ", ".join(map(str, self.choices)) + ">"


Type = Named | ListOf | IntervalOf | TupleOf | ChoiceOf

ANY = Named(SYSTEM + "Any")


def parse(specifier: Json) -> Type:
    """The type that an ELM TypeSpecifier names."""
    kind = specifier.get("type")
    if isinstance(kind, list):
        # Older translators write the choices of a ChoiceTypeSpecifier as a second "type"; the last key stays.
        return ChoiceOf(tuple(parse(choice) for choice in kind))
    if kind == "ListTypeSpecifier":
        return ListOf(parse(specifier["elementType"]))
    if kind == "IntervalTypeSpecifier":
        return IntervalOf(parse(specifier["pointType"]))
    if kind == "TupleTypeSpecifier":
        elements = specifier.get("element") or ()
        return TupleOf(tuple((item["name"], parse(item.get("elementType") or item["type"])) for item in elements))
    if kind == "ChoiceTypeSpecifier":
        return ChoiceOf(tuple(parse(choice) for choice in specifier.get("choice") or ()))
    return Named(specifier["name"])


def stated(node: Json, name: str, specifier: str) -> Type | None:
    """The type that `node` states in one of two fields: a qualified name, or a specifier."""
    if found := node.get(specifier):
        return parse(found)
    if named := node.get(name):
        return Named(named)
    return None


def result_type(node: Json) -> Type | None:
    """The static type of an ELM node, where the translator wrote it."""
    return stated(node, "resultTypeName", "resultTypeSpecifier")


def named_types(kind: Type) -> Iterator[str]:
    """The qualified names of the classes that a value of the type is, or is made of (list, choice, tuple)."""
    match kind:
        case Named(name):
            yield name
        case ListOf(inner) | IntervalOf(inner):
            yield from named_types(inner)
        case TupleOf(elements):
            for _, inner in elements:
                yield from named_types(inner)
        case ChoiceOf(choices):
            for inner in choices:
                yield from named_types(inner)


def derives(kind: Type, base: Type, model: Model | None) -> bool:
    """Whether every value of `kind` is one of `base` too (CQL 1.5, section 10.1: subtypes, choices, lists of them)."""
    match kind, base:
        case _ if base in (kind, ANY):
            return True
        case ChoiceOf(choices), _:
            return all(derives(choice, base, model) for choice in choices)
        case _, ChoiceOf(choices):
            return any(derives(kind, choice, model) for choice in choices)
        case ListOf(inner), ListOf(outer):
            return derives(inner, outer, model)
        case IntervalOf(inner), IntervalOf(outer):
            return derives(inner, outer, model)
        case TupleOf(inner), TupleOf(outer):
            given = dict(inner)
            return all(name in given and derives(given[name], wanted, model) for name, wanted in outer)
        case Named(name), Named(wanted):
            vocabulary = wanted == SYSTEM + "Vocabulary" and name in (SYSTEM + "ValueSet", SYSTEM + "CodeSystem")
            return vocabulary or (model is not None and model.derives(name, wanted))
    return False


def _exactly(*classes: type) -> Test:
    if len(classes) == 1:
        only = classes[0]
        return lambda value: type(value) is only
    return lambda value: type(value) in classes


#: Whether a value is of a System type. Boolean is no Integer and Integer no Long: types are compared exactly.
_SYSTEM_TESTS: dict[str, Test] = {
    "Any": lambda value: True,
    "Boolean": _exactly(bool),
    "Integer": _exactly(int),
    "Long": _exactly(Long),
    "Decimal": _exactly(Decimal),
    "String": _exactly(str),
    "Date": _exactly(Date, MovingDate),
    "DateTime": _exactly(DateTime),
    "Time": _exactly(Time),
    "Quantity": _exactly(Quantity),
    "Ratio": _exactly(Ratio),
    "Code": _exactly(Code),
    "Concept": _exactly(Concept),
    "ValueSet": _exactly(ValueSetRef),
    "CodeSystem": _exactly(CodeSystemRef),
    "Vocabulary": _exactly(ValueSetRef, CodeSystemRef),
}


def tester(kind: Type, model: Model | None) -> Test:
    """A function that says whether a value (not null) is of the type, or of one derived from it."""
    match kind:
        case Named(name):
            return _named(name, model)
        case ListOf(element):
            return _all_of(tester(element, model), element)
        case IntervalOf(point):
            return _interval(tester(point, model))
        case TupleOf(elements):
            return _tuple({name: tester(inner, model) for name, inner in elements})
        case ChoiceOf(choices):
            tests = [tester(choice, model) for choice in choices]
            return lambda value: any(test(value) for test in tests)


def _named(name: str, model: Model | None) -> Test:
    if name.startswith(SYSTEM):
        local = name[len(SYSTEM) :]
        return _SYSTEM_TESTS.get(local, lambda value: False)
    if model is None:
        return lambda value: False
    return model.tester(name)


def _all_of(test: Test, element: Type) -> Test:
    if element == ANY:
        return lambda value: isinstance(value, list)

    def is_list(value: Value) -> bool:
        if not isinstance(value, list):
            return False
        if len(value) > FREE:
            spend(len(value))
        return all(item is None or test(item) for item in value)

    return is_list


def _interval(test: Test) -> Test:
    def is_interval(value: Value) -> bool:
        if not isinstance(value, Interval):
            return False
        return all(bound is None or test(bound) for bound in (value.low, value.high))

    return is_interval


def _tuple(tests: Mapping[str, Test]) -> Test:
    def is_tuple(value: Value) -> bool:
        if not isinstance(value, Tuple):
            return False
        return all((item := value.get(name)) is None or test(item) for name, test in tests.items())

    return is_tuple
