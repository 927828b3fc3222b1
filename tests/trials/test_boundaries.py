"""Both sides of every window and every numeric bound of the trials, as `boundaries.json` lists them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.fhir.record import PatientRecord
from cds.trials.apply import REST_IS_FOR_A_PERSON, judge_set, match
from cds.trials.catalog import Catalog
from cds.trials.eligibility import CriterionResult

TABLE = orjson.loads((Path(__file__).parent / "boundaries.json").read_bytes())
ROWS = [(bound, row) for bound in TABLE["bounds"] for row in bound["rows"]]
NOW, FIRST_DOSE = "2026-11-20T12:00:00Z", "2026-11-20"


def filled(template: Any, places: dict[str, Any]) -> Any:
    """A fact with what stands in its places (``$day``)."""
    if isinstance(template, dict):
        return {key: filled(value, places) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, places) for value in template]
    return places[template[1:]] if isinstance(template, str) and template.startswith("$") else template


def chart(row: dict[str, Any], diseases: list[str]) -> list[dict[str, Any]]:
    """The patient of a row: born in 1979, with the trial's disease, and what the row puts on record."""
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": row.get("birth", "1979-03-08")}
    facts = [*([name] for name in diseases), *row["with"]]
    resources = [
        {"id": name.replace(" ", "-"), **filled(TABLE["facts"][name], places[0] if places else {})}
        for name, *places in facts
    ]
    return [patient, *resources]


DISEASES = {
    "cadonilimab-anlotinib-cervical": ["cervical cancer"],
    "cadonilimab-cervical-locally-advanced": ["cervical cancer"],
    "cadonilimab-es-sclc": ["extensive-stage small cell lung cancer"],
    "cadonilimab-lenvatinib-hcc": ["hepatocellular carcinoma"],
}


def judged(catalog: Catalog, bound: dict[str, Any], row: dict[str, Any]) -> CriterionResult:
    """The result of the bound's criterion for the patient of a row."""
    now = datetime.fromisoformat(row.get("now", NOW))
    trial = bound["trial"]
    record = PatientRecord.from_resources(chart(row, bound.get("diseases", DISEASES[trial])), now=now)
    if "set" in bound:
        results = judge_set(catalog, record, bound["set"], now=now, trials=[trial]).trials[0].criteria
    else:
        first_dose = date.fromisoformat(row.get("firstDose", FIRST_DOSE))
        results = match(catalog, record, now=now, first_dose=first_dose, trials=[trial]).trials[0].criteria
    return next(result for result in results if result.criterion.id == bound["criterion"])


@pytest.mark.parametrize(
    ("bound", "row"), ROWS, ids=lambda part: part.get("case") or f"{part['criterion']} {part['bound']}"
)
def test_boundary(catalog: Catalog, bound: dict[str, Any], row: dict[str, Any]) -> None:
    result = judged(catalog, bound, row)
    told = {"outcome": result.outcome.value, "clearsOn": str(result.clears_on) if result.clears_on else None}
    wanted = {"outcome": row["outcome"], "clearsOn": row.get("clearsOn", told["clearsOn"])}
    if "rest" in row:
        told["rest"] = result.reason == REST_IS_FOR_A_PERSON
        wanted["rest"] = row["rest"]
    assert told == wanted, result.reason


def test_each_bound_is_seen_from_both_sides() -> None:
    one_sided = [
        f"{bound['criterion']} {bound['bound']}"
        for bound in TABLE["bounds"]
        if len({(row["outcome"], row.get("rest")) for row in bound["rows"]}) < 2
    ]
    assert not one_sided


def test_every_window_is_in_the_table(catalog: Catalog) -> None:
    """A criterion whose outcome depends on the first dose has its bounds in the table."""
    listed = {(bound["trial"], bound["criterion"]) for bound in TABLE["bounds"]}
    missing = {
        (trial.id, criterion.id)
        for trial in catalog
        for criterion in trial.criteria
        if criterion.id in trial.dated and (trial.id, criterion.id) not in listed
    }
    assert not missing


def test_every_fact_is_used() -> None:
    used = {name for _, row in ROWS for name, *_ in row["with"]}.union(*DISEASES.values())
    used.update(*(bound.get("diseases", ()) for bound in TABLE["bounds"]))
    assert used == set(TABLE["facts"])
