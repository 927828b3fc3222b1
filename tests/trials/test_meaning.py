"""The table of meanings: what a value says under each missing-data policy, played through a trial made for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.fhir.record import PatientRecord
from cds.trials.apply import apply, evaluate_record, match
from cds.trials.catalog import Catalog
from cds.trials.eligibility import Eligibility, as_json

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CASES = Path(__file__).parents[2] / "plandefinitions" / "cadonilimab-cervical-locally-advanced" / "cases"

DISEASE = {
    "resourceType": "Condition",
    "id": "disease",
    "verificationStatus": {"coding": [{"code": "confirmed"}]},
    "code": {"coding": [{"system": "https://trial-match.example/fhir/CodeSystem/demo", "code": "disease"}]},
}
ALLERGY = {"resourceType": "AllergyIntolerance", "id": "exempt"}


def finding(value: bool | None) -> dict[str, Any]:
    """An Observation that answers true or false, or without a value."""
    observation = {"resourceType": "Observation", "id": "finding", "status": "final", "code": {"text": "Demo"}}
    return observation if value is None else {**observation, "valueBoolean": value}


@pytest.fixture(scope="module")
def demo() -> Catalog:
    return Catalog.load(Path(__file__).parent / "data" / "meaning")


def answer(demo: Catalog, *resources: dict[str, Any], searched: set[str] | None = None, **patient: Any) -> Eligibility:
    bundle = [{"resourceType": "Patient", "id": "p", **patient}, *resources]
    record = PatientRecord.from_resources(bundle, now=NOW, searched=searched)
    (eligibility,) = match(demo, record, now=NOW).trials
    return eligibility


# What each criterion says when its answer is true, false, null with a finding, null without one.
TABLE = {
    "D1": ("met verified", "met verified", "met verified", "met verified"),
    "open": ("met verified", "not-met verified", "unknown none", "unknown none"),
    "closed": ("met presumed", "not-met verified", "unknown none", "met presumed"),
    "closed-verified": ("met presumed", "not-met verified", "unknown none", "met presumed"),
    "mixed": ("unknown none", "not-met verified", "unknown none", "unknown none"),
    "attested": ("unknown none", "not-met verified", "unknown none", "unknown none"),
    "conditional": ("met verified", "not-applicable verified", "unknown none", "unknown none"),
    "failing": ("unknown none",) * 4,
    "not-open": ("not-met verified", "met verified", "unknown none", "unknown none"),
    "not-closed": ("not-met verified", "met presumed", "unknown none", "met presumed"),
    "not-mixed": ("not-met verified", "unknown none", "unknown none", "unknown none"),
    "window": ("met presumed",) * 4,
}
CHARTS: tuple[tuple[dict[str, Any], ...], ...] = ((finding(True),), (finding(False),), (finding(None),), ())


@pytest.mark.parametrize("column", range(4), ids=["true", "false", "null-with-evidence", "null"])
def test_table(demo: Catalog, column: int) -> None:
    eligibility = answer(demo, DISEASE, *CHARTS[column])
    got = {result.criterion.id: f"{result.outcome} {result.basis}" for result in eligibility.criteria}
    assert got == {criterion: row[column] for criterion, row in TABLE.items()}


def result(eligibility: Eligibility, criterion: str) -> Any:
    return next(result for result in eligibility.criteria if result.criterion.id == criterion)


def test_an_exempting_fact_turns_presumed_into_verified(demo: Catalog) -> None:
    verified = result(answer(demo, DISEASE, ALLERGY), "closed-verified")
    assert (verified.outcome, verified.basis) == ("met", "verified")
    assert [item.reference for item in verified.evidence] == ["AllergyIntolerance/exempt"]


def test_evidence_is_what_the_nearest_facts_hold(demo: Catalog) -> None:
    eligibility = answer(demo, DISEASE, finding(True))
    assert [item.reference for item in result(eligibility, "open").evidence] == ["Observation/finding"]
    assert [item.reference for item in result(eligibility, "D1").evidence] == ["Condition/disease"]


def test_missing_is_what_an_open_answer_rests_on_and_the_record_does_not_hold(demo: Catalog) -> None:
    (missing,) = result(answer(demo, DISEASE), "open").missing
    assert (missing.type, missing.title) == ("Observation", "no demo finding on record")


def test_a_definition_that_fails_is_unknown_with_its_reason_and_its_place(demo: Catalog) -> None:
    assert "Demo.Fails" in result(answer(demo, DISEASE), "failing").reason


def test_what_was_not_searched_is_unknown_and_named(demo: Catalog) -> None:
    eligibility = answer(demo, DISEASE, finding(True), searched={"Condition"})
    unread = result(eligibility, "closed")
    assert (unread.outcome, unread.basis, unread.reason) == ("unknown", "none", "Observation could not be read")
    assert "Observation" in eligibility.unread


@pytest.mark.parametrize(
    ("status", "resources", "patient"),
    [
        ("not-applicable", [], {}),
        ("not-applicable", [{**DISEASE, "verificationStatus": {"coding": [{"code": "differential"}]}}], {}),
        ("potentially-eligible", [{**DISEASE, "verificationStatus": {"coding": [{"code": "provisional"}]}}], {}),
        ("potentially-eligible", [DISEASE], {}),
        ("ineligible", [DISEASE, finding(True)], {}),
        ("ineligible", [DISEASE], {"deceasedBoolean": True}),
        ("not-applicable", [], {"deceasedBoolean": True}),
    ],
    ids=["no-disease", "another", "open", "open-criteria", "excluded", "dead", "dead-without-disease"],
)
def test_status(demo: Catalog, status: str, resources: list[dict[str, Any]], patient: dict[str, Any]) -> None:
    assert answer(demo, *resources, **patient).status == status


@pytest.mark.parametrize(
    ("status", "incomplete"), [("eligible", False), ("potentially-eligible", True)], ids=["complete", "thin-record"]
)
def test_all_met_is_eligible_unless_the_record_of_the_trial_is_incomplete(
    demo: Catalog, status: str, incomplete: bool
) -> None:
    trial = demo.trials["demo"]
    decided = tuple(criterion for criterion in trial.criteria if criterion.id in ("D1", "open", "closed", "window"))
    trial = replace(trial, criteria=decided, record_incomplete=incomplete)
    record = PatientRecord.from_resources([{"resourceType": "Patient", "id": "p"}, DISEASE, finding(True)], now=NOW)
    eligibility = apply(
        trial, record, lambda day: evaluate_record(demo, record, now=NOW, first_dose=day), first_dose=NOW.date()
    )
    assert (eligibility.status, eligibility.eligible_from) == (status, NOW.date())


def test_a_disease_that_could_not_be_read_never_passes_a_trial_over(demo: Catalog) -> None:
    assert answer(demo, searched={"Observation"}).status == "potentially-eligible"


def procedure(day: str) -> dict[str, Any]:
    return {"resourceType": "Procedure", "id": "operation", "status": "completed", "performedDateTime": day}


def test_a_window_clears_on_the_first_day_outside_its_closed_bound(demo: Catalog) -> None:
    """An operation on 5 November is within 4 weeks of 3 December, and no longer of the 4th."""
    eligibility = answer(demo, DISEASE, procedure("2026-11-05"))
    assert result(eligibility, "window").clears_on == date(2026, 12, 4)
    assert (eligibility.status, eligibility.eligible_from) == ("ineligible", date(2026, 12, 4))


def test_what_is_no_window_has_no_day_on_which_it_clears(demo: Catalog) -> None:
    eligibility = answer(demo, DISEASE, procedure("2026-11-05"), finding(True))
    assert result(eligibility, "not-closed").clears_on is None
    assert eligibility.eligible_from is None


def test_nobody_dead_has_a_day_to_start(demo: Catalog) -> None:
    assert answer(demo, DISEASE, procedure("2026-11-05"), deceasedBoolean=True).eligible_from is None


def test_json_of_a_match(demo: Catalog) -> None:
    record = PatientRecord.from_resources([{"resourceType": "Patient", "id": "p"}, DISEASE], now=NOW)
    body = as_json(match(demo, record, now=NOW))
    assert {key: body[key] for key in ("patient", "evaluatedAt", "firstDose")} == {
        "patient": "Patient/p",
        "evaluatedAt": "2026-11-20T12:00:00Z",
        "firstDose": "2026-11-20",
    }
    (trial,) = body["trials"]
    counts = trial["counts"]
    assert counts["met"] + counts["notMet"] + counts["unknown"] + counts["notApplicable"] == len(trial["criteria"])
    assert trial["eligibleFrom"] == "2026-11-20"
    assert trial["criteria"][0] == {
        "id": "D1",
        "kind": "inclusion",
        "number": "D1",
        "title": "D1",
        "text": "Text of D1",
        "assessment": "computable",
        "outcome": "met",
        "basis": "verified",
        "evidence": ["Condition/disease"],
        "missing": [],
        "clearsOn": None,
        "reason": None,
    }


def test_a_criterion_that_runs_away_is_unknown_and_its_neighbours_answer(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = orjson.loads((CASES / "I13-ecog-0-as-integer.json").read_bytes())
    record = PatientRecord.from_bundle(bundle, now=NOW)
    free = {c.criterion.id: c for trial in match(catalog, record, now=NOW).trials for c in trial.criteria}
    monkeypatch.setattr("cds.trials.apply._DEFINITION_BUDGET", 4)
    bound = {c.criterion.id: c for trial in match(catalog, record, now=NOW).trials for c in trial.criteria}
    failed = {name for name, result in bound.items() if result.failed}
    assert failed
    assert all("more steps than its budget" in str(bound[name].reason) for name in failed)
    answered = [name for name in free if name in bound and name not in failed]
    assert answered
    assert [bound[name].outcome for name in answered] == [free[name].outcome for name in answered]


def test_a_disease_criterion_that_fails_passes_no_trial_over(demo: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(demo).status.value == "not-applicable"
    monkeypatch.setattr("cds.trials.apply._DEFINITION_BUDGET", -1)
    failed = answer(demo, DISEASE)
    assert failed.status.value == "potentially-eligible"
    (disease,) = (result for result in failed.criteria if result.criterion.id == "D1")
    assert disease.failed
    assert "could not be evaluated" in str(disease.reason)
