"""The service from outside: `cds serve` in its own processes, once for anyone on loopback and once for signed calls."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from caller import ROOT, Caller, Served
from requests.adapters import HTTPAdapter
from signed import ISSUER, KeyServer
from urllib3.util import Retry


@pytest.fixture(scope="session")
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(folder: Path, **settings: str) -> Iterator[Served]:
    """`cds serve` with settings; its address, and the file to which its log goes."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CDS_")},
        "PYTHONPATH": str(ROOT),
        "CDS_PORT": str(port),
        "CDS_REPLAY_DATABASE_URL": f"sqlite:///{folder / 'replay.sqlite'}",
        "CDS_DATABASE_URL": f"sqlite:///{folder / 'feedback.sqlite'}",
        **settings,
    }
    command = [sys.executable, "-c", "from cds.cli import main; main()", "serve"]
    served = Served(address, folder / "serve.log", signed="CDS_TRUSTED_CLIENTS" in settings)
    with served.log.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    patient = requests.Session()
    patient.mount("http://", HTTPAdapter(max_retries=Retry(total=150, backoff_factor=0.05, backoff_max=0.5)))
    try:
        assert patient.get(f"{address}/health", timeout=60).status_code == 200
        yield served
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="session")
def signed_service(tmp_path_factory: pytest.TempPathFactory, key_server: KeyServer) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("signed"), CDS_TRUSTED_CLIENTS=f"{ISSUER}|{key_server.url}")


@pytest.fixture(params=["unsigned", "signed"])
def served(request: pytest.FixtureRequest) -> Served:
    """Either service: every rule holds with and without JWT."""
    service: Served = request.getfixturevalue("signed_service" if request.param == "signed" else "open_service")
    return service


@pytest.fixture
def caller(served: Served) -> Caller:
    """A caller of either service."""
    return Caller(served.address, signs=served.signed)


@pytest.fixture
def signer(signed_service: Served) -> Caller:
    """A caller of the service that wants signatures."""
    return Caller(signed_service.address, signs=True)
