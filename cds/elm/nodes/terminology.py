"""Codes, value sets and code systems by reference, and membership (CQL 1.5, section B.12; ELM, chapters 3 and 23)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Evaluation, Frame, located
from cds.elm.library import Run
from cds.elm.nodes.references import library_of
from cds.elm.ports import Pair, Structured, Terminology, Value
from cds.elm.types import Json
from cds.elm.values import Code, CodeSystemRef, Concept, ValueSetRef
from cds.errors import EvaluationError

Member = Callable[[Evaluation, Value, Value], bool]


def value_set(compiler: Compiler, node: Json) -> ValueSetRef:
    """The value set that a ValueSetRef (with or without its `type`) names."""
    found = library_of(compiler, node).value_sets.get(node["name"])
    if found is None:
        compiler.refuse(node, f"no value set {node['name']!r}")
    return found


def _code_system(compiler: Compiler, node: Json) -> CodeSystemRef:
    found = library_of(compiler, node).code_systems.get(node["name"])
    if found is None:
        compiler.refuse(node, f"no code system {node['name']!r}")
    return found


@node("Code", fields=("code", "system", "display"))
def _code(compiler: Compiler, node: Json) -> Run:
    return Constant(_selected_code(compiler, node))


def _selected_code(compiler: Compiler, node: Json) -> Code:
    """A code as it is written in an expression (``Code 'a' from "S"``)."""
    system = _code_system(compiler, node["system"]) if node.get("system") else None
    url, version = (system.id, system.version) if system else (None, None)
    return Code(code=node["code"], system=url, version=version, display=node.get("display"))


@node("Concept", fields=("code", "display"))
def _concept(compiler: Compiler, node: Json) -> Run:
    codes = tuple(_selected_code(compiler, code) for code in node.get("code") or ())
    return Constant(Concept(codes=codes, display=node.get("display")))


@node("CodeRef", fields=("name", "libraryName"))
def _code_ref(compiler: Compiler, node: Json) -> Run:
    return Constant(_named(compiler, node, library_of(compiler, node).codes))


@node("ConceptRef", fields=("name", "libraryName"))
def _concept_ref(compiler: Compiler, node: Json) -> Run:
    return Constant(_named(compiler, node, library_of(compiler, node).concepts))


def _named(compiler: Compiler, node: Json, names: dict[str, Value]) -> Value:
    if node["name"] not in names:
        compiler.refuse(node, f"no {node['type'].removesuffix('Ref').lower()} {node['name']!r}")
    return names[node["name"]]


@node("CodeSystemRef", fields=("name", "libraryName"))
def _code_system_ref(compiler: Compiler, node: Json) -> Run:
    return Constant(_code_system(compiler, node))


@node("ValueSetRef", fields=("name", "libraryName", "preserve"))
def _value_set_ref(compiler: Compiler, node: Json) -> Run:
    """The value set itself where it is to be preserved, else (CQL before 1.5) the list of its codes."""
    reference = value_set(compiler, node)
    if node.get("preserve"):
        return Constant(reference)
    return _located(lambda frame: _expand(frame[0], reference), compiler.place(node))


@node("ExpandValueSet", fields=("operand",))
def _expand_value_set(compiler: Compiler, node: Json) -> Run:
    operand = compiler.operand(node)
    return _located(lambda frame: _expand(frame[0], operand(frame)), compiler.place(node))


def _expand(evaluation: Evaluation, reference: Value) -> Value:
    if not isinstance(reference, ValueSetRef):
        return reference
    members = evaluation.terminology.value_set(reference.id, reference.version)
    evaluation.spend(len(members))
    return [Code(code=code, system=system, version=None, display=None) for system, code in sorted(members)]


def _located(run: Run, place: str) -> Run:
    def call(frame: Frame) -> Value:
        try:
            return run(frame)
        except Exception as error:
            raise located(error, place) from None

    return call


@node("InValueSet", fields=("code", "valueset", "valuesetExpression"))
def _in_value_set(compiler: Compiler, node: Json) -> Run:
    """Whether a code, or one of a concept's, is in the value set; null is in none (section B.12)."""
    vocabulary = _value_set_operand(compiler, node)
    if isinstance(vocabulary, Constant) and isinstance(vocabulary.value, ValueSetRef):
        return _in_named_set(compiler, node, vocabulary.value)
    return _membership(compiler, node, "code", vocabulary, _in_set)


def _in_named_set(compiler: Compiler, node: Json, reference: ValueSetRef) -> Run:
    """`InValueSet` as trials write it; an element of the data is looked up by its codings, without making a Concept."""
    code, members_of, place = _coded(compiler, node["code"]), members(reference), compiler.place(node)

    def run(frame: Frame) -> Value:
        value = code(frame)
        if value is None:
            return False
        try:
            held = members_of(frame[0].terminology)
            if isinstance(value, Structured):
                pairs: Sequence[tuple[str | None, str | None]] = value.codings()
            elif isinstance(value, Concept):
                pairs = value.pairs
            else:
                return _in_set(frame[0], value, reference)
        except Exception as error:
            raise located(error, place) from None
        for pair in pairs:  # noqa: SIM110 (asked for each resource of a type: the loop is what is fast)
            if pair in held:
                return True
        return False

    return run


def _coded(compiler: Compiler, node: Json) -> Run:
    """The closure of a code; of one that is converted from the data model's, that of the element itself."""
    source = conversion_source(compiler, node)
    if source is None:
        return compiler.compile(node)
    compiler.check_rule(node)
    return compiler.compile(source)


def conversion_source(compiler: Compiler, node: Json) -> Json | None:
    """What a call of the model's conversion to Concept or Code is given; None where the node is no such call."""
    local = node.get("libraryName")
    if node.get("type") != "FunctionRef" or node.get("name") not in ("ToConcept", "ToCode") or not local:
        return None
    path = compiler.library.include_paths.get(local) or local
    if compiler.model is None or compiler.model.native(path, node["name"]) is None:
        return None
    operands: list[Json] = node["operand"]
    return operands[0] if len(operands) == 1 else None


def members(reference: ValueSetRef) -> Callable[[Terminology], Collection[Pair]]:
    """A function that gives the codes of a value set; of one terminology after the other, the last one's are kept."""
    kept: tuple[Terminology | None, Collection[Pair]] = (None, frozenset())

    def find(terminology: Terminology) -> Collection[Pair]:
        nonlocal kept
        of, found = kept
        if of is not terminology:
            found = terminology.value_set(reference.id, reference.version)
            kept = (terminology, found)
        return found

    return find


@node("AnyInValueSet", fields=("codes", "valueset", "valuesetExpression"))
def _any_in_value_set(compiler: Compiler, node: Json) -> Run:
    return _membership(compiler, node, "codes", _value_set_operand(compiler, node), _any_of(_in_set))


@node("InCodeSystem", fields=("code", "codesystem", "codesystemExpression"))
def _in_code_system(compiler: Compiler, node: Json) -> Run:
    return _membership(compiler, node, "code", _code_system_operand(compiler, node), _in_system)


@node("AnyInCodeSystem", fields=("codes", "codesystem", "codesystemExpression"))
def _any_in_code_system(compiler: Compiler, node: Json) -> Run:
    return _membership(compiler, node, "codes", _code_system_operand(compiler, node), _any_of(_in_system))


def _value_set_operand(compiler: Compiler, node: Json) -> Run:
    # The translator writes InValueSet.valueset as a ValueSetRef without `type`.
    if reference := node.get("valueset"):
        return Constant(value_set(compiler, reference))
    return compiler.compile(node["valuesetExpression"])


def _code_system_operand(compiler: Compiler, node: Json) -> Run:
    if reference := node.get("codesystem"):
        return Constant(_code_system(compiler, reference))
    return compiler.compile(node["codesystemExpression"])


def _membership(compiler: Compiler, node: Json, field: str, vocabulary: Run, member: Member) -> Run:
    code = compiler.compile(node[field])

    def run(frame: Frame) -> Value:
        value = code(frame)
        return False if value is None else member(frame[0], value, vocabulary(frame))

    return _located(run, compiler.place(node))


def _any_of(member: Member) -> Member:
    def any_member(evaluation: Evaluation, codes: Value, vocabulary: Value) -> bool:
        return any(code is not None and member(evaluation, code, vocabulary) for code in codes)

    return any_member


def _in_set(evaluation: Evaluation, value: Value, reference: Value) -> bool:
    if not isinstance(reference, ValueSetRef):
        raise EvaluationError("membership asks for a value set")
    members = evaluation.terminology.value_set(reference.id, reference.version)
    if isinstance(value, Concept):
        for code in value.codes:  # noqa: SIM110 (asked for each resource of a type: the loop is what is fast)
            if (code.system, code.code) in members:
                return True
        return False
    if isinstance(value, str):
        evaluation.spend(len(members))
        return any(code == value for _, code in members)
    return any(pair in members for pair in pairs_of(value))


def _in_system(evaluation: Evaluation, value: Value, reference: Value) -> bool:
    if not isinstance(reference, CodeSystemRef):
        raise EvaluationError("membership asks for a code system")
    members = evaluation.terminology.code_system(reference.id, reference.version)
    if isinstance(value, str):
        return value in members
    return any(system == reference.id and code in members for system, code in pairs_of(value))


def pairs_of(value: Value) -> Iterable[Pair]:
    """The (system, code) pairs of a code, of a concept, or of a list of them; a code without system has none."""
    if isinstance(value, Code):
        return ((value.system, value.code),) if value.system and value.code else ()
    if isinstance(value, Concept):
        return [(code.system, code.code) for code in value.codes if code.system and code.code]
    if isinstance(value, list):
        return [pair for item in value for pair in pairs_of(item)]
    if value is None:
        return ()
    raise EvaluationError(f"a {type(value).__name__} is no code")


@node("Subsumes", fields=("operand",))
def _subsumes(compiler: Compiler, node: Json) -> Run:
    """Whether the first code is, or is above, the second; null where no hierarchy is held (section B.12)."""
    first, second = compiler.each(node["operand"])
    return _located(lambda frame: _above(frame[0], first(frame), second(frame)), compiler.place(node))


@node("SubsumedBy", fields=("operand",))
def _subsumed_by(compiler: Compiler, node: Json) -> Run:
    first, second = compiler.each(node["operand"])
    return _located(lambda frame: _above(frame[0], second(frame), first(frame)), compiler.place(node))


def _above(evaluation: Evaluation, ancestor: Value, descendant: Value) -> bool | None:
    if ancestor is None or descendant is None:
        return None
    answer: bool | None = False
    ancestors, descendants = list(pairs_of(ancestor)), list(pairs_of(descendant))
    evaluation.spend(len(ancestors) * len(descendants))
    for above in ancestors:
        for below in descendants:
            found = evaluation.terminology.subsumes(above, below)
            if found is True:
                return True
            if found is None:
                answer = None
    return answer
