"""Any JSON at all: a record is built or refused by name, every trial answers, every definition gives a value or a named
error. Seeded, so that each run does the same; ``CDS_FUZZ=50 pytest tests/fhir/test_fuzz.py`` tries so many times more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from cds.errors import EvaluationError, RecordError
from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog
from cds.trials.eligibility import as_json

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROUNDS = 12 * int(os.environ.get("CDS_FUZZ", "1"))
CASES = sorted(path for path in ROOT.glob("plandefinitions/*/cases/*.json") if ".expected." not in path.name)

#: What stands nowhere in good FHIR, and what looks like it.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 1e308, 0.1, "", " ", "\x00", "a" * 5000, [], {}, [None], [[]], [{}], {"a": {}},
    "2026", "2026-13-45", "0000-00-00", "9999-12-31T23:59:59.999+14:00", "2026-11-20T25:61:61Z", "-2026-11-20", "24:00",
    "entered-in-error", "#", "#x", "Patient/", "urn:uuid:", "Condition?code=x", "http://[", "https://x/Patient/1|2",
    {"reference": 5}, {"reference": "#loop"},
    {"coding": "C53"}, {"coding": [{"system": 1, "code": 2}]}, {"coding": [[]]},
    {"system": "http://snomed.info/sct", "code": "254886006"},
    {"value": "x", "unit": 5}, {"value": 1e400, "code": "mg"},
    {"start": 5, "end": []}, {"start": "2026-11-20", "end": "2020"}, {"low": {}, "high": {"value": 1}},
)  # fmt: skip


def places(json: Any) -> list[tuple[Any, Any]]:
    """Every container in the JSON with a key or an index of it."""
    found: list[tuple[Any, Any]] = []
    waiting = [json]
    while waiting:
        part = waiting.pop()
        keys: Any = list(part) if isinstance(part, dict) else range(len(part))
        for key in keys:
            found.append((part, key))
            if isinstance(part[key], (dict, list)) and part[key]:
                waiting.append(part[key])
    return found


def spoil(json: Any, choose: Random) -> None:
    """Changes a few places: another value, a value of elsewhere, a list where there was none, an extension alone."""
    for _ in range(choose.randint(1, 8)):
        where = places(json)
        if not where:
            return
        container, key = choose.choice(where)
        other, its = choose.choice(where)
        change: Callable[[], Any] = choose.choice(
            [
                lambda: choose.choice(ODD),
                lambda other=other, its=its: deepcopy(other[its]),
                lambda container=container, key=key: [container[key], container[key]],
                lambda container=container, key=key: {"value": container[key]},
                lambda: {"extension": [{"url": "x", "valueCode": "unknown"}]},
            ]
        )
        container[key] = change()
        if isinstance(container, dict) and choose.random() < 0.3:
            container[f"_{key}"] = choose.choice(ODD)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_spoiled_bundle_is_answered_or_refused_by_name(
    catalog: Catalog, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    choose = Random(seed)
    for path in choose.sample(CASES, 12):
        bundle = orjson.loads(path.read_bytes())
        spoil(bundle, choose)
        try:
            record = PatientRecord.from_bundle(bundle, now=NOW)
        except RecordError:
            continue
        with caplog.at_level(logging.ERROR):
            answer = match(catalog, record, now=NOW, all_criteria=True)
        assert not caplog.records, f"{path.name}, seed {seed}"
        assert len(answer.trials) == len(catalog.active)
        orjson.dumps(as_json(answer))
        assert not failures(answer), f"{path.name}, seed {seed}: {failures(answer)}"


def failures(answer: Any) -> list[str]:
    """The criteria whose definitions fail: whatever a chart holds, trials answer, and unknown is an answer."""
    return [f"{r.criterion.id}: {r.reason}" for trial in answer.trials for r in trial.criteria if r.failed]


@pytest.mark.parametrize("seed", range(ROUNDS // 4))
def test_every_definition_of_a_raw_record_gives_a_value_or_a_named_error(catalog: Catalog, seed: int) -> None:
    choose = Random(1000 + seed)
    for path in choose.sample(CASES, 8):
        bundle = orjson.loads(path.read_bytes())
        spoil(bundle, choose)
        try:
            record = PatientRecord.from_bundle(bundle, now=NOW, hygiene=False)
        except RecordError:
            continue
        evaluation = evaluate_record(catalog, record, now=NOW, first_dose=NOW.date())
        for library in catalog.libraries:
            for definition in library.definitions.values():
                try:
                    evaluation.value(definition)
                except EvaluationError as error:
                    assert "cannot be evaluated: " not in error.message, f"{path.name}, seed {seed}: {error}"


def test_nesting_without_end_is_refused_or_answered(catalog: Catalog) -> None:
    patient = {"resourceType": "Patient", "id": "p"}
    deep: Any = {"url": "x"}
    for _ in range(900):
        deep = {"url": "x", "extension": [deep]}
    record = PatientRecord.from_resources([{**patient, "extension": [deep]}], now=NOW)
    assert len(match(catalog, record, now=NOW, all_criteria=True).trials) == len(catalog.active)
    bundle: Any = {"resourceType": "Bundle", "entry": [{"resource": patient}]}
    for _ in range(900):
        bundle = {"resourceType": "Bundle", "entry": [{"resource": bundle}]}
    assert PatientRecord.from_bundle(bundle, now=NOW).reference == "Patient/p"
