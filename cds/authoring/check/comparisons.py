"""Comparisons that no patient can satisfy: contradicting bounds, other units, codes that no value set gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from cds.authoring.check.content import Content, objects, text
from cds.authoring.check.cql import Cql, Json, meaning, nodes, operands
from cds.authoring.check.finding import Finding, Rule, Severity
from cds.elm.values.quantity import comparable

NEVER = Rule("comparison-never-true", Severity.ERROR, "Conditions that must hold together contradict one another.")
ALWAYS = Rule("comparison-always-true", Severity.WARNING, "Of two conditions one always holds.")
NULL = Rule("comparison-with-null", Severity.ERROR, "Something is compared with null by = or !=.")
RANGE = Rule("interval-empty", Severity.ERROR, "An interval ends before it begins.")
UNITS = Rule("units-incomparable", Severity.ERROR, "Quantities of different dimensions are compared.")
NO_CODE = Rule(
    "code-not-in-valueset", Severity.WARNING, "What a value set gave is asked for a code that it does not hold."
)
RULES = (NEVER, ALWAYS, NULL, RANGE, UNITS, NO_CODE)

_LOWER = {"Greater": True, "After": True, "GreaterOrEqual": False, "SameOrAfter": False}
_UPPER = {"Less": True, "Before": True, "LessOrEqual": False, "SameOrBefore": False}
_EQUAL = ("Equal", "Equivalent")
_MIRRORED = {
    "Greater": "Less",
    "GreaterOrEqual": "LessOrEqual",
    "After": "Before",
    "SameOrAfter": "SameOrBefore",
}
_MIRRORED |= {value: key for key, value in _MIRRORED.items()}
_WRAPPERS = ("ToDecimal", "ToQuantity", "ToLong", "As", "ToDateTime", "ToConcept")
#: The calendar's units of which the length is known in days or in months (CQL 1.5: a year is 12 months).
_DAYS = {"week": 7, "weeks": 7, "wk": 7, "day": 1, "days": 1, "d": 1}
_MONTHS = {"year": 12, "years": 12, "a": 12, "month": 1, "months": 1, "mo": 1}

_NO_EXPRESSION = frozenset(("annotation", "signature", "resultTypeSpecifier"))

Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Bound:
    """What something is compared with: a number on the scale of a unit, or a distance from a base (``First dose``)."""

    base: str
    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One comparison of a subject with a constant bound."""

    subject: str
    operator: str
    bound: _Bound
    node: Json


def findings(content: Content) -> Iterator[Finding]:
    """The comparisons of all CQL that cannot be meant."""
    members = {resource.url: pairs(resource.json) for resource in content.resources if resource.kind == "ValueSet"}
    for cql in content.cql:
        if cql.elm is not None and content.holds(cql.source.path):
            joined: set[int] = set()
            for node in nodes(cql.elm.get("statements")):
                yield from _of(cql, node)
                kind = str(node.get("type"))
                if kind in ("And", "Or") and id(node) not in joined:
                    parts, inner = _flat(cql, node, kind)
                    joined |= inner
                    yield from _joined(cql, parts, kind)
            for definition in [*cql.definitions.values(), *(one for many in cql.functions.values() for one in many)]:
                yield from _dimensions(cql, definition)
                yield from _Codes(content, cql, members).findings(definition)


def _of(cql: Cql, node: Json) -> Iterator[Finding]:
    kind = node.get("type")
    if kind in ("Equal", "NotEqual"):
        if any(_is_null(one) for one in operands(node)):
            message = "a comparison with null by = or != is always null, so neither true nor false"
            yield Finding(NULL, cql.place(node), message, "write: is null, or: is not null")
    elif kind == "Interval":
        low, high = _constant(node.get("low")), _constant(node.get("high"))
        if low is not None and high is not None and _difference(low, high) is not None and _is_empty(node, low, high):
            message = "the interval ends before it begins"
            yield Finding(RANGE, cql.place(node), message, "exchange its bounds")
    if kind in (*_LOWER, *_UPPER, *_EQUAL):
        first, second = (_constant(one) for one in [*operands(node), {}, {}][:2])
        if first is not None and second is not None and _differ(first, second):
            yield _incomparable(cql, node, first, second)


def _is_empty(node: Json, low: _Bound, high: _Bound) -> bool:
    difference = _difference(low, high)
    closed = node.get("lowClosed", True) is not False and node.get("highClosed", True) is not False
    return difference is not None and (difference > 0 or (difference == 0 and not closed))


def _joined(cql: Cql, parts: list[Json], kind: str) -> Iterator[Finding]:
    """Contradictions among the operands of one `and`, and what covers everything among those of one `or`."""
    compared: dict[str, list[_Comparison]] = {}
    for part in parts:
        one = _comparison(part)
        if one is not None:
            compared.setdefault(one.subject, []).append(one)
    for group in compared.values():
        for number, second in enumerate(group):
            for first in group[:number]:
                if kind == "And" and _contradict(first, second):
                    message = f"this and the condition at line {cql.place(first.node).line} are never true together"
                    yield Finding(NEVER, cql.place(second.node), message, "correct a bound, or join them by or")
                elif kind == "Or" and _cover(first, second):
                    message = f"this or the condition at line {cql.place(first.node).line} is always true"
                    yield Finding(ALWAYS, cql.place(second.node), message, "correct a bound, or join them by and")
    told = {meaning(part): part for part in parts}
    for part in parts:
        if part.get("type") == "Not" and (operands(part) and meaning(operands(part)[0]) in told):
            rule, how = (NEVER, "never true") if kind == "And" else (ALWAYS, "always true, where it is known")
            message = f"a condition {'and' if kind == 'And' else 'or'} its own negation is {how}"
            yield Finding(rule, cql.place(part), message, "take one of the two out")


def _flat(cql: Cql, node: Json, kind: str) -> tuple[list[Json], set[int]]:
    """The operands of nested operators of one kind, in the order of the text, and these operators by id().

    A definition of the same library that is named stands for itself and for the operands of its expression.
    """
    found: list[Json] = []
    operators: set[int] = set()
    followed: set[str] = set()
    waiting = [(node, True)]
    while waiting:
        part, written_here = waiting.pop()
        if part.get("type") == kind:
            operators |= {id(part)} if written_here else set()
            waiting += [(one, written_here) for one in reversed(operands(part))]
            continue
        found.append(part)
        name = text(part.get("name"))
        if part.get("type") == "ExpressionRef" and not part.get("libraryName") and name not in followed:
            followed.add(name)
            expression = cql.definitions.get(name, {}).get("expression")
            waiting += [(expression, False)] if isinstance(expression, dict) else []
    return found, operators


def _comparison(node: Json) -> _Comparison | None:
    kind = str(node.get("type"))
    if kind not in (*_LOWER, *_UPPER, "Equal") or len(operands(node)) != 2 or node.get("precision"):
        return None
    left, right = operands(node)
    if (bound := _constant(right)) is not None and _constant(left) is None:
        return _Comparison(meaning(_unwrapped(left)), kind, bound, node)
    if (bound := _constant(left)) is not None and _constant(right) is None:
        return _Comparison(meaning(_unwrapped(right)), _MIRRORED.get(kind, kind), bound, node)
    return None


def _unwrapped(node: Any) -> Any:
    while isinstance(node, dict) and node.get("type") in _WRAPPERS and isinstance(node.get("operand"), dict):
        node = node["operand"]
    return node


def _constant(node: Any) -> _Bound | None:
    """A node that is a number, a quantity, a text, or a day so many days or months from a base."""
    node = _unwrapped(node)
    if not isinstance(node, dict):
        return None
    kind = node.get("type")
    if kind == "Negate" and (inner := _constant(node.get("operand"))) is not None:
        return _Bound(inner.base, -inner.value, inner.unit)
    if kind == "Literal":
        return _literal(node)
    if kind == "Quantity":
        return _quantity(node)
    if kind in ("Subtract", "Add") and len(operands(node)) == 2 and operands(node)[1].get("type") == "Quantity":
        base, distance = operands(node)
        told = _quantity(distance)
        if told is not None and distance.get("unit") in (*_DAYS, *_MONTHS):
            return _Bound(meaning(base), told.value if kind == "Add" else -told.value, told.unit)
    return None


def _literal(node: Json) -> _Bound | None:
    kind = text(node.get("valueType")).rpartition("}")[2]
    value = str(node.get("value"))
    if kind in ("Integer", "Long", "Decimal"):
        return _number("number", value, "1")
    return _Bound(f"text {value}", Decimal(0), "text") if kind == "String" else None


def _quantity(node: Json) -> _Bound | None:
    unit = text(node.get("unit")) or "1"
    for units, name in ((_DAYS, "day"), (_MONTHS, "month")):
        if unit in units:
            found = _number("quantity", str(node.get("value")), name)
            return _Bound(found.base, found.value * units[unit], name) if found else None
    return _number("quantity", str(node.get("value")), unit)


def _number(base: str, value: str, unit: str) -> _Bound | None:
    try:
        return _Bound(base, Decimal(value), unit)
    except InvalidOperation:
        return None


def _difference(first: _Bound, second: _Bound) -> Decimal | None:
    """By how much the first exceeds the second, where both are on one scale; only the sign is of use."""
    if first.base != second.base or first.unit == "text":
        return None
    if first.unit == second.unit:
        return first.value - second.value
    if {first.unit, second.unit} == {"day", "month"}:
        # A month has 28 to 31 days: what is longer in any case.
        days, months = (first, second) if first.unit == "day" else (second, first)
        low, high = sorted((months.value * 28, months.value * 31))
        if low <= days.value <= high:
            return None
        sign = 1 if (days.value > high) is (first.unit == "day") else -1
        return Decimal(sign)
    by = comparable(first.unit, second.unit)
    return None if by is None else first.value * by.numerator / by.denominator - second.value


def _differ(first: _Bound, second: _Bound) -> bool:
    """Whether two quantities are of different dimensions."""
    if first.base != second.base or first.base != "quantity" or {first.unit, second.unit} <= {"day", "month"}:
        return False
    return comparable(first.unit, second.unit) is None and first.unit != second.unit


def _incomparable(cql: Cql, node: Json, first: _Bound, second: _Bound) -> Finding:
    message = f"{first.unit!r} and {second.unit!r} measure different things, so the answer is always null"
    return Finding(UNITS, cql.place(node), message, "write both in units of one dimension")


def _contradict(first: _Comparison, second: _Comparison) -> bool:
    if first.operator == second.operator == "Equal":
        return first.bound != second.bound and (
            first.bound.unit == second.bound.unit == "text" or _difference(first.bound, second.bound) not in (None, 0)
        )
    for low, high in ((first, second), (second, first)):
        if low.operator in _LOWER or low.operator == "Equal":
            if not (high.operator in _UPPER or high.operator == "Equal"):
                continue
            difference = _difference(low.bound, high.bound)
            strict = _LOWER.get(low.operator, False) or _UPPER.get(high.operator, False)
            if difference is not None and (difference > 0 or (difference == 0 and strict)):
                return True
    return False


def _cover(first: _Comparison, second: _Comparison) -> bool:
    for low, high in ((first, second), (second, first)):
        if low.operator in _LOWER and high.operator in _UPPER:
            difference = _difference(low.bound, high.bound)
            open_ = _LOWER[low.operator] and _UPPER[high.operator]
            if difference is not None and (difference < 0 or (difference == 0 and not open_)):
                return True
    return False


def _is_null(node: Json) -> bool:
    return bool(_unwrapped(node).get("type") == "Null")


def _dimensions(cql: Cql, definition: Json) -> Iterator[Finding]:
    """Within a definition, one subject that is compared with quantities of different dimensions."""
    known: dict[str, _Comparison] = {}
    for node in nodes(definition):
        one = _comparison(node)
        if one is None:
            continue
        first = known.setdefault(one.subject, one)
        if _differ(first.bound, one.bound):
            yield _incomparable(cql, node, first.bound, one.bound)


# ------------------------------------------------------------------------------------------------- codes and value sets


def pairs(value_set: Json) -> Pairs:
    """The codes of a value set: expanded, else listed."""
    expansion, compose = value_set.get("expansion"), value_set.get("compose")
    found: set[tuple[str, str]] = set()
    for _, one in objects(expansion.get("contains") if isinstance(expansion, dict) else None):
        found.add((text(one.get("system")), text(one.get("code"))))
    for _, include in objects(compose.get("include") if isinstance(compose, dict) else None):
        if not isinstance(expansion, dict):
            found |= {
                (text(include.get("system")), text(one.get("code"))) for _, one in objects(include.get("concept"))
            }
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Retrieved:
    """What an alias stands for: resources found by these codes, or the codings of their code."""

    pairs: Pairs
    title: str
    path: str
    coding: bool = False


class _Codes:
    """The codes that a definition asks of resources that it has retrieved by value set."""

    def __init__(self, content: Content, cql: Cql, members: Mapping[str, Pairs]) -> None:
        self._content = content
        self._cql = cql
        self._members = members

    def findings(self, definition: Json) -> Iterator[Finding]:
        """Where a code or system is asked for that no retrieved resource needs to have."""
        waiting: list[tuple[Any, Mapping[str, _Retrieved]]] = [(definition.get("expression"), {})]
        while waiting:
            node, scope = waiting.pop()
            if isinstance(node, list):
                waiting += [(one, scope) for one in node]
            elif isinstance(node, dict):
                scope = self._inside(node, scope)
                yield from self._asked(node, scope)
                waiting += [(value, scope) for name, value in node.items() if name not in _NO_EXPRESSION]

    def _inside(self, node: Json, scope: Mapping[str, _Retrieved]) -> Mapping[str, _Retrieved]:
        """What aliases stand for inside a node."""
        if node.get("type") != "Query":
            return scope
        inner = dict(scope)
        for source in (one for part in ("source", "relationship") for _, one in objects(node.get(part))):
            alias, found = text(source.get("alias")), self._retrieved(source.get("expression"), inner)
            inner.pop(alias, None)
            if found is not None:
                inner[alias] = found
        return inner

    def _retrieved(self, node: Any, scope: Mapping[str, _Retrieved]) -> _Retrieved | None:
        """What a query's source holds: a retrieve, one that a function chooses from, or the codings of an alias."""
        while isinstance(node, dict):
            kind = node.get("type")
            if kind == "Retrieve":
                return self._by_value_set(node)
            if kind == "FunctionRef" and len(operands(node)) == 1 and node.get("name") in ("Latest", "Latest of each"):
                node = operands(node)[0]
            elif kind == "Property" and node.get("path") == "coding":
                held = self._code_of(node.get("source"), scope)
                return _Retrieved(held.pairs, held.title, held.path, True) if held else None
            else:
                return None
        return None

    def _by_value_set(self, node: Json) -> _Retrieved | None:
        codes, path = node.get("codes"), node.get("codeProperty")
        if not isinstance(codes, dict) or codes.get("type") != "ValueSetRef" or not isinstance(path, str):
            return None
        owner = codes.get("libraryName")
        library = self._content.libraries.get(self._cql.included.get(text(owner), "")) if owner else self._cql
        declared = library.value_sets.get(text(codes.get("name"))) if library else None
        members = self._members.get(declared[0].partition("|")[0]) if declared else None
        return _Retrieved(members, text(codes.get("name")), path) if members else None

    def _code_of(self, node: Any, scope: Mapping[str, _Retrieved]) -> _Retrieved | None:
        """The retrieved resources of which a node is the code element by which they were found."""
        if not isinstance(node, dict) or node.get("type") != "Property":
            return None
        owner = node.get("scope") or (node.get("source") or {}).get("name")
        held = scope.get(text(owner))
        return held if held is not None and not held.coding and node.get("path") == held.path else None

    def _asked(self, node: Json, scope: Mapping[str, _Retrieved]) -> Iterator[Finding]:
        kind = node.get("type")
        if kind == "InValueSet":
            yield from self._membership(node, scope)
        if kind not in ("Equal", "Equivalent", "In") or len(operands(node)) != 2:
            return
        left, right = operands(node)
        held, part = self._coding(left, scope)
        if held is None:
            return
        known = {pair[0 if part == "system" else 1] for pair in held.pairs}
        listed = right.get("element") if right.get("type") == "List" else [right]
        asked = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict)]
        if any(one.get("type") != "Literal" for one in asked):
            return
        for one in asked:
            if str(one.get("value")) not in known:
                told = "no code of the system" if part == "system" else "no code"
                message = f'"{held.title}", by which this was retrieved, holds {told} {one.get("value")}'
                yield Finding(NO_CODE, self._cql.place(one), message, "correct the code, or add it to the value set")

    def _coding(self, node: Any, scope: Mapping[str, _Retrieved]) -> tuple[_Retrieved | None, str]:
        """The retrieved resources of which a node is a code or system of their codings, and which of the two."""
        if isinstance(node, dict) and node.get("type") == "Property" and node.get("path") == "value":
            node = node.get("source")
        if not isinstance(node, dict) or node.get("type") != "Property" or node.get("path") not in ("code", "system"):
            return None, ""
        held = scope.get(text(node.get("scope") or (node.get("source") or {}).get("name")))
        return (held, str(node["path"])) if held is not None and held.coding else (None, "")

    def _membership(self, node: Json, scope: Mapping[str, _Retrieved]) -> Iterator[Finding]:
        held = self._code_of(_unwrapped(_first_operand(node.get("code"))), scope)
        reference = node.get("valueset")
        if held is None or not isinstance(reference, dict):
            return
        declared = self._cql.value_sets.get(text(reference.get("name"))) if not reference.get("libraryName") else None
        members = self._members.get(declared[0].partition("|")[0]) if declared else None
        if members is not None and members.isdisjoint(held.pairs):
            message = (
                f'"{held.title}", by which this was retrieved, and "{reference.get("name")}" have no code in common'
            )
            yield Finding(NO_CODE, self._cql.place(node), message, "ask a value set that shares codes with it")


def _first_operand(node: Any) -> Any:
    """What a conversion of FHIRHelpers converts."""
    if isinstance(node, dict) and node.get("type") == "FunctionRef" and len(operands(node)) == 1:
        return operands(node)[0]
    return node
