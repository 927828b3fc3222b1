"""Which trials of a folder are matched: what their status and version say, and what is refused at load."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.errors import ContentError
from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.catalog import Catalog
from cds.trials.compiled import fingerprint

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATA = Path(__file__).parent / "data" / "meaning"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "content")
    return tmp_path / "content"


def change(folder: Path, trial: str, **more: Any) -> None:
    plan = orjson.loads((folder / trial / "plan-definition.json").read_bytes())
    (folder / trial / "plan-definition.json").write_bytes(orjson.dumps(plan | more))


def copied(folder: Path, trial: str, name: str, **more: Any) -> None:
    """A further version of a trial, in a folder of its own beside it, its library under another name."""
    shutil.copytree(folder / trial, folder / name)
    change(folder, name, id=name, **more)
    cql, elm = folder / name / "eligibility.cql", folder / name / "eligibility.elm.json"
    text = cql.read_text(encoding="utf-8").replace("library Demo", "library Next", 1)
    compiled = orjson.loads(elm.read_bytes())
    compiled["library"]["identifier"]["id"] = "Next"
    compiled["translation"]["sha256"] = fingerprint(text, {})
    cql.write_text(text, encoding="utf-8")
    elm.write_bytes(orjson.dumps(compiled))


@pytest.fixture
def trial(folder: Path) -> str:
    (plan,) = folder.glob("*/plan-definition.json")
    return plan.parent.name


def test_active_trials_alone_are_matched(folder: Path, trial: str) -> None:
    assert [one.id for one in Catalog.load(folder).active] == [trial]
    for status in ("draft", "retired", "unknown"):
        change(folder, trial, status=status)
        catalog = Catalog.load(folder)
        assert [one.id for one in catalog] == [trial] and not catalog.active


@pytest.mark.parametrize("status", [None, "", "Active", "closed"])
def test_a_status_that_says_nothing_is_refused(folder: Path, trial: str, status: str | None) -> None:
    change(folder, trial, status=status)
    with pytest.raises(ContentError, match=r"plan-definition\.json: has no status .*draft, active, retired"):
        Catalog.load(folder)


def test_the_version_is_part_of_what_was_applied(folder: Path, trial: str) -> None:
    change(folder, trial, url="https://one.example/PlanDefinition/t", version="2.0.1")
    assert Catalog.load(folder).trials[trial].canonical == "https://one.example/PlanDefinition/t|2.0.1"
    change(folder, trial, version="")
    assert Catalog.load(folder).trials[trial].canonical == "https://one.example/PlanDefinition/t"


def test_two_active_versions_of_one_trial_are_refused(folder: Path, trial: str) -> None:
    url = "https://one.example/PlanDefinition/t"
    change(folder, trial, url=url, version="1")
    copied(folder, trial, "next", url=url, version="2")
    with pytest.raises(ContentError, match=f"{trial} and next are two active versions of {url}"):
        Catalog.load(folder)
    change(folder, "next", status="draft")
    assert [one.canonical for one in Catalog.load(folder).active] == [f"{url}|1"]


def test_a_draft_is_asked_by_its_name_alone(folder: Path, trial: str) -> None:
    change(folder, trial, status="draft")
    catalog = Catalog.load(folder)
    record = PatientRecord.from_resources([{"resourceType": "Patient", "id": "p"}], now=NOW)
    assert not match(catalog, record, now=NOW).trials
    assert [one.trial for one in match(catalog, record, now=NOW, trials=[trial]).trials] == [trial]
