"""The service from outside: addresses, statuses, headers, and everything that can be wrong with a request."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds.hooks.service import Service
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = (ROOT / "hooks/trial-match/requests/cervical-newly-diagnosed.json").read_bytes()
SERVICE = "/cds-services/trial-match"


def post(client: FlaskClient, data: bytes, content_type: str = "application/json", path: str = SERVICE) -> TestResponse:
    return client.post(path, data=data, content_type=content_type)


def assert_outcome(response: TestResponse, status: int) -> str:
    """The answer is an OperationOutcome with the status; its diagnostics."""
    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    body = orjson.loads(response.data)
    OperationOutcome.model_validate(body)
    return str(body["issue"][0]["diagnostics"])


# ---- discovery


def test_discovery(client: FlaskClient, empties: Callable[[Any], list[str]]) -> None:
    response = client.get("/cds-services")
    body = orjson.loads(response.data)
    assert response.status_code == 200 and response.mimetype == "application/json"
    assert not empties(body)
    (service,) = body["services"]
    assert service["id"] == "trial-match" and service["hook"] == "patient-view"
    assert service["description"] and service["title"] and "R4" in service["usageRequirements"]
    assert set(service) == {"id", "hook", "title", "description", "usageRequirements", "prefetch"}


def test_discovery_names_what_is_needed(client: FlaskClient, catalog: Catalog) -> None:
    (service,) = orjson.loads(client.get("/cds-services").data)["services"]
    assert all(kind in service["usageRequirements"] for kind in catalog.disease_types)


def test_prefetch_is_one_plain_query_for_each_type(client: FlaskClient) -> None:
    (service,) = orjson.loads(client.get("/cds-services").data)["services"]
    prefetch = service["prefetch"]
    assert prefetch["patient"] == "Patient/{{context.patientId}}"
    assert prefetch["condition"] == "Condition?patient={{context.patientId}}"
    for key, query in prefetch.items():
        kind = key[0].upper() + key[1:]
        assert re.fullmatch(rf"{kind}(/|\?[a-z]+=(Patient/)?){{{{context\.patientId}}}}", query)


def test_discovery_is_cached_by_its_etag(client: FlaskClient) -> None:
    first = client.get("/cds-services")
    again = client.get("/cds-services", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and not again.data
    assert again.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/"])
@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json+fhir", "text/html"])
def test_discovery_for_any_accept_with_and_without_slash(client: FlaskClient, path: str, accept: str) -> None:
    assert client.get(path, headers={"Accept": accept}).status_code == 200
    assert client.head(path).status_code == 200


def test_the_pointers(client: FlaskClient) -> None:
    assert orjson.loads(client.get("/").data)["discovery"] == "/cds-services"
    assert orjson.loads(client.get("/health").data)["status"] == "ok"


# ---- CORS


@pytest.mark.parametrize("path", ["/cds-services", SERVICE, SERVICE + "/"])
def test_preflight(client: FlaskClient, path: str) -> None:
    response = client.options(
        path,
        headers={
            "Origin": "https://sandbox.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed and "content-type" in allowed
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in response.headers


# ---- statuses


def test_addresses_that_are_not_there(client: FlaskClient) -> None:
    assert "trial-match" in assert_outcome(post(client, REQUEST, path="/cds-services/other"), 404)
    assert_outcome(client.get("/nowhere"), 404)
    assert_outcome(client.post("/cds-services//trial-match"), 404)


def test_methods(client: FlaskClient) -> None:
    assert_outcome(client.post("/cds-services"), 405)
    response = client.get(SERVICE)
    assert_outcome(response, 405)
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"])
def test_what_is_not_json_by_its_type(client: FlaskClient, content_type: str) -> None:
    assert_outcome(post(client, REQUEST, content_type), 415)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/fhir+json", "application/json+fhir"]
)
def test_what_is_json_by_its_type(client: FlaskClient, content_type: str) -> None:
    assert post(client, REQUEST, content_type).status_code == 200


def test_a_compressed_body_is_not_understood(client: FlaskClient) -> None:
    response = client.post(
        SERVICE, data=b"\x1f\x8b", content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert_outcome(response, 415)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"{",
        b"{,}",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b'{"hook": NaN}',
        b'{"hook": Infinity}',
        b'{"hook": "\xff"}',
        b'{"hook": "\\ud800"}',
        b'{"hook": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"hook": ' + b"9" * 5_000 + b"}",
        b'{"hook": 1e999999}',
        b"{} {}",
        b'{"hook": "a"} // comment',
        "{}".encode("utf-16"),
    ],
    ids=range(19),
)
def test_bodies_that_are_no_request(client: FlaskClient, data: bytes) -> None:
    assert_outcome(post(client, data), 400)


def test_a_body_that_is_too_large(client: FlaskClient, app: Flask) -> None:
    limit = app.config["MAX_CONTENT_LENGTH"]
    assert limit == 32 * 1024 * 1024
    assert_outcome(post(client, b" " * (limit + 1)), 413)
    assert post(client, REQUEST + b" " * (limit - len(REQUEST))).status_code == 200


def test_a_byte_order_mark_is_passed_over(client: FlaskClient) -> None:
    assert post(client, b"\xef\xbb\xbf" + REQUEST).status_code == 200


def test_nulls_and_odd_text_in_a_chart(client: FlaskClient) -> None:
    body = orjson.loads(REQUEST)
    body["prefetch"]["condition"]["entry"].append(
        {"resource": {"resourceType": "Condition", "id": "x", "code": {"text": "a\u0000b\u202e"}, "note": None}}
    )
    assert post(client, orjson.dumps(body)).status_code == 200


@pytest.mark.parametrize("depth", [200, 450, 900])
def test_a_chart_that_is_nested_deeply(client: FlaskClient, depth: int) -> None:
    nested: Any = {}
    for _ in range(depth):
        nested = {"extension": [nested]} if depth < 460 else {"extension": nested}
    body = orjson.loads(REQUEST)
    body["prefetch"]["condition"]["entry"][0]["resource"]["extension"] = [nested]
    body["prefetch"]["condition"]["entry"].append({"resource": {"resourceType": "Condition", "code": nested}})
    data = re.sub(b'"DEEP"', b"", _dumps(body))
    assert post(client, data).status_code in (200, 400)


def _dumps(value: Any) -> bytes:
    """JSON of any depth (orjson writes up to 254 levels)."""
    import json
    import sys

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        return json.dumps(value).encode()
    finally:
        sys.setrecursionlimit(limit)


# ---- the answer


def test_a_retry_gets_the_same_answer(client: FlaskClient) -> None:
    assert post(client, REQUEST).data == post(client, REQUEST).data


def test_answers_are_not_stored(client: FlaskClient) -> None:
    assert post(client, REQUEST).headers["Cache-Control"] == "no-store"


def test_the_patients_id_may_carry_its_type(client: FlaskClient) -> None:
    body = orjson.loads(REQUEST)
    plain = post(client, REQUEST).data
    body["context"]["patientId"] = "Patient/" + body["context"]["patientId"]
    assert post(client, orjson.dumps(body)).data == plain


def test_a_failure_of_ours_is_told_without_what_the_chart_holds(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("Anna Berger")

    monkeypatch.setattr(Service, "respond", fail)
    with caplog.at_level(logging.INFO):
        told = assert_outcome(post(client, REQUEST), 500)
    assert "Berger" not in told + caplog.text
    assert "ValueError" in caplog.text


def test_logs_hold_no_patient_data(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert post(client, REQUEST).status_code == 200
        assert post(client, REQUEST.replace(b'"Practitioner/dr-lee"', b"5")).status_code == 400
    for secret in ("Berger", "1979", "anna-berger"):
        assert secret not in caplog.text


# ---- over a socket


JSON = {"Content-Type": "application/json"}


def test_over_a_socket(address: str) -> None:
    assert requests.get(f"{address}/cds-services", timeout=10).status_code == 200
    answer = requests.post(address + SERVICE, data=REQUEST, headers=JSON, timeout=30, allow_redirects=False)
    assert answer.status_code == 200 and answer.json()["cards"]
    slash = requests.post(address + SERVICE + "/", data=REQUEST, headers=JSON, timeout=30, allow_redirects=False)
    assert slash.status_code == 200 and slash.content == answer.content


def test_too_large_over_a_socket(address: str, app: Flask) -> None:
    data = b" " * (app.config["MAX_CONTENT_LENGTH"] + 1)
    answer = requests.post(address + SERVICE, data=data, headers=JSON, timeout=60)
    assert answer.status_code == 413 and answer.json()["resourceType"] == "OperationOutcome"


def test_sixteen_at_once(address: str) -> None:
    answers: list[bytes] = []

    def call() -> None:
        answers.append(requests.post(address + SERVICE, data=REQUEST, headers=JSON, timeout=60).content)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16 and len(set(answers)) == 1
