"""Patient data: the Retrieve node (CQL 1.5, section 2.2.1; ELM, chapter 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame, located
from cds.elm.library import Retrieval, Run
from cds.elm.nodes.literals import element_of
from cds.elm.nodes.terminology import conversion_source, members, pairs_of, value_set
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.types import Json
from cds.elm.values import Code, Concept, Interval, ValueSetRef

_FIELDS = (
    "dataType",
    "templateId",
    "codeProperty",
    "codeComparator",
    "codes",
    "dateProperty",
    "dateRange",
)
#: The fields by which a retrieve already keeps a part of a type.
_NARROWING = frozenset(_FIELDS) - {"dataType", "templateId", "codeProperty", "codeComparator", "dateProperty"}


@node("Retrieve", fields=_FIELDS)
def _retrieve(compiler: Compiler, node: Json) -> Run:
    """The resources of a type, of those with a code among some, of those with a date within some."""
    type_name = node["dataType"].rpartition("}")[2]
    path = node.get("codeProperty")
    if node.get("codes") and not path:
        compiler.refuse(node, "a retrieve by codes that names no element")
    run = _found(compiler, node, type_name, path)
    return _dated(compiler, node, run) if node.get("dateRange") else run


def _found(compiler: Compiler, node: Json, type_name: str, path: str | None) -> Run:
    codes: Json | None = node.get("codes")
    if codes is None:
        compiler.body.retrieves[Retrieval(type_name)] = None
        return lambda frame: _listed(frame[0].retriever.retrieve(type_name))
    place = compiler.place(node)
    if codes.get("type") == "ValueSetRef":
        return _by_value_set(compiler, codes, type_name, path, place)
    return _by_codes(compiler, codes, type_name, path, place)


def _listed(found: Sequence[Value]) -> list[Value]:
    return found if isinstance(found, list) else list(found)


def _by_value_set(compiler: Compiler, codes: Json, type_name: str, path: str | None, place: str) -> Run:
    reference = value_set(compiler, codes)
    compiler.body.retrieves[Retrieval(type_name, path, reference.id, codes["name"])] = None

    def run(frame: Frame) -> Value:
        evaluation = frame[0]
        try:
            members = evaluation.terminology.value_set(reference.id, reference.version)
            return _listed(evaluation.retriever.retrieve(type_name, path, members))
        except Exception as error:
            raise located(error, place) from None

    return run


def _by_codes(compiler: Compiler, codes: Json, type_name: str, path: str | None, place: str) -> Run:
    wanted = compiler.compile(codes)
    named = wanted.value if isinstance(wanted, Constant) else None
    compiler.body.retrieves[Retrieval(type_name, path, codes=tuple(_codes(named)))] = None

    def run(frame: Frame) -> Value:
        try:
            return _listed(frame[0].retriever.retrieve(type_name, path, frozenset(pairs_of(wanted(frame)))))
        except Exception as error:
            raise located(error, place) from None

    return run


def narrowed(compiler: Compiler, query: Json) -> Run | None:
    """The source of a query that keeps only resources with certain codes: those resources, found by code.

    That is a retrieve of a whole type whose `where` asks, among other things joined by `and`, whether an element is
    in one value set or another; the others would not be kept, whatever else is asked. None for any other query.
    """
    source = query["source"][0]
    retrieve = source["expression"]
    if retrieve.get("type") != "Retrieve" or any(retrieve[name] for name in retrieve if name in _NARROWING):
        return None
    asked = (_tests(compiler, term, source["alias"]) for term in _terms(query.get("where"), "And"))
    tests = next(filter(None, asked), None)
    if tests is None:
        return None
    whole = compiler.compile(retrieve)
    type_name = retrieve["dataType"].rpartition("}")[2]
    wanted = [(path, members(reference)) for path, reference in tests]
    place = compiler.place(retrieve)

    def run(frame: Frame) -> Value:
        evaluation = frame[0]
        try:
            terminology, retriever = evaluation.terminology, evaluation.retriever
            found = [retriever.retrieve(type_name, path, codes(terminology)) for path, codes in wanted]
        except Exception as error:
            raise located(error, place) from None
        if sum(map(bool, found)) < 2:
            return _listed(next(filter(None, found), []))
        kept = {id(item) for items in found for item in items}
        return [item for item in whole(frame) if id(item) in kept]

    return run


def _terms(node: Json | None, kind: str) -> Iterator[Json]:
    """The operands of a chain of `And` or `Or`, from the left; the node itself where it is neither."""
    if node is not None and node.get("type") == kind:
        for operand in node["operand"]:
            yield from _terms(operand, kind)
    elif node is not None:
        yield node


def _tests(compiler: Compiler, term: Json, alias: str) -> list[tuple[str, ValueSetRef]]:
    """The element and the value set of each membership that `term` asks of the alias, where it asks nothing else."""
    found = []
    for test in _terms(term, "Or"):
        source = conversion_source(compiler, test["code"]) if test.get("type") == "InValueSet" else None
        if source is None or not test.get("valueset"):
            return []
        if source.get("type") != "Property" or source.get("scope") != alias or not source["path"].isidentifier():
            return []
        found.append((source["path"], value_set(compiler, test["valueset"])))
    return found


def _codes(value: Value) -> list[Code]:
    if isinstance(value, Code):
        return [value]
    if isinstance(value, Concept):
        return list(value.codes)
    return [code for item in value for code in _codes(item)] if isinstance(value, list) else []


def _dated(compiler: Compiler, node: Json, run: Run) -> Run:
    """Of what is retrieved, that with a date in the range: a point within it, a period that overlaps it."""
    if compiler.model is None or not node.get("dateProperty"):
        compiler.refuse(node, "a retrieve by dates that names no element")
    wanted = compiler.compile(node["dateRange"])
    slot = compiler.slot()
    date = element_of(lambda frame: frame[slot], node["dateProperty"], compiler.place(node))
    convert = _date_conversion(compiler, node)

    def within(frame: Frame) -> Value:
        found, period = run(frame), wanted(frame)
        kept = []
        for item in found:
            frame[slot] = item
            if _during(convert(date(frame)), period) is True:
                kept.append(item)
        return kept

    return within


def _date_conversion(compiler: Compiler, node: Json) -> Callable[[Value], Value]:
    model = compiler.model
    assert model is not None
    to_interval = model.native("FHIRHelpers", "ToInterval")
    to_moment = model.native("FHIRHelpers", "ToDateTime")
    if to_interval is None or to_moment is None:
        compiler.refuse(node, "a retrieve by dates in this data model")
    return lambda value: to_interval(value) if (moment := to_moment(value)) is None else moment


def _during(date: Value, period: Value) -> Value:
    if date is None or period is None:
        return None
    name = "Overlaps" if isinstance(date, Interval) else "In"
    operator = OPERATORS[name]
    return operator.function(date, period, **dict.fromkeys(operator.settings))
