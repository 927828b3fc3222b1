"""What definitions compute, up to the value sets that they ask: two of one shape differ in names and codes alone.

A shape is read from the ELM of a definition and of all that it refers to. Names of libraries, definitions and
functions give way to the shape of what they name; a value set whose members are asked for gives way to a number, in the
order of first mention. All else stays as it is written (literals, codes, paths, types, the names of aliases), so that
definitions of one shape, given equal answers about membership, take the same path to the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cds.elm import types
from cds.elm.library import Definition, Function, Library, Parameter
from cds.elm.types import Json

#: What says where a node was written, and nothing about what it computes.
_SOURCE = frozenset(("annotation", "locator", "localId"))
_STRING = types.Named(types.SYSTEM + "String")
_NAMING = _SOURCE | {"name", "libraryName", "accessLevel"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The number of a form, equal for equal forms, and the value sets (URL, version) that stand in its places."""

    form: int
    value_sets: tuple[tuple[str, str | None], ...]


class _Unshapely(Exception):  # noqa: N818 (no error: it stays in this module)
    """A value set is used otherwise than by asking for members."""


class Shapes:
    """The shapes of compiled definitions; only numbers from the same `Shapes` can be compared."""

    def __init__(self) -> None:
        self._forms: dict[Hashable, int] = {}
        self._known: dict[Definition | Function | Parameter, Shape | None] = {}

    def of(self, definitions: Iterable[Definition], beside: Hashable = None) -> Shape | None:
        """The shape of several definitions together; `beside` is what else must be equal.

        None where membership is not all that is asked of a value set: where it is listed, or chosen by an expression.
        """
        scope = _Scope(self, None)
        try:
            return self._numbered(scope, (beside, *(scope.mention(definition) for definition in definitions)))
        except (_Unshapely, RecursionError):
            return None

    def named(self, item: Definition | Function | Parameter) -> Shape | None:
        """The shape of one definition, function or parameter default."""
        if item not in self._known:
            scope = _Scope(self, item.library)
            try:
                self._known[item] = self._numbered(scope, scope.fields(item.node, _NAMING))
            except _Unshapely:
                self._known[item] = None
        return self._known[item]

    def _numbered(self, scope: _Scope, form: Hashable) -> Shape:
        return Shape(self._forms.setdefault(form, len(self._forms)), tuple(scope.value_sets))


class _Scope:
    """The forms of nodes in one definition, and the value sets that it mentions, each with its number."""

    def __init__(self, shapes: Shapes, library: Library | None) -> None:
        self._shapes = shapes
        self._library = library
        self.value_sets: dict[tuple[str, str | None], int] = {}

    def mention(self, item: Definition | Function | Parameter) -> Hashable:
        """The form of what is referred to: its own number, and the places of its value sets here."""
        shape = self._shapes.named(item)
        if shape is None:
            raise _Unshapely
        return shape.form, *(self._place(value_set) for value_set in shape.value_sets)

    def _place(self, value_set: tuple[str, str | None]) -> int:
        return self.value_sets.setdefault(value_set, len(self.value_sets))

    def form(self, value: Any) -> Hashable:
        """The form of a node, a list of nodes or a plain value."""
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return ("[", *map(self.form, value))
        if not isinstance(value, Mapping):
            return type(value).__name__, repr(value)
        kind = value.get("type")
        rule = _RULES.get(kind) if isinstance(kind, str) else None
        if rule is not None:
            return rule(self, value)
        if "libraryName" in value or (isinstance(kind, str) and kind.endswith("Ref")):
            raise _Unshapely
        return self.fields(value)

    def fields(self, node: Json, without: frozenset[str] = _SOURCE) -> Hashable:
        """The forms of a node's fields, as they are written."""
        return ("{", *((name, self.form(value)) for name, value in node.items() if name not in without))

    def owner(self, node: Json) -> Library:
        """The library that a reference names."""
        assert self._library is not None
        local = node.get("libraryName")
        found = self._library.includes.get(local) if local else self._library
        if found is None:
            raise _Unshapely
        return found

    def name(self, node: Json) -> Hashable:
        """A name in scope: an alias, a let, an operand."""
        return self.fields(node)

    def expression(self, node: Json) -> Hashable:
        return self.fields(node, _NAMING), self.mention(self.owner(node).definitions[node["name"]])

    def parameter(self, node: Json) -> Hashable:
        name = node["name"]
        return self.fields(node, _NAMING), name, self.mention(self.owner(node).parameters[name])

    def identifier(self, node: Json) -> Hashable:
        """A name that the translator left open: it stays, with what it may name."""
        name, owner = node["name"], self.owner(node)
        named = [names[name] for names in (owner.definitions, owner.parameters) if name in names]
        return self.fields(node, _NAMING), name, "libraryName" in node, *map(self.mention, named)

    def function(self, node: Json) -> Hashable:
        """A call: of our own code by its name, else of every function that it may mean."""
        assert self._library is not None
        name, local, model = node["name"], node.get("libraryName"), self._library.model
        if local and model is not None:
            path = self._library.include_paths.get(local) or local
            if model.native(path, name) is not None:
                return self.fields(node, _NAMING), path, name
        number = len(node.get("operand") or ())
        meant = [one for one in self.owner(node).functions.get(name, ()) if len(one.operands) == number]
        return self.fields(node, _NAMING), *map(self.mention, meant)

    def code(self, node: Json) -> Hashable:
        return self.fields(node, _NAMING), repr(self.owner(node).codes[node["name"]])

    def concept(self, node: Json) -> Hashable:
        return self.fields(node, _NAMING), repr(self.owner(node).concepts[node["name"]])

    def code_system(self, node: Json) -> Hashable:
        return self.fields(node, _NAMING), repr(self.owner(node).code_systems[node["name"]])

    def selected_code(self, node: Json) -> Hashable:
        """A code written in an expression; its system is a reference without a type."""
        return self._around(node, "system", self.code_system)

    def selected_concept(self, node: Json) -> Hashable:
        """A concept written in an expression; its codes have no type."""
        return self._around(node, "code", lambda codes: tuple(map(self.selected_code, codes)))

    def in_code_system(self, node: Json) -> Hashable:
        return self._around(node, "codesystem", self.code_system)

    def membership(self, node: Json) -> Hashable:
        """InValueSet: the value set is named, without a type or as an expression that is but a name.

        A text is looked up by going through the members.
        """
        if isinstance(node.get("code"), Mapping) and types.result_type(node["code"]) == _STRING:
            raise _Unshapely
        expression = node.get("valuesetExpression")
        if expression:
            if expression.get("type") != "ValueSetRef" or not expression.get("preserve"):
                raise _Unshapely
            return self._around(node, "valuesetExpression", self.members)
        return self._around(node, "valueset", self.members)

    def retrieve(self, node: Json) -> Hashable:
        """A retrieve by a value set, out of the conversions that translators put around it; or by something else."""
        codes = inner = node.get("codes")
        while isinstance(inner, Mapping) and inner.get("type") in ("ToList", "ExpandValueSet"):
            inner = inner.get("operand")
        if not isinstance(inner, Mapping) or inner.get("type") != "ValueSetRef":
            return self.fields(node)
        if node.get("valueSetProperty"):  # what is looked for then is the value set's URL
            raise _Unshapely
        return ("as is" if inner is codes else "converted"), self._around(
            {**node, "codes": inner}, "codes", self.members
        )

    def members(self, reference: Json) -> Hashable:
        """A value set of which members are asked for: its place."""
        named = self.owner(reference).value_sets[reference["name"]]
        return self.fields(reference, _NAMING), self._place((named.id, named.version))

    def _around(self, node: Json, field: str, rule: Callable[[Any], Hashable]) -> Hashable:
        """The form of a node of which one field is read by a rule of its own."""
        value = node.get(field)
        return field, rule(value) if value else None, self.fields(node, _SOURCE | {field})

    def instance(self, node: Json) -> Hashable:
        if str(node.get("classType")).endswith(("}ValueSet", "}Vocabulary")):
            raise _Unshapely
        return self.fields(node)

    def refused(self, node: Json) -> Hashable:
        raise _Unshapely


_RULES: dict[str, Callable[[_Scope, Json], Hashable]] = {
    "ExpressionRef": _Scope.expression,
    "ParameterRef": _Scope.parameter,
    "IdentifierRef": _Scope.identifier,
    "FunctionRef": _Scope.function,
    "OperandRef": _Scope.name,
    "AliasRef": _Scope.name,
    "QueryLetRef": _Scope.name,
    "CodeRef": _Scope.code,
    "ConceptRef": _Scope.concept,
    "CodeSystemRef": _Scope.code_system,
    "Code": _Scope.selected_code,
    "Concept": _Scope.selected_concept,
    "InCodeSystem": _Scope.in_code_system,
    "AnyInCodeSystem": _Scope.in_code_system,
    "InValueSet": _Scope.membership,
    "AnyInValueSet": _Scope.membership,
    "Retrieve": _Scope.retrieve,
    "Instance": _Scope.instance,
    "ValueSetRef": _Scope.refused,
    "ExpandValueSet": _Scope.refused,
}
