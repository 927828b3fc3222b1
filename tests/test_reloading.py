"""Content that changes while the service runs: what loads is served, what does not replaces nothing."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from flask import Flask
from werkzeug.test import Client

from cds.app import create_app
from cds.reloading import Reloading
from cds.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
TRIAL = "cadonilimab-es-sclc"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A folder with one trial and what it shares, to be changed."""
    for name in (TRIAL, "shared"):
        shutil.copytree(ROOT / "plandefinitions" / name, tmp_path / "content" / name)
    return tmp_path / "content"


@pytest.fixture
def reloading(content: Path, tmp_path: Path) -> Iterator[Reloading[Flask]]:
    settings = Settings.from_environment(
        {"CDS_PLANDEFINITIONS": str(content), "CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'feedback.sqlite'}"}
    )
    made: list[Flask] = []

    def make() -> Flask:
        made.append(create_app(settings, clock=lambda: NOW))
        return made[-1]

    yield Reloading(make(), [content], make, lambda replaced: replaced.extensions["recorder"].close(5))
    for app in made:
        app.extensions["recorder"].close(5)


def change(path: Path, edit: Callable[[str], str]) -> None:
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")


def retitle(content: Path, text: str, **more: str) -> None:
    plan = orjson.loads((content / TRIAL / "plan-definition.json").read_bytes())
    (content / TRIAL / "plan-definition.json").write_bytes(orjson.dumps(plan | {"title": text} | more))


def title(reloading: Reloading[Flask]) -> str:
    answer = Client(reloading).get(f"/fhir/PlanDefinition/{TRIAL}")
    return str(orjson.loads(answer.data)["title"])


def settle(reloading: Reloading[Flask]) -> bool:
    """Two looks: the content has to rest between them."""
    return [reloading.check(), reloading.check()][-1]


def test_nothing_is_loaded_where_nothing_changed(reloading: Reloading[Flask]) -> None:
    before = reloading.current
    assert not settle(reloading) and reloading.current is before


def test_what_changed_is_served(reloading: Reloading[Flask], content: Path) -> None:
    retitle(content, "Another")
    assert not reloading.check(), "it may still be written"
    assert reloading.check()
    assert title(reloading) == "Another"


def test_what_does_not_load_replaces_nothing(
    reloading: Reloading[Flask], content: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = content / TRIAL / "plan-definition.json"
    whole, before = plan.read_text(encoding="utf-8"), title(reloading)
    plan.write_text(whole[: len(whole) // 2], encoding="utf-8")
    with caplog.at_level(logging.ERROR, "cds.reloading"):
        assert not settle(reloading)
    assert str(plan) in caplog.text and title(reloading) == before
    caplog.clear()
    assert not settle(reloading) and not caplog.text, "it is said once"
    plan.write_text(whole, encoding="utf-8")
    retitle(content, "Mended")
    assert settle(reloading) and title(reloading) == "Mended"


def test_logic_that_is_not_translated_replaces_nothing(
    reloading: Reloading[Flask], content: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(content / TRIAL / "eligibility.cql", lambda text: text + "\n// changed\n")
    with caplog.at_level(logging.ERROR, "cds.reloading"):
        assert not settle(reloading)
    assert "cds translate" in caplog.text


def test_a_trial_that_is_retired_is_matched_no_more(reloading: Reloading[Flask], content: Path) -> None:
    def trials() -> list[str]:
        return list(orjson.loads(Client(reloading).get("/").data)["trials"])

    assert len(trials()) == 1
    retitle(content, "Retired", status="retired")
    assert settle(reloading) and not trials()
    assert orjson.loads(Client(reloading).get(f"/fhir/PlanDefinition/{TRIAL}").data)["status"] == "retired"


def test_a_file_that_goes_is_noticed(reloading: Reloading[Flask], content: Path) -> None:
    (content / TRIAL / "research-study.json").unlink()
    before = reloading.current
    assert not settle(reloading) and reloading.current is before


def test_watching_ends_when_it_is_told_to(content: Path) -> None:
    looks: list[int] = []
    stop = threading.Event()

    class Once(Reloading[Flask]):
        def check(self) -> bool:
            looks.append(1)
            stop.set()
            raise OSError("a folder that cannot be read ends no watching")

    Once(Flask("one"), [content], lambda: Flask("two"), lambda _: None).watch(0.001, stop)
    assert looks == [1]
