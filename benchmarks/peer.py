"""Our engine and the JavaScript reference engine side by side: the same ELM, value sets and patients, in one run.

    python benchmarks/peer.py [BUNDLE or FOLDER ...] [--patients N] [--rounds N]

Patient by patient the engines take turns. Of many patients a sample is taken, evenly by the size of their files. The
"first round" shows what a patient costs who was not seen before (but for the five of the warm-up). Reading JSON is
measured apart, with orjson and JSON.parse; an engine's time is from parsed JSON to the values of all definitions.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from reference import ROOT, Reference, json_files

from cds.elm import Evaluation
from cds.errors import CdsError, ContentError, EvaluationError
from cds.fhir.record import PatientRecord
from cds.settings import Settings
from cds.trials.apply import match
from cds.trials.catalog import Catalog

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONTENT = ROOT / "plandefinitions"
WARM_UP = 5
#: What is aimed at: throughput as a multiple of the reference's, matching as a multiple of reading, seconds to load.
GOALS = {"throughput": 50, "orjson": 3, "load": 1000}

_LOAD = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from cds.trials.catalog import Catalog
Catalog.load(Path(sys.argv[1]))
print((time.perf_counter() - start) * 1000)
"""
_MEMORY = """
import gzip, resource, sys
from datetime import UTC, datetime
from pathlib import Path
import orjson
from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.catalog import Catalog
def megabytes():
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
catalog = Catalog.load(Path(sys.argv[1]))
loaded = megabytes()
now = datetime(2026, 11, 20, 12, tzinfo=UTC)
for name in sys.argv[2:]:
    content = Path(name).read_bytes()
    bundle = orjson.loads(gzip.decompress(content) if name.endswith(".gz") else content)
    match(catalog, PatientRecord.from_bundle(bundle, now=now), now=now)
print(loaded, megabytes())
"""


class Patient:
    """One patient's file, its text, and what was measured, by name: ms for each round."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.path = path
        self.text = gzip.decompress(content) if path.suffix == ".gz" else content
        self.times: dict[str, list[float]] = {}

    def note(self, name: str, milliseconds: float) -> None:
        """Adds a measurement."""
        self.times.setdefault(name, []).append(milliseconds)

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Adds the time of `work`; gives what it gives."""
        start = time.perf_counter()
        result = work()
        self.note(name, (time.perf_counter() - start) * 1000)
        return result


def definitions_of(catalog: Catalog) -> list[Any]:
    """Every definition of the trials' own libraries, as the reference evaluates them."""
    names = [trial_library(catalog, trial.id) for trial in catalog]
    return [item for name in names for item in catalog.libraries[name].definitions.values() if item.name != "Patient"]


def trial_library(catalog: Catalog, trial: str) -> str:
    """The identifier of the library of a trial's criteria."""
    return next(iter(catalog.trials[trial].logic.values())).answer.library.id


def every_definition(catalog: Catalog, definitions: Iterable[Any], bundle: Any) -> int:
    """Evaluates all definitions on the resources as they stand; how many failed."""
    record = PatientRecord.from_bundle(bundle, now=NOW, hygiene=False)
    evaluation = Evaluation(catalog.libraries, record, catalog.value_sets, NOW)
    failed = 0
    for definition in definitions:
        try:
            evaluation.value(definition)
        except EvaluationError:
            failed += 1
    return failed


def ours(patient: Patient, catalog: Catalog, definitions: list[Any]) -> None:
    """One round of our engine; what earlier rounds left is cleared away first, so that no one pays for another."""
    gc.collect()
    bundle = patient.measure("orjson", lambda: orjson.loads(patient.text))
    patient.measure("match", lambda: match(catalog, PatientRecord.from_bundle(bundle, now=NOW), now=NOW))
    bundle = orjson.loads(patient.text)
    patient.measure("definitions", lambda: every_definition(catalog, definitions, bundle))


def theirs(patient: Patient, reference: Reference) -> None:
    """One round of the reference engine."""
    answer = reference.ask(patient.path)
    if answer["failed"]:
        sys.exit(f"{patient.path.name}: the reference fails on {answer['failed']}: its time would not be comparable")
    patient.note("JSON.parse", answer["parse"])
    patient.note("reference", answer["load"] + answer["execute"])


def sample(paths: list[Path], count: int) -> list[Patient]:
    """Patients that can be read, evenly by size."""
    patients = []
    for path in paths:
        patient = Patient(path)
        try:
            PatientRecord.from_bundle(orjson.loads(patient.text), now=NOW)
        except (CdsError, orjson.JSONDecodeError):
            continue
        patients.append(patient)
    patients.sort(key=lambda item: len(item.text))
    count = min(count, len(patients))
    return [patients[(2 * place + 1) * len(patients) // (2 * count)] for place in range(count)]


def summary(patients: list[Patient], name: str) -> tuple[float, float, float, float]:
    """Median and 95th percentile of the patients' medians, median of the first round, sum of the medians."""
    medians = sorted(statistics.median(patient.times[name]) for patient in patients)
    first = statistics.median(patient.times[name][0] for patient in patients)
    return statistics.median(medians), medians[math.ceil(0.95 * len(medians)) - 1], first, sum(medians)


def table(patients: list[Patient]) -> None:
    """Prints every figure, and the ratios that matter beside their goals."""
    print(f"{'ms per patient':44} {'median':>9} {'p95':>9} {'first round':>12} {'sum':>10}")
    labels = {
        "orjson": "reading the JSON, orjson",
        "match": "record + matching all trials",
        "definitions": "record + every definition of all trials",
        "JSON.parse": "reading the JSON, JSON.parse",
        "reference": "reference: load + every definition",
    }
    figures = {name: summary(patients, name) for name in labels if name in patients[0].times}
    for name, figure in figures.items():
        median, p95, first, total = figure
        print(f"{labels[name]:44} {median:9.2f} {p95:9.2f} {first:12.2f} {total:10.1f}")
    print()
    for name in ("match", "definitions"):
        times = [ratio(figures, name, "orjson", column) for column in (0, 2, 3)]
        verdict(f"{labels[name]}, x orjson", times, GOALS["orjson"], at_most=True)
    if "reference" in figures:
        for name in ("definitions", "match"):
            times = [ratio(figures, "reference", name, column) for column in (0, 2, 3)]
            verdict(f"throughput of {labels[name]}, x reference", times, GOALS["throughput"], at_most=False)


def ratio(figures: dict[str, tuple[float, ...]], one: str, other: str, column: int) -> float:
    """One figure as a multiple of another."""
    return figures[one][column] / figures[other][column]


def verdict(label: str, ratios: list[float], goal: float, *, at_most: bool) -> None:
    """Prints the ratios of medians, of first rounds and of sums, with the goal and whether the medians' meets it."""
    met = ratios[0] <= goal if at_most else ratios[0] >= goal
    sign = "<=" if at_most else ">="
    median, first, total = ratios
    print(
        f"{label:62} {median:7.1f}   first round {first:7.1f}   sums {total:7.1f}"
        f"   goal {sign} {goal}: {'met' if met else 'NOT met'}"
    )


def fresh(code: str, *arguments: str) -> list[float]:
    """The numbers that a program prints in a process of its own."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    return [float(number) for number in done.stdout.split()]


def machine() -> str:
    """What runs here."""
    names = ("trial-match-cds", "orjson")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{packages}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores{load}"


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "examples" / "patients"])
    parser.add_argument("--patients", type=int, default=30, help="how many patients are sampled (default: 30)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    options = parser.parse_args()
    patients = sample(json_files(options.paths), options.patients)
    if not patients:
        sys.exit("there is no patient's bundle")
    catalog = Catalog.load(CONTENT)
    definitions = definitions_of(catalog)
    names = sorted({definition.library.id for definition in definitions})
    reference = None
    try:
        reference = Reference(
            [Path(library.source) for library in catalog.libraries],
            sorted(CONTENT.glob("*/valuesets/*.json")),
            names,
            NOW,
            Settings.from_environment(os.environ).cache,
        )
    except ContentError as error:
        print(f"No reference engine, so no ratio to it: {error}", file=sys.stderr)
    print(machine())
    print(f"reference: {reference.about['engine']}, Node {reference.about['node']}" if reference else "no reference")
    sizes = [len(patient.text) / 1e3 for patient in patients]
    print(
        f"{len(patients)} patients of {statistics.median(sizes):.0f} kB (median; {sizes[0]:.0f} to {sizes[-1]:.0f}), "
        f"{options.rounds} rounds, {len(names)} libraries, {len(definitions)} definitions\n"
    )
    for patient in sorted(patients, key=lambda item: abs(len(item.text) - statistics.median(sizes) * 1e3))[:WARM_UP]:
        ours(patient, catalog, definitions)
        if reference:
            theirs(patient, reference)
        patient.times.clear()
    for _ in range(options.rounds):
        for patient in patients:
            ours(patient, catalog, definitions)
            if reference:
                theirs(patient, reference)
    table(patients)
    processes(patients, reference)


def processes(patients: list[Patient], reference: Reference | None) -> None:
    """Prints what a process costs: to load, and in memory. Ends the reference."""
    load = statistics.median(fresh(_LOAD, str(CONTENT))[0] for _ in range(5))
    met = "met" if load < GOALS["load"] else "NOT met"
    print(f"\nloading all trials in a fresh process, imports and all: {load:.0f} ms (goal < 1 s: {met})")
    before, after = fresh(_MEMORY, str(CONTENT), *(str(patient.path.resolve()) for patient in patients))
    print(f"memory of a worker: {before:.0f} MB loaded, {after:.0f} MB after matching {len(patients)} patients")
    if reference:
        with reference:
            used = reference.ask(patients[0].path)["rss"] / 1e6
        loaded = reference.about["rss"] / 1e6
        print(f"reference: {reference.about['load']:.0f} ms to load; {loaded:.0f} MB loaded, {used:.0f} MB after")


if __name__ == "__main__":
    main()
