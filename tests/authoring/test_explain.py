"""`cds explain`: the judgement is that of `cds match`; the tree, the sentence and the JSON say what decided it."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from cds.authoring.explain import explain, in_words, shortened
from cds.authoring.outline import Branch, outline
from cds.cli import main
from cds.elm.values import Code, Concept, Interval, Quantity, Tuple
from cds.fhir.model import Element
from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent.parent
ELM = ROOT / "tests" / "elm" / "data"
TRIAL = "cadonilimab-cervical-locally-advanced"
CASES = ROOT / "plandefinitions" / TRIAL / "cases"
EVERY_CASE = sorted((ROOT / "plandefinitions").glob("*/cases/*.expected.json"))
EXAMPLES = sorted((ROOT / "examples" / "patients").glob("*.json.gz"))
NOW = "2026-11-20T12:00:00Z"


def run(*arguments: str | Path, width: int = 160) -> Result:
    command = ["explain", *map(str, arguments), "--now", NOW]
    return CliRunner(env={"COLUMNS": str(width)}).invoke(main, command)


def told(case: str, *criteria: str, options: tuple[str, ...] = (), width: int = 160) -> str:
    """What the command prints of some criteria of a case."""
    wanted = [part for name in criteria for part in ("--criterion", name)]
    result = run(CASES / f"{case}.json", "--trial", TRIAL, *wanted, *options, width=width)
    assert result.exit_code == 0, result.output
    return result.stdout


def flat(text: str) -> str:
    return " ".join(text.split())


def read(case: Path) -> tuple[PatientRecord, Any, Any]:
    expected = orjson.loads(case.read_bytes())
    now = datetime.fromisoformat(expected["now"])
    bundle = orjson.loads(case.with_name(case.name.replace(".expected", "")).read_bytes())
    return PatientRecord.from_bundle(bundle, now=now), now, date.fromisoformat(expected["firstDose"])


@pytest.mark.parametrize("case", EVERY_CASE[::60], ids=lambda path: path.name)
def test_the_judgement_is_that_of_match_and_every_criterion_has_its_reason(case: Path, catalog: Catalog) -> None:
    record, now, first_dose = read(case)
    trial = case.parent.parent.name
    every = [criterion.id for criterion in catalog.trials[trial].criteria]
    answer = explain(catalog, record, trial, now=now, first_dose=first_dose, criteria=every)
    (judged,) = match(catalog, record, now=now, first_dose=first_dose, trials=[trial], all_criteria=True).trials
    assert tuple(explanation.result for explanation in answer.criteria) == judged.criteria
    for explanation in answer.criteria:
        assert len(explanation.because) > 20
        assert number_of_lines(outline(explanation.step, record)) >= 2


def number_of_lines(branch: Branch) -> int:
    return 1 + sum(map(number_of_lines, branch.children))


# ---------------------------------------------------------------- the tree and the sentence


def test_what_a_person_said_is_the_reason() -> None:
    text = flat(told("attested-all-against-her", "E25"))
    assert "Not met because a person was asked: yes, as the investigator said on 18 Nov 2026" in text
    assert "QuestionnaireResponse/answers-1" in text


def test_nothing_on_record_is_followed_to_the_retrieve() -> None:
    text = told("E12-append", "I13")
    assert "? I13  ECOG performance status 0 or 1  unknown (inclusion, computable)" in text
    assert "text: ECOG score ≤ 1;" in text
    assert "missing: no ECOG performance status on record" in text
    leaf, *others = [line for line in text.splitlines() if "◀" in line]
    assert '= [Observation: "ECOG performance status codes"] → nothing ◀  Screening.cql:' in leaf
    assert all("→ nothing ◀" in other for other in others)
    assert "… 2 more sub-expressions, not evaluated" in text
    because = 'Unknown because no ECOG performance status on record (Screening."ECOG performance status", Screening.'
    assert because in flat(text)
    assert f"eligibility.cql: plandefinitions/{TRIAL}/eligibility.cql" in text


def test_a_date_that_does_not_decide_is_named_with_its_resource() -> None:
    text = flat(told("E11-month-alone-straddles", "E11"))
    assert 'Unknown because Screening."Overlaps"(' in text
    assert '= 2026-10, "First dose" - 28 days = 2026-10-23) for Procedure/t (eligibility.cql:' in text
    assert "decided by: Procedure/t" in text


def test_what_is_against_the_patient_is_told_with_its_numbers() -> None:
    text = flat(told("I6-50mm", "I6"))
    assert "✗ I6 High risk: tumour over 5 cm, nodal metastasis or stage IV not-met, verified" in text
    assert "Not met because value > limit is false (value = 50, limit = 50.0) for Observation/observation-34" in text


def test_what_is_presumed_and_what_a_person_has_to_say() -> None:
    text = flat(told("E12-append", "E9", "I1", "E3"))
    assert 'Met (presumed) because no live vaccine on record ("Live vaccine", eligibility.cql:' in text
    assert "Unknown because data cannot decide it: a person has to say" in text
    assert "? null as Boolean → null ◀" in text
    assert "Unknown: what data can decide is clear; the rest is for a person to say; of the data," in text


def test_the_rest_is_folded_unless_all_is_asked_for() -> None:
    folded, everything = (told("I6-50mm", "I6", options=options) for options in ((), ("--all",)))
    assert "more sub-expression" in folded
    assert "more sub-expression" not in everything
    assert len(everything.splitlines()) > 3 * len(folded.splitlines())


@pytest.mark.parametrize("width", [60, 100, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    lines = [line for line in told("E12-append", "I13", width=width).splitlines() if ".cql:" in line]
    tree = [line for line in lines if line.lstrip("│├└ ")[:2] in ("✓ ", "✗ ", "? ", "= ")]
    assert len(tree) == 16
    assert all(len(line) <= width for line in tree if len(line.lstrip("│├└ ")) > 56)


def test_without_a_criterion_all_that_are_open_are_explained() -> None:
    text = told("E12-append")
    assert "? I13" in text
    assert "✓ I2" not in text


def test_the_examples_are_explained() -> None:
    for path in EXAMPLES:
        result = run(path, "--trial", "cadonilimab-es-sclc")
        assert result.exit_code == 0, result.output
        assert "because" in result.stdout


# ---------------------------------------------------------------- JSON


def test_the_json_holds_the_whole_tree_and_each_definition_once() -> None:
    answer = json.loads(told("E12-append", "I13", "I6", options=("--format", "json")))
    assert (answer["patient"], answer["trial"]) == ("Patient/p", TRIAL)
    ecog = {criterion["id"]: criterion for criterion in answer["criteria"]}["I13"]
    assert (ecog["outcome"], ecog["basis"], ecog["decidedBy"]) == ("unknown", "none", [])
    tree = ecog["trace"]
    assert (tree["kind"], tree["source"], tree["value"], tree["decides"]) == ("ExpressionDef", '"I13"', None, True)
    (reference,) = tree["children"]
    assert reference["kind"] == "ExpressionRef"
    (case,) = answer["definitions"]['Screening."Is ECOG 0 or 1"']["children"]
    assert case["kind"] == "Case"
    assert {child["state"] for child in case["children"]} == {"evaluated", "constant", "not-evaluated"}
    fact = answer["definitions"]['Screening."ECOG performance status"']
    assert fact["value"] == []
    assert fact["place"].startswith("plandefinitions/shared/Screening.cql:")
    assert [child["kind"] for child in fact["children"]] == ["Query"]


def test_resources_stand_in_the_json_by_reference() -> None:
    answer = json.loads(told("E12-append", "E12", options=("--format", "json")))
    (surgery,) = answer["criteria"]
    assert surgery["decidedBy"] == ["Procedure/procedure-191"]
    fact = answer["definitions"]['CadonilimabCervicalLocallyAdvanced."Recent or planned operation"']
    assert "Procedure/procedure-191" in json.dumps(fact["value"])


# ---------------------------------------------------------------- definitions, and content written elsewhere


def test_any_definition_of_a_trial() -> None:
    text = told("E12-append", options=("--definition", "Is female"))
    assert '✓ define "Is female" → true' in text
    assert "decided by: Patient/p" in text
    text = told("E12-append", options=("--definition", "Medications", "--library", "Screening"))
    assert '= define "Medications" → nothing' in text


def test_content_written_elsewhere() -> None:
    case = CASES / "E12-append.json"
    result = run(case, "--elm", ELM, "--library", "Logic", "--definition", "Null and false", "--all")
    assert result.exit_code == 0, result.output
    assert '✗ define "Null and false" → false' in result.stdout
    result = run(case, "--elm", ELM, "--library", "Trial", "--definition", "I1")
    assert '! [Observation: "Hemoglobin"] → failed: Shared.Hemoglobin results' in result.stdout
    result = run(case, "--elm", ELM, "--library", "Logic", "--definition", "Day", "--format", "json")
    assert json.loads(result.stdout)["trace"]["value"] == "2026-11-20"
    result = run(case, "--elm", ELM, "--library", "Logic", "--definition", "First dose", "--first-dose", "2026-12-24")
    assert '= define "First dose" → 2026-12-24' in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], TRIAL),
        (["--trial", "nope"], f"no trial nope; there are: .*{TRIAL}"),
        (["--trial", TRIAL, "--criterion", "XX"], f"{TRIAL} has no criterion XX; there are: I1, I2, "),
        (["--trial", TRIAL, "--definition", "Nope"], "has no definition Nope; there are: .*I13"),
        (
            ["--trial", TRIAL, "--definition", "I1", "--library", "Nope"],
            "there is no library Nope; there are: .*Screening",
        ),
        (["--elm", str(ELM)], "--elm needs --library"),
        (["--elm", str(ELM), "--library", "Logic"], "Logic has: Fails"),
        (["--elm", str(ELM), "--library", "Logic", "--definition", "Nope"], "Logic has no definition Nope"),
        (["--trial", TRIAL, "--format", "xml"], "xml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_names_what_there_is(options: list[str], said: str) -> None:
    result = run(CASES / "E12-append.json", *options)
    assert result.exit_code == 2
    assert re.search(said, flat(result.stderr))


def test_a_bundle_that_is_none_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    result = run(broken, "--trial", TRIAL)
    assert result.exit_code == 1
    assert "is no JSON" in result.stderr


# ---------------------------------------------------------------- values in words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        ("a", "'a'"),
        ([], "nothing"),
        ([[], []], "nothing"),
        ([1, 2, 3, 4], "{1, 2, 3, … 4 in all}"),
        (Quantity(5, "mg"), "5 mg"),  # type: ignore[arg-type]
        (Quantity(5, "1"), "5"),  # type: ignore[arg-type]
        (Code("718-7", "http://loinc.org", None, "Hemoglobin"), "Hemoglobin"),
        (Concept((Code("a"), Code("b")), "both"), "both / a / b"),
        (Concept(), "a concept without codes"),
        (Interval(1, None, True, False), "[1, null)"),
        (Tuple({"a": 1, "b": None}), "{a: 1, b: null}"),
        (Element("Quantity", {"value": 50, "unit": "mm"}), "50 mm"),
        (Element("code", "final"), "'final'"),
        (Element("Period", {"start": "2026-01"}), "since Jan 2026"),
    ],
    ids=str,
)
def test_values_in_words(value: Any, words: str) -> None:
    assert in_words(value, None) == words


def test_texts_are_shortened_to_one_line() -> None:
    assert shortened("a\n  b") == "a b"
    assert shortened("abcdef", 4) == "abc…"
