"""ELM nodes become Python closures, once, at load.

A compiled node is a function of a frame (a list: the running evaluation, then the aliases, lets, operands and
iteration variables of one definition or function). What has one meaning for given operand values is an operator
(`cds.elm.operators`); what is lazy, scoped or refers to something is compiled by a rule in `cds.elm.nodes`.
Unknown nodes, and unknown fields that are not empty, are refused by name and locator.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from cds.elm import types
from cds.elm.budget import spending_at_most
from cds.elm.evaluation import UNSET, Frame, located
from cds.elm.inference import Scope, infer
from cds.elm.operators import OPERATORS, Operator
from cds.elm.ports import Model, Value
from cds.errors import ElmError, EvaluationError, UnsupportedNodeError

if TYPE_CHECKING:
    from cds.elm.library import Body, Library, Run, _Compiled
    from cds.elm.types import Json, Type

Rule = Callable[["Compiler", "Json"], "Run"]

#: Fields that every node may have and that change nothing at run time.
_COMMON = frozenset(("type", "localId", "locator", "annotation", "resultTypeName", "resultTypeSpecifier", "signature"))


@dataclass(frozen=True, slots=True)
class NodeRule:
    """How a node is compiled, and the fields that the rule reads."""

    compile: Rule
    fields: frozenset[str]


NODES: dict[str, NodeRule] = {}

#: Nodes within nodes that an expression may have. People write some 15; translators nest a sum of many terms deeper.
#: Python's stack holds more, but not reliably: it depends on who calls.
DEEPEST = 250

_SYSTEM_URI = "urn:hl7-org:elm-types:r1"


def node(*names: str, fields: tuple[str, ...] = ()) -> Callable[[Rule], Rule]:
    """Registers a rule that compiles the ELM nodes `names`, which may have `fields`."""

    def register(rule: Rule) -> Rule:
        for name in names:
            NODES[name] = NodeRule(rule, _COMMON | frozenset(fields))
        return rule

    return register


class Constant:
    """A compiled node whose value is known at load."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __call__(self, frame: Frame) -> Value:
        return self.value


@dataclass(frozen=True, slots=True)
class Binding:
    """A name in scope: the slot that holds its value; `lazy` computes the value of a let when first asked.

    `kind` is its static type, where that is known."""

    slot: int
    lazy: Run | None = None
    kind: Type | None = None


def compile_library(library: Library, compiler: type[Compiler] | None = None, *, lenient: bool = False) -> None:
    """Compiles every parameter default, function and definition of a library whose includes are declared.

    Where `lenient`, what cannot be compiled fails when it is asked for, and the rest of the library is compiled.
    """
    _load_rules()
    _check_models(library)
    compile_into = _compile_leniently if lenient else _compile_into
    for item in _entries(library, "parameters"):
        compile_into(compiler or Compiler, library.parameters[item["name"]], library, item, item.get("default"))
    seen: dict[str, int] = {}
    for item in _entries(library, "statements"):
        name = item["name"]
        if item.get("type") != "FunctionDef":
            compile_into(compiler or Compiler, library.definitions[name], library, item, item.get("expression"))
            continue
        function = library.functions[name][seen.get(name, 0)]
        seen[name] = seen.get(name, 0) + 1
        if not function.external:
            operands = [operand for operand, _ in function.operands]
            compile_into(compiler or Compiler, function, library, item, item.get("expression"), operands)


def _entries(library: Library, section: str) -> Sequence[Any]:
    from cds.elm.library import entries

    return entries(library.elm, section)


def _check_models(library: Library) -> None:
    model = library.model
    for item in _entries(library, "usings"):
        uri, version, name = item.get("uri"), item.get("version"), item.get("localIdentifier")
        if uri == _SYSTEM_URI or (model is not None and model.is_model(name, uri, version)):
            continue
        remedy = f"translate the CQL with: {model.declaration}" if model is not None else None
        message = f"the data model {name} ({uri}) {version or ''}".rstrip() + " is not supported"
        raise UnsupportedNodeError(message, where=f"{library.id}.{name}", remedy=remedy)


#: The contexts of one patient's evaluation: hers, and those in which a definition is no particular patient's.
PATIENT_CONTEXTS = frozenset(("Patient",))
OPEN_CONTEXTS = frozenset(("Unfiltered", "Population"))


def _check_context(target: _Compiled, item: Json) -> None:
    context = item.get("context")
    if context not in (None, "Unspecified") and context not in PATIENT_CONTEXTS | OPEN_CONTEXTS:
        raise UnsupportedNodeError(f"the context {context}", where=target.place, remedy="use Patient or Unfiltered")


def _compile_leniently(
    compiler: type[Compiler],
    target: _Compiled,
    library: Library,
    item: Json,
    expression: Json | None,
    operands: Sequence[str] = (),
) -> None:
    from cds.elm.library import Body

    try:
        _compile_into(compiler, target, library, item, expression, operands)
    except ElmError as error:
        failure = EvaluationError(error.message, where=error.where or target.place, remedy=error.remedy)

        def fail(frame: Frame) -> NoReturn:
            raise failure.with_traceback(None)

        target.compiled(Body(run=fail, frame_size=1 + len(operands)))


def _compile_into(
    compiler: type[Compiler],
    target: _Compiled,
    library: Library,
    item: Json,
    expression: Json | None,
    operands: Sequence[str] = (),
) -> None:
    from cds.elm.library import well_formed

    _check_context(target, item)
    try:
        with well_formed(target.place):
            target.compiled(compiler(library, target).whole(expression, operands))
    except RecursionError:
        raise UnsupportedNodeError("the expression is nested too deeply", where=target.place) from None


def _load_rules() -> None:
    importlib.import_module("cds.elm.query")
    for package in ("cds.elm.nodes", "cds.elm.operators"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            importlib.import_module(f"{package}.{module.name}")


class Compiler:
    """Compiles the body of one definition or function of a library.

    `shortcuts` says whether a rule may come to a value in another way than the logic is written, where that is faster:
    not where each step is to be seen.
    """

    shortcuts = True

    def __init__(self, library: Library, target: _Compiled) -> None:
        from cds.elm.library import Body

        self.library = library
        self.model: Model | None = library.model
        self.body: Body = Body()
        self._target = target
        self.context: str | None = getattr(target, "context", None)
        self._names: dict[str, Binding] = {}
        self._reads: list[set[int]] = []
        self._depth = 0

    def whole(self, expression: Json | None, operands: Sequence[str]) -> Body:
        """The compiled body; operands take the first slots of the frame."""
        kinds = dict(getattr(self._target, "operands", ()))
        names = {name: Binding(self.slot(), kind=kinds.get(name)) for name in operands}
        with self.naming(names):
            self.body.run = self.optional(expression)
        return self.body

    def compile(self, node: Json) -> Run:
        """The closure that evaluates `node`. Raises UnsupportedNodeError where there is none."""
        if self._depth == DEEPEST:
            self.refuse(node, f"the expression is nested too deeply: more than {DEEPEST} nodes within one another")
        self._depth += 1
        try:
            return self._compile(node)
        finally:
            self._depth -= 1

    def _compile(self, node: Json) -> Run:
        kind = node.get("type")
        rule = NODES.get(kind) if isinstance(kind, str) else None
        if rule is not None:
            self.check_fields(node, rule.fields)
            return rule.compile(self, node)
        operator = OPERATORS.get(kind) if isinstance(kind, str) else None
        if operator is None:
            self.refuse(node, f"the ELM node {kind} is not supported")
        return self.strict(node, operator)

    def optional(self, node: Json | None) -> Run:
        """The closure of a field that may be absent; absent is null."""
        return Constant(None) if node is None else self.compile(node)

    def each(self, nodes: Sequence[Json] | None) -> list[Run]:
        """The closures of a list of nodes, in order."""
        return [self.compile(item) for item in nodes or ()]

    def operand(self, node: Json) -> Run:
        """The closure of the only operand of a unary node."""
        operand = node.get("operand")
        if isinstance(operand, list):
            operand = operand[0] if operand else None
        return self.optional(operand)

    def check_fields(self, node: Json, known: frozenset[str]) -> None:
        """Refuses a node with a field that the engine does not read and that is not empty."""
        for name, value in node.items():
            if name not in known and value not in (None, [], {}, ""):
                self.refuse(node, f"the field {name!r} of {node.get('type')} is not supported")

    def check_clause(self, node: Json, clause: Json, what: str, fields: Sequence[str]) -> None:
        """Refuses a part of `node` that is no node itself, such as a let, with a field that is not read."""
        for name, value in clause.items():
            if name not in fields and name not in _COMMON and value not in (None, [], {}, ""):
                self.refuse(clause if clause.get("locator") else node, f"the field {name!r} of {what} is not supported")

    def check_rule(self, node: Json) -> None:
        """Refuses unknown fields of a node that another node's rule compiles itself."""
        self.check_fields(node, NODES[node["type"]].fields)

    def place(self, node: Json) -> str:
        """Where a node stands, as errors say it."""
        target, locator = self._target, node.get("locator")
        return f"{target.library.id}.{target.name} @ {locator}" if locator else target.place

    def refuse(self, node: Json, message: str, remedy: str | None = None) -> NoReturn:
        """Raises UnsupportedNodeError at the place of `node`."""
        raise UnsupportedNodeError(message, where=self.place(node), remedy=remedy)

    def slot(self) -> int:
        """A fresh slot of the frame."""
        self.body.frame_size += 1
        return self.body.frame_size - 1

    @contextmanager
    def naming(self, names: Mapping[str, Binding]) -> Iterator[None]:
        """While open, `names` are in scope, before the ones that are there."""
        outer = self._names
        self._names = {**outer, **names}
        try:
            yield
        finally:
            self._names = outer

    def binding(self, name: str) -> Binding | None:
        """What a name in scope stands for; the slot counts as read."""
        found = self._names.get(name)
        if found is not None:
            for reads in self._reads:
                reads.add(found.slot)
        return found

    def read(self, binding: Binding) -> Run:
        """A closure for what a name in scope stands for; a let is evaluated when it is first asked for."""
        slot, lazy = binding.slot, binding.lazy
        if lazy is None:
            return lambda frame: frame[slot]

        def run(frame: Frame) -> Value:
            value = frame[slot]
            if value is UNSET:
                value = frame[slot] = lazy(frame)
            return value

        return run

    @contextmanager
    def reading(self) -> Iterator[set[int]]:
        """While open, collects the slots that compiled nodes read (to move what does not change out of a loop)."""
        reads: set[int] = set()
        self._reads.append(reads)
        try:
            yield reads
        finally:
            self._reads.pop()

    def result_type(self, node: Json | None) -> Type | None:
        """The static type of a node: what the translator wrote, or what its parts say; None where they say nothing."""
        if not node:
            return None
        stated = types.result_type(node)
        if stated is not None:
            return stated
        return infer(node, Scope(self.library, {name: binding.kind for name, binding in self._names.items()}))

    def apply(self, node: Json, function: Callable[..., Value], operands: Sequence[Run]) -> Run:
        """A closure that calls `function` with the operands' values; folded where all of them are constants."""
        if all(isinstance(operand, Constant) for operand in operands):
            try:
                with spending_at_most(_FOLDING):
                    return Constant(function(*(operand(_NO_FRAME) for operand in operands)))
            except Exception:
                pass  # It fails at each evaluation, then: a definition that nobody asks for does no harm.
        return _call(function, operands, self.place(node))

    def strict(self, node: Json, operator: Operator) -> Run:
        """The closure of a node that is a registered operator."""
        self.check_fields(node, _COMMON.union(operator.fields or ("operand",), operator.settings))
        operands = self._operands(node, operator)
        settings = {name: node.get(name) for name in operator.settings}
        function = partial(operator.function, **settings) if settings else operator.function
        if operator.context:
            return _call_with_context(function, operands, self.place(node))
        return self.apply(node, function, operands)

    def _operands(self, node: Json, operator: Operator) -> list[Run]:
        given = [node.get(name) for name in operator.fields] if operator.fields else node.get("operand")
        if isinstance(given, Mapping):
            given = [given]
        operands = [self._list(node, item) if isinstance(item, list) else self.optional(item) for item in given or ()]
        return operands if operator.spread else [self._gather(node, operands)]

    def _list(self, node: Json, items: Sequence[Json]) -> Run:
        return self._gather(node, self.each(items))

    def _gather(self, node: Json, operands: Sequence[Run]) -> Run:
        return self.apply(node, lambda *values: list(values), operands)


_NO_FRAME: Frame = []
#: The steps that a constant may cost at load; what costs more is computed by who asks for it, from his budget.
_FOLDING = 10_000


def _call(function: Callable[..., Value], operands: Sequence[Run], place: str) -> Run:
    """A closure specialised on the number of operands; an error is given its place here, at no cost otherwise."""
    if len(operands) == 1:
        return _call_unary(function, operands[0], place)
    if len(operands) == 2:
        return _call_binary(function, operands[0], operands[1], place)

    def call(frame: Frame) -> Value:
        try:
            return function(*[operand(frame) for operand in operands])
        except Exception as error:
            raise located(error, place) from None

    return call


def _call_unary(function: Callable[..., Value], operand: Run, place: str) -> Run:
    def call(frame: Frame) -> Value:
        try:
            return function(operand(frame))
        except Exception as error:
            raise located(error, place) from None

    return call


def _call_binary(function: Callable[..., Value], first: Run, second: Run, place: str) -> Run:
    def call(frame: Frame) -> Value:
        try:
            return function(first(frame), second(frame))
        except Exception as error:
            raise located(error, place) from None

    def call_with_constant(frame: Frame) -> Value:
        try:
            return function(first(frame), constant)
        except Exception as error:
            raise located(error, place) from None

    if isinstance(second, Constant):
        constant = second.value
        return call_with_constant
    return call


def _call_with_context(function: Callable[..., Value], operands: Sequence[Run], place: str) -> Run:
    def call(frame: Frame) -> Value:
        try:
            return function(frame[0], *[operand(frame) for operand in operands])
        except Exception as error:
            raise located(error, place) from None

    return call
