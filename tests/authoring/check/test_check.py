"""The command `cds check`, its formats, and what it makes of folders that do not load."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds.authoring.check import RULES, Severity, check
from cds.authoring.check.positions import Positions
from cds.authoring.translate import is_installed
from cds.cli import main
from cds.trials.catalog import Catalog

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
CONTENT = HERE / "content"
MISTAKES = HERE / "mistakes"
TRIALS = ROOT / "plandefinitions"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A content folder with one trial that is right."""
    shutil.copytree(CONTENT, tmp_path / "content")
    return tmp_path / "content"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


def test_our_own_content_has_no_error() -> None:
    assert [str(one) for one in check([TRIALS]) if one.severity is Severity.ERROR] == []


def test_the_example_that_has_no_finding_loads() -> None:
    assert list(Catalog.load(CONTENT).trials) == ["example-trial"]


def test_exit_status_says_whether_anything_is_an_error(content: Path) -> None:
    assert run(content).exit_code == 0
    (content / "example-trial" / "plan-definition.json").write_text('{"resourceType": ', "utf-8")
    assert run(content).exit_code == 1
    assert run(content, "--rule", "no-such-rule").exit_code == 2
    assert run(content / "nowhere").exit_code == 2


def test_people_see_findings_by_file_and_no_colours_in_a_pipe() -> None:
    told = run(MISTAKES).output
    assert "\x1b" not in told
    lines = told.splitlines()
    cql = next(number for number, line in enumerate(lines) if line.endswith("eligibility.cql"))
    assert lines[cql + 1].split()[:2] == ["10:1", "warning"]
    assert lines[cql + 1].endswith("[valueset-unused]")
    assert lines[cql + 2].strip() == "ask it, or take the declaration out"
    assert re.fullmatch(r"\d+ errors, \d+ warnings, 0 to know", lines[-1])


def test_rules_are_chosen_and_left_out() -> None:
    chosen = json.loads(run(MISTAKES, "--format", "json", "--rule", "clock-read").stdout)
    assert {one["rule"] for one in chosen["findings"]} == {"clock-read"}
    left = json.loads(run(MISTAKES, "--format", "json", "--ignore", "clock-read", "--severity", "warning").stdout)
    assert "clock-read" not in {one["rule"] for one in left["findings"]}
    assert left["counts"]["information"] == 0
    errors = json.loads(run(MISTAKES, "--format", "json", "--severity", "error").stdout)
    assert {one["severity"] for one in errors["findings"]} == {"error"}
    assert run(MISTAKES, "--rule", "clock-read").exit_code == 0


def test_json_says_all_of_each_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MISTAKES)
    found = json.loads(run(MISTAKES, "--format", "json", "--rule", "interval-empty").stdout)
    cql = MISTAKES / "mistaken-trial" / "eligibility.cql"
    line = next(n for n, text in enumerate(cql.read_text("utf-8").splitlines(), start=1) if "interval-empty" in text)
    assert found == {
        "findings": [
            {
                "rule": "interval-empty",
                "severity": "error",
                "file": "mistaken-trial/eligibility.cql",
                "line": line,
                "column": 8,
                "message": "the interval ends before it begins",
                "mend": "exchange its bounds",
            }
        ],
        "counts": {"error": 1, "warning": 0, "information": 0},
    }


def test_sarif_has_what_its_schema_requires() -> None:
    """SARIF 2.1.0: 3.13 (log), 3.14 (run), 3.19 (driver), 3.27 (result), 3.29 to 3.30 (locations, regions)."""
    log = json.loads(run(MISTAKES, "--format", "sarif").stdout)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (made,) = log["runs"]
    driver = made["tool"]["driver"]
    assert driver["name"] and [rule["id"] for rule in driver["rules"]] == list(RULES)
    assert {rule["defaultConfiguration"]["level"] for rule in driver["rules"]} <= {"error", "warning", "note"}
    assert made["results"]
    for result in made["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"} and result["message"]["text"]
        ((location),) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["region"]["startLine"] >= 1 and physical["region"]["startColumn"] >= 1
        uri = physical["artifactLocation"]["uri"]
        assert " " not in uri and (uri.startswith("file:///") or not uri.startswith("/"))


def test_sarif_names_files_from_where_the_command_runs(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (content / "example-trial" / "a file.json").write_text("{", "utf-8")
    monkeypatch.chdir(content.parent)
    log = json.loads(run("content", "--format", "sarif").stdout)
    ((location),) = log["runs"][0]["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "content/example-trial/a%20file.json"


def test_github_gets_one_annotation_a_line(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (content / "example-trial" / "a,b:c.json").write_text("{", "utf-8")
    monkeypatch.chdir(content.parent)
    (line,) = run("content", "--format", "github").stdout.splitlines()
    assert line == (
        "::error file=content/example-trial/a%2Cb%3Ac.json,line=1,col=2,title=json-syntax"
        "::is no JSON: it ends too early (mend the JSON)"
    )
    assert run(CONTENT, "--format", "github").stdout == ""


def test_one_trial_is_checked_beside_its_neighbours(content: Path) -> None:
    (content / "shared" / "useful.library.json").write_text("{}", "utf-8")
    here = check([content / "example-trial"])
    assert {one.place.path.parent.name for one in here} <= {"example-trial"}
    assert {one.place.path.name for one in check([content / "shared"])} == {"useful.library.json"}


def test_a_single_file_may_be_checked(content: Path) -> None:
    plan = content / "example-trial" / "plan-definition.json"
    plan.write_text(plan.read_text("utf-8").replace('"patient-view"', '"patient-veiw"'), "utf-8")
    assert {one.rule.id for one in check([plan])} == {"hook-unknown"}


def test_all_is_said_of_a_folder_that_cannot_load(content: Path) -> None:
    trial = content / "example-trial"
    (trial / "plan-definition.json").write_bytes(b"\xff\xfe{\x00}\x00")
    (trial / "library.json").write_text('{"resourceType": "Library", ', "utf-8")
    (trial / "eligibility.elm.json").unlink()
    (trial / "valuesets" / "transfusion.json").unlink()
    assert {one.rule.id for one in check([content])} == {"file-encoding", "json-syntax", "elm-missing"}


def test_the_translator_says_where_cql_is_wrong(content: Path) -> None:
    cache = Path(".cache")
    if shutil.which("node") is None or not is_installed(cache):
        pytest.skip("Node is absent, or the CQL translator is not installed (make translate installs it)")
    cql = content / "example-trial" / "eligibility.cql"
    text = cql.read_text("utf-8").replace('Useful."Some"', 'Useful."Sum"').replace("75 years", "75 'yaers'")
    cql.write_text(text, "utf-8")
    found = [one for one in check([content], cache) if one.rule.id in ("cql-syntax", "unit-invalid")]
    lines = text.splitlines()
    assert any('"Sum"' in lines[one.place.line - 1] for one in found if one.rule.id == "cql-syntax")
    assert any("yaers" in lines[one.place.line - 1] for one in found if one.rule.id == "unit-invalid")
    cql.write_text(cql.read_text("utf-8").replace('"Sum"', '"Some"').replace("'yaers'", "years > 3"), "utf-8")
    assert "elm-stale" in {one.rule.id for one in check([content], cache)}


# ----------------------------------------------------------------------------------------------------------- any JSON

ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], {}, [[]], [None], [1], ["x"], [{}], {"x": 1}, {"type": "Null"}]


def paths(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inside:
        yield from paths(value, (*above, key))


@pytest.mark.parametrize("source", [CONTENT, MISTAKES], ids=lambda path: path.name)
def test_whatever_stands_in_the_json_there_are_findings_and_no_traceback(source: Path, tmp_path: Path) -> None:
    chance = random.Random(1)
    files = sorted(source.rglob("*.json"))
    contents = {path: json.loads(path.read_text("utf-8")) for path in files}
    places = {path: list(paths(content)) for path, content in contents.items()}
    copy = tmp_path / "content"
    shutil.copytree(source, copy)
    for _ in range(40):
        path = chance.choice(files)
        spoiled = json.loads(path.read_text("utf-8"))
        *above, last = chance.choice(places[path][1:])
        holder = spoiled
        for key in above:
            holder = holder[key]
        holder[last] = chance.choice(ODD)
        target = copy / path.relative_to(source)
        kept = target.read_bytes()
        target.write_text(json.dumps(spoiled), "utf-8")
        check([copy])
        target.write_bytes(kept)


def test_positions_are_those_of_the_members_and_items() -> None:
    text = '{"a": [1,\n  {"b": "x,]}\\"", "b": 2}],\n "\\u0063": [[], {}]}'
    positions = Positions(text)
    assert positions.place(()) == (1, 1)
    assert positions.place(("a",)) == (1, 2)
    assert positions.place(("a", 0)) == (1, 8)
    assert positions.place(("a", 1)) == (2, 3)
    assert positions.place(("c", 1)) == (3, 17)
    assert positions.place(("a", 1, "nowhere", 5)) == (2, 3)
    assert list(positions.twice) == [(("a", 1, "b"), 2, 19)]


# -------------------------------------------------------------------------------------------------------- the documents


def test_the_table_of_criteria_is_that_of_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails: cds check --table docs/criteria.md."""
    monkeypatch.chdir(ROOT)
    target = tmp_path / "criteria.md"
    assert run("--table", target).output == f"{target}: written\n"
    assert target.read_text("utf-8") == (ROOT / "docs" / "criteria.md").read_text("utf-8")
    assert run("--table", target).output == f"{target}: unchanged\n"


def test_the_document_of_the_rules_is_complete() -> None:
    parts = re.split(r"^### ", (ROOT / "docs" / "rules.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    told = {part.split("\n", 1)[0]: re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts}
    assert sorted(told) == sorted(RULES)
    for name, text in told.items():
        assert text.split("\n")[1].startswith(f"**{RULES[name].severity.value}.** "), name
        assert "*Why:*" in text and "*Mend:*" in text, name
        assert "*Example:*" in text or name == "criterion-cases-partial", name
