"""The command `cds new`, as an author calls it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds.authoring import translate
from cds.cli import main
from cds.errors import ContentError

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "tests" / "authoring" / "records"
CERVICAL = ROOT / "plandefinitions" / "cadonilimab-cervical-locally-advanced" / "record.txt"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["new", *map(str, arguments)])


@pytest.fixture
def without_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which Node is not installed."""

    def missing(*_: object) -> None:
        raise ContentError("Node is not installed", remedy="install Node 20 or newer")

    monkeypatch.setattr(translate, "install", missing)


@pytest.mark.usefixtures("without_node")
def test_without_node_the_folder_is_written_and_the_way_on_is_told(tmp_path: Path) -> None:
    result = run(CERVICAL, "--out", tmp_path / "trial")
    assert result.exit_code == 0
    assert "Node is not installed" in result.stderr
    assert f"cds translate {tmp_path / 'trial'}" in result.stderr
    names = {path.relative_to(tmp_path / "trial").as_posix() for path in (tmp_path / "trial").rglob("*.*")}
    assert names == {
        "cases/nothing-on-record.expected.json",
        "cases/nothing-on-record.json",
        "eligibility.cql",
        "library.json",
        "plan-definition.json",
        "record.txt",
        "research-study.json",
    }


@pytest.mark.usefixtures("without_node")
def test_what_looks_wrong_and_what_was_drafted_is_printed(tmp_path: Path) -> None:
    result = run(CERVICAL, "--out", tmp_path / "trial")
    assert "record.txt:32: exclusion 3: drug-name: “Cardenimumab” is named nowhere else" in result.stderr
    assert "I13   computable   ecog" in result.stdout
    assert "I1    attestation  to be asked" in result.stdout
    assert "37 criteria," in result.stdout


@pytest.mark.usefixtures("without_node")
def test_one_study_of_a_download_is_chosen(tmp_path: Path) -> None:
    result = run(RECORDS / "fictional.csv", "--out", tmp_path / "trial")
    assert result.exit_code == 1
    assert "holds 2 studies: NCT99999901, NCT99999902 (choose one, such as --nct NCT99999901)" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert run(RECORDS / "fictional.csv", "--out", tmp_path / "trial", "--nct", "NCT99999902").exit_code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Dear colleague,\n", "is no registry record"),
        (CERVICAL.read_bytes()[:200], "is no registry record"),
        ("Å".encode("latin-1"), "is not UTF-8"),
        (b'{"protocolSection": ', "is cut off in the middle of its JSON"),
    ],
)
def test_what_is_no_record_ends_with_1_and_leaves_nothing(content: bytes, message: str, tmp_path: Path) -> None:
    record = tmp_path / "bad.txt"
    record.write_bytes(content)
    result = run(record, "--out", tmp_path / "trial")
    assert result.exit_code == 1
    assert f"Error: {record}:1: {message}" in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["bad.txt"]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    shutil.copy(CERVICAL, tmp_path / "trial")
    result = run(CERVICAL, "--out", tmp_path / "trial")
    assert result.exit_code == 1
    assert "exists and is not empty (name a new folder, or empty this one)" in result.stderr


@pytest.mark.parametrize("arguments", [[], [CERVICAL], ["nowhere.txt", "--out", "x"], [ROOT, "--out", "x"]])
def test_wrong_usage_is_2(arguments: list[str | Path]) -> None:
    assert run(*arguments).exit_code == 2
