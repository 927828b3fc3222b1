"""Where our engine and the JavaScript reference engine differ, definition by definition, patient by patient.

    python benchmarks/agreement.py [BUNDLE or FOLDER ...]          both engines, on the trials and tests/agreement
    python benchmarks/agreement.py --results OURS THEIRS           two files that hold results already

Differences that ``tests/agreement/differences.json`` explains are counted; any other is shown, and the exit status
is 1. A definition that is a tuple is compared element by element (``Definition.element``). An explanation holds for the
kinds of values that it names: a new kind of difference in an explained definition is shown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from reference import ROOT, Reference, json_files

from cds.authoring.evaluate import Content, written
from cds.authoring.result_format import dumps
from cds.cli.command import read_bundle
from cds.errors import CdsError
from cds.fhir.record import PatientRecord
from cds.settings import Settings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TRIALS = ROOT / "plandefinitions"
OWN = ROOT / "tests" / "agreement"
EXPLAINED = OWN / "differences.json"
#: As many digits of a double as survive a few operations; CQL's decimals are rounded to the eighth place.
RELATIVE, ABSOLUTE = 1e-9, 2e-8

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass
class Difference:
    """What differs in one definition, for all patients with the same pair of kinds of values."""

    library: str
    definition: str
    kinds: tuple[str, str]
    patients: list[str] = field(default_factory=list)
    example: tuple[Any, Any] = (None, None)


def kind_of(value: Any) -> str:
    """What sort of value it is: null, true, false, number, text, list, or the tag of the others."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "list"
    return next(iter(value), "tuple") if isinstance(value, dict) else "number"


def same(one: Any, other: Any) -> bool:
    """Whether two values in the format of results say the same; every error is like any other."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return _same_tagged(one, other)
    return bool(one == other)


def _same_tagged(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    if "@error" in one:
        return True
    if "@datetime" in one:
        return _moment(one["@datetime"]) == _moment(other["@datetime"])
    return all(same(one[name], other[name]) for name in one)


_MOMENT = re.compile(r"(\d{4}(?:-\d\d){0,2})(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?(Z|[+-]\d\d:?\d\d)?")


def _moment(text: str) -> tuple[str, int]:
    """A moment in UTC with its precision; one without a time of day as it is written."""
    found = _MOMENT.fullmatch(text.removesuffix("T"))
    if not found or found[2] is None:
        return (found[1] if found else text), 0
    day, hour, minute, second, fraction, zone = found.groups()
    precision = 3 + sum(part is not None for part in (hour, minute, second, fraction))
    if not zone or zone == "Z" or len(day) < len("2026-11-20"):
        shift = timedelta()
    else:
        digits = zone[1:].replace(":", "")
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    moment = datetime.fromisoformat(day) + timedelta(
        hours=int(hour), minutes=int(minute or 0), seconds=int(second or 0)
    )
    milliseconds = ((fraction or "") + "000")[:3]
    return f"{moment - shift}.{milliseconds}", precision


def differences(ours: Results, theirs: Results) -> tuple[int, list[Difference]]:
    """How many values were compared, and what differs. A definition that only one of the two has differs as absent."""
    compared = 0
    found: dict[tuple[str, str, tuple[str, str]], Difference] = {}
    for patient, library, definition in _cells(ours, theirs):
        compared += 1
        pair = (_value(results, patient, library, definition) for results in (ours, theirs))
        for name, one, other in _apart(definition, *pair):
            kinds = (kind_of(one), kind_of(other))
            entry = found.setdefault((library, name, kinds), Difference(library, name, kinds))
            entry.patients.append(patient)
            if len(entry.patients) == 1:
                entry.example = (one, other)
    return compared, sorted(found.values(), key=lambda item: (item.library, item.definition, item.kinds))


def _apart(name: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """The values that are not the same: the two, or of two tuples the elements."""
    if kind_of(one) == kind_of(other) == "@tuple" and one["@tuple"].keys() == other["@tuple"].keys():
        for key, value in one["@tuple"].items():
            yield from _apart(f"{name}.{key}", value, other["@tuple"][key])
    elif not same(one, other):
        yield name, one, other


def _cells(ours: Results, theirs: Results) -> Iterator[tuple[str, str, str]]:
    for patient in sorted(ours.keys() & theirs.keys()):
        for library in sorted(ours[patient].keys() & theirs[patient].keys()):
            names = ours[patient][library].keys() | theirs[patient][library].keys()
            yield from ((patient, library, name) for name in sorted(names) if not name.startswith("@"))


def _value(results: Results, patient: str, library: str, definition: str) -> Any:
    return results[patient][library].get(definition, {"@absent": True})


def explanations() -> dict[tuple[str, str, tuple[str, str]], str]:
    """The cause by library, definition and kinds of values, as the list says it."""
    entries = json.loads(EXPLAINED.read_text(encoding="utf-8"))["differences"]
    return {
        (entry["library"], entry["definition"], tuple(kinds)): entry["cause"]
        for entry in entries
        for kinds in entry["kinds"]
    }


def report(compared: int, found: list[Difference]) -> bool:
    """Prints what differs, the unexplained in full; whether everything is explained."""
    known = explanations()
    causes: dict[str, list[Difference]] = {}
    unexplained: list[Difference] = []
    for item in found:
        cause = known.get((item.library, item.definition, item.kinds))
        (unexplained if cause is None else causes.setdefault(cause, [])).append(item)
    differing = sum(len(item.patients) for item in found)
    print(f"{compared} values compared, {compared - differing} agree, {differing} differ")
    for cause, items in sorted(causes.items()):
        names = sorted({f"{item.library}.{item.definition}" for item in items})
        print(f"  explained, {cause}: {sum(len(item.patients) for item in items)} values of {len(names)} definitions")
    for item in unexplained:
        ours, theirs = (json.dumps(value, ensure_ascii=False, default=float)[:300] for value in item.example)
        print(
            f"\nNOT EXPLAINED {item.library}.{item.definition}: {len(item.patients)} patients, {' / '.join(item.kinds)}"
        )
        print(f"  {item.patients[0]}\n  ours    {ours}\n  theirs  {theirs}")
    return not unexplained


def evaluated(paths: Iterable[Path], elm: Path, value_sets: Path, libraries: list[str]) -> tuple[Results, Results]:
    """What both engines say of every patient in the files, for the libraries of one folder."""
    content = Content.load(elm, libraries, value_sets)
    needed = [Path(library.source) for library in content.libraries]
    sets = sorted(value_sets.rglob("valuesets/*.json"))
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    with Reference(needed, sets, libraries, NOW, Settings.from_environment(os.environ).cache) as reference:
        for path in paths:
            try:
                record = PatientRecord.from_bundle(read_bundle(path), now=NOW, hygiene=False)
            except CdsError:
                continue
            ours[path.name] = json.loads(written(content.evaluate(record, NOW)), parse_float=Decimal)
            theirs[path.name] = reference.ask(path, values=True)["values"]
    return ours, theirs


def save(folder: Path, runs: Iterable[tuple[Results, Results]]) -> None:
    """Writes what both engines said, in the format of results, so that it can be compared again without them."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(("ours", "theirs")):
        merged: dict[str, dict[str, Any]] = {}
        for run in runs:
            for patient, libraries in run[place].items():
                merged.setdefault(patient, {}).update(libraries)
        (folder / f"{name}.json").write_bytes(dumps({"engine": name, "now": NOW.isoformat(), "results": merged}))


def trial_libraries() -> list[str]:
    """The identifiers of the trials' own libraries."""
    files = sorted(TRIALS.glob("*/eligibility.elm.json"))
    return [json.loads(path.read_bytes())["library"]["identifier"]["id"] for path in files]


def main() -> None:
    """Compares; the exit status is 1 where something is not explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "examples" / "patients"])
    parser.add_argument(
        "--results", nargs=2, type=Path, metavar=("OURS", "THEIRS"), help="compare two files of results"
    )
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep what both said as ours.json and theirs.json")
    parser.add_argument("--libs", metavar="ID,...", help="these libraries of tests/agreement alone")
    options = parser.parse_args()
    own = sorted(path.name.removesuffix(".elm.json") for path in OWN.glob("*.elm.json"))
    if options.results:
        ours, theirs = (json.loads(path.read_bytes(), parse_float=Decimal)["results"] for path in options.results)
        runs = [(ours, theirs)]
    else:
        files = json_files(options.paths)
        chosen = [(OWN, options.libs.split(","))] if options.libs else [(TRIALS, trial_libraries()), (OWN, own)]
        try:
            runs = [evaluated(files, folder, folder, libraries) for folder, libraries in chosen]
        except CdsError as error:
            sys.exit(f"no agreement without the reference engine: {error}")
    if options.save:
        save(options.save, runs)
    compared, found = 0, list[Difference]()
    for ours, theirs in runs:
        count, differing = differences(ours, theirs)
        compared += count
        found += differing
    sys.exit(0 if report(compared, found) else 1)


if __name__ == "__main__":
    main()
