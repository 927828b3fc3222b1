"""docker/: what can be said of the images and their composition without a Docker engine."""

from __future__ import annotations

import gzip
import re
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from fhir.resources.R4B.bundle import Bundle

from cds.settings import SETTINGS, Settings

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
PINNED = re.compile(r"[a-z0-9./-]+:[a-zA-Z0-9._-]+@sha256:[0-9a-f]{64}")

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile: name and arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


FILES = {
    "trial-match": instructions((DOCKER / "Dockerfile").read_text(encoding="utf-8")),
    "sandbox": instructions(SERVICES["sandbox"]["build"]["dockerfile_inline"]),
}
OURS = FILES["trial-match"]


def last_stage(of: list[Instruction]) -> list[Instruction]:
    return of[max(place for place, (name, _) in enumerate(of) if name == "FROM") :]


# ---- Dockerfiles


@pytest.mark.parametrize("name", FILES)
def test_bases_are_pinned_and_the_last_stage_is_not_the_builder(name: str) -> None:
    bases = [arguments.split()[0] for instruction, arguments in FILES[name] if instruction == "FROM"]
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases)


@pytest.mark.parametrize("name", FILES)
def test_the_last_stage_runs_nothing_and_is_nobody(name: str) -> None:
    last = last_stage(FILES[name])
    assert "RUN" not in {instruction for instruction, _ in last}, "nothing is built there, no tool is left"
    (user,) = (arguments for instruction, arguments in last if instruction == "USER")
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user), "a number, which Kubernetes can tell from root"


def test_commands_are_run_without_a_shell() -> None:
    told = dict(OURS)
    assert orjson.loads(told["CMD"]) == ["/app/.venv/bin/cds", "serve"]
    assert told["STOPSIGNAL"] == "SIGTERM"
    health = told["HEALTHCHECK"]
    command = orjson.loads(health[health.index("[") :])
    assert command[0] == "/app/.venv/bin/python" and "/health" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")


def test_nothing_is_fetched_but_what_the_lock_says() -> None:
    runs = " ".join(arguments for instruction, arguments in OURS if instruction == "RUN")
    assert "--constraint requirements.lock" in runs
    assert not re.search(r"\b(apt|apt-get|curl|wget)\b", runs)
    assert not [arguments for instruction, arguments in OURS if instruction == "ADD"]


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    for instruction, arguments in OURS:
        if instruction == "COPY" and "--from" not in arguments:
            for source in arguments.split()[:-1]:
                assert (ROOT / source.removeprefix("./")).exists()
                assert f"!{source.removeprefix('./')}" in rules


def environment(of: list[Instruction]) -> dict[str, str]:
    pairs = (pair for name, arguments in of if name == "ENV" for pair in arguments.split())
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def test_the_environment_of_the_image_is_one_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(OURS)
    folders = {"CDS_PLANDEFINITIONS": "/app/plandefinitions", "CDS_HOOKS": "/app/hooks"}
    assert {name: told[name] for name in folders} == folders
    here = {name: value.replace("/app", str(ROOT)) for name, value in told.items() if name.startswith("CDS_")}
    settings = Settings.from_environment({**here, "CDS_ALLOW_ANYONE": "true"})
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.database_url == "sqlite:////data/feedback.sqlite"
    assert dict(OURS)["VOLUME"] == "/data" and dict(OURS)["EXPOSE"] == str(settings.port)


# ---- compose.yaml


def test_every_image_is_pinned_or_built_here() -> None:
    built = {service["image"] for service in SERVICES.values() if "build" in service and "image" in service}
    for service in SERVICES.values():
        assert "build" in service or service["image"] in built or PINNED.fullmatch(service["image"])
    assert re.search(r"#[0-9a-f]{40}$", SERVICES["sandbox"]["build"]["context"]), "a commit, not a branch"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", ()))


def test_no_port_is_taken_twice() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == len(set(ports)) == 3


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    for other, condition in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert condition["condition"] == "service_started" or "healthcheck" in SERVICES[other]
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DOCKER / source).exists()
        else:
            assert source in COMPOSE["volumes"]


def test_the_service_and_its_database_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.settings.find_spec", lambda _: object())
    told, database = SERVICES["trial-match"]["environment"], SERVICES["database"]["environment"]
    url = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", told["CDS_DATABASE_URL"])
    password = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", database["POSTGRES_PASSWORD"])
    settings = Settings.from_environment({"CDS_DATABASE_URL": url})
    user, name = database["POSTGRES_USER"], database["POSTGRES_DB"]
    assert settings.database_url == f"postgresql+psycopg://{user}:{password}@database:5432/{name}"


def test_every_setting_that_is_given_is_one() -> None:
    known = {setting.name for setting in SETTINGS}
    told = {name for service in SERVICES.values() for name in service.get("environment", {}) if name.startswith("CDS_")}
    assert told | {name for name in environment(OURS) if name.startswith("CDS_")} <= known


def test_the_browser_and_the_service_know_the_fhir_server_by_one_address() -> None:
    address = SERVICES["trial-match"]["environment"]["CDS_FHIR_SERVERS"]
    assert address == SERVICES["seed"]["command"][2] == "http://fhir.localhost:8081/fhir"
    assert SERVICES["fhir"]["networks"]["default"]["aliases"] == ["fhir.localhost"]
    assert SERVICES["fhir"]["ports"] == ["127.0.0.1:8081:8081"]
    assert SERVICES["fhir"]["environment"]["SERVER_PORT"] == "8081"


def test_the_service_writes_nowhere_but_where_it_may() -> None:
    service = SERVICES["trial-match"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "/tmp" in service["tmpfs"] and "state:/data" in service["volumes"]


# ---- seed.py


SEED = runpy.run_path(str(DOCKER / "seed.py"))
FOLDERS = [ROOT / "hooks" / "trial-match" / "requests", ROOT / "examples" / "patients"]


def test_the_example_patients_are_valid_transactions() -> None:
    patients = set()
    for name, bundle in SEED["transactions"](FOLDERS[0]):
        Bundle.model_validate(bundle)
        addresses = [entry["request"]["url"] for entry in bundle["entry"]]
        assert len(addresses) == len(set(addresses)), name
        patients |= {address for address in addresses if address.startswith("Patient/")}
    assert len(patients) > 8 and "Patient/anna-berger" in patients
    assert not any(re.fullmatch(r"Patient/\d+", patient) for patient in patients), "HAPI takes no such id from a client"


@pytest.fixture
def fhir_server() -> Iterator[tuple[str, list[Any]]]:
    """A FHIR server that takes what it is sent, and refuses what is no transaction."""
    taken: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken.append(body)
            self.send_response(200 if body.get("type") == "transaction" else 400)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/fhir", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_seeding(fhir_server: tuple[str, list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, taken = fhir_server
    assert SEED["main"](address, FOLDERS) == 0
    assert len(taken) == sum(1 for folder in FOLDERS for _ in SEED["transactions"](folder))
    (tmp_path / "wrong.json.gz").write_bytes(gzip.compress(b'{"resourceType": "Bundle"}'))
    assert SEED["main"](address, [tmp_path]) == 1
    assert "wrong.json.gz: 400" in capsys.readouterr().out
