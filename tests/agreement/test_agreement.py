"""The libraries on which engines are compared: our values stay as they were, every known difference is explained."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cds.authoring.evaluate import Content, written
from cds.cli.command import read_bundle
from cds.fhir.record import PatientRecord

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import agreement  # noqa: E402

LIBRARIES = sorted(path.name.removesuffix(".elm.json") for path in HERE.glob("*.elm.json"))
EXPLAINED = json.loads((HERE / "differences.json").read_text(encoding="utf-8"))["differences"]
EXPLANATIONS = (HERE / "DIFFERENCES.md").read_text(encoding="utf-8")
RECORDED = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"), parse_float=Decimal)


@pytest.fixture(scope="module")
def values() -> dict[str, dict[str, Any]]:
    """What all definitions are worth for the patient of the record."""
    content = Content.load(HERE, LIBRARIES, HERE)
    now = datetime.fromisoformat(RECORDED["now"])
    record = PatientRecord.from_bundle(read_bundle(ROOT / RECORDED["patient"]), now=now, hygiene=False)
    found: dict[str, dict[str, Any]] = json.loads(written(content.evaluate(record, now)), parse_float=Decimal)
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_values_stay_as_recorded(values: dict[str, dict[str, Any]], library: str) -> None:
    """The recorded ones are short, and those in which the reference engine agrees."""
    recorded = RECORDED["values"][library]
    assert {name: values[library].get(name) for name in recorded} == recorded


@pytest.mark.parametrize("library", LIBRARIES)
def test_there_is_enough_to_compare(values: dict[str, dict[str, Any]], library: str) -> None:
    assert len(values[library]) >= 40


def test_every_difference_names_a_definition_and_a_cause_in_writing(values: dict[str, dict[str, Any]]) -> None:
    causes = set(re.findall(r"^## ([a-z-]+)$", EXPLANATIONS, re.MULTILINE))
    for entry in EXPLAINED:
        library, definition = entry["library"], entry["definition"]
        assert entry["cause"] in causes
        assert f"| {library}.{definition} |" in EXPLANATIONS
        if library in values:
            assert {definition, definition.rpartition(".")[0]} & values[library].keys()
    assert causes == {entry["cause"] for entry in EXPLAINED}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, Decimal("1.0"), True),
        (Decimal("0.333333333"), 1 / 3, True),
        (1, 1.001, False),
        (True, 1, False),
        (None, False, False),
        ([1, 2], [2, 1], False),
        ({"@error": "one"}, {"@error": "other"}, True),
        ({"@error": "one"}, None, False),
        ({"@datetime": "2026-11-20T12:00:00.000+02:00"}, {"@datetime": "2026-11-20T10:00:00.000Z"}, True),
        ({"@datetime": "2026-11-20T12:00:00Z"}, {"@datetime": "2026-11-20T12:00:00.000Z"}, False),
        ({"@datetime": "2026-11"}, {"@datetime": "2026-11T"}, True),
        ({"@tuple": {"a": 1}}, {"@tuple": {"a": 1, "b": None}}, False),
    ],
)
def test_what_counts_as_the_same(one: Any, other: Any, alike: bool) -> None:
    assert agreement.same(one, other) is alike


def test_differences_are_told_by_element_and_kind() -> None:
    ours = {"p": {"L": {"A": {"@tuple": {"x": 1, "y": [2]}}, "B": 1, "C": None}}, "q": {"L": {"B": 1}}}
    theirs = {"p": {"L": {"A": {"@tuple": {"x": 1, "y": None}}, "B": {"@error": "no"}}}, "q": {"L": {"B": True}}}
    compared, found = agreement.differences(ours, theirs)
    assert compared == 4
    told = {(item.definition, item.kinds, tuple(item.patients)) for item in found}
    assert told == {
        ("A.y", ("list", "null"), ("p",)),
        ("B", ("number", "@error"), ("p",)),
        ("B", ("number", "true"), ("q",)),
        ("C", ("null", "@absent"), ("p",)),
    }


def test_an_unexplained_difference_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    known = EXPLAINED[0]
    patients = ["a", "b"]
    explained = agreement.Difference(known["library"], known["definition"], tuple(known["kinds"][0]), patients)
    assert agreement.report(10, [explained]) is True
    assert agreement.report(10, [agreement.Difference("Nobody", "Nothing", ("true", "false"), patients)]) is False
    assert "NOT EXPLAINED Nobody.Nothing: 2 patients, true / false" in capsys.readouterr().out
