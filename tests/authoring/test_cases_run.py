"""The cases of a trial: read, run, compared, explained, and what of its CQL they cover."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds.authoring.cases import Broken, Records, Suite, read_cases, trial_folders
from cds.authoring.cases_page import page
from cds.authoring.coverage import Define, LibraryCoverage, Tally, coverage, merged
from cds.authoring.ran import Ran, run
from cds.cli import main

TRIALS = Path(__file__).parent / "trials"


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    """A copy of the trials that can be changed."""
    return Path(shutil.copytree(TRIALS, tmp_path / "trials"))


def small(trials: Path = TRIALS, *, covered: bool = False) -> Ran:
    return run(Suite.load(trials, "small"), covered=covered)


def expect(folder: Path, case: str, trials: dict[str, Any]) -> None:
    """Writes what is expected of a case in place of what was."""
    path = folder / "small" / "cases" / f"{case}.expected.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trials": trials}), encoding="utf-8")


def cds(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["cases", *map(str, arguments)], env={"COLUMNS": "200"})


# ---------------------------------------------------------------- running and comparing


def test_all_is_as_expected_though_the_trial_is_a_draft() -> None:
    ran = small()
    assert ran.as_expected and len(ran.outcomes) == 5
    status, *criteria = ran.rows
    assert [cell.value for cell in status.cells] == [
        "eligible",
        "ineligible",
        "ineligible",
        "potentially-eligible",
        "not-applicable",
    ]
    (x1,) = [row for row in criteria if row.id == "X1"]
    assert [cell.value for cell in x1.cells] == ["met", "not-met", "not-met", "met", "met"]
    assert [cell.asserted for cell in x1.cells] == [True, True, True, False, False]


def test_a_difference_shows_expected_beside_actual_with_what_decided(trials: Path) -> None:
    expected = {"small": {"status": "eligible", "criteria": {"S1": {"outcome": "met"}}}}
    expect(trials, "scores-nine", trials=expected)
    ran = small(trials)
    (told,) = ran.told
    differences = {one.place: (one.expected, one.actual) for one, _ in told.differences}
    assert told.number == 3 and differences == {"status": ("eligible", "ineligible"), "S1 outcome": ("met", "not-met")}
    why = {one.place: why for one, why in told.differences}
    assert why["status"] == "not met: S1, X1"
    assert '"Score" <= 1 is false' in why["S1 outcome"] and "[Observation/s]" in why["S1 outcome"]


@pytest.mark.parametrize(
    ("content", "place", "actual"),
    [
        ({"small": {"criteria": {"S9": {"outcome": "met"}}}}, "S9 criterion", "the trial has no such criterion"),
        ({"small": {"criteria": {"S1": {"colour": "red"}}}}, "S1 colour", "no such part of an answer"),
        ({"absent": {"status": "eligible"}}, "trial", "there is no such trial beside this one"),
    ],
)
def test_what_an_answer_does_not_have_is_a_difference(
    trials: Path, content: dict[str, Any], place: str, actual: str
) -> None:
    expect(trials, "fits", trials=content)
    (told,) = small(trials).told
    ((difference, _),) = told.differences
    assert (difference.place, difference.actual) == (place, actual)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "fits.expected.json:1:2: is no JSON"),
        ("[]", "fits.expected.json: is not a JSON object"),
        ('{"now": "x", "firstDose": "2026-11-20"}', "fits.expected.json: now, firstDose: are not both there"),
        ('{"trial": {}}', "fits.expected.json: trial: is not known"),
        ('{"trials": []}', "fits.expected.json: trials: is not a JSON object"),
        ('{"trials": {"small": 1}}', "fits.expected.json: trials.small: is not a JSON object"),
        ('{"trials": {"small": {"status": "good"}}}', "trials.small.status: is 'good' (one of: eligible, "),
        (
            '{"trials": {"small": {"criteria": {"S1": {"outcome": ["met"]}}}}}',
            "trials.small.criteria.S1.outcome: is ['met']",
        ),
        ('{"trials": {"small": {"criteria": {"S1": "met"}}}}', "trials.small.criteria.S1: is not a JSON object"),
    ],
)
def test_a_case_that_cannot_be_used_says_where_and_leaves_the_others(trials: Path, content: str, said: str) -> None:
    (trials / "small" / "cases" / "fits.expected.json").write_text(content, encoding="utf-8")
    ran = small(trials)
    assert [outcome.as_expected for outcome in ran.outcomes] == [False, True, True, True, True]
    assert said in str(ran.outcomes[0].problem)


def test_a_case_is_two_files_and_its_bundle_one_patient(trials: Path) -> None:
    cases = trials / "small" / "cases"
    (cases / "fits.json").unlink()
    (cases / "alone.json").write_text("{}", encoding="utf-8")
    (cases / "folder.expected.json").mkdir()
    (cases / "folder.json").write_text("{}", encoding="utf-8")
    (cases / "old.json").write_text('{"resourceType": "Bundle", "type": "collection"}', encoding="utf-8")
    found = {case.name: case for case in read_cases(trials / "small")}
    assert isinstance(found["alone"], Broken) and "alone.expected.json: is not there" in found["alone"].problem
    assert isinstance(found["fits"], Broken) and "fits.json: is not there" in found["fits"].problem
    assert isinstance(found["folder"], Broken) and "folder.expected.json: cannot be read" in found["folder"].problem
    problems = {outcome.name: outcome.problem for outcome in small(trials).outcomes}
    assert "old.json" in str(problems["old"]) and "Patient" in str(problems["old"])


def test_a_folder_is_a_trial_or_holds_trials(tmp_path: Path) -> None:
    assert trial_folders([TRIALS, TRIALS / "small"]) == [(TRIALS, "small")]
    result = cds(tmp_path)
    assert result.exit_code == 1 and f"{tmp_path}: holds no plan-definition.json" in result.output


def test_what_lies_beside_the_trial_does_not_matter(trials: Path) -> None:
    (trials / "broken").mkdir()
    (trials / "broken" / "plan-definition.json").write_text("{", encoding="utf-8")
    assert small(trials).as_expected


def test_patients_are_read_anew_when_their_file_changes(trials: Path) -> None:
    records = Records()
    suite = Suite.load(trials, "small")
    assert run(suite, records=records).as_expected
    path = trials / "small" / "cases" / "fits.json"
    path.write_text(path.read_text().replace('"valueInteger": 1', '"valueInteger": 123'), encoding="utf-8")
    (told,) = run(suite, records=records).told
    assert told.outcome.name == "fits"


# ---------------------------------------------------------------- coverage


def library(found: tuple[LibraryCoverage, ...], name: str) -> LibraryCoverage:
    return next(one for one in found if one.library == name)


def defines(found: LibraryCoverage) -> dict[str, Define]:
    return {define.name: define for define in found.defines}


def gaps(found: LibraryCoverage, name: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(found.source(clause), clause.gap) for clause in defines(found)[name].gaps]


def test_coverage_says_what_was_never_run_true_or_false() -> None:
    own = library(small(covered=True).coverage, "Small")
    assert gaps(own, "S1") == [('"Score" >= 0', ("false",))]
    assert gaps(own, "Nobody asks") == [("exists [Procedure]", ("run",))]
    assert not defines(own)["Nobody asks"].reached and defines(own)["S1"].reached
    assert gaps(own, "X1") == [('not ("Score" is null)', ("false",))]
    assert 0.8 < own.share < 0.9


def test_what_a_condition_cannot_be_is_no_gap() -> None:
    own = library(small(covered=True).coverage, "Small")
    assert gaps(own, "D1") == []  # if ... then true else null
    assert defines(own)["D1"].share == 1


def test_of_an_included_library_what_the_criteria_rest_on_counts() -> None:
    common = library(small(covered=True).coverage, "Common")
    assert list(defines(common)) == ["Is final"]


def test_only_what_a_case_expects_something_of_counts_as_shown(trials: Path) -> None:
    for path in (trials / "small" / "cases").glob("*.expected.json"):
        expect(trials, path.name.removesuffix(".expected.json"), trials={"small": {"criteria": {"D1": {}}}})
    own = defines(library(small(trials, covered=True).coverage, "Small"))
    assert own["D1"].share == 1 and own["X1"].share == 0
    assert Tally.of(own["X1"].clauses).run == 0


def test_coverage_of_several_trials_is_taken_together(trials: Path) -> None:
    shutil.copytree(trials, trials.parent / "other")
    for name in ("fits", "scores-nine", "old"):
        for ending in (".json", ".expected.json"):
            (trials / "small" / "cases" / f"{name}{ending}").unlink()
    part = coverage(Suite.load(trials, "small"))
    whole = coverage(Suite.load(trials.parent / "other", "small"))
    assert library(part, "Small").share < library(whole, "Small").share
    assert [one.share for one in merged((*part, *part))] == [one.share for one in part]


# ---------------------------------------------------------------- the page


class Reader(HTMLParser):
    """Collects the tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_text_stays_text(trials: Path) -> None:
    expect(trials, "fits", trials={"small": {"criteria": {"D1": {"outcome": "not-met", "basis": "<img src=x>"}}}})
    name = "<b>bold"
    for ending in (".json", ".expected.json"):
        shutil.copy(trials / "small" / "cases" / f"old{ending}", trials / "small" / "cases" / f"{name}{ending}")
    (trials / "small" / "cases" / "old.expected.json").write_text('{"<i>": 1}', encoding="utf-8")
    reader = Reader()
    reader.feed(page([small(trials, covered=True)], "made"))
    assert not reader.tags & {"script", "img", "link", "iframe", "b", "trial"}
    assert not [value for name, value in reader.attributes if name in ("src", "onclick") or name.startswith("on")]
    assert all(value and value.startswith("#") for name, value in reader.attributes if name == "href")
    assert "old.expected.json: <i>: is not known" in reader.text
    assert name in reader.text and "<img src=x>" in reader.text and "A small <trial> & its cases" in reader.text


def test_the_page_shows_the_source_with_the_place_of_each_gap() -> None:
    reader = Reader()
    reader.feed(page([small(covered=True)], "made"))
    titles = {value for name, value in reader.attributes if name == "title"}
    assert "GreaterOrEqual 26:20-26:31, was true and null, never false" in titles
    for line in (TRIALS / "small" / "eligibility.cql").read_text(encoding="utf-8").splitlines():
        assert line in reader.text


# ---------------------------------------------------------------- the command


def test_the_command_prints_a_matrix_and_what_differs(trials: Path) -> None:
    good = cds(trials)
    assert good.exit_code == 0 and "S1     ✓✓✗?✓" in good.output and "5 cases, 5 as expected" in good.output
    expect(trials, "fits", trials={"small": {"criteria": {"S1": {"outcome": "unknown"}}}})
    bad = cds(trials / "small")
    assert bad.exit_code == 1
    assert "S1 outcome: expected unknown, actual met" in bad.output and "5 cases, 4 as expected, 1 not" in bad.output


def test_the_command_as_json_with_coverage(trials: Path) -> None:
    expect(trials, "fits", trials={"small": {"criteria": {"S1": {"outcome": "unknown"}}}})
    result = cds(trials, "--format", "json", "--coverage")
    content = json.loads(result.output)
    (trial,) = content["trials"]
    assert trial["cases"] == 5 and trial["asExpected"] == 4
    (difference,) = trial["outcomes"][0]["differences"]
    assert difference["because"] and (difference["expected"], difference["actual"]) == ("unknown", "met")
    small_library = next(one for one in content["coverage"] if one["library"] == "Small")
    score = next(one for one in small_library["definitions"] if one["name"] == "S1")
    assert score["gaps"] == [{"locator": "26:20-26:31", "node": "GreaterOrEqual", "never": ["false"]}]


def test_too_little_coverage_fails(trials: Path) -> None:
    assert cds(trials, "--min-coverage", "80").exit_code == 0
    result = cds(trials, "--min-coverage", "90")
    assert result.exit_code == 1 and "is covered, less than 90%" in result.output
    assert cds(trials, "--min-coverage", "101").exit_code == 2


def test_cases_are_chosen_by_name(trials: Path) -> None:
    assert "2 cases, 2 as expected" in cds(trials, "--case", "without-*").output
    assert cds(trials, "--case", "nobody").exit_code == 2


def test_gaps_are_printed_with_their_place(trials: Path) -> None:
    result = cds(trials, "--gaps")
    assert f'{trials / "small" / "eligibility.cql"}:26:20: never false: "Score" >= 0' in result.output


def test_the_page_is_written_or_it_is_said_why_not(trials: Path, tmp_path: Path) -> None:
    assert cds(trials, "--html", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    result = cds(trials, "--html", tmp_path / "absent" / "page.html")
    assert result.exit_code == 1 and "cannot be written" in result.output


# ---------------------------------------------------------------- recording


def patient(tmp_path: Path, score: int = 1) -> Path:
    content = json.loads((TRIALS / "small" / "cases" / "fits.json").read_text(encoding="utf-8"))
    content["entry"][-1]["resource"]["valueInteger"] = score
    path = tmp_path / "new-patient.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def record(trials: Path, bundle: Path, *options: str, answer: str = "") -> Result:
    arguments = ["cases", str(trials / "small"), "--record", str(bundle), "--now", "2026-11-20T12:00:00Z", *options]
    return CliRunner().invoke(main, arguments, input=answer, env={"COLUMNS": "200"})


def test_a_case_is_recorded_after_it_was_shown_and_confirmed(trials: Path, tmp_path: Path) -> None:
    bundle = patient(tmp_path)
    declined = record(trials, bundle, answer="n\n")
    assert declined.exit_code == 1 and not (trials / "small" / "cases" / "new-patient.json").exists()
    assert "✓  S1" in declined.output and "eligible" in declined.output
    confirmed = record(trials, bundle, answer="y\n")
    assert confirmed.exit_code == 0
    expected = json.loads((trials / "small" / "cases" / "new-patient.expected.json").read_text(encoding="utf-8"))
    assert expected == {
        "now": "2026-11-20T12:00:00Z",
        "firstDose": "2026-11-20",
        "trials": {
            "small": {
                "status": "eligible",
                "criteria": {
                    "D1": {"outcome": "met", "basis": "verified"},
                    "S1": {"outcome": "met", "basis": "presumed"},
                    "X1": {"outcome": "met", "basis": "verified"},
                },
            }
        },
    }
    ran = small(trials)
    assert ran.as_expected and len(ran.outcomes) == 6


def test_a_recorded_case_keeps_its_moments(trials: Path, tmp_path: Path) -> None:
    result = record(trials, patient(tmp_path), "--yes", "--name", "later", "--first-dose", "2027-01-02")
    assert result.exit_code == 0
    expected = json.loads((trials / "small" / "cases" / "later.expected.json").read_text(encoding="utf-8"))
    assert expected["firstDose"] == "2027-01-02"


def test_no_case_is_overwritten(trials: Path, tmp_path: Path) -> None:
    path = trials / "small" / "cases" / "fits.json"
    before = path.read_bytes()
    result = record(trials, patient(tmp_path), "--yes", "--name", "fits")
    assert result.exit_code == 1 and "fits.json: is there already (give another --name)" in result.output
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["../fits", "a/b", ".hidden", "x.expected", "a" * 101])
def test_a_name_that_is_no_file_name_is_refused(trials: Path, tmp_path: Path, name: str) -> None:
    result = record(trials, patient(tmp_path), "--yes", "--name", name)
    assert result.exit_code == 1 and "cannot be a case's name" in result.output


def test_what_is_no_patient_is_not_recorded(trials: Path, tmp_path: Path) -> None:
    for content in ("{", "[]", '{"resourceType": "Bundle"}'):
        path = tmp_path / "odd.json"
        path.write_text(content, encoding="utf-8")
        result = record(trials, path, "--yes")
        assert result.exit_code == 1 and f"Error: {path}: " in result.output
    assert not (trials / "small" / "cases" / "odd.json").exists()


def test_options_of_recording_go_with_it_and_one_trial(trials: Path, tmp_path: Path) -> None:
    assert cds(trials, "--yes").exit_code == 2
    shutil.copytree(trials / "small", trials / "second")
    assert cds(trials, "--record", patient(tmp_path)).exit_code == 2


# ---------------------------------------------------------------- our own trials

CONTENT = Path(__file__).parents[2] / "plandefinitions"


@pytest.mark.parametrize("trial", sorted(path.parent.name for path in CONTENT.glob("*/plan-definition.json")))
def test_our_trials_are_covered_and_every_definition_is_reached(trial: str) -> None:
    """`make coverage` says what is still missing."""
    ran = run(Suite.load(CONTENT, trial), covered=True)
    (own,) = ran.own_coverage
    assert own.share > 0.8
    assert not [define.name for define in own.defines if not define.reached]


#: What the record's hygiene leaves no resource for: CQL never sees what is refuted, or was not done.
NEVER_FALSE = {"Confirmed", "Performed"}


def test_every_boolean_definition_was_both_true_and_false() -> None:
    """The value of each Boolean definition and function that criteria rest on, over the cases of all trials."""
    trials = sorted(path.parent.name for path in CONTENT.glob("*/plan-definition.json"))
    covered = merged(part for trial in trials for part in coverage(Suite.load(CONTENT, trial)))
    wholes = [
        (define.name, define.clauses[0])
        for library in covered
        for define in library.defines
        if define.reached and define.clauses
    ]
    asked = [(name, clause) for name, clause in wholes if clause.boolean]
    assert len(asked) > 100
    assert {name for name, clause in asked if clause.gap} == NEVER_FALSE
