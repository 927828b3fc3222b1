"""What looks wrong in a record is found, with its place; and what software cannot see is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from made import CONTENT, TODAY

from cds.authoring.draft_trial import draft_trial, trial_criteria
from cds.authoring.record_findings import RecordFinding, record_findings
from cds.authoring.record_reading import read_record
from cds.authoring.scaffold import known_drugs

RECORDS = Path(__file__).parent / "records"
ERRORS: dict[str, dict[str, list[Any]]] = json.loads(
    (Path(__file__).parent / "data" / "record-errors.json").read_text(encoding="utf-8")
)


def found(path: Path, nct: str | None = None) -> tuple[RecordFinding, ...]:
    record = read_record(path, nct)
    return record_findings(record, trial_criteria(record), known_drugs(CONTENT))


@pytest.mark.parametrize("trial", sorted(ERRORS))
def test_structural_errors_of_a_record_are_found_where_they_are(trial: str) -> None:
    told = [str(one) for one in found(CONTENT / trial / "record.txt")]
    for line, rule, pattern in ERRORS[trial]["found"]:
        place = rf"record\.txt{f':{line}' if line else ''}: [^:]*: {rule}: .*{pattern}"
        assert [one for one in told if re.match(place, one)], f"{place}\n" + "\n".join(told)


@pytest.mark.parametrize("trial", sorted(ERRORS))
def test_nothing_else_is_told_of_a_record(trial: str) -> None:
    """Each finding is one of the structural errors, or one that was looked at and is right."""
    expected = [*ERRORS[trial]["found"], *ERRORS[trial]["rightToo"]]
    for one in found(CONTENT / trial / "record.txt"):
        assert [rule for _, rule, pattern in expected if rule == one.rule and re.search(pattern, one.text)], str(one)


@pytest.mark.parametrize("trial", sorted(ERRORS))
def test_what_only_a_reader_sees_is_named(trial: str) -> None:
    """Semantic errors are written by hand as errata: the folder made by hand says each of them, no finding does."""
    by_hand = "".join(path.read_text(encoding="utf-8") for path in (CONTENT / trial).glob("*.json"))
    told = " ".join(one.text for one in found(CONTENT / trial / "record.txt"))
    for quoted, what in ERRORS[trial]["notFound"]:
        assert what
        assert json.dumps(quoted, ensure_ascii=False)[1:-1] in by_hand, quoted
        assert quoted not in told


def test_errors_of_the_fictional_record_are_found() -> None:
    rules = {one.rule: one for one in found(RECORDS / "fictional.json")}
    assert set(rules) == {
        "contradicting-doses",
        "contradicting-age",
        "drug-name",
        "numbering",
        "parentheses",
        "no-time-frame",
        "outcome-in-text-only",
        "no-safety-outcome",
    }
    assert rules["drug-name"].about == "E14"
    assert "velorastinib: 80 mg in the briefSummary, 60 mg in the arms" in rules["contradicting-doses"].text
    assert re.match(r"fictional\.json:\d+: protocolSection\.eligibilityModule", str(rules["parentheses"]))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("DRUG: Imaginimab\nOS, Time to death\nPFS, 1 year\nNothing.", "no-time-frame"),
        ("DRUG: Imaginimab\nOS (all, 1 year\nPFS, 1 year\nNothing.", "parentheses"),
        ("DRUG: Imaginimab\nOS, 1 year\nPFS, 1 year\nImaginimab 5 mg/kg.", "contradicting-doses"),
        ("DRUG: Imaginimab\nOS, 1 year\nPFS, 1 year\nPatients get zanubrutinib.", "foreign-drug"),
        ("DRUG: Imaginimab\nOS, 1 year\nPFS, 1 year\nPatients get imagimimab.", "drug-name"),
        ("DRUG: Imaginimab\nOS, 1 year\nPFS, 1 year\nInclusion criteria:\n1. Adults", "half-a-list"),
        ("DRUG: Imaginimab\nOS, 1 year\nPFS, 1 year\nNothing.", "no-eligibility-list"),
        ("DRUG: Imaginimab\nOS, 1 year\nPFS, 1 year\nInclusion criteria:\n1. Adults\n1. HIV", "numbering"),
        ("DRUG: Imaginimab otherimab\nOS, 1 year\nPFS, 1 year\nNothing.", "fused-interventions"),
        ("DRUG: placebo\nOS, 1 year\nPFS, 1 year\nNothing.", "intervention-missing"),
    ],
)
def test_rule(text: str, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "record.txt"
    path.write_text(f"Imaginimab in cancer\nImaginimab 10 mg/kg is given.\nLung Cancer\n{text}\n", encoding="utf-8")
    assert rule in [one.rule for one in found(path)]


def test_a_list_that_names_no_disease_is_told(tmp_path: Path) -> None:
    path = tmp_path / "record.txt"
    text = "T\nS\nLung Cancer\nDRUG: x\nOS, 1 year\n\nD\n\nInclusion Criteria:\n1. Adults\nExclusion Criteria:\n1. HIV"
    path.write_text(text, encoding="utf-8")
    trial = draft_trial(read_record(path), "any-trial", TODAY)
    assert trial.disease is None
    assert trial.findings[-1].rule == "no-disease-criterion"


def test_a_faultless_record_has_no_finding_but_what_it_does_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "record.txt"
    path.write_text(
        "Imaginimab in Lung Cancer\nImaginimab 10 mg/kg every 3 weeks.\nLung Cancer\nDRUG: Imaginimab\n"
        "Overall survival, Time to death (any cause), Up to 2 years\nAdverse events, By CTCAE 5.0, Up to 2 years\n"
        "Imaginimab 10 mg/kg.\n\nInclusion Criteria:\n\n1. Adults (18 years or older)\n2. Consent\n\n"
        "Exclusion Criteria:\n\n1. HIV infection\n",
        encoding="utf-8",
    )
    assert [one.rule for one in found(path)] == ["not-in-record"]
