"""ELM without what translators may leave out (types, signatures, locators, annotations) gives the same answers."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.elm import Evaluation, Libraries
from cds.elm.values import Date, Interval
from cds.errors import ContentError, EvaluationError
from cds.fhir.model import FHIRModel
from cds.fhir.record import PatientRecord
from cds.trials.catalog import Catalog, nearest_facts

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = frozenset(("resultTypeName", "resultTypeSpecifier", "signature", "annotation", "locator", "localId"))
FILES = (*sorted(ROOT.glob("plandefinitions/**/*.elm.json")), *sorted(ROOT.glob("tests/elm/**/*.elm.json")))
CASES = sorted(ROOT.glob("plandefinitions/*/cases/*.expected.json"))

Json = dict[str, Any]


def stripped(node: Any) -> Any:
    """The ELM without the fields that only help."""
    if isinstance(node, dict):
        return {name: stripped(value) for name, value in node.items() if name not in LEFT_OUT}
    return [stripped(item) for item in node] if isinstance(node, list) else node


def loaded(elms: list[Json]) -> Libraries:
    libraries = Libraries(FHIRModel())
    for elm in elms:
        libraries.add(elm)
    libraries.compile()
    return libraries


@pytest.fixture(scope="module")
def both() -> tuple[Libraries, Libraries]:
    elms = [orjson.loads(path.read_bytes()) for path in FILES]
    return loaded(elms), loaded([stripped(elm) for elm in elms])


def test_types_are_told_from_the_parts(both: tuple[Libraries, Libraries]) -> None:
    """Evidence rests on them: what is a resource, and where the walk to the nearest facts stops."""
    whole, bare = both
    for library in whole:
        for name, definition in library.definitions.items():
            other = bare[library.id].definitions[name]
            assert other.result_type is not None
            assert other.resource_valued == definition.resource_valued, name
            facts = [[fact.name for fact in nearest_facts([item])] for item in (definition, other)]
            assert facts[0] == facts[1], name


@pytest.mark.parametrize("path", CASES[::9], ids=lambda path: path.name.removesuffix(".expected.json"))
def test_answers_are_the_same(both: tuple[Libraries, Libraries], catalog: Catalog, path: Path) -> None:
    expected = orjson.loads(path.read_bytes())
    now, first_dose = datetime.fromisoformat(expected["now"]), date.fromisoformat(expected["firstDose"])
    bundle = orjson.loads(path.with_name(path.name.replace(".expected.json", ".json")).read_bytes())
    record = PatientRecord.from_bundle(bundle, now=now)
    parameters = {
        "First Dose": Date(first_dose.year, first_dose.month, first_dose.day),
        "Period": Interval(Date(2026, 1, 1), Date(2026, 12, 31), True, True),
    }
    whole, bare = (Evaluation(libraries, record, catalog.value_sets, now, parameters) for libraries in both)
    differences = {}
    for library in both[0]:
        for name in library.definitions:
            first, second = answer(whole, library.id, name), answer(bare, library.id, name)
            if first != second:
                differences[f"{library.id}.{name}"] = (first, second)
    assert not differences


def test_a_type_that_cannot_be_told_is_named_when_evidence_is_looked_for() -> None:
    unknown = {"name": "Fact", "expression": {"type": "Total"}}
    step = {"type": "Aggregate", "source": {"type": "List"}, "iteration": unknown["expression"]}
    criterion = {"name": "Criterion", "expression": {"type": "ExpressionRef", "name": "Fact"}}
    made = {"identifier": {"id": "Made"}, "statements": {"def": [{**unknown, "expression": step}, criterion]}}
    libraries = loaded([made])
    with pytest.raises(ContentError, match=r"Made\.Fact.*type .*cannot be told"):
        nearest_facts([libraries["Made"].definitions["Criterion"]])


def answer(evaluation: Evaluation, library: str, name: str) -> object:
    """The value; of a failure what it says, for its place is left out with the locators."""
    try:
        return evaluation.evaluate(library, name)
    except EvaluationError as error:
        return ("error", error.message)
