"""Traces: the traced value is the plain one; each step has its text, value and parts; what decided is found."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from small_world import DATA, Patient, compiled, define, elm, evaluation, library, literal

from cds.elm import Evaluation, Libraries
from cds.elm.deciding import deciding, decisive, leaves, resources
from cds.elm.source_text import SourceText
from cds.elm.trace import Row, Rows, State, Step, TracedEvaluation, traced
from cds.errors import CdsError, EvaluationError
from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = sorted((ROOT / "plandefinitions").glob("*/cases/*.expected.json"))
OPERATORS = orjson.loads((DATA.parent / "operators" / "Operators.elm.json").read_bytes())

ANN: dict[str, Any] = {"resourceType": "Patient", "id": "ann", "gender": "female", "birthDate": "1965-04-30"}
LOW: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "low",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
    "effectiveDateTime": "2026-10-02T08:00:00Z",
    "valueQuantity": {"value": 8.1, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
}


def outcome(running: Evaluation, library: str, name: str) -> Any:
    """The value of a definition, or how it failed."""
    try:
        return running.evaluate(library, name)
    except EvaluationError as error:
        return "failed", str(error)


def trace(libraries: Libraries, library: str, name: str, patient: Patient | None = None) -> Step:
    """The trace of one definition."""
    return TracedEvaluation.like(evaluation(libraries, patient), traced(libraries)).trace(library, name)


def body(step: Step) -> Step:
    """The expression of a definition."""
    (found,) = step.children
    return found


def inline(expression: dict[str, Any], *others: dict[str, Any]) -> Step:
    """The trace of an expression written by hand."""
    return body(trace(compiled(library(define("It", expression), *others)), "Made", "It"))


# ---------------------------------------------------------------- the traced value is the plain one


@pytest.mark.parametrize(
    "elms", [[elm("Logic")], [elm("Queries")], [elm("Trial"), elm("Shared")], [OPERATORS]], ids=len
)
def test_every_definition_has_its_plain_value(elms: list[Any]) -> None:
    libraries = compiled(*elms)
    for patient in (Patient(), Patient(ANN, LOW)):
        plain = evaluation(libraries, patient)
        tracing = TracedEvaluation.like(plain, traced(libraries))
        for found in libraries:
            for name in found.definitions:
                assert outcome(tracing, found.id, name) == outcome(plain, found.id, name), name


@pytest.mark.parametrize("path", CASES[::40], ids=lambda path: path.name)
def test_trials_have_their_plain_values(path: Path, catalog: Catalog, traced_trials: Libraries) -> None:
    expected = orjson.loads(path.read_bytes())
    bundle = orjson.loads(path.with_name(path.name.replace(".expected", "")).read_bytes())
    now, first_dose = datetime.fromisoformat(expected["now"]), date.fromisoformat(expected["firstDose"])
    record = PatientRecord.from_bundle(bundle, now=now)
    plain = evaluate_record(catalog, record, now=now, first_dose=first_dose)
    tracing = TracedEvaluation.like(plain, traced_trials)
    for found in catalog.libraries:
        for name in found.definitions:
            assert outcome(tracing, found.id, name) == outcome(plain, found.id, name), name


@pytest.fixture(scope="module")
def traced_trials(catalog: Catalog) -> Libraries:
    return traced(catalog.libraries)


def test_without_a_trace_nothing_of_it_is_loaded_and_the_closures_are_the_plain_ones() -> None:
    """Free when off: the service imports no tracing module, and tracing some libraries leaves theirs as they were."""
    program = "import sys, cds.app, cds.trials.catalog; print([m for m in sys.modules if m.startswith('cds.elm.')])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not re.search(r"cds\.elm\.(trace|recording|deciding|source_text)", loaded.stdout)
    libraries = compiled(elm("Logic"))
    before = {name: found.run for name, found in libraries["Logic"].definitions.items()}
    traced(libraries)
    assert before == {name: found.run for name, found in libraries["Logic"].definitions.items()}
    assert not any("recording" in run.__module__ for run in before.values())


def test_some_libraries_are_traced_with_what_they_include() -> None:
    libraries = compiled(elm("Trial"), elm("Shared"), elm("Logic"))
    assert sorted(found.id for found in traced(libraries, [libraries["Trial"]])) == ["Shared", "Trial"]


# ---------------------------------------------------------------- text and place


def test_every_step_that_is_no_conversion_has_its_text() -> None:
    libraries = compiled(elm("Trial"), elm("Shared"))
    step = trace(libraries, "Trial", "I1", Patient(ANN))
    assert (step.source, step.kind, body(step).source) == (
        '"I1"',
        "ExpressionDef",
        '"Hemoglobin high enough" and "Is female"',
    )
    first, second = body(step).children
    assert (first.source, first.locator) == ('"Hemoglobin high enough"', "24:14-24:37")
    assert first.name == 'Trial."Hemoglobin high enough"'
    assert first.origin is not None
    assert body(first.origin).source == "\"Hemoglobin value\" >= 9 'g/dL'"
    assert second.origin is not None
    (left, right) = body(second.origin).children
    assert (left.source, left.implicit, left.kind) == (None, True, "FunctionRef")
    assert (right.source, right.state, right.value) == ("'female'", State.CONSTANT, "female")


def test_texts_are_those_at_the_locators() -> None:
    """The narrative and the locator of a node agree, for every node of a library."""
    content = elm("Queries")["library"]
    by_note = SourceText(content)
    lines = SourceText({**content, "statements": {}}, (DATA / "Queries.cql").read_text(encoding="utf-8"))
    compared = 0
    for item in content["statements"]["def"]:
        expression = item.get("expression", {})
        if item.get("type") != "FunctionDef" and expression.get("locator"):
            assert lines.of(expression) == by_note.of(expression)
            compared += 1
    assert compared > 20


def test_without_annotations_the_cql_serves_and_without_it_the_kind() -> None:
    content = elm("Logic")
    for section in ("statements", "parameters"):
        for item in content["library"][section]["def"]:
            item.pop("annotation", None)
    libraries = compiled(content)
    running = TracedEvaluation(traced(libraries), Patient(), Patient(), datetime(2026, 11, 20))
    step = body(running.trace("Logic", "Twice seven"))
    assert (step.source, step.implicit, step.kind) == (None, False, "TruncatedDivide")
    cql = {"Logic": (DATA / "Logic.cql").read_text(encoding="utf-8")}
    running = TracedEvaluation(traced(libraries), Patient(), Patient(), datetime(2026, 11, 20), cql=cql)
    assert body(running.trace("Logic", "Twice seven")).source == '"Twice"("Twice"(7)) div 2'


@pytest.mark.parametrize("locator", [None, "", "x", "3", "900:1-901:2", "1:1-0:4"])
def test_an_odd_locator_has_no_text(locator: str | None) -> None:
    assert SourceText({}, "define A: 1\n").of({"locator": locator}) is None


# ---------------------------------------------------------------- steps


def test_what_was_not_needed_is_not_evaluated() -> None:
    step = body(trace(compiled(elm("Logic")), "Logic", "False and error"))
    assert [child.state for child in step.children] == [State.CONSTANT, State.SKIPPED]
    step = body(trace(compiled(elm("Logic")), "Logic", "Case when"))
    assert [child.field for child in step.children] == ["caseItem.when", "caseItem.then"] * 2 + ["else"]
    assert step.children[-1].state is State.SKIPPED


def test_what_was_folded_keeps_its_parts() -> None:
    step = body(trace(compiled(elm("Logic")), "Logic", "Null or false"))
    assert step.value is None
    assert [child.value for child in step.children] == [None, False]


def test_what_fails_is_a_step_that_failed_down_to_its_cause() -> None:
    step = trace(compiled(elm("Logic")), "Logic", "Fails through a reference")
    assert (step.state, step.error) == (State.FAILED, "Logic.Fails @ 6:17-6:71: E1: the logic says no")
    ((*_, last),) = deciding(step)
    assert isinstance(last, Step)
    assert (last.kind, last.state) == ("Message", State.FAILED)


def test_a_foreign_failure_is_not_quoted() -> None:
    class Broken(Patient):
        def retrieve(self, *_: Any) -> Any:
            raise ValueError("Ann Poe, born 1965")

    step = trace(compiled(elm("Trial"), elm("Shared")), "Trial", "Cancers", Broken())
    assert step.state is State.FAILED
    assert "Ann" not in str(step.error) + str([part.error for path in deciding(step) for part in path])  # type: ignore[union-attr]


def test_a_definition_is_traced_once_and_shared() -> None:
    step = inline(
        {"type": "Or", "operand": [reference("Other"), reference("Other")]},
        define("Other", {"type": "IsNull", "operand": {"type": "Now"}}),
    )
    first, second = step.children
    assert first.origin is second.origin is not None


def reference(name: str) -> dict[str, Any]:
    return {"type": "ExpressionRef", "name": name}


def test_a_function_shows_its_operands_and_its_body() -> None:
    step = body(trace(compiled(elm("Logic")), "Logic", "Twice seven")).children[0]
    inner, made = step.children
    assert (step.value, inner.value, made.value) == (28, 14, 28)
    assert [(child.kind, child.value, child.origin) for child in made.children] == [("OperandRef", 14, inner)] * 2


def test_a_let_leads_to_where_it_was_computed() -> None:
    step = body(trace(compiled(elm("Queries")), "Queries", "Let"))
    assert step.rows is not None
    row = step.rows.shown[0]
    where, result = row.steps
    assert (where.field, result.field, result.value) == ("where", "return.expression", 7)
    let = where.children[0]
    assert let.origin is result.origin is not None
    assert let.origin.value == 7


def test_an_element_of_a_tuple_leads_to_where_it_was_computed() -> None:
    step = body(trace(compiled(elm("Logic")), "Logic", "Name of person"))
    assert step.kind == "Property"
    assert step.origin is not None
    assert (step.origin.source, step.origin.value) == ("'Ann'", "Ann")


# ---------------------------------------------------------------- rows of queries


def rows(name: str) -> Rows:
    found = body(trace(compiled(elm("Queries")), "Queries", name)).rows
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "total", "kept", "rejected", "unknown"),
    [
        ("Where keeps true alone", 4, 1, 2, 1),
        ("Return all", 4, 4, 0, 0),
        ("Two sources", 8, 2, 6, 0),
        ("Null source", 0, 0, 0, 0),
        ("Single source", 1, 1, 0, 0),
        ("Single source left out", 1, 0, 1, 0),
        ("With", 4, 2, 2, 0),
        ("Without", 4, 2, 2, 0),
        ("Sum", 4, 4, 0, 0),
        ("Exists stops", 2, 1, 0, 0),
        ("Exists none", 4, 0, 4, 0),
    ],
)
def test_rows_are_counted(name: str, total: int, kept: int, rejected: int, unknown: int) -> None:
    found = rows(name)
    assert (found.total, found.kept, found.rejected, found.unknown) == (total, kept, rejected, unknown)


def test_a_row_has_its_items_and_what_was_asked_of_it() -> None:
    kept, left_out, open_row, _ = rows("Where keeps true alone").shown
    assert [row.kept for row in (kept, left_out, open_row)] == [True, False, None]
    ((alias, item),) = open_row.items
    assert (alias, item["name"]) == ("P", "Cid")
    (where,) = open_row.steps
    assert (where.field, where.value) == ("where", None)


def test_of_many_rows_some_of_each_kind_are_held() -> None:
    """The one row that is kept is not lost among the many that are left out."""
    numbers = {"type": "List", "element": [literal(number) for number in range(200)]}
    alias = {"type": "AliasRef", "name": "N"}
    query = {
        "type": "Query",
        "source": [{"alias": "N", "expression": numbers}],
        "relationship": [],
        "where": {"type": "Equal", "operand": [alias, literal(150)]},
    }
    found = inline(query).rows
    assert found is not None
    assert (found.total, found.kept, found.rejected) == (200, 1, 199)
    assert len(found.shown) < 10
    assert [row.items for row in found.shown if row.kept] == [(("N", 150),)]


# ---------------------------------------------------------------- what decided


def truth(value: bool | None) -> dict[str, Any]:
    """An expression with a truth value that is not known at load."""
    nothing = {"type": "ParameterRef", "name": "Nothing"}
    if value is None:
        return {"type": "Not", "operand": nothing}
    known = {"type": "IsNull", "operand": nothing}
    return known if value else {"type": "Not", "operand": known}


def logic(expression: dict[str, Any]) -> Step:
    parameter = {"def": [{"name": "Nothing", "accessLevel": "Public", "parameterTypeSpecifier": None}]}
    libraries = compiled(library(define("It", expression), parameters=parameter))
    return body(trace(libraries, "Made", "It"))


def decided(step: Step) -> list[int]:
    """The positions of the parts that decided."""
    found = decisive(step)
    return [position for position, child in enumerate(step.children) if any(child is part for part in found)]


BOTH, FIRST, SECOND = [0, 1], [0], [1]


@pytest.mark.parametrize(
    ("first", "second", "conjunction", "disjunction"),
    [
        (True, True, BOTH, FIRST),
        (True, False, SECOND, FIRST),
        (True, None, SECOND, FIRST),
        (False, True, FIRST, SECOND),
        (False, False, FIRST, BOTH),
        (False, None, FIRST, SECOND),
        (None, True, FIRST, SECOND),
        (None, False, SECOND, FIRST),
        (None, None, BOTH, BOTH),
    ],
)
def test_and_or(first: Any, second: Any, conjunction: list[int], disjunction: list[int]) -> None:
    operands = [truth(first), truth(second)]
    assert decided(logic({"type": "And", "operand": operands})) == conjunction
    assert decided(logic({"type": "Or", "operand": operands})) == disjunction


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        (True, True, SECOND),
        (True, False, BOTH),
        (True, None, SECOND),
        (False, True, FIRST),
        (False, None, FIRST),
        (None, True, SECOND),
        (None, False, FIRST),
        (None, None, BOTH),
    ],
)
def test_implies(first: Any, second: Any, parts: list[int]) -> None:
    assert decided(logic({"type": "Implies", "operand": [truth(first), truth(second)]})) == parts


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [(True, True, BOTH), (True, None, SECOND), (None, False, FIRST), (None, None, BOTH), (False, True, BOTH)],
)
def test_xor_and_strict_operators(first: Any, second: Any, parts: list[int]) -> None:
    assert decided(logic({"type": "Xor", "operand": [truth(first), truth(second)]})) == parts
    assert decided(logic({"type": "Equal", "operand": [truth(first), truth(second)]})) == parts


@pytest.mark.parametrize("value", [True, False, None])
def test_not(value: Any) -> None:
    assert decided(logic({"type": "Not", "operand": truth(value)})) == [0]


@pytest.mark.parametrize(
    ("condition", "parts"), [(True, [1]), (False, [2]), (None, [0, 2])], ids=["then", "else", "open"]
)
def test_if_is_decided_by_the_branch_taken_and_by_what_was_open(condition: Any, parts: list[int]) -> None:
    branches = {"then": truth(True), "else": truth(False)}
    assert decided(logic({"type": "If", "condition": truth(condition), **branches})) == parts


def test_a_branch_that_is_a_constant_is_decided_by_its_condition() -> None:
    step = logic({"type": "If", "condition": truth(True), "then": literal(True), "else": literal(False)})
    assert decided(step) == [0]
    case = {"type": "Case", "caseItem": [{"when": truth(False), "then": literal(True)}], "else": {"type": "Null"}}
    assert [part.field for part in decisive(logic(case)) if isinstance(part, Step)] == ["caseItem.when"]


def test_coalesce_is_decided_by_the_first_that_is_known() -> None:
    operands = [truth(None), truth(True), truth(False)]
    assert decided(logic({"type": "Coalesce", "operand": operands})) == [1]
    assert decided(logic({"type": "Coalesce", "operand": [truth(None), truth(None)]})) == [0, 1]


def test_exists_is_false_by_the_empty_source_or_the_rows_left_out() -> None:
    nothing = trace(compiled(elm("Trial"), elm("Shared")), "Trial", "In value set", Patient(ANN))
    assert [path[-1].kind for path in deciding(nothing) if isinstance(path[-1], Step)] == ["Retrieve"]
    other = {**LOW, "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}}
    left_out = trace(compiled(elm("Trial"), elm("Shared")), "Trial", "In value set", Patient(ANN, other))
    assert [[row.kept for row in path if isinstance(row, Row)] for path in deciding(left_out)] == [[False]]
    found = trace(compiled(elm("Trial"), elm("Shared")), "Trial", "In value set", Patient(ANN, LOW))
    assert [[row.kept for row in path if isinstance(row, Row)] for path in deciding(found)] == [[True]]


def test_a_null_is_followed_to_the_retrieve_that_found_nothing() -> None:
    """What an informatician wants to see at once: of `and`, the open operand, and below it the empty source."""
    step = trace(compiled(elm("Trial"), elm("Shared")), "Trial", "I1", Patient(ANN))
    (path,) = leaves(deciding(step))
    sources = [part.source for part in path if isinstance(part, Step) and part.source]
    assert sources[:3] == ['"I1"', '"Hemoglobin high enough" and "Is female"', '"Hemoglobin high enough"']
    assert isinstance(path[-1], Step)
    assert (path[-1].source, path[-1].value) == ('[Observation: "Hemoglobin"]', [])


def test_the_resources_that_decided_are_cited() -> None:
    libraries = compiled(elm("Trial"), elm("Shared"))
    step = trace(libraries, "Trial", "I1", Patient(ANN, LOW))
    assert step.value is False
    assert libraries.model is not None
    found = resources([part for path in deciding(step) for part in path], libraries.model.is_resource_type)
    assert [item.json["id"] for item in found] == ["low"]  # type: ignore[attr-defined]


def test_an_answer_of_a_list_is_followed_to_the_rows_that_gave_it(catalog: Catalog, traced_trials: Libraries) -> None:
    """Of five medications whose answers are joined, the open one is what leaves the criterion open."""
    now = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    statements = [
        {
            "resourceType": "MedicationStatement",
            "id": f"m{number}",
            "status": "unknown" if number == 3 else "completed",
            "subject": {"reference": "Patient/ann"},
            "medicationCodeableConcept": {"text": "nivolumab" if number == 3 else "water"},
            "effectiveDateTime": "2026-01-01",
        }
        for number in range(5)
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in (ANN, *statements)]}
    record = PatientRecord.from_bundle(bundle, now=now)
    plain = evaluate_record(catalog, record, now=now, first_dose=now.date())
    running = TracedEvaluation.like(plain, traced_trials)
    trial = next(trial for trial in catalog if "I9" in trial.logic)
    step = running.trace(trial.logic["I9"].answer.library.id, "I9")
    assert step.value is None
    found = resources([part for path in deciding(step) for part in path], catalog.model.is_resource_type)
    assert [item.json["id"] for item in found] == ["m3"]  # type: ignore[attr-defined]


def test_a_definition_that_is_not_there_is_named() -> None:
    with pytest.raises(CdsError, match="no definition 'Nope'"):
        trace(compiled(elm("Logic")), "Logic", "Nope")
