"""How the cost of a patient grows with the size of her record: times at 1, 2, 4, 8 and 16 times the resources.

    python benchmarks/growth.py [BUNDLE] [--rounds N] [--definitions N]

A record grows by copies of its resources with ids of their own. For each stage the medians are printed, and the
exponent: 1 is as the record grows, 2 with its square. After that the definitions whose own cost grows fastest.
"""

from __future__ import annotations

import argparse
import copy
import gc
import gzip
import math
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from cds.elm import Definition
from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SIZES = (1, 2, 4, 8, 16)


def grown(bundle: dict[str, Any], times: int) -> bytes:
    """The bundle with each resource besides the Patient as often as `times` says, each copy with its own id."""
    entries = list(bundle["entry"])
    for number in range(1, times):
        for entry in bundle["entry"]:
            if entry["resource"]["resourceType"] != "Patient":
                made = copy.deepcopy(entry)
                made["resource"]["id"] = f"{made['resource'].get('id')}-{number}"
                made["fullUrl"] = f"{made.get('fullUrl')}-{number}"
                entries.append(made)
    return orjson.dumps({**bundle, "entry": entries})


def milliseconds(work: Callable[[], Any], rounds: int) -> float:
    """The median time of `work` in ms."""
    times = []
    # Garbage is collected between the rounds: a collection goes through all that is held, which is not the work.
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
        gc.enable()
    return statistics.median(times)


def exponent(times: Iterable[float]) -> float:
    """The slope of the times over the sizes, both as logarithms (least squares)."""
    xs, ys = [math.log(size) for size in SIZES], [math.log(value) for value in times]
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def stages(catalog: Catalog, content: bytes, rounds: int) -> dict[str, float]:
    """The time of each stage for one record."""
    bundle = orjson.loads(content)

    def record() -> PatientRecord:
        return PatientRecord.from_bundle(bundle, now=NOW)

    return {
        "reading the JSON (orjson)": milliseconds(lambda: orjson.loads(content), rounds),
        "building the record": milliseconds(record, rounds),
        "record + matching all trials": milliseconds(lambda: match(catalog, record(), now=NOW), rounds),
        "record + every criterion of all trials": milliseconds(
            lambda: match(catalog, record(), now=NOW, all_criteria=True), rounds
        ),
    }


def steps(catalog: Catalog, content: bytes) -> dict[Definition, int]:
    """The steps that each definition spends by itself."""
    record = PatientRecord.from_bundle(orjson.loads(content), now=NOW)
    running = evaluate_record(catalog, record, now=NOW, first_dose=NOW.date())
    running.budget = running.total = 10**12
    spent: dict[Definition, int] = {}
    waiting = [definition for library in catalog.libraries for definition in library.definitions.values()]
    for definition in waiting:
        for below in (*_below(definition), definition):
            before = running.total
            running.value(below)
            spent.setdefault(below, before - running.total)
    return spent


def _below(definition: Definition) -> list[Definition]:
    """All that a definition rests on, each after what it rests on itself."""
    found: dict[Definition, None] = {}
    for reference in definition.references:
        found.update(dict.fromkeys([*_below(reference), reference]))
    return list(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--definitions", type=int, default=10)
    options = parser.parse_args()
    path = options.bundle or sorted((ROOT / "examples" / "patients").glob("*.json.gz"))[0]
    source = orjson.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    catalog = Catalog.load(ROOT / "plandefinitions")
    contents = [grown(source, size) for size in SIZES]
    measured = [stages(catalog, content, options.rounds) for content in contents]
    print(f"{path.name}: {len(source['entry'])} resources; ms at " + ", ".join(f"x{size}" for size in SIZES))
    for name in measured[0]:
        times = [figures[name] for figures in measured]
        print(f"{name:40}" + "".join(f"{value:10.2f}" for value in times) + f"   exponent {exponent(times):5.2f}")
    first, *_, middle, last = [steps(catalog, content) for content in contents]
    fastest = sorted(last, key=lambda one: last[one] / max(1, middle[one]) if last[one] > 1000 else 0, reverse=True)
    print("\ndefinitions that grow fastest: steps of their own at x1, x8, x16")
    for definition in fastest[: options.definitions]:
        slope = math.log2(last[definition] / max(1, middle[definition]))
        print(
            f"{first[definition]:8}{middle[definition]:10}{last[definition]:10}   exponent {slope:5.2f}"
            f"   {definition.place}"
        )
