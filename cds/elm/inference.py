"""The static type of an ELM node that does not state it, from what its parts are (translators may leave types out).

What cannot be told is None: an untyped null, a function without a body. Nothing is evaluated, and no answer of an
operator depends on more than these types say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cds.elm import types
from cds.elm.types import ANY, SYSTEM, ChoiceOf, IntervalOf, Json, ListOf, Named, TupleOf, Type

if TYPE_CHECKING:
    from cds.elm.library import Definition, Function, Library, Parameter

_BOOLEAN, _INTEGER, _DECIMAL, _STRING, _CODE, _CONCEPT, _QUANTITY, _DATE, _DATE_TIME, _TIME = (
    Named(SYSTEM + name)
    for name in ("Boolean", "Integer", "Decimal", "String", "Code", "Concept", "Quantity", "Date", "DateTime", "Time")
)

#: The nodes whose type is the same whatever they are given.
_ALWAYS: dict[str, Type] = {}
for _type, _names in (
    (
        _BOOLEAN,
        "And Or Xor Implies Not Is IsNull IsTrue IsFalse Exists Equal Equivalent NotEqual Less Greater LessOrEqual"
        " GreaterOrEqual CanConvert CanConvertQuantity ConvertsToBoolean ConvertsToDate ConvertsToDateTime"
        " ConvertsToDecimal ConvertsToInteger ConvertsToLong ConvertsToQuantity ConvertsToRatio ConvertsToString"
        " ConvertsToTime ToBoolean StartsWith EndsWith Matches SameAs SameOrBefore SameOrAfter Contains ProperContains"
        " In ProperIn Includes IncludedIn ProperIncludes ProperIncludedIn Before After Meets MeetsBefore MeetsAfter"
        " Overlaps OverlapsBefore OverlapsAfter Starts Ends AllTrue AnyTrue InCodeSystem AnyInCodeSystem InValueSet"
        " AnyInValueSet Subsumes SubsumedBy",
    ),
    (
        _INTEGER,
        "ToInteger Ceiling Floor Truncate Precision Length PositionOf LastPositionOf DurationBetween"
        " DifferenceBetween DateTimeComponentFrom IndexOf Count CalculateAge CalculateAgeAt Iteration",
    ),
    (Named(SYSTEM + "Long"), "ToLong"),
    (_DECIMAL, "ToDecimal Ln Exp Log TimezoneFrom TimezoneOffsetFrom GeometricMean"),
    (_STRING, "ToString Concatenate Combine Upper Lower Substring ReplaceMatches"),
    (_DATE, "Date ToDate DateFrom Today"),
    (_DATE_TIME, "DateTime ToDateTime Now"),
    (_TIME, "Time ToTime TimeFrom TimeOfDay"),
    (_QUANTITY, "Quantity ToQuantity ConvertQuantity"),
    (Named(SYSTEM + "Ratio"), "Ratio ToRatio"),
    (_CODE, "Code CodeRef"),
    (_CONCEPT, "Concept ConceptRef ToConcept"),
    (Named(SYSTEM + "CodeSystem"), "CodeSystemRef"),
    (ListOf(_STRING), "Split SplitOnMatches ToChars"),
    (ListOf(_CODE), "ExpandValueSet"),
    (ListOf(ANY), "Children Descendents Descendants"),
):
    _ALWAYS.update(dict.fromkeys(_names.split(), _type))

#: The elements of the System types that have some.
_ELEMENTS: dict[Type, dict[str, Type]] = {
    _QUANTITY: {"value": _DECIMAL, "unit": _STRING},
    Named(SYSTEM + "Ratio"): {"numerator": _QUANTITY, "denominator": _QUANTITY},
    _CODE: dict.fromkeys(("code", "system", "version", "display"), _STRING),
    _CONCEPT: {"codes": ListOf(_CODE), "display": _STRING},
    _DATE: dict.fromkeys(("year", "month", "day"), _INTEGER),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a node stands: its library, the names in scope with their types, and what is being inferred already."""

    library: Library
    names: Mapping[str, Type | None] = field(default_factory=dict)
    under_way: frozenset[object] = frozenset()

    def naming(self, names: Mapping[str, Type | None]) -> Scope:
        """The scope inside of a clause that gives names."""
        return replace(self, names={**self.names, **names})


def infer(node: Json | None, scope: Scope) -> Type | None:
    """The type that `node` states, or else that its parts give it; None where they do not tell."""
    if not isinstance(node, Mapping):
        return None
    stated = types.result_type(node)
    if stated is not None:
        return stated
    kind = node.get("type")
    if kind in _ALWAYS:
        return _ALWAYS[kind]
    rule = _RULES.get(kind) if isinstance(kind, str) else None
    return rule(node, scope) if rule else None


def type_of(item: Definition | Function | Parameter, under_way: frozenset[object] = frozenset()) -> Type | None:
    """The type of a definition's or function's expression, or of a parameter's default, where it states none."""
    if item.result_type is not None or item in under_way:
        return item.result_type
    names = dict(getattr(item, "operands", ()))
    scope = Scope(item.library, names, under_way | {item})
    return infer(item.node.get("expression") or item.node.get("default"), scope)


def element(kind: Type | None) -> Type | None:
    """The type of the items that a query goes through: of a list its elements, of one thing itself."""
    return kind.element if isinstance(kind, ListOf) else kind


def common(kinds: Iterable[Type | None]) -> Type | None:
    """The type that values of all `kinds` have: one of them, a choice; None where one is not known."""
    found: dict[Type, None] = {}
    for kind in kinds:
        if kind is None:
            return None
        if kind != ANY:
            found.update(dict.fromkeys(kind.choices if isinstance(kind, ChoiceOf) else (kind,)))
    if not found:
        return ANY
    lists = [kind.element for kind in found if isinstance(kind, ListOf)]
    if len(found) > 1 and len(lists) == len(found):
        inner = common(lists)
        return None if inner is None else ListOf(inner)
    return next(iter(found)) if len(found) == 1 else ChoiceOf(tuple(found))


_Rule = Callable[[Json, Scope], Type | None]
_RULES: dict[str, _Rule] = {}


def _rule(*names: str) -> Callable[[_Rule], _Rule]:
    def register(rule: _Rule) -> _Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def _operands(node: Json) -> list[Any]:
    operand = node.get("operand")
    return list(operand) if isinstance(operand, list) else [operand]


def _first(node: Json) -> Any:
    return node.get("source") or next(iter(_operands(node)), None)


@_rule("Literal", "Null", "MinValue", "MaxValue")
def _of_value_type(node: Json, scope: Scope) -> Type | None:
    return Named(node["valueType"]) if node.get("valueType") else ANY if node["type"] == "Null" else None


@_rule("As", "Convert")
def _of_cast(node: Json, scope: Scope) -> Type | None:
    name = "asType" if node["type"] == "As" else "toType"
    return types.stated(node, name, f"{name}Specifier")


@_rule("Instance")
def _of_instance(node: Json, scope: Scope) -> Type | None:
    return Named(node["classType"])


@_rule("Tuple")
def _of_tuple(node: Json, scope: Scope) -> Type | None:
    found = [(item["name"], infer(item.get("value"), scope)) for item in node.get("element") or ()]
    return TupleOf(tuple((name, kind or ANY) for name, kind in found))


@_rule("List")
def _of_list(node: Json, scope: Scope) -> Type | None:
    if node.get("typeSpecifier"):
        return types.parse(node["typeSpecifier"])
    inner = common(infer(item, scope) for item in node.get("element") or ())
    return ListOf(inner or ANY)


@_rule("Interval")
def _of_interval(node: Json, scope: Scope) -> Type | None:
    point = common(infer(node[end], scope) for end in ("low", "high") if node.get(end))
    return None if point is None else IntervalOf(point)


@_rule("ValueSetRef")
def _of_value_set(node: Json, scope: Scope) -> Type | None:
    return Named(SYSTEM + "ValueSet") if node.get("preserve") else ListOf(_CODE)


@_rule("Retrieve")
def _of_retrieve(node: Json, scope: Scope) -> Type | None:
    return ListOf(Named(node["dataType"]))


@_rule("If")
def _of_if(node: Json, scope: Scope) -> Type | None:
    return common(infer(node[name], scope) for name in ("then", "else") if node.get(name))


@_rule("Case")
def _of_case(node: Json, scope: Scope) -> Type | None:
    results = [item.get("then") for item in node.get("caseItem") or ()]
    return common(infer(item, scope) for item in [*results, node.get("else")] if item)


@_rule("Coalesce")
def _of_coalesce(node: Json, scope: Scope) -> Type | None:
    operands = _operands(node)
    found = common(infer(item, scope) for item in operands)
    return element(found) if len(operands) == 1 else found


@_rule("Add", "Subtract", "Modulo", "TruncatedDivide", "Power", "Abs", "Negate", "Round", "Successor", "Predecessor")
@_rule("LowBoundary", "HighBoundary", "Distinct", "Slice", "Filter", "Sort", "Except", "Message", "Collapse")
def _of_first(node: Json, scope: Scope) -> Type | None:
    return infer(_first(node), scope)


@_rule("Multiply", "Divide")
def _of_product(node: Json, scope: Scope) -> Type | None:
    kinds = [infer(item, scope) for item in _operands(node)]
    if _QUANTITY in kinds:
        return _QUANTITY
    return _DECIMAL if node["type"] == "Divide" else kinds[0]


@_rule("Union", "Intersect")
def _of_union(node: Json, scope: Scope) -> Type | None:
    return common(infer(item, scope) for item in _operands(node))


@_rule("First", "Last", "SingletonFrom", "Indexer", "Flatten")
def _of_item(node: Json, scope: Scope) -> Type | None:
    kind = infer(_first(node), scope)
    return kind.element if isinstance(kind, ListOf) else kind if kind == _STRING else None


@_rule("Sum", "Product", "Min", "Max", "Avg", "Median", "Mode", "Variance", "PopulationVariance", "StdDev")
@_rule("PopulationStdDev")
def _of_aggregate(node: Json, scope: Scope) -> Type | None:
    kind = element(infer(node.get("source"), scope))
    return _member(kind, node["path"], scope) if node.get("path") else kind


@_rule("Start", "End", "PointFrom", "Width")
def _of_point(node: Json, scope: Scope) -> Type | None:
    kind = infer(_first(node), scope)
    return kind.point if isinstance(kind, IntervalOf) else None


@_rule("ToList")
def _to_list(node: Json, scope: Scope) -> Type | None:
    kind = infer(_first(node), scope)
    return None if kind is None else ListOf(kind)


@_rule("ForEach", "Repeat")
def _of_iteration(node: Json, scope: Scope) -> Type | None:
    this = element(infer(node.get("source"), scope))
    kind = infer(node.get("element"), scope.naming({node.get("scope") or "$this": this, "$this": this}))
    if node["type"] == "Repeat":
        kind = element(kind)
    return None if kind is None else ListOf(kind)


@_rule("Aggregate")
def _of_fold(node: Json, scope: Scope) -> Type | None:
    return infer(node.get("initialValue"), scope)


@_rule("Current")
def _of_current(node: Json, scope: Scope) -> Type | None:
    return scope.names.get(node.get("scope") or "$this")


@_rule("AliasRef", "QueryLetRef", "OperandRef")
def _of_name(node: Json, scope: Scope) -> Type | None:
    return scope.names.get(node["name"])


@_rule("Query")
def _of_query(node: Json, scope: Scope) -> Type | None:
    sources = {item["alias"]: infer(item.get("expression"), scope) for item in node["source"]}
    rows = scope.naming({alias: element(kind) for alias, kind in sources.items()})
    for clause in node.get("let") or ():
        rows = rows.naming({clause["identifier"]: infer(clause.get("expression"), rows)})
    if clause := node.get("aggregate"):
        return infer(clause.get("starting"), rows)
    if clause := node.get("return"):
        result = infer(clause.get("expression"), rows)
    elif len(sources) == 1:
        result = next(iter(rows.names[alias] for alias in sources))
    else:
        result = TupleOf(tuple((alias, rows.names[alias] or ANY) for alias in sources))
    if result is None or None in sources.values():
        return None
    return ListOf(result) if any(isinstance(kind, ListOf) for kind in sources.values()) else result


@_rule("Property")
def _of_property(node: Json, scope: Scope) -> Type | None:
    source = infer(node["source"], scope) if node.get("source") else scope.names.get(node.get("scope") or "")
    return _member(source, node["path"], scope)


def _member(kind: Type | None, path: str, scope: Scope) -> Type | None:
    """The type of the element at a path of one name or more; of a choice, what those that have it give."""
    name, _, rest = path.partition(".")
    name, is_item, _ = name.partition("[")
    found = _own(kind, name, scope)
    if is_item and isinstance(found, ListOf):
        found = found.element
    return _member(found, rest, scope) if rest else found


def _own(kind: Type | None, name: str, scope: Scope) -> Type | None:
    match kind:
        case IntervalOf(point):
            return point if name in ("low", "high") else _BOOLEAN if name in ("lowClosed", "highClosed") else None
        case TupleOf(elements):
            return dict(elements).get(name)
        case ChoiceOf(choices):
            found = [one for one in (_own(choice, name, scope) for choice in choices) if one is not None]
            return common(found) if found else None
        case Named(qualified):
            model = scope.library.model
            return _ELEMENTS.get(kind, {}).get(name) or (model.element_type(qualified, name) if model else None)
    return None


def _library_of(node: Json, scope: Scope) -> Library | None:
    local = node.get("libraryName")
    return scope.library.includes.get(local) if local else scope.library


@_rule("ExpressionRef", "ParameterRef", "IdentifierRef")
def _of_reference(node: Json, scope: Scope) -> Type | None:
    library, name = _library_of(node, scope), node["name"]
    if library is None:
        return None
    if node["type"] == "IdentifierRef" and name in scope.names:
        return scope.names[name]
    found = library.definitions.get(name) or library.parameters.get(name)
    return None if found is None else type_of(found, scope.under_way)


@_rule("FunctionRef")
def _of_call(node: Json, scope: Scope) -> Type | None:
    """Of a conversion of the model, what its name says; else what all the overloads that it may call give."""
    local, model = node.get("libraryName"), scope.library.model
    operands = node.get("operand") or ()
    if local and model is not None:
        path = scope.library.include_paths.get(local) or local
        if model.native(path, node["name"]) is not None:
            return _converted(node["name"], infer(operands[0], scope) if operands else None)
    library = _library_of(node, scope)
    overloads = library.functions.get(node["name"], ()) if library else ()
    fitting = [function for function in overloads if len(function.operands) == len(operands)]
    stated: list[Type | None] = [types.parse(item) for item in node.get("signature") or ()]
    given = stated or [infer(item, scope) for item in operands]
    exact = [function for function in fitting if [kind for _, kind in function.operands] == given]
    found = {type_of(function, scope.under_way) for function in exact[:1] or fitting}
    return next(iter(found)) if len(found) == 1 else None


_CONVERTED = {
    name: Named(SYSTEM + kind)
    for name, kind in {
        "ToBoolean": "Boolean",
        "ToCalendarUnit": "String",
        "ToCode": "Code",
        "ToConcept": "Concept",
        "ToDate": "Date",
        "ToDateTime": "DateTime",
        "ToDecimal": "Decimal",
        "ToInteger": "Integer",
        "ToQuantity": "Quantity",
        "ToQuantityIgnoringComparator": "Quantity",
        "ToRatio": "Ratio",
        "ToString": "String",
        "ToTime": "Time",
    }.items()
}


def _converted(name: str, given: Type | None) -> Type | None:
    if name == "ToInterval":
        is_period = isinstance(given, Named) and given.name.endswith("}Period")
        return IntervalOf(_DATE_TIME if is_period else _QUANTITY) if given is not None else None
    return _CONVERTED.get(name)
