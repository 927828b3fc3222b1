"""`cds serve` in its own processes: workers, signals, what is logged and counted, and what is kept when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests
from charts import said_of_a_patient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from cds.hooks.feedback import FeedbackStore
from cds.hooks.feedback.report import report
from cds.settings import MEMORY

ROOT = Path(__file__).resolve().parent.parent
REQUEST = orjson.loads((ROOT / "hooks/trial-match/requests/cervical-newly-diagnosed.json").read_bytes())
SERVICE = "/cds-services/trial-match"
SOON = 60.0  # seconds; nothing waits that long where it works


class Served:
    """One running `cds serve`: its address, and what it writes on stderr."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CDS_")}
        environment |= {"PYTHONPATH": str(ROOT), "CDS_PORT": str(self.port), "TMPDIR": str(folder)}
        environment |= {"CDS_DATABASE_URL": f"sqlite:///{folder / 'feedback.sqlite'}"} | settings
        command = [sys.executable, "-c", "from cds.cli import main; main()", "serve"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._coming: Queue[str] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._coming.put(line)

    def wait_for(self, text: str) -> str:
        """The next line on stderr that holds a text."""
        while True:
            line = self._coming.get(timeout=SOON)
            self.lines.append(line)
            if text in line:
                return line

    def session(self) -> requests.Session:
        """Somebody who waits for the service to listen."""
        made = requests.Session()
        made.mount(
            "http://",
            HTTPAdapter(max_retries=Retry(total=None, connect=150, read=0, backoff_factor=0.05, backoff_max=0.5)),
        )
        return made

    def call(self, **headers: str) -> list[dict[str, Any]]:
        body = orjson.dumps(REQUEST | {"hookInstance": str(uuid4())})
        sent = {"Content-Type": "application/json", **headers}
        answer = self.session().post(self.address + SERVICE, data=body, headers=sent, timeout=SOON)
        assert answer.status_code == 200, answer.text
        cards: list[dict[str, Any]] = answer.json()["cards"]
        return cards

    def get(self, path: str) -> requests.Response:
        return self.session().get(self.address + path, timeout=SOON)

    def counts(self) -> list[Path]:
        """The folder in which the workers count, where there is one."""
        return list(Path(MEMORY or self.folder).glob(f"cds-metrics-{self.process.pid}-*"))

    def end(self) -> int:
        """Asks the service to stop; its exit status."""
        self.process.terminate()
        status = self.process.wait(timeout=SOON)
        self._reader.join(SOON)
        while not self._coming.empty():
            self.lines.append(self._coming.get())
        return status


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Served]:
    served = Served(folder, **settings)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.end()


def issued(folder: Path) -> int:
    store = FeedbackStore(f"sqlite:///{folder / 'feedback.sqlite'}")
    return sum(trial.issued for trial in report(store).trials)


def test_a_service_from_its_start_to_its_end(tmp_path: Path) -> None:
    with serving(tmp_path, CDS_WORKERS="2", CDS_LOG_LEVEL="DEBUG") as served:
        assert served.get("/ready").json()["status"] == "ready"
        shown = sum(len(served.call()) for _ in range(10))
        secret = {
            "X-Request-ID": "anna-berger",
            "User-Agent": "Berger",
            "Authorization": "Bearer eyJhbGciOiJ.eyJpc3MiOi",
        }
        shown += len(served.call(**secret))
        with socket.create_connection(("127.0.0.1", served.port), timeout=SOON) as client:
            client.sendall(b"GET /?Berger HTTP/1.1\r\nHost: x\r\nAnna Berger: x\r\n\r\n")
            assert b"400" in client.recv(1000)
        counted = served.get("/metrics").text
        assert 'cds_requests_total{endpoint="call",service="trial-match",status="200"} 11.0' in counted
        assert len(served.counts()) == 1, "in memory, where there is such a folder: a full disk kills nobody"
        assert served.end() == 0
        assert not served.counts(), "the counts' folder is removed"
    assert issued(tmp_path) == shown, "all cards are written before the end"
    events = [json.loads(line) for line in served.lines]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(event) for event in events))
    assert sum(event.get("cards", 0) for event in events) == shown
    assert any("gunicorn.error at" in event["message"] for event in events), "the bad request is told of"
    assert said_of_a_patient("".join(served.lines)) is None
    assert said_of_a_patient(counted) is None


def test_two_services_start_on_one_database_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as one, serving(tmp_path) as other:
        shown = len(one.call()) + len(other.call())
        assert one.get("/ready").status_code == other.get("/ready").status_code == 200
    assert issued(tmp_path) == shown


def test_what_is_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    body = orjson.dumps(REQUEST)
    head = (
        f"POST {SERVICE} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with serving(tmp_path, CDS_WORKERS="1") as served:
        served.get("/health")
        with socket.create_connection(("127.0.0.1", served.port), timeout=SOON) as client:
            client.sendall(head.encode() + body[:100])
            assert b"100" in client.recv(1000), "the request is under way"
            served.process.terminate()
            served.wait_for("Handling signal: term")
            client.sendall(body[100:])
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert b" 200 OK" in answer and b'"cards"' in answer
        assert served.end() == 0
    assert issued(tmp_path) == 2


def test_a_killed_worker_is_replaced_and_harms_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, CDS_WORKERS="1") as served:
        worker = re.search(r"pid: (\d+)", served.wait_for("Booting worker"))
        assert worker
        served.call()
        os.kill(int(worker[1]), signal.SIGKILL)
        served.wait_for("Booting worker")
        shown = len(served.call())
        assert served.get("/ready").status_code == 200
        counted = served.get("/metrics").text
        assert 'cds_requests_total{endpoint="call",service="trial-match",status="200"} 2.0' in counted
        assert served.end() == 0
    assert issued(tmp_path) in (shown, 2 * shown), "what the killed worker had not written yet is lost, and no more"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_service_starts_without_its_database_and_says_so(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_text("in the way")
    broken = {"CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'file' / 'x.sqlite'}", "CDS_LOG_FORMAT": form}
    with serving(tmp_path, **broken) as served:
        assert "the service starts without its database" in served.wait_for("cds.app")
        assert len(served.call()) == 2
        assert served.get("/health").status_code == 200
        assert served.get("/ready").status_code == 503
        served.end()
    lost = [line for line in served.lines if "cannot be recorded: the service ends" in line]
    assert lost, "what is lost at the end is said"
