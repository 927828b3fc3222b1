"""Every case of every trial is played, and every computable criterion has been seen met, not met and unknown."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog, Logic
from cds.trials.eligibility import Assessment, Criterion, Policy, as_json

ROOT = Path(__file__).resolve().parent.parent.parent
EXPECTED = sorted((ROOT / "plandefinitions").glob("*/cases/*.expected.json"))


def case_id(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name.removesuffix('.expected.json')}"


def read_case(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bundle and what is expected of it."""
    bundle = path.with_name(path.name.replace(".expected.json", ".json"))
    return orjson.loads(bundle.read_bytes()), orjson.loads(path.read_bytes())


def moments(expected: dict[str, Any]) -> tuple[datetime, date]:
    return datetime.fromisoformat(expected["now"]), date.fromisoformat(expected["firstDose"])


@pytest.mark.parametrize("path", EXPECTED, ids=case_id)
def test_case(path: Path, catalog: Catalog) -> None:
    """Status, outcome and basis are what the case expects."""
    bundle, expected = read_case(path)
    now, first_dose = moments(expected)
    record = PatientRecord.from_bundle(bundle, now=now)
    answer = as_json(match(catalog, record, now=now, first_dose=first_dose, all_criteria=True))
    answers = {trial["trial"]: trial for trial in answer["trials"]}
    differences = {}
    for trial, wanted in expected.get("trials", {}).items():
        if answers[trial]["status"] != wanted.get("status", answers[trial]["status"]):
            differences[trial] = (answers[trial]["status"], wanted["status"])
        outcomes = {criterion["id"]: criterion for criterion in answers[trial]["criteria"]}
        for criterion, parts in wanted.get("criteria", {}).items():
            got = {part: outcomes[criterion][part] for part in parts}
            if got != parts:
                differences[f"{trial} {criterion}"] = (got, parts, outcomes[criterion]["reason"])
    assert not differences


CONVERSION = [path for path in EXPECTED if "conversion" in orjson.loads(path.read_bytes())]


@pytest.mark.parametrize("path", CONVERSION, ids=case_id)
def test_conversion(path: Path, catalog: Catalog) -> None:
    """The criteria of the conversion decision, which are never asked at entry, have the value that the case expects."""
    bundle, expected = read_case(path)
    now, first_dose = moments(expected)
    record = PatientRecord.from_bundle(bundle, now=now)
    evaluation = evaluate_record(catalog, record, now=now, first_dose=first_dose)
    logic = catalog.trials[path.parent.parent.name].logic
    words = {True: "met", False: "not-met", None: "unknown"}
    got = {criterion: words[evaluation.value(logic[criterion].answer)] for criterion in expected["conversion"]}
    assert got == {criterion: wanted["outcome"] for criterion, wanted in expected["conversion"].items()}


#: Outcomes that no case shows, each with the reason.
GAPS: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(
    (Path(__file__).parent / "data" / "outcomes-without-a-case.yaml").read_text(encoding="utf-8")
)


def seen_outcomes() -> dict[tuple[str, str], set[str]]:
    """The outcomes that the cases expect of each criterion, with their basis where it is told."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in EXPECTED:
        expected = orjson.loads(path.read_bytes())
        trials = dict(expected.get("trials", {}))
        if "conversion" in expected:
            trials[path.parent.parent.name] = {"criteria": expected["conversion"]}
        for trial, wanted in trials.items():
            for criterion, parts in wanted.get("criteria", {}).items():
                outcome, basis = parts["outcome"], parts.get("basis", "none")
                seen[trial, criterion] |= {outcome, f"{outcome} {basis}"}
    return seen


def outcomes_of(criterion: Criterion, logic: Logic) -> set[str]:
    """What a criterion can come to, by its class and its policies."""
    outcomes = {"unknown"}
    if criterion.assessment is not Assessment.ATTESTATION:
        outcomes |= {"met", "not-met", "not-met verified"}
        if Policy.PRESUME_ABSENT in criterion.policies:
            outcomes.add("met presumed")
        if Policy.PRESUME_ABSENT not in criterion.policies or logic.verifying:
            outcomes.add("met verified")
    if criterion.assessment is not Assessment.COMPUTABLE and not criterion.disease:
        outcomes |= {"met attested", "not-met attested"}
    if logic.applies is not None:
        outcomes.add("not-applicable")
    return outcomes


def test_every_outcome_of_every_criterion_is_a_case_or_has_a_reason_why_not(catalog: Catalog) -> None:
    """An outcome that a case never shows is one that nobody has thought of; a reason that is no longer one is stale."""
    seen = seen_outcomes()
    unseen: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for trial in catalog:
        for criterion in trial.criteria:
            missing = outcomes_of(criterion, trial.logic[criterion.id]) - seen[trial.id, criterion.id]
            if missing:
                unseen[trial.id][criterion.id] = sorted(missing)
        for criterion in trial.conversion:
            missing = {"met", "not-met", "unknown"} - seen[trial.id, criterion.id]
            if missing:
                unseen[trial.id][criterion.id] = sorted(missing)
    stated = {trial: {one: sorted(reasons) for one, reasons in gaps.items()} for trial, gaps in GAPS.items()}
    assert dict(unseen) == stated
    assert all(len(reason) > 20 for gaps in GAPS.values() for reasons in gaps.values() for reason in reasons.values())
