"""Any JSON at all is a record or a RecordError, and every definition of every library gives a value, null or error.

Seeded, so that each run does the same. CDS_FUZZ multiplies how much is tried.
"""

from __future__ import annotations

import copy
import gzip
import logging
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.errors import EvaluationError, RecordError
from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog

ROUNDS = int(os.environ.get("CDS_FUZZ", "1"))
ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def nested(depth: int, key: str = "extension") -> Any:
    node: Any = {"url": "u"}
    for _ in range(depth):
        node = {key: [node]}
    return node


def contained(depth: int) -> Any:
    node: Any = {"resourceType": "Patient", "id": "p"}
    for _ in range(depth):
        node = {"resourceType": "Medication", "id": "m", "contained": [node], "code": {"text": "x"}}
    return node


JUNK: list[Any] = [
    None,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    2**70,
    "",
    " ",
    "text",
    True,
    False,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    "\u0000",
    "🩺" * 50,
    "2026",
    "2026-02-30",
    "2026-13",
    "9999-12-31T23:59:59.999999999-14:00",
    "0001-01-01T00:00:00+14:00",
    "0000",
    "+12026",
    "2026-11-20T24:00:00Z",
    "2026-11-20T10:00",
    "2026-11-20t10:00:00z",
    "20261120",
    "2026-W10",
    "x" * 5000,
    {"reference": "#p"},
    {"reference": "#"},
    {"reference": "Patient/"},
    {"reference": "Patient?x=1"},
    {"reference": {}},
    {"coding": None},
    {"coding": {}},
    {"coding": "x"},
    {"coding": [{"system": 5, "code": []}]},
    {"coding": [[{}]]},
    {"coding": [{"system": "http://snomed.info/sct", "code": "363346000"}] * 50, "text": 7},
    {"text": ["a"]},
    {"value": "5", "unit": 7},
    {"value": 1e400, "code": "10*99999999", "system": "http://unitsofmeasure.org"},
    {"value": 5, "code": "((((", "unit": "m" * 500},
    {"value": True},
    {"value": 5, "comparator": "<"},
    {"value": 2**70, "code": "g"},
    {"start": "2027", "end": "2026"},
    {"start": 5},
    {"end": "9999-12-31"},
    {"start": "0001-01-01", "end": None},
    {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]},
    {"low": {"value": 5}, "high": {"value": 1}},
    {"resourceType": "Patient", "id": "p2"},
    {"resourceType": "Bundle", "entry": [{}]},
    {"resourceType": 7},
    {"resourceType": "Observation"},
    nested(60),
    nested(60, "contained"),
    contained(40),
    nested(60, "coding"),
]


@pytest.fixture(scope="module")
def bundles() -> list[bytes]:
    """Real patients: some of those that trials are tested with, and the resources of an example that criteria read."""
    cases = sorted((ROOT / "plandefinitions").rglob("cases/**/*.json"))
    found = []
    for path in random.Random(1).sample(cases, min(60, len(cases))):
        content = orjson.loads(path.read_bytes())
        found += [orjson.dumps(bundle) for bundle in bundles_in(content)]
    for path in sorted((ROOT / "examples" / "patients").glob("*.gz")):
        example = orjson.loads(gzip.decompress(path.read_bytes()))
        example["entry"] = [*example["entry"][:1], *random.Random(2).sample(example["entry"][1:], 60)]
        found.append(orjson.dumps(example))
    return found


def bundles_in(content: Any) -> Iterator[Any]:
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict) and item.get("resourceType") == "Bundle":
            yield item
        elif isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every container in a piece of JSON with each of its keys or places."""
    found, waiting = [], [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list):
            found += [(item, key) for key in (item if isinstance(item, dict) else range(len(item)))]
            waiting += item.values() if isinstance(item, dict) else item
    return found


def changed(source: bytes, choose: random.Random) -> Any:
    """A copy with some places left out, put elsewhere, or replaced by junk; now and then one in every tenth place."""
    made = orjson.loads(source)
    # Mostly inside of resources: a bundle without its patient is soon refused.
    outside = ("resourceType", "entry", "resource")
    spots = [
        spot
        for spot in places(made)
        if choose.random() < 0.05 or (spot[1] not in outside and spot[0] is not made.get("entry"))
    ]
    for _ in range(choose.choice([1, 3, 10, 30, len(spots) // 10])):
        container, key = choose.choice(spots)
        if isinstance(container, dict) and (key not in container or choose.random() < 0.2):
            container.pop(key, None)
            if choose.random() < 0.5:
                container["_" + str(key).lstrip("_")] = copy.deepcopy(choose.choice(JUNK))
        elif choose.random() < 0.7:
            container[key] = copy.deepcopy(choose.choice(JUNK))
        else:
            other, place = choose.choice(spots)
            if not isinstance(other, dict) or place in other:
                container[key] = copy.deepcopy(other[place]) if choose.random() < 0.5 else [copy.deepcopy(other[place])]
    return made


def played(catalog: Catalog, bundle: Any) -> None:
    """Matches a bundle with all trials and asks every definition of every library; only named errors may come out."""
    try:
        record = PatientRecord.from_bundle(bundle, now=NOW)
    except RecordError:
        return
    answer = match(catalog, record, now=NOW, all_criteria=True)
    assert len(answer.trials) == len(catalog.active)
    running = evaluate_record(catalog, record, now=NOW, first_dose=NOW.date())
    for library in catalog.libraries:
        for definition in library.definitions.values():
            try:
                running.value(definition)
            except EvaluationError as error:
                # What FHIR data can hold is null, or refused in our words: a Python error would be our mistake.
                assert "cannot be evaluated" not in error.message, error


def test_any_bundle(catalog: Catalog, bundles: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    choose = random.Random(7)
    for number in range(400 * ROUNDS):
        bundle = changed(choose.choice(bundles), choose)
        try:
            played(catalog, bundle)
        except Exception as error:
            pytest.fail(f"bundle {number}: {type(error).__name__}: {error}")


@pytest.mark.parametrize("place", range(len(JUNK)))
def test_junk_in_place_of_a_bundle(catalog: Catalog, place: int) -> None:
    junk, patient = JUNK[place], {"resourceType": "Patient", "id": "p"}
    for entries in (junk, [junk], [{"resource": patient}, junk], [{"resource": junk}, {"resource": patient}]):
        played(catalog, {"resourceType": "Bundle", "entry": entries})
    played(catalog, {"resourceType": "Bundle", "entry": [{"fullUrl": junk, "resource": patient}]})
    played(catalog, junk)


def test_bundles_in_bundles_however_deep(catalog: Catalog) -> None:
    bundle: Any = {"resourceType": "Patient", "id": "p"}
    for _ in range(50_000):
        bundle = {"resourceType": "Bundle", "entry": [{"resource": bundle}]}
    played(catalog, bundle)


def test_elements_nested_however_deep(catalog: Catalog) -> None:
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "1980", "gender": "female"}
    for key in ("extension", "contained", "component", "code", "coding"):
        deep = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/p"}, key: [nested(50_000)]}
        played(catalog, {"resourceType": "Bundle", "entry": [{"resource": patient}, {"resource": deep}]})
        played(catalog, {"resourceType": "Bundle", "entry": [{"resource": {**patient, key: [nested(50_000)]}}]})


def test_more_resources_than_a_chart_holds_are_refused() -> None:
    patient = {"resourceType": "Patient", "id": "p"}
    entries = [{"resource": patient}, *({"resource": {"resourceType": "Flag"}} for _ in range(100_000))]
    with pytest.raises(RecordError, match="more than 100000 resources"):
        PatientRecord.from_bundle({"resourceType": "Bundle", "entry": entries}, now=NOW)
