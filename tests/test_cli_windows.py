"""`cds match` and the days on which things change; and criteria that are never asked at entry."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds.cli import main

ROOT = Path(__file__).resolve().parent.parent
CERVICAL = "cadonilimab-cervical-locally-advanced"
LIVER = "cadonilimab-lenvatinib-hcc"
NOW = "2026-11-20T12:00:00Z"

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1979-03-08"}
CANCER = {
    "resourceType": "Condition",
    "id": "cancer",
    "clinicalStatus": {"coding": [{"code": "active"}]},
    "verificationStatus": {"coding": [{"code": "confirmed"}]},
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "285432005"}]},
    "subject": {"reference": "Patient/p"},
}


def vaccine(day: str) -> dict[str, Any]:
    """A measles, mumps and rubella vaccine (live)."""
    return {
        "resourceType": "Immunization",
        "id": f"mmr-{day}",
        "status": "completed",
        "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "03"}]},
        "patient": {"reference": "Patient/p"},
        "occurrenceDateTime": day,
    }


def transfusion(day: str) -> dict[str, Any]:
    """A transfusion of platelets."""
    return {
        "resourceType": "Procedure",
        "id": f"platelets-{day}",
        "status": "completed",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "12719002"}]},
        "subject": {"reference": "Patient/p"},
        "performedDateTime": day,
    }


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["match", *map(str, arguments), "--now", NOW])


@pytest.fixture
def chart(tmp_path: Path) -> Any:
    """Writes a patient with cervical cancer and what else is given; gives the file."""

    def write(*resources: dict[str, Any]) -> Path:
        path = tmp_path / "chart.json"
        entries = [{"resource": resource} for resource in (PATIENT, CANCER, *resources)]
        path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
        return path

    return write


def answer(path: Path, *options: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The trial for cervical cancer, and its criteria by id."""
    result = run(path, "--trial", CERVICAL, "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    (trial,) = json.loads(result.stdout)["trials"]
    return trial, {criterion["id"]: criterion for criterion in trial["criteria"]}


def test_a_live_vaccine_puts_the_first_dose_off(chart: Any) -> None:
    path = chart(vaccine("2026-11-02"))
    trial, criteria = answer(path)
    assert (trial["status"], trial["eligibleFrom"]) == ("ineligible", "2026-12-03")
    assert (criteria["E9"]["outcome"], criteria["E9"]["clearsOn"]) == ("not-met", "2026-12-03")
    assert "could start from 3 Dec 2026 (live vaccine)" in run(path, "--trial", CERVICAL).stdout


@pytest.mark.parametrize(("first_dose", "outcome"), [("2026-12-02", "not-met"), ("2026-12-03", "met")])
def test_a_later_first_dose_is_planned(chart: Any, first_dose: str, outcome: str) -> None:
    trial, criteria = answer(chart(vaccine("2026-11-02")), "--first-dose", first_dose)
    assert criteria["E9"]["outcome"] == outcome
    assert trial["eligibleFrom"] == "2026-12-03"
    assert trial["status"] == ("ineligible" if outcome == "not-met" else "potentially-eligible")


def test_the_last_of_several_windows_decides(chart: Any) -> None:
    path = chart(vaccine("2026-11-02"), transfusion("2026-11-15"))
    trial, criteria = answer(path)
    assert [criteria[one]["clearsOn"] for one in ("E9", "E11")] == ["2026-12-03", "2026-12-14"]
    assert trial["eligibleFrom"] == "2026-12-14"
    assert "could start from 14 Dec 2026 (platelet or red cell transfusion, live vaccine)" in run(
        path, "--trial", CERVICAL
    ).stdout.replace("\n", " ")


def test_a_partial_date_clears_when_its_last_day_does(chart: Any) -> None:
    """Some day of October: within 28 days of 20 November is open; behind 28 November it is not."""
    trial, criteria = answer(chart(transfusion("2026-10")))
    assert (criteria["E11"]["outcome"], criteria["E11"]["clearsOn"]) == ("unknown", "2026-11-29")
    assert (trial["status"], trial["eligibleFrom"]) == ("potentially-eligible", "2026-11-20")


def test_a_window_that_clears_after_the_75th_birthday_brings_no_day(chart: Any, tmp_path: Path) -> None:
    path = chart(transfusion("2026-11-15"))
    path.write_text(path.read_text().replace("1979-03-08", "1951-12-10"))
    trial, criteria = answer(path)
    assert (criteria["I2"]["outcome"], criteria["E11"]["clearsOn"]) == ("met", "2026-12-14")
    assert (trial["status"], trial["eligibleFrom"]) == ("ineligible", None)
    path.write_text(path.read_text().replace("1951-12-10", "1951-12-15"))
    assert answer(path)[0]["eligibleFrom"] == "2026-12-14"


def test_who_is_too_young_may_start_on_her_birthday(chart: Any) -> None:
    path = chart()
    path.write_text(path.read_text().replace("1979-03-08", "2008-12-01"))
    trial, criteria = answer(path)
    assert (criteria["I2"]["outcome"], criteria["I2"]["clearsOn"]) == ("not-met", "2026-12-01")
    assert trial["eligibleFrom"] == "2026-12-01"


def test_a_cancer_of_this_day_clears_behind_five_years(chart: Any) -> None:
    """The window is five years, closed; the trial's own day is sought no farther than five years ahead."""
    other = {
        **CANCER,
        "id": "lung",
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C34.11"}]},
        "onsetDateTime": "2026-11-20",
    }
    trial, criteria = answer(chart(other))
    assert (criteria["E6"]["outcome"], criteria["E6"]["clearsOn"]) == ("not-met", "2031-11-21")
    assert trial["eligibleFrom"] is None
    trial, _ = answer(chart({**other, "onsetDateTime": "2026-11-19"}))
    assert trial["eligibleFrom"] == "2031-11-20"


def test_a_positive_pregnancy_test_that_grows_old_brings_no_day(chart: Any) -> None:
    test = {
        "resourceType": "Observation",
        "id": "hcg",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2118-8"}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2026-11-19",
        "valueString": "Positive",
    }
    trial, criteria = answer(chart(test))
    assert (criteria["I10"]["outcome"], criteria["I10"]["clearsOn"]) == ("not-met", None)
    assert (trial["status"], trial["eligibleFrom"]) == ("ineligible", None)


def test_every_day_up_to_the_first_possible_one_is_closed(chart: Any) -> None:
    """What `eligibleFrom` says is what `--first-dose` shows, day by day."""
    path = chart(vaccine("2026-11-10"), transfusion("2026-11-18"))
    trial, _ = answer(path)
    possible = date.fromisoformat(trial["eligibleFrom"])
    for ahead, status in ((-3, "ineligible"), (-1, "ineligible"), (0, "potentially-eligible")):
        day = (possible + timedelta(days=ahead)).isoformat()
        assert answer(path, "--first-dose", day)[0]["status"] == status


CASES = ROOT / "plandefinitions" / LIVER / "cases"


def conversion(path: Path, *options: str) -> Any:
    result = run(path, "--criteria", "conversion", "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_criteria_of_a_conversion_are_asked_by_name() -> None:
    answer = conversion(CASES / "conversion-ecog-1-integer.json")
    assert (answer["patient"], answer["evaluatedAt"], answer["criteriaSet"]) == ("Patient/hcc", NOW, "conversion")
    (trial,) = answer["trials"]
    assert trial["trial"] == LIVER
    assert [(one["id"], one["kind"]) for one in trial["criteria"]] == [(f"CV{n}", "outcome") for n in range(1, 6)]
    assert (trial["criteria"][1]["outcome"], trial["criteria"][1]["basis"]) == ("met", "verified")
    assert trial["criteria"][1]["evidence"]
    assert trial["counts"] == {"met": 1, "notMet": 0, "unknown": 4, "notApplicable": 0, "presumed": 0}


def test_a_conversion_is_judged_as_of_now_whenever_the_first_dose_was() -> None:
    path = CASES / "conversion-ecog-1-integer.json"
    assert conversion(path) == conversion(path, "--first-dose", "2026-01-05")


def test_a_conversion_of_a_tumour_that_the_trial_does_not_concern_is_none() -> None:
    (trial,) = conversion(CASES / "conversion-ecog-1-integer.json")["trials"]
    assert trial["outcome"] == "not-applicable"
    (trial,) = conversion(CASES / "stage-resection-and-consent-are-shown-and-decide-nothing.json")["trials"]
    assert trial["outcome"] == "unknown"


def test_one_criterion_that_fails_is_no_conversion(tmp_path: Path) -> None:
    bundle = json.loads((CASES / "hepatocellular-carcinoma-icd-10-cm.json").read_bytes())
    failing = json.loads((CASES / "conversion-child-pugh-7-recorded.json").read_bytes())
    bundle["entry"] += [one for one in failing["entry"] if one["resource"]["resourceType"] != "Patient"]
    path = tmp_path / "chart.json"
    path.write_text(json.dumps(bundle))
    (trial,) = conversion(path)["trials"]
    assert (trial["criteria"][0]["outcome"], trial["outcome"]) == ("not-met", "not-met")
    (entry,) = json.loads(run(path, "--trial", LIVER, "--format", "json").stdout)["trials"]
    assert [one["id"] for one in entry["criteria"]] == ["C1", "C2", "C3", "C4"]
    assert entry["status"] == "potentially-eligible"


def test_trials_without_the_set_are_left_out_and_a_wrong_name_is_refused() -> None:
    path = CASES / "conversion-ecog-1-integer.json"
    assert conversion(path, "--trial", CERVICAL)["trials"] == []
    result = run(path, "--criteria", "remission")
    assert result.exit_code == 2
    assert "no set of criteria remission; there are: conversion" in result.stderr


def test_a_person_reads_a_conversion_as_a_table() -> None:
    told = run(CASES / "conversion-child-pugh-7-recorded.json", "--criteria", "conversion").stdout
    assert "CV1" in told and "conversion: not-applicable" in told
