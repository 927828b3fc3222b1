"""The translator: what is committed is fresh, what is wrong is told by file, line and column."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from cds.authoring import translate as desk
from cds.authoring.translate import is_installed, stale, translate
from cds.cli import main
from cds.errors import ContentError
from cds.settings import Settings
from cds.trials.compiled import TRANSLATOR

ROOT = Path(__file__).resolve().parent.parent.parent
CONTENT = [ROOT / "plandefinitions", ROOT / "tests"]
PACKAGES = ROOT / "cds" / "authoring" / "translator"
CACHE = Settings.from_environment(os.environ).cache

#: Tests need no network: they use the translator where it stands, and install none.
node = pytest.mark.skipif(
    shutil.which("node") is None or not is_installed(CACHE),
    reason="Node is absent, or the CQL translator is not installed (make translate installs it)",
)


def test_no_elm_is_stale() -> None:
    """Needs no Node: the hash in the ELM covers the CQL, its includes, the translator's version and options."""
    assert stale(CONTENT) == []


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


def test_a_library_is_named_by_its_declaration_and_not_by_a_comment(tmp_path: Path) -> None:
    text = (
        "/*\nlibrary of facts\ninclude nothing\n*/\n// library of words: don't\nlibrary Place.\"{name}\" version '1'\n"
    )
    files = [tmp_path / "A.cql", tmp_path / "B.cql"]
    for path in files:
        path.write_text(text.replace("{name}", path.stem), encoding="utf-8")
    assert stale([tmp_path]) == files
    files[1].write_text(text.replace("{name}", "A"), encoding="utf-8")
    with pytest.raises(ContentError, match="two libraries A"):
        stale([tmp_path])


def test_check_says_what_is_stale_and_exits_with_1(copied: Path) -> None:
    (copied / "shared" / "Screening.elm.json").unlink()
    result = CliRunner().invoke(main, ["translate", "--check", str(copied)])
    assert result.exit_code == 1
    assert "Screening.cql" in result.stderr


def test_a_folder_without_cql_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="there is no"):
        translate([tmp_path], tmp_path)


def test_without_node_the_error_says_what_to_install(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    result = CliRunner().invoke(main, ["translate", str(copied)])
    assert result.exit_code == 1
    assert "install Node 20 or newer" in result.stderr
    assert "not to serve" in result.stderr


def test_an_installation_that_was_broken_off_is_made_again(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def call(command: list[str], folder: Path, text: str) -> str:
        calls.append(command[:2])
        if command[0] == "npm":
            raise ContentError("npm ci failed: no network")
        return "v22.1.0\n"

    monkeypatch.setattr(desk, "_call", call)
    monkeypatch.setattr(desk.shutil, "which", lambda name: name)
    folder = tmp_path / "cache" / "translator"
    folder.mkdir(parents=True)
    (folder / "installed").write_text("an older lock file", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(ContentError, match="no network"):
            translate([copied], tmp_path / "cache")
        assert not is_installed(tmp_path / "cache")
    assert calls.count(["npm", "ci"]) == 2


def test_an_old_node_is_refused_by_name(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_call", lambda *_: "v18.19.0\n")
    monkeypatch.setattr(desk.shutil, "which", lambda name: name)
    with pytest.raises(ContentError, match="is too old"):
        translate([copied], tmp_path)


def test_the_version_in_the_hash_is_the_one_that_is_installed() -> None:
    packages = orjson.loads((PACKAGES / "package.json").read_bytes())["dependencies"]
    locked = orjson.loads((PACKAGES / "package-lock.json").read_bytes())["packages"]
    name, version = TRANSLATOR.split(" ")
    assert packages[name] == version == locked[f"node_modules/{name}"]["version"]


def test_the_lock_names_no_registry() -> None:
    """Wherever packages are fetched from, the hashes in the lock say that they are the right ones."""
    lock = (PACKAGES / "package-lock.json").read_text(encoding="utf-8")
    packages = orjson.loads(lock)["packages"]
    assert not re.search(r"\"resolved\"|https?://(?!github\.com/sponsors)", lock)
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@node
def test_translating_again_gives_what_is_committed(copied: Path) -> None:
    for path in copied.rglob("*.elm.json"):
        path.unlink()
    results = translate([copied], CACHE)
    assert [result.messages for result in results if result.messages] == []
    for result in results:
        committed = ROOT / "plandefinitions" / result.target.relative_to(copied)
        assert result.target.read_bytes() == committed.read_bytes()


@node
def test_an_error_names_file_line_and_column_and_keeps_the_old_elm(copied: Path) -> None:
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
def test_a_unit_that_is_not_of_ucum_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Units.cql").write_text("library Units\n\ndefine Wrong: 5 'furlong'\n", encoding="utf-8")
    (result,) = translate([tmp_path], CACHE)
    assert result.failed
    assert (result.messages[0].line, result.written) == (3, False)


@node
def test_elm_is_json_with_its_origin(copied: Path) -> None:
    (result, *_) = translate([copied / "shared" / "Screening.cql"], CACHE)
    elm = orjson.loads(result.target.read_bytes())
    assert elm["library"]["identifier"]["id"] == "Screening"
    assert len(elm["translation"]["sha256"]) == 64


@node
def test_an_error_in_an_included_library_is_told_at_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "trial").mkdir()
    shared = tmp_path / "shared" / "Facts.cql"
    shared.write_text("library Facts\n\ndefine Wrong: 1 + 'one'\n", encoding="utf-8")
    logic = "/*\nlibrary of one fact\n*/\nlibrary Logic\ninclude Facts\ndefine Right: 1\n"
    (tmp_path / "trial" / "Logic.cql").write_text(logic, encoding="utf-8")
    (result,) = translate([tmp_path / "trial"], CACHE)
    assert str(result.messages[0]).startswith(f"{shared}:3:")
    both = CliRunner().invoke(main, ["translate", str(tmp_path)])
    assert both.stderr.count("Facts.cql:3:15") == 1


@node
def test_an_include_that_is_not_there_is_told_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "Logic.cql"
    path.write_text("library Logic\n\ninclude Absent\n", encoding="utf-8")
    (result,) = translate([path], CACHE)
    assert [str(message) for message in result.messages if "Absent" in message.text and message.line == 3]


@node
def test_fhir_helpers_have_every_conversion_of_the_model(tmp_path: Path) -> None:
    """The generated library translates on its own, with all 264 conversions that the ModelInfo names."""
    model_info = (CACHE / "translator" / desk.MODEL_INFO).read_text(encoding="utf-8")
    helpers = desk.helpers(model_info)
    assert model_info.count("<conversionInfo ") == 264
    assert helpers.count("(value FHIR.") == 264 + len(["ToQuantityIgnoringComparator", "ToInterval of a Quantity"])
    (tmp_path / "Helpers.cql").write_text(helpers.replace("library FHIRHelpers", "library Helpers"), encoding="utf-8")
    (result,) = translate([tmp_path], CACHE)
    assert result.messages == ()


@node
def test_a_quantity_with_a_comparator_can_be_taken_as_an_interval(tmp_path: Path) -> None:
    (tmp_path / "Bounds.cql").write_text(
        "library Bounds\nusing FHIR version '4.0.1'\ninclude FHIRHelpers version '4.0.1'\ncontext Patient\n"
        "define Bounds: [Observation] O return FHIRHelpers.ToInterval(O.value as FHIR.Quantity)\n",
        encoding="utf-8",
    )
    (result,) = translate([tmp_path], CACHE)
    assert (result.messages, result.written) == ((), True)
