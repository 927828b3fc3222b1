"""`cds expand`, as an author uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds.cli import main
from cds.fhir import ValueSets
from tests.authoring.test_expansion import A, B, S, code_system, filtered, listed, value_set
from tests.authoring.test_terminology_server import Server


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, ["expand", *map(str, arguments)], env=environment)


def folder(tmp_path: Path, **resources: Any) -> Path:
    place = tmp_path / "valuesets"
    place.mkdir(exist_ok=True)
    for name, content in resources.items():
        (place / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return place


def test_value_sets_are_filled_once_and_then_left_alone(tmp_path: Path) -> None:
    place = folder(
        tmp_path, a=value_set(A, filtered("concept", "is-a", "a")), b=value_set(B, listed("d")), s=code_system()
    )
    stale = run(place, "--check")
    assert stale.exit_code == 1 and "a.json: its expansion is stale" in stale.output
    first = run(place)
    assert first.exit_code == 0 and f"{place / 'a.json'}: written (4 codes, from definition)" in first.output
    before = (place / "a.json").read_bytes()
    again = run(place)
    assert again.exit_code == 0 and again.output.count("unchanged") == 2
    assert (place / "a.json").read_bytes() == before and run(place, "--check").exit_code == 0
    assert ValueSets.load([tmp_path]).value_set(A) == {(S, code) for code in "abce"}
    expansion = json.loads(before)["expansion"]
    assert expansion["parameter"] == [{"name": "used-codesystem", "valueUri": f"{S}|2"}] and expansion["total"] == 4


def test_what_fails_is_named_and_the_others_are_filled(tmp_path: Path) -> None:
    place = folder(tmp_path, a=value_set(A, {"system": S}), b=value_set(B, listed("d")))
    found = run(place)
    assert found.exit_code == 1 and "b.json: written" in found.output
    assert "a.json: compose.include[0]: needs the code system" in found.output and "--server" in found.output


def test_a_server_fills_the_rest_and_is_remembered(tmp_path: Path) -> None:
    server = Server(3)
    place = folder(tmp_path, a=value_set(A, {"system": S}))
    found = run(place, "--server", server.url, "--validate", CDS_TERMINOLOGY_AUTHORIZATION="Bearer t")
    assert found.exit_code == 0 and f"written (3 codes, from {server.url})" in found.output
    assert "3 codes asked" in found.output and {asked for _, asked, _ in server.asked} == {"Bearer t"}
    kept = run(place)
    assert kept.exit_code == 0 and "kept as it came from a server" in kept.output
    server.codes[:] = ["c0"]
    stale = run(place, "--check", CDS_TERMINOLOGY_SERVER=server.url)
    assert stale.exit_code == 1 and "stale" in stale.output
    unknown = run(place, "--check", "--validate", "--server", server.url)
    assert f"c2 of {S}: is not known to the server" in unknown.output and unknown.exit_code == 1
    server.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "https://x.example/none"), "no such ValueSet"),
        (("--validate",), "needs --server"),
        (("--server", "ftp://x.example"), "no http"),
    ],
)
def test_wrong_usage_is_told(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    found = run(folder(tmp_path, a=value_set(A, listed("a"))), *arguments)
    assert found.exit_code in (1, 2) and message in found.output


def test_no_json_is_told_with_its_file(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "broken.json").write_text("{", encoding="utf-8")
    found = run(place)
    assert found.exit_code == 1 and "broken.json: cannot be read as JSON" in found.output


def test_the_trials_expansions_are_what_their_definitions_say() -> None:
    found = run("--check")
    assert found.exit_code == 0, found.output
