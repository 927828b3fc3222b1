"""POST /cds-services/{id}/feedback from outside, and what a broken database takes from it (and not from the cards)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from broken import FAULTS, Fault
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask import Flask
from flask.testing import FlaskClient
from reactions import NOW
from werkzeug.test import TestResponse

from cds.app import create_app
from cds.hooks.feedback import database
from cds.hooks.feedback.report import Report, report
from cds.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
REQUEST = orjson.loads((ROOT / "hooks/trial-match/requests/cervical-newly-diagnosed.json").read_bytes())
REASONS = orjson.loads((ROOT / "hooks/trial-match/override-reasons.json").read_bytes())
SERVICE = "/cds-services/trial-match"
AT = "2026-11-20T12:05:00Z"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder and a request may have to wait for one another, for a database that fails nobody does."""
    monkeypatch.setattr(database, "WAIT", 0.5)
    monkeypatch.setattr(database, "PAUSE", 0)


@pytest.fixture
def served(file: Path) -> Iterator[Flask]:
    app = create_app(Settings.from_environment({"CDS_DATABASE_URL": f"sqlite:///{file}"}), clock=lambda: NOW)
    yield app
    app.extensions["recorder"].close()


@pytest.fixture
def caller(served: Flask) -> FlaskClient:
    return served.test_client()


def post(caller: FlaskClient, body: Any, path: str = f"{SERVICE}/feedback") -> TestResponse:
    return caller.post(path, data=orjson.dumps(body), content_type="application/json")


def cards(caller: FlaskClient) -> list[dict[str, Any]]:
    answer = post(caller, REQUEST | {"hookInstance": str(uuid4())}, SERVICE)
    assert answer.status_code == 200
    shown: list[dict[str, Any]] = orjson.loads(answer.data)["cards"]
    return shown


def accept(card: dict[str, Any]) -> dict[str, Any]:
    chosen = [{"id": card["suggestions"][0]["uuid"]}]
    return {"card": card["uuid"], "outcome": "accepted", "acceptedSuggestions": chosen, "outcomeTimestamp": AT}


def override(card: dict[str, Any]) -> dict[str, Any]:
    reason = {"code": REASONS["concept"][2]["code"], "system": REASONS["url"]}
    told = {"reason": reason, "userComment": "Anna Berger would rather not"}
    return {"card": card["uuid"], "outcome": "overridden", "overrideReason": told, "outcomeTimestamp": AT}


def reported(app: Flask) -> Report:
    """The report, once all cards are written."""
    app.extensions["recorder"].close()
    return report(app.extensions["store"])


def assert_refused(answer: TestResponse, status: int) -> str:
    assert answer.status_code == status
    OperationOutcome.model_validate(orjson.loads(answer.data))
    return str(orjson.loads(answer.data)["issue"][0]["diagnostics"])


def test_cards_and_the_feedback_on_them_meet(served: Flask, caller: FlaskClient) -> None:
    first, second = cards(caller)
    answer = post(caller, {"feedback": [accept(first), override(second)]})
    assert (answer.status_code, orjson.loads(answer.data)) == (200, {"received": 2})
    told = reported(served)
    accepted, overridden = sorted(told.trials, key=lambda trial: -trial.accepted)
    assert (accepted.issued, accepted.accepted, accepted.overridden) == (1, 1, 0)
    assert (overridden.issued, overridden.reasons) == (1, {REASONS["concept"][2]["code"]: 1})
    assert (told.unknown_cards, told.unknown_suggestions, told.accepted_suggestions) == (0, 0, 1)


def test_nothing_of_the_patient_is_at_rest(served: Flask, caller: FlaskClient, file: Path) -> None:
    first, second = cards(caller)
    post(caller, {"feedback": [accept(first), override(second)]})
    reported(served)
    kept = b"".join(one.read_bytes() for one in file.parent.glob(f"{file.name}*"))
    context = REQUEST["context"]
    for secret in ("Berger", context["patientId"], context["userId"], REQUEST["hookInstance"], "rather not"):
        assert secret.encode() not in kept
    assert first["uuid"].encode() in kept


def test_a_repeat_a_slash_and_no_feedback_at_all(served: Flask, caller: FlaskClient) -> None:
    body = {"feedback": [accept(cards(caller)[0])]}
    assert post(caller, body).status_code == post(caller, body, f"{SERVICE}/feedback/").status_code == 200
    assert post(caller, {"feedback": []}).status_code == 200
    assert sum(trial.accepted for trial in reported(served).trials) == 1


def test_an_unknown_card_is_taken_and_counted_apart(served: Flask, caller: FlaskClient) -> None:
    body = {"card": str(uuid4()), "outcome": "overridden", "outcomeTimestamp": AT}
    assert post(caller, {"feedback": [body]}).status_code == 200
    assert reported(served).unknown_cards == 1


def test_what_is_refused(caller: FlaskClient) -> None:
    known = accept(cards(caller)[0])
    assert "feedback[1].outcome" in assert_refused(post(caller, {"feedback": [known, known | {"outcome": 5}]}), 400)
    assert "CDS Hooks feedback" in assert_refused(
        caller.post(f"{SERVICE}/feedback", content_type="application/json"), 400
    )
    assert_refused(post(caller, {"feedback": []}, "/cds-services/other/feedback"), 404)
    assert_refused(caller.get(f"{SERVICE}/feedback"), 405)
    assert_refused(caller.post(f"{SERVICE}/feedback", data=b"{}", content_type="text/plain"), 415)
    assert_refused(post(caller, {"feedback": [], "extension": "x" * (1 << 20)}), 413)


def test_a_browser_may_send_feedback(caller: FlaskClient) -> None:
    answer = caller.options(f"{SERVICE}/feedback", headers={"Origin": "https://sandbox.example"})
    assert answer.status_code == 200 and "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def many(*more: dict[str, Any]) -> dict[str, Any]:
    """Feedback that needs room."""
    others = ({"card": str(uuid4()), "outcome": "overridden", "outcomeTimestamp": AT} for _ in range(300))
    return {"feedback": [*more, *others]}


@FAULTS
def test_a_broken_database_takes_no_card_away_and_loses_nothing(
    served: Flask, caller: FlaskClient, file: Path, fault: Fault, said: str
) -> None:
    assert caller.get("/ready").status_code == 200
    with fault(served.extensions["store"], file):
        first, second = cards(caller)
        body = many(accept(first), override(second))
        refused = post(caller, body)
        assert "nothing of this was stored" in assert_refused(refused, 503)
        assert int(refused.headers["Retry-After"]) > 0
        assert orjson.loads(refused.data)["issue"][0]["code"] == "transient"
        assert len(cards(caller)) == 2
        assert caller.get("/health").status_code == 200
    assert post(caller, body).status_code == 200, said
    told = reported(served)
    assert [(trial.issued, trial.accepted + trial.overridden) for trial in told.trials] == [(2, 1), (2, 1)]
    assert told.unknown_cards == 300


def test_a_database_that_is_away_at_the_start(file: Path) -> None:
    file.write_text("in the way")
    app = create_app(
        Settings.from_environment({"CDS_DATABASE_URL": f"sqlite:///{file / 'x.sqlite'}"}), clock=lambda: NOW
    )
    caller = app.test_client()
    assert len(cards(caller)) == 2
    assert caller.get("/health").status_code == 200
    ready = caller.get("/ready")
    assert ready.status_code == 503
    state = orjson.loads(ready.data)
    assert state["status"] == "not ready: database" and "does not serve" in state["database"] and state["trials"] == 4
    assert_refused(post(caller, {"feedback": [override(cards(caller)[0])]}), 503)
    file.unlink()
    assert caller.get("/ready").status_code == 200
    assert [trial.issued for trial in reported(app).trials] == [2, 2]


def test_a_failure_to_record_takes_no_card_away(
    served: Flask, caller: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise KeyError("Anna Berger")

    monkeypatch.setattr(served.extensions["recorder"], "add", fail)
    assert len(cards(caller)) == 2
    assert "cards are not recorded: KeyError" in caplog.text and "Berger" not in caplog.text
