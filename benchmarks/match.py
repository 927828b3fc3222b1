"""Time per patient of reading a bundle, building its record, matching all trials, and a whole hook call.

    python benchmarks/match.py [BUNDLE or FOLDER ...] [--rounds N]

Everything is measured in one process, one after the other for each bundle, round by round; what is printed is the
median over the bundles of each bundle's median, and its ratio to reading the same bundle's JSON with orjson.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from cds.app import create_app
from cds.errors import CdsError
from cds.fhir.record import PatientRecord
from cds.settings import Settings
from cds.trials.apply import match
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def milliseconds(work: Callable[[], Any], rounds: int) -> float:
    """The median time of `work` in ms."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def request_for(bundle: dict[str, Any], types: tuple[str, ...], patient: str) -> bytes:
    """A patient-view request with the bundle's resources as a full prefetch, keyed as discovery names them."""
    client_keys = orjson.loads(_discovery())["services"][0]["prefetch"]
    resources: dict[str, list[Any]] = {kind: [] for kind in types}
    for entry in bundle.get("entry", []):
        resource = entry.get("resource", {})
        if resource.get("resourceType") in resources:
            resources[resource["resourceType"]].append({"fullUrl": entry.get("fullUrl"), "resource": resource})
    prefetch: dict[str, Any] = {}
    for key, template in client_keys.items():
        kind = template.split("?")[0].split("/")[0]
        if kind == "Patient":
            prefetch[key] = resources["Patient"][0]["resource"]
        else:
            prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "entry": resources[kind]}
    body = {
        "hook": "patient-view",
        "hookInstance": "5f1f3c8e-3b0e-4a35-8b5c-0f2f6a3c9d11",
        "context": {"userId": "Practitioner/1", "patientId": patient},
        "prefetch": prefetch,
    }
    return orjson.dumps(body)


def _discovery() -> bytes:
    return CLIENT.get("/cds-services").data


def measure(paths: list[Path], rounds: int) -> dict[str, list[float]]:
    """The medians of each bundle, by what was measured."""
    figures: dict[str, list[float]] = {"orjson": [], "record": [], "match": [], "hook": [], "applicable": []}
    for path in paths:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        bundle = orjson.loads(content)
        try:
            record = PatientRecord.from_bundle(bundle, now=NOW)
        except CdsError:
            continue
        body = request_for(bundle, CATALOG.required_types, record.reference.split("/", 1)[1])
        figures["orjson"].append(milliseconds(lambda c=content: orjson.loads(c), rounds))
        figures["record"].append(milliseconds(lambda b=bundle: PatientRecord.from_bundle(b, now=NOW), rounds))
        figures["match"].append(
            milliseconds(lambda b=bundle: match(CATALOG, PatientRecord.from_bundle(b, now=NOW), now=NOW), rounds)
        )
        figures["applicable"].append(
            milliseconds(
                lambda b=bundle: match(CATALOG, PatientRecord.from_bundle(b, now=NOW), now=NOW, all_criteria=True),
                rounds,
            )
        )
        figures["hook"].append(
            milliseconds(
                lambda b=body: CLIENT.post("/cds-services/trial-match", data=b, content_type="application/json"),
                rounds,
            )
        )
    return figures


LABELS = {
    "orjson": "reading the JSON (orjson)",
    "record": "building the record",
    "match": "record + matching all trials",
    "applicable": "record + every criterion of all trials",
    "hook": "the whole hook call (Flask, JSON in and out)",
}


def report(figures: dict[str, list[float]]) -> None:
    """Prints the median and the slowest patient of each figure, and the ratio of medians to orjson's."""
    base = statistics.median(figures["orjson"])
    print(f"{len(figures['orjson'])} patients, all trials: {len(CATALOG.active)}")
    for name, label in LABELS.items():
        median = statistics.median(figures[name])
        print(f"{label:46} median {median:8.2f} ms   max {max(figures[name]):8.2f} ms   x {median / base:6.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "examples" / "patients"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    start = time.perf_counter()
    CATALOG = Catalog.load(ROOT / "plandefinitions")
    print(f"loading the trials: {(time.perf_counter() - start) * 1000:.0f} ms")
    CLIENT = create_app(Settings.from_environment({})).test_client()
    files = [
        f for p in options.paths for f in (sorted([*p.rglob("*.json"), *p.rglob("*.json.gz")]) if p.is_dir() else [p])
    ]
    gc.collect()
    report(measure(files, options.rounds))
