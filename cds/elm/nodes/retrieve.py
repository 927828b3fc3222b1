"""Patient data: the Retrieve node (CQL 1.5, section 2.2.1; ELM, chapter 11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cds.elm.budget import FREE, spend
from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame, located
from cds.elm.inference import element
from cds.elm.library import Retrieval, Run
from cds.elm.nodes.filters import CODE_COMPARATORS, Filter, by_code, filters, kept, pairs_among
from cds.elm.nodes.terminology import conversion_source, members, value_set
from cds.elm.ports import Value
from cds.elm.types import SYSTEM, Json, Named
from cds.elm.values import Code, Concept, ValueSetRef

_STRING = Named(SYSTEM + "String")

_FIELDS = (
    "dataType",
    "templateId",
    "codeProperty",
    "codeComparator",
    "codes",
    "valueSetProperty",
    "dateProperty",
    "dateLowProperty",
    "dateHighProperty",
    "dateRange",
    "id",
    "idProperty",
    "codeFilter",
    "dateFilter",
    "otherFilter",
    "include",
    "includedIn",
)
#: The fields by which a retrieve already keeps a part of a type.
_NARROWING = frozenset(_FIELDS) - {"dataType", "templateId", "codeProperty", "codeComparator", "dateProperty"}


@node("Retrieve", fields=_FIELDS)
def _retrieve(compiler: Compiler, node: Json) -> Run:
    """The resources of a type; of those the ones with a code among some, and that pass the other filters.

    A template only says what the resources look like. That another retrieve includes this one's data, or this one
    another's, changes nothing: all of the record is at hand.
    """
    type_name = node["dataType"].rpartition("}")[2]
    for item in node.get("include") or ():
        if not item.get("includeFrom"):
            compiler.refuse(node, "an include that no other retrieve reads")
    tests = filters(compiler, node)
    run = _found(compiler, node, type_name, tests)
    return kept(run, tests, compiler.place(node)) if tests else run


def _found(compiler: Compiler, node: Json, type_name: str, tests: list[Filter]) -> Run:
    """What is retrieved by codes, by the record's index; where it cannot serve, all of the type and a test more."""
    codes, path, set_path = _codes_of(node), node.get("codeProperty"), node.get("valueSetProperty")
    if codes is not None and not path:
        compiler.refuse(node, "a retrieve by codes that names no element")
    if codes is not None and path:
        comparator = node.get("codeComparator")
        is_text = element(compiler.result_type(codes)) == _STRING
        if set_path or is_text or "[" in path or comparator not in CODE_COMPARATORS:
            tests.append(by_code(compiler, node, codes, path, set_path, comparator))
        elif codes.get("type") == "ValueSetRef":
            return _by_value_set(compiler, codes, type_name, path, compiler.place(node))
        else:
            return _by_codes(compiler, codes, type_name, path, compiler.place(node))
    compiler.body.retrieves[Retrieval(type_name)] = None
    return lambda frame: _listed(frame[0].retriever.retrieve(type_name))


def _codes_of(node: Json) -> Json | None:
    """The codes of a retrieve, a value set out of the conversions that translators put around it."""
    codes: Json | None = node.get("codes")
    inner: Any = codes
    while isinstance(inner, Mapping) and inner.get("type") in ("ToList", "ExpandValueSet"):
        inner = inner.get("operand")
    return inner if isinstance(inner, Mapping) and inner.get("type") == "ValueSetRef" else codes


def _listed(found: Sequence[Value]) -> list[Value]:
    if len(found) > FREE:
        spend(len(found))
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
            evaluation = frame[0]
            return _listed(evaluation.retriever.retrieve(type_name, path, pairs_among(evaluation, wanted(frame))))
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
    waiting = [node] if node is not None else []
    while waiting:
        term = waiting.pop()
        if term.get("type") == kind:
            waiting.extend(reversed(term["operand"]))
        else:
            yield term


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
