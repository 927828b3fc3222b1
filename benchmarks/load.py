"""The service under load: its own processes, a FHIR server in others, and clients that call at once.

    python benchmarks/load.py [BUNDLE or FOLDER ...] [--clients N] [--calls N] [--rounds N]

`cds serve` runs as it does in production (gunicorn, several workers, a database, logs to a file), with an HTTP FHIR
server on loopback. Each client keeps one connection and sends its next call when the last one is answered. What is
fired in each round, one after the other:

  a  calls with full prefetch
  b  calls without prefetch: everything is read from the FHIR server
  c  calls with full prefetch, while further clients call with a FHIR server that accepts and never answers
  d  calls with full prefetch and, from a quarter of the clients, feedback, while somebody else locks the database;
     then the same feedback again

An error is whatever a caller should not get: in c the calls to the server that hangs are to be 412, in d feedback is
to be 503 with Retry-After, and 200 when it is sent again. At the end all cards that were issued and all feedback must
be in the database. Figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from gunicorn.app.base import BaseApplication

from cds.errors import CdsError
from cds.fhir.compartment import Compartment
from cds.fhir.record import PatientRecord
from cds.hooks.feedback import FeedbackStore
from cds.hooks.feedback.database import PAUSE
from cds.hooks.feedback.report import report
from cds.hooks.prefetch import PATIENT_ID, templates
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "/cds-services/trial-match"
#: Clients that call with the FHIR server that hangs, beside the others.
HANGING = 4
#: Stands in a body where each call has its own hookInstance.
_INSTANCE = b"00000000-0000-4000-8000-000000000000"

Json = dict[str, Any]


# ---- the FHIR server


def _serve_fhir(port: int, answers: Mapping[str, bytes]) -> None:
    """Answers reads and searches with what was made before: the time that is measured is not this server's."""

    def application(environ: Json, start_response: Callable[..., Any]) -> list[bytes]:
        query = environ["QUERY_STRING"].partition("&")[0]
        body = answers.get(environ["PATH_INFO"] + (f"?{query}" if query else ""))
        status = "404 Not Found" if body is None else "200 OK"
        body = body or b'{"resourceType":"OperationOutcome"}'
        start_response(status, [("Content-Type", "application/fhir+json"), ("Content-Length", str(len(body)))])
        return [body]

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {"bind": f"127.0.0.1:{port}", "workers": 2, "threads": 16, "loglevel": "error", "keepalive": 60}
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Callable[..., Any]:
            return application

    Server().run()


def _hang(port: int) -> None:
    """Accepts connections, and is silent."""
    held = []
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        while True:
            held.append(listener.accept())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    made = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    made.start()
    try:
        yield
    finally:
        made.terminate()
        made.join()


# ---- patients


@dataclass(frozen=True, slots=True)
class Patient:
    """What an EHR holds of a patient: the answer to each prefetch template, and her Medications."""

    identifier: str
    prefetch: Mapping[str, Any]
    answers: Mapping[str, bytes]


def _patient(bundle: Json, types: Sequence[str]) -> Patient:
    patients = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Patient"]
    patient = patients[0]
    compartment = Compartment(patient, [entry.get("fullUrl") for entry in bundle["entry"]])
    resources: dict[str, list[Json]] = {}
    answers = {}
    for entry in bundle["entry"]:
        resource, url = entry["resource"], entry.get("fullUrl")
        kind = resource["resourceType"]
        if compartment.holds(kind, resource, url):
            resources.setdefault(kind, []).append(resource)
        if "id" in resource:
            answers[f"{kind}/{resource['id']}"] = orjson.dumps(resource)
    prefetch: dict[str, Any] = {}
    for key, template in templates(types).items():
        query = template.replace(PATIENT_ID, patient["id"])
        kind = query.partition("?")[0]
        if "?" in query:
            found = resources.get(kind, [])
            entries = {"entry": [{"resource": one} for one in found]} if found else {}
            prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "total": len(found), **entries}
            answers[query] = orjson.dumps(prefetch[key])
        else:
            prefetch[key] = patient
    if medications := resources.get("Medication"):  # no template can ask for them; who reads finds them by reference
        prefetch["medication"] = {"resourceType": "Bundle", "entry": [{"resource": one} for one in medications]}
    return Patient(patient["id"], prefetch, answers)


def _bundle(path: Path) -> Json:
    """A bundle as an EHR would hold it: its resources refer to one another by type and id."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    bundle: Json = orjson.loads(content)
    for entry in bundle.get("entry", ()):
        if entry.get("fullUrl", "").startswith("urn:") and "id" in entry["resource"]:
            address = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            content = content.replace(f'"{entry["fullUrl"]}"'.encode(), f'"{address}"'.encode())
    read: Json = orjson.loads(content)
    for entry in read.get("entry", ()):
        entry.pop("fullUrl", None)
    return read


def _patients(paths: Sequence[Path], types: Sequence[str], most: int) -> list[Patient]:
    """Patients of all bundles that hold exactly one; of a folder at most so many, evenly spread over it."""
    found = []
    for path in paths:
        files = sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")]) if path.is_dir() else [path]
        files = [file for file in files if not file.name.endswith(".expected.json")]
        for file in files[:: -(-len(files) // most)]:
            try:
                bundle = _bundle(file)
                PatientRecord.from_bundle(bundle, now=datetime.now(UTC))
                found.append(_patient(bundle, types))
            except (CdsError, KeyError):
                continue  # cases of what is no record
    return found


# ---- calls


@dataclass(frozen=True, slots=True)
class Call:
    """A body to be sent, and the status that is to come."""

    body: bytes
    status: int = 200
    path: str = SERVICE

    def fresh(self) -> bytes:
        """The body with a hookInstance of its own."""
        return self.body.replace(_INSTANCE, str(uuid4()).encode(), 1)


@dataclass(slots=True)
class Fired:
    """What came of calls: how long all of them and each of them took, what went wrong, and the cards."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    cards: list[Json] = field(default_factory=list)


def _call(patient: Patient, **more: Any) -> Call:
    body = {
        "hook": "patient-view",
        "hookInstance": _INSTANCE.decode(),
        "context": {"userId": "Practitioner/1", "patientId": patient.identifier},
    }
    return Call(orjson.dumps(body | more))


def _reading(patient: Patient, server: str, status: int = 200) -> Call:
    granted = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read"}
    granted["subject"] = "load"
    made = _call(patient, fhirServer=server, fhirAuthorization=granted)
    return Call(made.body, status)


def _send(port: int, calls: Sequence[Call], start: threading.Barrier, fired: Fired, stop: threading.Event) -> None:
    """One client: sends its calls one after the other, on one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    start.wait()
    for one in calls:
        if stop.is_set():
            break
        began = time.perf_counter()
        try:
            connection.request("POST", one.path, one.fresh(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (HTTPException, OSError) as error:
            fired.errors.append(type(error).__name__)
            connection.close()
            continue
        fired.times.append(time.perf_counter() - began)
        if answer.status != one.status or (answer.status == 503 and not answer.headers["Retry-After"]):
            fired.errors.append(f"{answer.status} in place of {one.status}")
        elif answer.status == 200 and one.path == SERVICE:
            fired.cards += orjson.loads(content)["cards"]
    connection.close()


def _fire(port: int, clients: Sequence[Sequence[Call]], beside: Sequence[Call] = ()) -> tuple[Fired, Fired]:
    """What came of the calls of each client, sent at once; and of those that others send meanwhile."""
    start = threading.Barrier(len(clients) + (HANGING if beside else 0) + 1)
    fired, others = [Fired() for _ in clients], Fired()
    stop, never = threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=_send, args=(port, calls, start, one, never))
        for calls, one in zip(clients, fired, strict=True)
    ]
    crowd = [
        threading.Thread(target=_send, args=(port, beside, start, others, stop))
        for _ in range(HANGING if beside else 0)
    ]
    for thread in (*threads, *crowd):
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    whole = Fired(time.perf_counter() - began)
    stop.set()
    for thread in crowd:
        thread.join()
    for one in fired:
        whole.times += one.times
        whole.errors += one.errors
        whole.cards += one.cards
    return whole, others


# ---- the service


@contextmanager
def _service(folder: Path, workers: int) -> Iterator[int]:
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CDS_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "CDS_PORT": str(port),
        "CDS_WORKERS": str(workers),
        "CDS_DATABASE_URL": f"sqlite:///{folder / 'feedback.sqlite'}",
    }
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-c", "from cds.cli import main; main()", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the service did not start")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "feedback.sqlite", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def _feedback(cards: Sequence[Json], status: int) -> list[Call]:
    """Reactions to cards, one a call."""
    told = {"outcome": "overridden", "outcomeTimestamp": "2026-11-20T12:00:00Z"}
    return [
        Call(orjson.dumps({"feedback": [told | {"card": card["uuid"]}]}), status, f"{SERVICE}/feedback")
        for card in cards
    ]


# ---- what is measured


@dataclass(slots=True)
class Row:
    """The figures of each round for one kind of calls."""

    label: str
    rounds: list[Fired] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        return statistics.median(len(one.times) / one.seconds for one in self.rounds)

    def quantile(self, part: float) -> float:
        """A quantile of the times in ms, the median of the rounds."""
        return statistics.median(1000 * sorted(one.times)[int(part * (len(one.times) - 1))] for one in self.rounds)

    @property
    def errors(self) -> list[str]:
        return [error for one in self.rounds for error in one.errors]

    def __str__(self) -> str:
        number = sum(len(one.times) for one in self.rounds)
        speed = f"{self.throughput:9.1f}" if all(one.seconds for one in self.rounds) else " " * 9
        times = "".join(f"{self.quantile(part):10.1f}" for part in (0.5, 0.95, 0.99))
        return f"{self.label:58}{number:7}{speed}{times}{len(self.errors):8}"


def _clients(calls: Sequence[Call], clients: int, each: int) -> list[list[Call]]:
    """`each` calls for every client, spread over all of them."""
    endless = cycle(calls)
    return [list(islice(endless, each)) for _ in range(clients)]


class Load:
    """The service, its FHIR servers and its patients."""

    def __init__(self, port: int, folder: Path, patients: Sequence[Patient], servers: tuple[int, int]) -> None:
        self.port, self.folder = port, folder
        read_from, hanging = servers
        self.prefetched = [_call(one, prefetch=one.prefetch) for one in patients]
        self.reading = [
            _reading(one, f"http://127.0.0.1:{read_from}/{number}/fhir") for number, one in enumerate(patients)
        ]
        self.hanging = [_reading(one, f"http://127.0.0.1:{hanging}/fhir", 412) for one in patients]
        self.rows = {
            "a": Row("a  full prefetch"),
            "b": Row("b  everything read from the FHIR server"),
            "c": Row("c  full prefetch, while a FHIR server hangs for others"),
            "c+": Row("     calls to the server that hangs (412)"),
            "d": Row("d  full prefetch, while the database is locked"),
            "d+": Row("     feedback meanwhile (503)"),
            "d++": Row("     the same feedback, when it is unlocked (200)"),
        }
        self.issued = self.reactions = 0

    def warm_up(self, clients: int) -> None:
        """Each patient once by prefetch and once by reading, which must give the same cards."""
        for one, other in zip(self.prefetched, self.reading, strict=True):
            (first, _), (second, _) = _fire(self.port, [[one]]), _fire(self.port, [[other]])
            self.issued += len(first.cards) + len(second.cards)
            if first.errors + second.errors or _said(first) != _said(second):
                raise SystemExit(f"prefetch and reading differ: {first.errors} {second.errors}")
        for calls in (self.prefetched, self.reading):
            fired, _ = _fire(self.port, _clients(calls, clients, 10))
            self.issued += len(fired.cards)

    def round(self, clients: int, each: int) -> None:
        self._keep("a", _fire(self.port, _clients(self.prefetched, clients, each))[0])
        self._keep("b", _fire(self.port, _clients(self.reading, clients, each))[0])
        fired, hung = _fire(self.port, _clients(self.prefetched, clients, each), self.hanging)
        self._keep("c", fired)
        self._keep("c+", hung)
        self._lock(fired.cards[: clients * each], clients, each)

    def _lock(self, cards: Sequence[Json], clients: int, each: int) -> None:
        reporters = clients // 4
        refused = [_feedback(cards[number::reporters], 503)[:each] for number in range(reporters)]
        with _locked(self.folder):
            together: dict[str, Fired] = {}

            def report_meanwhile() -> None:
                together["d+"] = _fire(self.port, refused)[0]

            thread = threading.Thread(target=report_meanwhile)
            thread.start()
            fired, _ = _fire(self.port, _clients(self.prefetched, clients - reporters, each))
            thread.join()
        self._keep("d", fired)
        self._keep("d+", together["d+"])
        time.sleep(1.5 * PAUSE)  # a worker whose write failed does not ask the database again at once
        again = [[Call(one.body, 200, one.path) for one in calls] for calls in refused]
        self._keep("d++", _fire(self.port, again)[0])
        self.reactions += sum(map(len, again))

    def _keep(self, name: str, fired: Fired) -> None:
        self.rows[name].rounds.append(fired)
        self.issued += len(fired.cards)

    def print(self) -> None:
        head = f"{'':58}{'calls':>7}{'calls/s':>9}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'errors':>8}"
        print(head, *self.rows.values(), sep="\n")
        a, b = self.rows["a"], self.rows["b"]
        print(
            f"b/a: {b.quantile(0.5) / a.quantile(0.5):.2f} x the time (p50), "
            f"{b.throughput / a.throughput:.2f} x the throughput"
        )


def _said(fired: Fired) -> list[str]:
    return [card["detail"] for card in fired.cards]


def _measure(options: argparse.Namespace) -> int:
    types = Catalog.load(ROOT / "plandefinitions").required_types
    patients = _patients(options.paths, types, options.patients)
    read_from, hanging = _free_port(), _free_port()
    answers = {
        f"/{number}/fhir/{path}": body for number, one in enumerate(patients) for path, body in one.answers.items()
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_process(_serve_fhir, read_from, answers))
        stack.enter_context(_process(_hang, hanging))
        with _service(folder, options.workers) as port:
            load = Load(port, folder, patients, (read_from, hanging))
            load.warm_up(options.clients)
            for _ in range(options.rounds):
                load.round(options.clients, options.calls)
        print(
            f"{len(patients)} patients, {options.workers} workers of the service, {options.clients} clients at once, "
            f"{options.rounds} rounds, {os.cpu_count()} cores for all of it"
        )
        load.print()
        told = report(FeedbackStore(f"sqlite:///{folder / 'feedback.sqlite'}"))
        stored = sum(trial.accepted + trial.overridden for trial in told.trials)
        kept = sum(trial.issued for trial in told.trials)
        print(f"cards issued {load.issued}, recorded {kept}; reactions sent {load.reactions}, stored {stored}")
        lost = kept != load.issued or stored != load.reactions
        errors = [error for row in load.rows.values() for error in row.errors]
        if errors or lost:
            print(f"errors: {sorted(set(errors))}", (folder / "log").read_text()[-3000:] if lost else "", sep="\n")
        return 1 if errors or lost else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = [*sorted((ROOT / "plandefinitions").glob("*/cases")), ROOT / "examples" / "patients"]
    parser.add_argument("paths", nargs="*", type=Path, default=default)
    parser.add_argument("--patients", type=int, default=30, help="how many of each folder at most")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--calls", type=int, default=50, help="calls of each client in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    sys.exit(_measure(parser.parse_args()))
