"""The whole of ELM release 1: each node and field of its schema is run, or refused for a reason that is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_world import compiled, define, library, literal

from cds.elm.compiler import NODES
from cds.elm.operators import OPERATORS
from cds.errors import UnsupportedNodeError

_LINES = (Path(__file__).with_name("elm-r1.txt")).read_text(encoding="utf-8").splitlines()
SCHEMA = {
    name: tuple(fields.split())
    for name, _, fields in (line.partition(":") for line in _LINES if line and line[0] not in "#-")
}
REFUSED = {
    name: reason.strip() for name, _, reason in (line[2:].partition(":") for line in _LINES if line.startswith("- "))
}


def _known(name: str) -> frozenset[str]:
    """The fields that the engine reads of a node; the operator's where a rule only hastens it."""
    compiled(library(define("A", literal(1))))  # the rules are registered when the first library is compiled
    if name in NODES:
        return NODES[name].fields
    operator = OPERATORS[name]
    return frozenset(operator.fields or ("operand",)) | frozenset(operator.settings)


@pytest.mark.parametrize("name", sorted(set(SCHEMA) - set(REFUSED)))
def test_a_node_of_the_schema_is_run_with_all_its_fields(name: str) -> None:
    refused = {field for node, _, field in (entry.partition(".") for entry in REFUSED) if node == name}
    assert set(SCHEMA[name]) - _known(name) == refused


@pytest.mark.parametrize("entry", sorted(REFUSED))
def test_what_is_refused_is_refused_by_name_and_locator(entry: str) -> None:
    name, _, field = entry.partition(".")
    node = {"type": name, "locator": "3:1-3:9", field or "path": "x"}
    if name == "Retrieve":
        node["dataType"] = "{http://hl7.org/fhir}Observation"
    with pytest.raises(UnsupportedNodeError, match=field or name) as refused:
        compiled(library(define("A", node)))
    assert refused.value.where == "Made.A @ 3:1-3:9"
    assert REFUSED[entry]


def test_the_engine_has_no_node_that_the_schema_does_not_know() -> None:
    assert _known("Query")
    assert set(NODES) | set(OPERATORS) == set(SCHEMA) - {entry for entry in REFUSED if "." not in entry}
