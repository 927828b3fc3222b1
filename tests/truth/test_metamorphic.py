"""Changes of a chart that change no fact change no answer: of random patients, and of the cases of the trials."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.catalog import Catalog

from .drawing import patients
from .facts import Patient
from .judging import conversion
from .rendering import Style, bundle
from .variations import CHANGES, copies, later, later_day, twenty_eight_years_on

NUMBER, SEED = 60, 7
ROOT = Path(__file__).resolve().parent.parent.parent
#: A part of the cases, another for each change.
CASES = [
    path
    for path in sorted((ROOT / "plandefinitions").glob("*/cases/*.json"))
    if not path.name.endswith(".expected.json")
]
SHARE = 12

Answers = dict[tuple[str, str], tuple[str, str]]


def answers(catalog: Catalog, content: Any, now: datetime, first_dose: date) -> Answers:
    """Outcome and basis of every criterion, and the status of every trial."""
    record = PatientRecord.from_bundle(content, now=now)
    said = match(catalog, record, now=now, first_dose=first_dose, all_criteria=True)
    found: Answers = {(trial.trial, "status"): (trial.status.value, "") for trial in said.trials}
    for trial in said.trials:
        found |= {(trial.trial, one.criterion.id): (one.outcome.value, one.basis.value) for one in trial.criteria}
    for place, one in conversion(catalog, record, now, first_dose).items():
        found[place] = (one.answer.outcome, "")
    return found


def differences(before: Answers, after: Answers) -> dict[tuple[str, str], Any]:
    return {place: (said, after.get(place)) for place, said in before.items() if after.get(place) != said}


def random_patients() -> list[tuple[Patient, Style]]:
    return list(patients(NUMBER, SEED))


def some_cases(change: str) -> list[tuple[str, Any, datetime, date]]:
    """Every twelfth case, beginning with another for each change."""
    paths = CASES[sorted([*CHANGES, "later"]).index(change) :: SHARE]
    found = []
    for path in paths:
        expected = orjson.loads(path.with_name(f"{path.stem}.expected.json").read_bytes())
        moments = datetime.fromisoformat(expected["now"]), date.fromisoformat(expected["firstDose"])
        found.append((f"{path.parent.parent.name}/{path.stem}", orjson.loads(path.read_bytes()), *moments))
    return found


def charts(change: str) -> list[tuple[str, Any, datetime, date]]:
    """Names, bundles, now and first doses of random patients and of some cases."""
    drawn = [
        (f"random patient {place}", bundle(woman, style), woman.now, woman.first_dose)
        for place, (woman, style) in enumerate(random_patients())
    ]
    return [*drawn, *some_cases(change)]


@pytest.mark.parametrize("change", CHANGES)
def test_change_changes_no_answer(change: str, catalog: Catalog) -> None:
    """Order, copies, what is irrelevant and what is of others do not matter."""
    changed = {}
    for name, content, now, first_dose in charts(change):
        before = answers(catalog, content, now, first_dose)
        after = answers(catalog, CHANGES[change](content, Random(name)), now, first_dose)
        if found := differences(before, after):
            changed[name] = found
    assert not changed


@pytest.mark.parametrize("aspect", [one.name for one in fields(Style)])
def test_writing_changes_no_answer(aspect: str, catalog: Catalog) -> None:
    """Synonymous codes, other elements, other units, and a Medication in place, contained or apart do not matter."""
    changed = {}
    for place, (woman, style) in enumerate(random_patients()):
        before = answers(catalog, bundle(woman, style), woman.now, woman.first_dose)
        other: Style = replace(style, **{aspect: getattr(style, aspect) + 1})
        after = answers(catalog, bundle(woman, other), woman.now, woman.first_dose)
        if found := differences(before, after):
            changed[place] = found
    assert not changed


def test_telling_everything_again_in_other_codes_changes_no_answer(catalog: Catalog) -> None:
    """A chart that says everything a second time, in synonymous codes and other units, says nothing new."""
    changed = {}
    for place, (woman, style) in enumerate(random_patients()):
        content = bundle(woman, style)
        before = answers(catalog, content, woman.now, woman.first_dose)
        again = copies(bundle(woman, Style(*(seed + 1 for seed in astuple(style)))))
        entries = [*content["entry"], *again]
        after = answers(catalog, content | {"entry": entries}, woman.now, woman.first_dose)
        if found := differences(before, after):
            changed[place] = found
    assert not changed


def test_other_years_change_no_answer(catalog: Catalog) -> None:
    """All dates, now and the first dose, moved together by 10,227 days, do not matter."""
    changed = {}
    for name, content, now, first_dose in charts("later"):
        before = answers(catalog, content, now, first_dose)
        after = answers(catalog, twenty_eight_years_on(content, Random(name)), later(now), later_day(first_dose))
        if found := differences(before, after):
            changed[name] = found
    assert not changed
