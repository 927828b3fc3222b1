"""The command `cds match`, as people and scripts call it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds.cli import main

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples" / "patients").glob("*.json.gz"))
CASES = ROOT / "plandefinitions" / "cadonilimab-es-sclc" / "cases"
LUNG = CASES / "platinum-by-name.json"
TRIAL = "cadonilimab-es-sclc"
NOW = "2026-11-20T12:00:00Z"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["match", *map(str, arguments), "--now", NOW])


def answers(*arguments: str | Path) -> Any:
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def by_trial(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trial["trial"]: trial for trial in answer["trials"]}


def test_one_bundle_is_an_object_and_every_trial_stands_in_it() -> None:
    answer = answers(LUNG)
    assert (answer["patient"], answer["evaluatedAt"], answer["firstDose"]) == ("Patient/lung", NOW, "2026-11-20")
    trials = by_trial(answer)
    assert len(trials) == len(list((ROOT / "plandefinitions").glob("*/plan-definition.json")))
    assert answer["trials"][0]["trial"] == TRIAL
    assert trials[TRIAL]["status"] == "potentially-eligible"
    assert [criterion["id"] for criterion in trials[TRIAL]["criteria"]] == ["C1", "C2", "C3", "C3b"]
    assert all(trial["criteria"] == [] for name, trial in trials.items() if name != TRIAL)


def test_evidence_and_reason_of_a_drug_by_name() -> None:
    chemotherapy = by_trial(answers(LUNG))[TRIAL]["criteria"][1]
    assert (chemotherapy["outcome"], chemotherapy["basis"], chemotherapy["reason"]) == ("met", "verified", "by name")
    assert chemotherapy["evidence"] == ["MedicationStatement/medicationstatement-1", "Observation/observation-1"]


def test_all_and_trial_list_the_criteria_of_trials_that_do_not_apply() -> None:
    assert all(trial["criteria"] for trial in answers(LUNG, "--all")["trials"])
    (trial,) = answers(LUNG, "--trial", "cadonilimab-cervical-locally-advanced")["trials"]
    assert (trial["status"], len(trial["criteria"])) == ("not-applicable", 37)
    counts = trial["counts"]
    assert counts["met"] + counts["notMet"] + counts["unknown"] + counts["notApplicable"] == 37


def test_several_bundles_are_an_array_or_a_line_each() -> None:
    assert [answer["patient"] for answer in answers(LUNG, LUNG)] == ["Patient/lung"] * 2
    lines = run(LUNG, *EXAMPLES, "--format", "jsonl").stdout.splitlines()
    assert len([json.loads(line) for line in lines]) == 1 + len(EXAMPLES)


def test_a_patient_who_died_has_no_trial() -> None:
    """Sherman McGlynn had a small cell lung cancer of stage 1, which is not extensive, and died in 2012."""
    (path,) = (path for path in EXAMPLES if path.name.startswith("Sherman"))
    answer = answers(path, "--all")
    assert answer["deceased"] is True
    assert {trial["status"] for trial in answer["trials"]} == {"not-applicable"}
    stage = by_trial(answer)[TRIAL]["criteria"][0]
    assert (stage["id"], stage["outcome"], stage["basis"]) == ("C1", "not-met", "verified")


def test_a_bundle_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    broken, empty, patientless = tmp_path / "broken.json", tmp_path / "empty.json", tmp_path / "none.json"
    broken.write_text("{", encoding="utf-8")
    empty.write_text("", encoding="utf-8")
    patientless.write_text('{"resourceType": "Bundle", "type": "collection"}', encoding="utf-8")
    result = run(broken, empty, patientless, LUNG, "--format", "jsonl")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [str(broken), str(empty), str(patientless)]


def test_compressed_bundles_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(LUNG.read_bytes()))
    assert answers(tmp_path)["patient"] == "Patient/lung"


def test_what_was_not_searched_is_unknown() -> None:
    trial = by_trial(answers(LUNG, "--searched", "Condition,Observation"))[TRIAL]
    outcomes = {criterion["id"]: criterion for criterion in trial["criteria"]}
    assert outcomes["C1"]["outcome"] == "met"
    assert (outcomes["C2"]["outcome"], outcomes["C2"]["basis"]) == ("unknown", "none")
    assert "could not be read" in outcomes["C2"]["reason"]


def test_the_first_dose_moves_the_windows() -> None:
    case = ROOT / "plandefinitions" / "cadonilimab-cervical-locally-advanced" / "cases" / "E11-plt28.json"
    trial = "cadonilimab-cervical-locally-advanced"

    def transfusion(*options: str) -> dict[str, Any]:
        (answer,) = answers(case, "--trial", trial, *options)["trials"]
        return next(criterion for criterion in answer["criteria"] if criterion["id"] == "E11")

    assert transfusion()["outcome"] == "not-met"
    assert transfusion("--first-dose", "2026-11-21")["outcome"] == "met"


@pytest.mark.parametrize(
    "options",
    [["--trial", "no-such-trial"], ["--now", "yesterday"], ["--first-dose", "soon"], ["--format", "xml"], ["--wrong"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(options: list[str]) -> None:
    assert CliRunner().invoke(main, ["match", str(LUNG), *options]).exit_code == 2


def test_the_table_says_what_is_open_and_whom_to_ask() -> None:
    table = run(LUNG)
    assert table.exit_code == 0
    assert "potentially-eligible" in table.stdout
    assert "→" in table.stdout


def test_many_patients_are_a_line_each() -> None:
    lines = run(LUNG, *EXAMPLES).stdout.splitlines()
    assert len(lines) == 1 + len(EXAMPLES)
    assert "no trial" in lines[-1]
