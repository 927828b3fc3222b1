"""Names: definitions, parameters, functions and operands, and the moment of the request (ELM, chapters 2-7, 18)."""

from __future__ import annotations

from collections.abc import Sequence

from cds.elm import types
from cds.elm.compiler import OPEN_CONTEXTS, PATIENT_CONTEXTS, Compiler, Constant, node
from cds.elm.evaluation import UNSET, Frame, located
from cds.elm.library import Definition, Function, Library, Parameter, Run
from cds.elm.ports import Model, Structured, Value
from cds.elm.types import Json, ListOf
from cds.errors import EvaluationError


def library_of(compiler: Compiler, node: Json) -> Library:
    """The library that a reference names, or the one being compiled."""
    local = node.get("libraryName")
    if not local:
        return compiler.library
    found = compiler.library.includes.get(local)
    if found is None:
        path = compiler.library.include_paths.get(local)
        missing = f"the included library {path} is not there" if path else f"no library {local} is included"
        if local in compiler.library.includes:
            missing = f"the data model's own {path} has no {node.get('name')!r}"
        compiler.refuse(node, missing)
    return found


@node("ExpressionRef", fields=("name", "libraryName"))
def _expression_ref(compiler: Compiler, node: Json) -> Run:
    definition = library_of(compiler, node).definitions.get(node["name"])
    if definition is None:
        compiler.refuse(node, f"no definition {node['name']!r}")
    run = reference(compiler, definition)
    if compiler.context in OPEN_CONTEXTS and definition.context in PATIENT_CONTEXTS:
        return _of_every_patient(run, definition)
    return run


def _of_every_patient(run: Run, definition: Definition) -> Run:
    """A patient's definition seen from no patient's: the list of its values, and the record holds one patient.

    Lists of several patients are one list, so that of one patient is as it is (CQL 1.5, section 2.2.2).
    """
    is_list = isinstance(definition.result_type, ListOf)

    def listed(frame: Frame) -> Value:
        value = run(frame)
        return value if is_list or isinstance(value, list) else [value]

    return listed


def reference(compiler: Compiler, definition: Definition) -> Run:
    """A closure for the kept result of a definition, which is noted as referred to."""
    compiler.body.references[definition] = None
    return _kept(definition)


def _kept(definition: Definition | Parameter) -> Run:
    index = definition.index

    def run(frame: Frame) -> Value:
        value = frame[0].results[index]
        return frame[0].answer(definition) if value is UNSET else value

    return run


@node("ParameterRef", fields=("name", "libraryName"))
def _parameter_ref(compiler: Compiler, node: Json) -> Run:
    """The value that the evaluation was given for the parameter, or else its default."""
    parameter = library_of(compiler, node).parameters.get(node["name"])
    if parameter is None:
        compiler.refuse(node, f"no parameter {node['name']!r}")
    return _of_parameter(compiler, parameter)


def _of_parameter(compiler: Compiler, parameter: Parameter) -> Run:
    compiler.body.parameters[parameter] = None
    return _kept(parameter)


@node("OperandRef", "AliasRef", "QueryLetRef", fields=("name",))
def _name(compiler: Compiler, node: Json) -> Run:
    binding = compiler.binding(node["name"])
    if binding is None:
        compiler.refuse(node, f"{node['name']!r} is not in scope here")
    return compiler.read(binding)


@node("IdentifierRef", fields=("name", "libraryName"))
def _identifier_ref(compiler: Compiler, node: Json) -> Run:
    """A name that the translator left open: an element of what is being sorted, else an alias, else a definition."""
    from cds.elm.nodes.literals import element_of

    name = node["name"]
    if not node.get("libraryName"):
        if this := compiler.binding("$this"):
            return element_of(compiler.read(this), name, compiler.place(node))
        if binding := compiler.binding(name):
            return compiler.read(binding)
    owner = library_of(compiler, node)
    if name in owner.definitions:
        return reference(compiler, owner.definitions[name])
    if name not in owner.parameters:
        compiler.refuse(node, f"no {name!r} is known here")
    return _of_parameter(compiler, owner.parameters[name])


@node("FunctionRef", fields=("name", "libraryName", "operand"))
def _function_ref(compiler: Compiler, node: Json) -> Run:
    operands = compiler.each(node.get("operand"))
    name, local = node["name"], node.get("libraryName")
    if local and compiler.model is not None:
        native = compiler.model.native(compiler.library.include_paths.get(local) or local, name)
        if native is not None:
            return compiler.apply(node, native, operands)
    overloads = [
        function
        for function in library_of(compiler, node).functions.get(name, ())
        if len(function.operands) == len(operands)
    ]
    if not overloads:
        compiler.refuse(node, f"no function {name!r} with {len(operands)} operands")
    chosen = _statically(compiler, node, overloads)
    if any(function.external for function in chosen):
        compiler.refuse(node, f"the function {name!r} is external: it has no body here")
    for function in chosen:
        compiler.body.calls[function] = None
    if len(chosen) == 1:
        if chosen[0].searches and compiler.shortcuts:
            return _call_once(chosen[0], operands[0], compiler.place(node))
        return _call(chosen[0], operands, compiler.place(node))
    return _dispatch(compiler, node, chosen, operands)


def _statically(compiler: Compiler, node: Json, overloads: list[Function]) -> list[Function]:
    """The overload that the node's signature or the operands' static types choose; else those that may be meant.

    Of the overloads that take such operands the most specific is chosen (CQL 1.5, section 9.3). A choice, and null,
    leave open which of them is meant.
    """
    if len(overloads) == 1:
        return overloads
    stated = [types.parse(item) for item in node.get("signature") or ()]
    static: list[types.Type | None] = list(stated) or [
        compiler.result_type(operand) for operand in node.get("operand") or ()
    ]
    known = [None if kind == types.ANY else kind for kind in static]

    def takes(function: Function) -> bool:
        pairs = zip(known, function.operands, strict=True)
        return all(
            kind is None or types.derives(kind, wanted or types.ANY, compiler.model) for kind, (_, wanted) in pairs
        )

    fitting = _narrowest_first([function for function in overloads if takes(function)], compiler.model)
    return (fitting if None in known else fitting[:1]) or overloads


def _call(function: Function, operands: Sequence[Run], place: str) -> Run:
    def call(frame: Frame) -> Value:
        inner: Frame = [None] * function.frame_size
        inner[0] = frame[0]
        slot = 1
        for operand in operands:
            inner[slot] = operand(frame)
            slot += 1
        return _entered(function, inner, place)

    return call


def _entered(function: Function, frame: Frame, place: str) -> Value:
    """What a function gives whose operands stand in its frame."""
    evaluation = frame[0]
    evaluation.remaining -= 1
    try:
        if evaluation.remaining < 0:
            evaluation.spend(0)
        return function.run(frame)
    except Exception as error:
        raise located(error, place) from None


def _call_once(function: Function, operand: Run, place: str) -> Run:
    """A call that is answered once for each text, or element of the data, that an evaluation asks it of."""

    def call(frame: Frame) -> Value:
        value, evaluation = operand(frame), frame[0]
        is_text = isinstance(value, str)
        key = (function, value if is_text else id(value))
        kept = evaluation.calls.get(key)
        if kept is not None:
            return kept[1]
        inner: Frame = [None] * function.frame_size
        inner[0], inner[1] = evaluation, value
        result = _entered(function, inner, place)
        if is_text or isinstance(value, Structured):
            evaluation.calls[key] = (value, result)
        return result

    return call


def _narrowest_first(overloads: Sequence[Function], model: Model | None) -> list[Function]:
    """The overloads in an order in which none stands after one that takes all that it takes, and more."""

    def is_narrower(function: Function, other: Function) -> bool:
        pairs = zip(function.operands, other.operands, strict=True)
        return all(types.derives(kind or types.ANY, wide or types.ANY, model) for (_, kind), (_, wide) in pairs)

    def wider(function: Function) -> int:
        return sum(is_narrower(function, other) for other in overloads)

    return sorted(overloads, key=wider, reverse=True)


def _dispatch(compiler: Compiler, node: Json, overloads: Sequence[Function], operands: Sequence[Run]) -> Run:
    """A call whose overload the values choose: of those whose operand types they have, the most specific.

    Null, and an empty list, has every type. Of two that are as specific the one that is written first is called.
    """
    model, place = compiler.model, compiler.place(node)
    candidates = [
        ([types.tester(kind or types.ANY, model) for _, kind in function.operands], function)
        for function in _narrowest_first(overloads, model)
    ]

    def call(frame: Frame) -> Value:
        values = [operand(frame) for operand in operands]
        for tests, function in candidates:
            if all(value is None or test(value) for test, value in zip(tests, values, strict=True)):
                return _call(function, [Constant(value) for value in values], place)(frame)
        raise EvaluationError(f"no overload of {node['name']!r} takes these operands", where=place)

    return call


@node("Now")
def _now(compiler: Compiler, node: Json) -> Run:
    return lambda frame: frame[0].now


@node("Today")
def _today(compiler: Compiler, node: Json) -> Run:
    return lambda frame: frame[0].today


@node("TimeOfDay")
def _time_of_day(compiler: Compiler, node: Json) -> Run:
    return lambda frame: frame[0].time_of_day
