"""The days on which windows clear are those that a scan of every day finds, whatever the logic asks of a first dose."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cds.fhir.record import PatientRecord
from cds.trials.apply import REST_IS_FOR_A_PERSON, match
from cds.trials.catalog import Catalog
from cds.trials.eligibility import CriterionResult, Eligibility

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
DATA = Path(__file__).parent / "data" / "clearing"
#: How many more examples are tried than usual.
FUZZ = int(os.environ.get("CDS_FUZZ", "1"))

#: A scan takes long: what fails is not made smaller.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

WINDOWS = Catalog.load(DATA)


def scanned(catalog: Catalog, record: PatientRecord, trial: str, last: date) -> dict[date, Eligibility]:
    """What the trial answers for a first dose on each day, by the plain date."""
    days = [TODAY + timedelta(days=ahead) for ahead in range((last - TODAY).days + 1)]
    with pytest.MonkeyPatch.context() as patch:  # a scan asks each day by itself
        patch.setattr("cds.trials.windows._YEARS", 0)
        patch.setattr("cds.trials.windows._YEARS_OF_A_CRITERION", 0)
        return {
            day: match(catalog, record, now=NOW, first_dose=day, trials=[trial], all_criteria=True).trials[0]
            for day in days
        }


def is_clear(result: CriterionResult) -> bool:
    return result.outcome in ("met", "not-applicable") or result.reason == REST_IS_FOR_A_PERSON


def expected(scan: dict[date, Eligibility], criteria: set[str]) -> tuple[dict[str, date | None], date | None]:
    """The days on which these criteria clear, and the first on which a trial that asks them could start."""
    outcomes = {
        day: {one.criterion.id: one for one in answer.criteria if one.criterion.id in criteria}
        for day, answer in scan.items()
    }
    now = outcomes[TODAY]
    clears = {
        id_: None
        if is_clear(result)
        else next((day for day, found in outcomes.items() if day > TODAY and is_clear(found[id_])), None)
        for id_, result in now.items()
    }
    failing = [id_ for id_, result in now.items() if result.outcome == "not-met"]
    possible = (
        day
        for day, found in outcomes.items()
        if all(result.outcome != "not-met" for result in found.values())
        and all(is_clear(found[id_]) for id_ in failing)
    )
    return clears, next(possible, None)


def day_text(ordinal: int, precision: int) -> str:
    """A date as a chart may write it: 2026-11-20, 2026-11 or 2026."""
    return date.fromordinal(ordinal).isoformat()[: (4, 7, 10)[precision]]


def days(before: int, after: int) -> st.SearchStrategy[str]:
    """Days around today; one in three is known by its month or year alone."""
    ordinals = st.integers(TODAY.toordinal() - before, TODAY.toordinal() + after)
    return st.builds(day_text, ordinals, st.sampled_from((2, 2, 2, 2, 1, 0)))


def numbered(kind: str, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"resourceType": kind, "id": f"{kind.lower()}-{n}", **one} for n, one in enumerate(resources)]


PROCEDURES = st.lists(
    st.one_of(
        st.builds(lambda day: {"status": "completed", "performedDateTime": day}, days(45, 0)),
        st.builds(
            lambda start, end: {"status": "completed", "performedPeriod": {"start": start, "end": end}},
            days(40, 0),
            days(10, 0),
        ),
    ),
    max_size=3,
).map(lambda some: numbered("Procedure", some))
VACCINES = st.lists(
    st.builds(lambda day: {"status": "completed", "occurrenceDateTime": day}, days(800, 0)), max_size=2
).map(lambda some: numbered("Immunization", some))
ORDERS = st.lists(
    st.builds(lambda day: {"status": "active", "intent": "order", "occurrenceDateTime": day}, days(5, 60)), max_size=2
).map(lambda some: numbered("ServiceRequest", some))
TESTS = st.lists(
    st.builds(
        lambda day, found: {
            "status": "final",
            "code": {"text": "Demo"},
            "effectiveDateTime": day,
            "valueBoolean": found,
        },
        days(4, 0),
        st.booleans(),
    ),
    max_size=2,
).map(lambda some: numbered("Observation", some))
BIRTHS = st.one_of(
    st.builds(day_text, st.integers(date(1951, 11, 1).toordinal(), date(1952, 2, 1).toordinal()), st.integers(0, 2)),
    st.builds(day_text, st.integers(date(2008, 10, 1).toordinal(), date(2009, 2, 1).toordinal()), st.integers(0, 2)),
    st.sampled_from(("1976-12-01", "1960-02-29", "1976")),
)


def record_of(birth: str, *resources: list[dict[str, Any]]) -> PatientRecord:
    patient = {"resourceType": "Patient", "id": "p", "birthDate": birth}
    return PatientRecord.from_resources([patient, *(one for some in resources for one in some)], now=NOW)


def only(catalog: Catalog, trial: str, criteria: set[str]) -> Catalog:
    """The catalog with one trial, and that with some of its criteria."""
    found = catalog.trials[trial]
    fewer = replace(found, criteria=tuple(one for one in found.criteria if one.id in criteria or one.disease))
    return replace(catalog, trials={trial: fewer})


CRITERIA = [one.id for one in WINDOWS.trials["windows"].criteria if not one.disease]


@settings(max_examples=12 * FUZZ, deadline=None, phases=PHASES)
@given(
    birth=BIRTHS,
    procedures=PROCEDURES,
    vaccines=VACCINES,
    orders=ORDERS,
    tests=TESTS,
    chosen=st.lists(st.sets(st.sampled_from(CRITERIA), min_size=1, max_size=6), min_size=3, max_size=6),
)
def test_what_is_possible_when_is_what_a_scan_of_every_day_finds(
    birth: str,
    procedures: list[Any],
    vaccines: list[Any],
    orders: list[Any],
    tests: list[Any],
    chosen: list[set[str]],
) -> None:
    """Of each criterion by itself, and of trials that ask several of them."""
    record = record_of(birth, procedures, vaccines, orders, tests)
    scan = scanned(WINDOWS, record, "windows", date(2027, 11, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cds.trials.windows._YEARS", 1)
        patch.setattr("cds.trials.windows._YEARS_OF_A_CRITERION", 1)
        for criteria in chosen:
            (answer,) = match(only(WINDOWS, "windows", criteria), record, now=NOW).trials
            clears, possible = expected(scan, criteria | {"D1"})
            assert {one.criterion.id: one.clears_on for one in answer.criteria} == clears
            assert answer.eligible_from == possible


# ---------------------------------------------------------------------------------------------- a trial of the house

CERVICAL = "cadonilimab-cervical-locally-advanced"
FACTS = orjson.loads((Path(__file__).parent / "boundaries.json").read_bytes())["facts"]
#: Facts of the table of boundaries, with how many days before today they may lie.
DATED = {
    "platelets": (0, 40),
    "MMR": (0, 45),
    "live influenza vaccine": (0, 45),
    "operation": (0, 40),
    "central venous catheter": (0, 5),
    "interferon": (0, 20),
    "thymosin course": (0, 20),
    "prednisone 20 mg": (0, 10),
    "cyclophosphamide": (0, 10),
    "haemoptysis": (60, 100),
    "lung cancer": (1770, 1840),
    "methotrexate for psoriasis": (700, 740),
    "in an interventional study": (0, 40),
    "left a study": (0, 40),
    "last period": (340, 380),
    "pregnancy": (270, 310),
}


def filled(template: Any, day: str) -> Any:
    """A fact of the table, on a day."""
    if isinstance(template, dict):
        return {key: filled(value, day) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, day) for value in template]
    return day if template in ("$day", "$end") else 60 if template == "$value" else template


@st.composite
def charts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A woman with cervical cancer, and one to five facts of which time decides."""
    resources = [filled(FACTS[name], "") | {"id": name.replace(" ", "-")} for name in ("cervical cancer", "psoriasis")]
    for place, name in enumerate(draw(st.lists(st.sampled_from(sorted(DATED)), min_size=1, max_size=5))):
        least, most = DATED[name]
        day = draw(days(most, -least))
        resources.append(filled(FACTS[name], day) | {"id": f"fact-{place}"})
    if draw(st.booleans()):
        resources.append(filled(FACTS["FSH"], "") | {"id": "fsh"})
    birth = draw(st.sampled_from(("1979-03-08", "1951-12-20", "1951-12", "2008-12-10", "2008-12")))
    return [{"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": birth}, *resources]


@settings(max_examples=12 * FUZZ, deadline=None, phases=PHASES)
@given(chart=charts())
def test_a_trial_of_the_house_is_possible_when_a_scan_says_so(catalog: Catalog, chart: list[dict[str, Any]]) -> None:
    """Up to 120 days ahead, behind which the windows of these facts are over."""
    record = PatientRecord.from_resources(chart, now=NOW)
    last = TODAY + timedelta(days=120)
    scan = scanned(catalog, record, CERVICAL, last)
    (answer,) = match(catalog, record, now=NOW, trials=[CERVICAL]).trials
    clears, possible = expected(scan, {one.criterion.id for one in answer.criteria})
    found = {one.criterion.id: one.clears_on for one in answer.criteria}
    assert {id_: day if day and day <= last else None for id_, day in found.items()} == clears
    assert (answer.eligible_from if answer.eligible_from and answer.eligible_from <= last else None) == possible
