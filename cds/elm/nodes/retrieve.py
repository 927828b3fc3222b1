"""Patient data: the Retrieve node (CQL 1.5, section 2.2.1; ELM, chapter 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame, located
from cds.elm.library import Retrieval, Run
from cds.elm.nodes.literals import element_of
from cds.elm.nodes.terminology import pairs_of, value_set
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.types import Json
from cds.elm.values import Code, Concept, Interval

_FIELDS = (
    "dataType",
    "templateId",
    "codeProperty",
    "codeComparator",
    "codes",
    "dateProperty",
    "dateRange",
)


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
