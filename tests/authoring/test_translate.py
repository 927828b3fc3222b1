"""The translator: what is committed is fresh, what is wrong is told by file, line and column."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from cds.authoring.translate import stale, translate
from cds.cli import main
from cds.errors import ContentError
from cds.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
CONTENT = [ROOT / "plandefinitions", ROOT / "tests" / "trials" / "data", ROOT / "tests" / "elm" / "data"]

node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is absent, and translating CQL needs it")


def test_no_elm_is_stale() -> None:
    """Needs no Node: the hash in the ELM covers the CQL, its includes, the translator's version and options."""
    assert stale(path for path in CONTENT if path.is_dir()) == []


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of two libraries, one of which includes the other."""
    content = tmp_path / "with a space" / "plandefinitions"
    for name in ("shared", "cadonilimab-es-sclc"):
        (content / name).mkdir(parents=True)
        for path in (ROOT / "plandefinitions" / name).glob("*.*"):
            if path.name.endswith((".cql", ".elm.json")):
                shutil.copy(path, content / name)
    return content


def test_a_change_of_an_include_makes_an_elm_stale(copied: Path) -> None:
    assert stale([copied]) == []
    shared = copied / "shared" / "Screening.cql"
    shared.write_text(shared.read_text(encoding="utf-8") + "\n// changed\n", encoding="utf-8")
    assert copied / "cadonilimab-es-sclc" / "eligibility.cql" in stale([copied])


def test_check_says_what_is_stale_and_exits_with_1(copied: Path) -> None:
    (copied / "shared" / "Screening.elm.json").unlink()
    result = CliRunner().invoke(main, ["translate", "--check", str(copied)])
    assert result.exit_code == 1
    assert "Screening.cql" in result.stderr


def test_a_folder_without_cql_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="there is no"):
        translate([tmp_path], tmp_path)


@pytest.fixture(scope="module")
def cache() -> Path:
    return Settings.from_environment({}).cache


@node
def test_translating_again_gives_what_is_committed(copied: Path, cache: Path) -> None:
    for path in copied.rglob("*.elm.json"):
        path.unlink()
    results = translate([copied], cache)
    assert [result.messages for result in results if result.messages] == []
    for result in results:
        committed = ROOT / "plandefinitions" / result.target.relative_to(copied)
        assert result.target.read_bytes() == committed.read_bytes()


@node
def test_an_error_names_file_line_and_column_and_keeps_the_old_elm(copied: Path, cache: Path) -> None:
    path = copied / "cadonilimab-es-sclc" / "eligibility.cql"
    old = path.with_name("eligibility.elm.json").read_bytes()
    path.write_text(path.read_text(encoding="utf-8") + '\ndefine "Wrong": "No such fact" > 1\n', encoding="utf-8")
    line = len(path.read_text(encoding="utf-8").splitlines())
    result = CliRunner().invoke(main, ["translate", str(copied)])
    assert result.exit_code == 1
    assert f"{path}:{line}:" in result.stderr
    assert "No such fact" in result.stderr
    assert path.with_name("eligibility.elm.json").read_bytes() == old


@node
def test_a_unit_that_is_not_of_ucum_is_an_error(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "Units.cql").write_text("library Units\n\ndefine Wrong: 5 'furlong'\n", encoding="utf-8")
    (result,) = translate([tmp_path], cache)
    assert result.failed
    assert (result.messages[0].line, result.written) == (3, False)


@node
def test_elm_is_json_with_its_origin(copied: Path, cache: Path) -> None:
    (result, *_) = translate([copied / "shared" / "Screening.cql"], cache)
    elm = orjson.loads(result.target.read_bytes())
    assert elm["library"]["identifier"]["id"] == "Screening"
    assert len(elm["translation"]["sha256"]) == 64
