"""What the service tells of itself: request ids, one line a request, readiness, counts."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from charts import said_of_a_patient
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds.hooks.laps import Laps
from cds.hooks.metrics import Metrics
from cds.hooks.service import Service
from cds.logs import JsonFormatter

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = (ROOT / "hooks/trial-match/requests/cervical-newly-diagnosed.json").read_bytes()
SERVICE = "/cds-services/trial-match"
NOTHING_FETCHED = REQUEST.replace(b'"prefetch"', b'"fetched"')
ID = "Root=1-67891233-abcdef012345678912345678"


def post(client: FlaskClient, data: bytes = REQUEST, path: str = SERVICE, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, data=data, content_type="application/json", headers=named)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """What was logged of the requests so far, as it is written."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(JsonFormatter().format(one)) for one in caplog.records if one.name == "cds.request"]

    caplog.set_level(logging.DEBUG)
    return read


def count(client: FlaskClient, name: str, **labels: str) -> float:
    """A figure of /metrics."""
    for line in client.get("/metrics").text.splitlines():
        head, _, value = line.rpartition(" ")
        if head.partition("{")[0] == name and set(re.findall(r'(\w+)="([^"]*)"', head)) == set(labels.items()):
            return float(value)
    return 0.0


# ---- request ids


def test_a_request_has_an_id(client: FlaskClient) -> None:
    given = client.get("/health").headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", given)
    assert client.get("/health").headers["X-Request-ID"] != given
    assert client.get("/nowhere").headers["X-Request-ID"]


@pytest.mark.parametrize("sane", [ID, "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "0123456789abcdef"])
def test_an_id_from_outside_is_kept(client: FlaskClient, sane: str, lines: Any) -> None:
    assert post(client, X_Request_ID=sane).headers["X-Request-ID"] == sane
    assert lines()[-1]["request"] == sane


@pytest.mark.parametrize("odd", ["", "12345678", "anna-berger", "x" * 129, "0123456789abcdef\t1", "<script>alert(1)"])
def test_an_id_that_could_be_anything_is_replaced(client: FlaskClient, odd: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", post(client, X_Request_ID=odd).headers["X-Request-ID"])


def test_a_browser_may_send_and_read_it(client: FlaskClient) -> None:
    headers = client.options(SERVICE).headers
    assert "X-Request-ID" in headers["Access-Control-Allow-Headers"]
    assert "X-Request-ID" in headers["Access-Control-Expose-Headers"]


# ---- one line a request


def test_the_line_of_a_call(client: FlaskClient, lines: Any) -> None:
    shown = orjson.loads(post(client).data)["cards"]
    (line,) = lines()
    assert (line["level"], line["message"]) == ("INFO", "POST /cds-services/<service_id> 200")
    assert (line["service"], line["status"], line["cards"]) == ("trial-match", 200, len(shown))
    assert line["trials"] == [card["extension"]["example.trial-match"]["trial"] for card in shown]
    assert list(line["stages"]) == ["admit", "read", "check", "gather", "match", "cards", "write"]
    assert line["ms"] >= sum(line["stages"].values()) - 0.5


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        (SERVICE, b"{}", "POST /cds-services/<service_id> 400: hook"),
        (
            SERVICE,
            REQUEST.replace(b'"prefetch"', b'"fetched"'),
            "POST /cds-services/<service_id> 412: prefetch.patient",
        ),
        (SERVICE + "/feedback", b"{}", "POST /cds-services/<service_id>/feedback 400: feedback"),
        ("/cds-services/anna-berger", b"{}", "POST /cds-services/<service_id> 404"),
        ("/Patient/anna-berger", b"{}", "POST (no such address) 404"),
        ("/cds-services", b"{}", "POST (no such address) 405"),
    ],
)
def test_the_line_of_a_refusal(client: FlaskClient, lines: Any, path: str, data: bytes, message: str) -> None:
    post(client, data, path)
    (line,) = lines()
    assert line["message"].startswith(message) and line["level"] == "INFO"


def test_the_line_of_a_failure(client: FlaskClient, lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("Anna Berger")

    monkeypatch.setattr(Service, "respond", fail)
    assert post(client).status_code == 500
    (line,) = lines()
    assert line["level"] == "ERROR" and "ValueError at " in line["message"] and "Berger" not in json.dumps(line)


def test_probes_are_logged_where_one_asks_for_it(client: FlaskClient, lines: Any) -> None:
    for path in ("/health", "/ready", "/metrics"):
        client.get(path)
    assert [line["level"] for line in lines()] == ["DEBUG"] * 3


def test_what_a_client_sends_is_not_repeated(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = "eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJodHRwczovL2UifQ.c2lnbmF0dXJl"
    body = orjson.loads(REQUEST) | {
        "fhirServer": "https://fhir.example/anna-berger",
        "fhirAuthorization": {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "x",
            "subject": "y",
        },
    }
    post(client, orjson.dumps(body), Authorization=f"Bearer {token}", X_Request_ID="anna-berger", User_Agent="Berger")
    post(client, REQUEST, f"{SERVICE}?patient=anna-berger")
    text = "".join(JsonFormatter().format(one) for one in caplog.records)
    assert text and said_of_a_patient(text) is None


# ---- readiness and counts


def test_ready(client: FlaskClient) -> None:
    answer = client.get("/ready")
    told = {"status": "ready", "services": ["trial-match"], "trials": 4, "database": "ok"}
    assert (answer.status_code, orjson.loads(answer.data)) == (200, told)


def test_calls_cards_and_open_criteria_are_counted(client: FlaskClient) -> None:
    trial = "cadonilimab-cervical-locally-advanced"

    def counts() -> tuple[float, ...]:
        return (
            count(client, "cds_requests_total", endpoint="call", service="trial-match", status="200"),
            count(client, "cds_request_seconds_count", endpoint="call", service="trial-match"),
            count(client, "cds_cards_total", trial=trial, status="potentially-eligible"),
            count(client, "cds_criteria_unknown_total", trial=trial, criterion="I1"),
            count(client, "cds_requests_total", endpoint="call", service="", status="404"),
        )

    before = counts()
    post(client)
    post(client, path="/cds-services/anna-berger")
    assert [after - was for after, was in zip(counts(), before, strict=True)] == [1, 1, 1, 1, 1]


def test_feedback_is_counted(client: FlaskClient) -> None:
    labels = {"service": "trial-match", "outcome": "overridden"}
    before = count(client, "cds_feedback_total", **labels)
    entry = {"card": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "outcome": "overridden"}
    body = {"feedback": [entry | {"outcomeTimestamp": "2026-11-20T12:00:00Z"}]}
    assert post(client, orjson.dumps(body), f"{SERVICE}/feedback").status_code == 200
    assert post(client, orjson.dumps({"feedback": [entry]}), f"{SERVICE}/feedback").status_code == 400
    assert count(client, "cds_feedback_total", **labels) - before == 1


def test_reads_and_recorded_cards_are_counted() -> None:
    metrics = Metrics()
    metrics.read("Observation", "timeout", 4.0)
    metrics.recorded(3, 1)
    text = metrics.text().decode()
    assert 'cds_fhir_reads_total{outcome="timeout",type="Observation"} 1.0' in text
    assert 'cds_fhir_read_seconds_sum{type="Observation"} 4.0' in text
    assert "cds_cards_recorded_total 3.0" in text and "cds_cards_lost_total 1.0" in text


def test_no_count_names_what_a_client_sent(client: FlaskClient, app: Flask) -> None:
    for path in ("/cds-services/anna-berger", "/Patient/anna-berger", f"{SERVICE}/feedback/anna-berger"):
        post(client, path=path)
    assert said_of_a_patient(client.get("/metrics").text) is None


def test_laps_add_up() -> None:
    laps = Laps()
    for stage in ("read", "match", "read"):
        laps.lap(stage)
    assert list(laps.milliseconds) == ["read", "match"]
    assert 0 <= sum(laps.milliseconds.values()) <= 1000 * laps.seconds + 0.1  # rounded
