"""How the cost for one patient grows with the number of trials whose disease is not hers.

    python benchmarks/trials.py [BUNDLE or FOLDER ...] [--trials 4 100 1000] [--rounds N]

Catalogs are written to a temporary folder: the trials of the repository and copies of them, each with a disease of
its own (see `copies`). Each catalog is measured in a process of its own, in which the two ways are timed one after the
other for each patient: every trial by itself (`one by one`), and trials of one shape together, as patients are
matched. What is timed is matching, without reading the bundle. Printed are medians over the patients of each one's
median, and their ratios to the smallest catalog.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from copies import write_catalog

from cds.errors import CdsError
from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.catalog import Catalog
from cds.trials.eligibility import Match, Status

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: Patients whom a trial of the repository concerns, as requests.
REQUESTS = sorted((ROOT / "hooks" / "trial-match" / "requests").glob("*.json"))

Build = Callable[[], PatientRecord]


def patients(paths: list[Path]) -> Iterator[tuple[bytes, Build]]:
    """How to build each patient's record, and the JSON that it is built from."""
    for path in paths:
        for file in sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")]) if path.is_dir() else [path]:
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            yield content, partial(PatientRecord.from_bundle, orjson.loads(content), now=NOW)
    for file in REQUESTS:
        request = orjson.loads(file.read_bytes())
        prefetch = [one for one in (request.get("prefetch") or {}).values() if one]
        patient = (request.get("context") or {}).get("patientId")
        yield orjson.dumps(prefetch), partial(PatientRecord.from_resources, prefetch, now=NOW, patient_id=patient)


def concerned(answer: Match) -> int:
    """How many trials concern the patient."""
    return sum(one.status is not Status.NOT_APPLICABLE for one in answer.trials)


def measure(folder: Path, paths: list[Path], rounds: int) -> dict[str, Any]:
    """The figures of one catalog, in ms and MB."""
    start = time.perf_counter()
    catalog = Catalog.load(folder)
    figures: dict[str, Any] = {"load": (time.perf_counter() - start) * 1000, "patients": []}
    gc.collect()
    gc.freeze()
    for content, build in patients(paths):
        try:
            number = concerned(match(catalog, build(), now=NOW, one_by_one=True))
        except CdsError:
            continue
        assert match(catalog, build(), now=NOW) == match(catalog, build(), now=NOW, one_by_one=True)
        figures["patients"].append(
            {
                "concerned": number,
                "orjson": median(lambda c=content: c, orjson.loads, rounds),
                "one by one": median(build, lambda record: match(catalog, record, now=NOW, one_by_one=True), rounds),
                "together": median(build, lambda record: match(catalog, record, now=NOW), rounds),
            }
        )
    figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["groups"] = [len(group.trials) for group in catalog.groups]
    return figures


def median(make: Callable[[], Any], work: Callable[[Any], Any], rounds: int) -> float:
    """The median time in ms of `work` on what `make` makes anew each time."""
    times = []
    for _ in range(rounds):
        made = make()
        start = time.perf_counter()
        work(made)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def report(catalogs: dict[int, dict[str, Any]]) -> None:
    """Prints a line for each catalog, of patients whom no trial concerns and of the others."""
    for number, figures in catalogs.items():
        groups = figures["groups"]
        print(
            f"{number:5} trials: loaded in {figures['load']:8.0f} ms, {figures['memory']:6.0f} MB, "
            f"{len(groups)} groups of {sum(groups)} trials"
        )
    for title, wanted in (("whom no trial concerns", False), ("whom a trial concerns", True)):
        print(f"\npatients {title}, median ms of matching")
        base: dict[str, float] = {}
        for number, figures in catalogs.items():
            chosen = [one for one in figures["patients"] if bool(one["concerned"]) is wanted]
            if not chosen:
                continue
            line = f"{number:5} trials, {len(chosen):3} patients"
            for way in ("one by one", "together"):
                value = statistics.median(one[way] for one in chosen)
                line += f"   {way} {value:9.3f} (x {value / base.setdefault(way, value):6.1f})"
            line += f"   reading the JSON {statistics.median(one['orjson'] for one in chosen):7.3f}"
            print(line)


def in_a_process_of_its_own(number: int, options: argparse.Namespace) -> dict[str, Any]:
    """Writes and measures a catalog of `number` trials."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "trials"
        write_catalog(ROOT / "plandefinitions", folder, number)
        command = [sys.executable, __file__, *map(str, options.paths), "--rounds", str(options.rounds)]
        done = subprocess.run([*command, "--folder", str(folder)], check=True, stdout=subprocess.PIPE)
    figures: dict[str, Any] = orjson.loads(done.stdout)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "examples" / "patients"])
    parser.add_argument("--trials", nargs="*", type=int, default=[4, 100, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="measure this catalog alone, and print its figures as JSON")
    options = parser.parse_args()
    if options.folder:
        sys.stdout.buffer.write(orjson.dumps(measure(options.folder, options.paths, options.rounds)))
    else:
        report({number: in_a_process_of_its_own(number, options) for number in options.trials})
