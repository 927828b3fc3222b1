"""`cds fire` as an EHR: the request made from a FHIR server, prefetched or not, signed or not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from ehr import Ehr
from flask import Flask, request
from werkzeug.serving import make_server

from cds.app import create_app
from cds.cli import main
from cds.hooks.fire import FhirServer, fill
from cds.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
REQUEST = orjson.loads((ROOT / "hooks/trial-match/requests/cervical-newly-diagnosed.json").read_bytes())
PATIENT = REQUEST["context"]["patientId"]


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    server = Ehr.of_prefetch(REQUEST["prefetch"], page=2)
    yield server
    server.close()


def fire(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["fire", *map(str, arguments)])


@pytest.fixture
def listen() -> Iterator[Callable[[], tuple[str, list[dict[str, Any]]]]]:
    """Starts a service that keeps what it is sent, and answers without cards."""
    servers = []

    def start() -> tuple[str, list[dict[str, Any]]]:
        app, kept = Flask("kept"), []

        @app.get("/cds-services")
        def discovery() -> dict[str, Any]:
            prefetch = {
                "patient": "Patient/{{context.patientId}}",
                "condition": "Condition?patient={{context.patientId}}",
                "user": "Practitioner/{{userPractitionerId}}",
                "encounter": "Encounter/{{context.encounterId}}",
            }
            return {"services": [{"id": "one", "hook": "patient-view", "description": "d", "prefetch": prefetch}]}

        @app.post("/cds-services/one")
        def call() -> dict[str, Any]:
            kept.append({"body": request.get_json(), "authorization": request.headers.get("Authorization")})
            return {"cards": []}

        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", kept

    yield start
    for server in servers:
        server.shutdown()


def test_the_prefetch_is_filled_and_the_cards_are_shown(address: str, ehr: Ehr) -> None:
    result = fire("--patient", PATIENT, "--fhir", ehr.url, "--to", address)
    assert result.exit_code == 0, result.output
    assert f"Patient {PATIENT} → 200" in result.output and "Possible trial:" in result.output


def test_every_page_is_in_the_prefetch_and_the_token_goes_along(
    ehr: Ehr, listen: Callable[[], tuple[str, list[dict[str, Any]]]]
) -> None:
    ehr.token, ehr.page = "secret-token", 1
    address, kept = listen()
    result = fire("--patient", "Patient/" + PATIENT, "--fhir", ehr.url, "--to", address, "--token", "secret-token")
    assert "no card" in result.output and "secret-token" not in result.output
    (sent,) = kept
    body = sent["body"]
    assert set(body["prefetch"]) == {"patient", "condition"}, "a template with an unknown token is left out"
    assert "/fhir/Practitioner/example" in {path for path, _ in ehr.asked}
    expected = REQUEST["prefetch"]["condition"]["entry"]
    assert [one["resource"] for one in body["prefetch"]["condition"]["entry"]] == [one["resource"] for one in expected]
    assert "link" not in body["prefetch"]["condition"]
    assert body["fhirServer"] == ehr.url
    assert body["fhirAuthorization"]["access_token"] == "secret-token"
    assert body["context"]["patientId"] == PATIENT
    assert sent["authorization"] is None
    assert {authorization for _, authorization in ehr.asked} == {"Bearer secret-token"}


def test_without_prefetch_the_service_is_told_where_to_read(
    ehr: Ehr, listen: Callable[[], tuple[str, list[dict[str, Any]]]]
) -> None:
    address, kept = listen()
    fire("--patient", PATIENT, "--fhir", ehr.url, "--to", address, "--no-prefetch")
    body = kept[0]["body"]
    assert "prefetch" not in body and "fhirAuthorization" not in body and body["fhirServer"] == ehr.url
    assert not ehr.asked


def test_what_cannot_be_prefetched_is_left_out_and_said(ehr: Ehr, address: str) -> None:
    ehr.failing = {"Immunization": 500}
    result = fire("--patient", PATIENT, "--fhir", ehr.url, "--to", address)
    assert "immunization is left out of the prefetch" in result.output and "500" in result.output
    assert "→ 200" in result.output


def test_a_next_page_at_another_server_is_not_followed(ehr: Ehr) -> None:
    stranger = Ehr([])
    ehr.page = 1
    ehr.metadata = {
        "resourceType": "Bundle",
        "link": [{"relation": "next", "url": stranger.url + "/Condition"}],
    }
    ((key, value),) = fill({"x": "metadata"}, {}, FhirServer(ehr.url, "token"))
    assert "another server" in str(value) and key == "x"
    assert not stranger.asked
    stranger.close()


def test_signed_calls(tmp_path: Path, ehr: Ehr) -> None:
    made = CliRunner().invoke(main, ["keys", str(tmp_path / "keys")])
    assert made.exit_code == 0
    private, jwks = tmp_path / "keys/private-key.pem", tmp_path / "keys/jwks.json"
    assert private.stat().st_mode & 0o077 == 0
    assert "d" not in orjson.loads(jwks.read_bytes())["keys"][0]
    holder: list[Any] = []

    def application(environ: Any, start: Any) -> Any:
        return holder[0](environ, start)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    environment = {
        "CDS_PORT": str(server.server_port),
        "CDS_TRUSTED_CLIENTS": f"https://ehr.example|{jwks.as_uri()}",
        "CDS_REPLAY_DATABASE_URL": f"sqlite:///{tmp_path / 'replay.sqlite'}",
    }
    holder.append(create_app(Settings.from_environment(environment)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    signed = ("--sign", private, "--issuer", "https://ehr.example", "--to", address)
    file = ROOT / "hooks/trial-match/requests/no-cancer.json"
    assert "→ 200" in fire(file, *signed).output
    assert "→ 200" in fire("--patient", PATIENT, "--fhir", ehr.url, *signed).output
    assert "→ 401" in fire(file, "--to", address).output
    assert "status 401" in fire("--patient", PATIENT, "--fhir", ehr.url, "--to", address).output
    server.shutdown()
    assert CliRunner().invoke(main, ["keys", str(tmp_path / "keys")]).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--patient", "1"),
        ("--fhir", "http://x"),
        (__file__, "--patient", "1", "--fhir", "x"),
        (__file__, "--sign", "k"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert fire(*arguments).exit_code == 2


def test_a_service_that_is_not_there(address: str, ehr: Ehr) -> None:
    result = fire("--patient", PATIENT, "--fhir", ehr.url, "--to", address, "--service", "other")
    assert result.exit_code == 1 and "trial-match" in result.stderr
    assert fire("--patient", PATIENT, "--fhir", ehr.url, "--to", "http://127.0.0.1:9").exit_code == 1
