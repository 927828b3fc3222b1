"""Services are loaded from their folders; their answers to the requests of hooks/ mean what they should."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from rich.console import Console

from cds.errors import CdsError, ContentError, DataUnavailableError
from cds.hooks import Service, load_services
from cds.hooks import service as module
from cds.hooks.cards import EXTENSION
from cds.hooks.fire import request_files, send, service_of, show
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "hooks" / "trial-match"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def service(catalog: Catalog) -> Service:
    return Service.load(FOLDER, catalog)


def request(name: str) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads((FOLDER / "requests" / f"{name}.json").read_bytes())
    return body


def trials(service: Service, name: str) -> list[str]:
    """The trials whose cards a request of hooks/ is answered with, in their order."""
    answer = service.respond(request(name), now=NOW)
    return [card["extension"][EXTENSION]["trial"] for card in answer["cards"]]


# ---- what the examples mean


@pytest.mark.parametrize(
    ("name", "trial"),
    [
        ("cervical-newly-diagnosed", "cadonilimab-cervical-locally-advanced"),
        ("cervical-recurrent-lung-metastasis", "cadonilimab-anlotinib-cervical"),
        ("lung-extensive-stage-progressed", "cadonilimab-es-sclc"),
        ("liver-hepatocellular-carcinoma", "cadonilimab-lenvatinib-hcc"),
    ],
)
def test_each_trial_has_an_example_that_it_is_the_best_match_of(service: Service, name: str, trial: str) -> None:
    assert trials(service, name)[0] == trial


def test_patients_without_a_trial(service: Service) -> None:
    assert trials(service, "no-cancer") == []
    assert trials(service, "deceased") == []
    assert "cadonilimab-cervical-locally-advanced" not in trials(service, "cervical-excluded-by-hiv")


def test_a_partial_prefetch_opens_criteria_and_says_why(service: Service) -> None:
    answer = service.respond(request("cervical-partial-prefetch"), now=NOW)
    unread = answer["extension"][EXTENSION]["unread"]
    assert set(unread) == {"Immunization", "Procedure", "MedicationAdministration", "MedicationRequest"}
    (card,) = (one for one in answer["cards"] if one["extension"][EXTENSION]["trial"].endswith("locally-advanced"))
    assert (
        "**Could not be read:** Immunization, MedicationAdministration, MedicationRequest, Procedure" in card["detail"]
    )
    outcomes = {one["id"]: one["outcome"] for one in card["extension"][EXTENSION]["criteria"]}
    assert outcomes["E9"] == outcomes["E11"] == "unknown"


def test_the_first_dose_is_the_date_of_now_where_the_service_stands(service: Service) -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC).astimezone(ZoneInfo("Asia/Shanghai"))
    answer = service.respond(request("cervical-newly-diagnosed"), now=late)
    assert "first dose on 21 Nov 2026" in answer["cards"][0]["detail"]


def test_override_reasons_are_complete(service: Service) -> None:
    answer = service.respond(request("liver-hepatocellular-carcinoma"), now=NOW)
    for reason in answer["cards"][0]["overrideReasons"]:
        assert set(reason) == {"code", "system", "display"} and all(reason.values())


def test_a_card_that_cannot_be_made_takes_no_other_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made = module.card

    def fail_for_the_first(answer: Any, trial: Any, **more: Any) -> Any:
        if trial.id == "cadonilimab-cervical-locally-advanced":
            raise ValueError("Berger")
        return made(answer, trial, **more)

    monkeypatch.setattr(module, "card", fail_for_the_first)
    answer = service.respond(request("cervical-newly-diagnosed"), now=NOW)
    assert answer["extension"][EXTENSION]["notEvaluated"] == ["cadonilimab-cervical-locally-advanced"]
    assert len(answer["cards"]) == 1


# ---- what cannot be loaded


GOOD = {"id": "x", "hook": "patient-view", "description": "What it does."}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "service.json"),
        ({"service.json": "{"}, "service.json"),
        ({"service.json": "[]"}, "service.json"),
        ({"service.json": {**GOOD, "hook": ""}}, "hook"),
        ({"service.json": {**GOOD, "id": "y"}}, "id"),
        ({"service.json": {**GOOD, "prefetch": {}}}, "prefetch"),
        ({"service.json": GOOD, "override-reasons.json": {"url": "u", "concept": [{"code": "a"}]}}, "display"),
    ],
)
def test_what_cannot_serve_is_refused_at_the_start(
    tmp_path: Path, catalog: Catalog, files: dict[str, Any], named: str
) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else orjson.dumps(content))
    with pytest.raises(ContentError, match=named):
        Service.load(folder, catalog)


def test_a_folder_without_services_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(ContentError):
        load_services(tmp_path, catalog)


# ---- fire


def fired(address: str, name: str) -> str:
    path = FOLDER / "requests" / f"{name}.json"
    console = Console(width=200)
    status, body = send(path, address + "/", service_of(path))
    with console.capture() as capture:
        show(console, path.stem, status, body)
    return capture.get()


def test_fire_shows_cards_and_refusals(address: str) -> None:
    shown = fired(address, "liver-hepatocellular-carcinoma")
    assert "Possible trial:" in shown and "Refer to the study team" in shown
    assert "no card" in fired(address, "no-cancer")
    assert "412" in fired(address, "error-no-prefetch") and "prefetch.patient" in fired(address, "error-no-prefetch")


def test_fire_without_a_service() -> None:
    path = FOLDER / "requests" / "no-cancer.json"
    with pytest.raises(DataUnavailableError, match="cds serve"):
        send(path, "http://127.0.0.1:9", "trial-match")
    with pytest.raises(CdsError):
        send(FOLDER / "none.json", "http://127.0.0.1:9", "trial-match")


def test_fire_takes_folders() -> None:
    assert len(request_files(FOLDER / "requests")) >= 10
