"""Patients in whom an answer was once not the truth, each of the few facts that show it, written in several styles.

Those in `OPEN`, if any, are still to be mended: they are expected to fail, and a test fails when they no longer do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from cds.trials.catalog import Catalog

from . import locally_advanced, recurrent_cervical
from .concepts import DIAGNOSES, DRUGS, PROCEDURES, VACCINES, Concept, named
from .dates import When
from .facts import (
    Attestation,
    Diagnosis,
    Drug,
    Fact,
    FigoStage,
    Identified,
    Metastases,
    Nodes,
    Operation,
    Patient,
    Person,
    Route,
    TumourSize,
    Vaccination,
)
from .judging import Place, compare
from .rendering import Style, bundle

NOW, TODAY = datetime(2026, 11, 20, 12, tzinfo=UTC), date(2026, 11, 20)
STYLES = tuple(Style(seed, seed, seed, seed) for seed in range(6))


def on(text: str) -> When:
    """A date as written: a day, a month or a year."""
    year, month, day = (int(part) for part in (text + "-01-01").split("-")[:3])
    form = (When.year, When.month, When.day)[text.count("-")]
    return form(date(year, month, day))


def patient(*facts: Fact, birth: str = "1980-01-01", now: datetime = NOW, first_dose: date = TODAY) -> Patient:
    person = Person(sex="female", birth=on(birth))
    return Patient(now, first_dose, (person, *(replace(fact, key=key) for key, fact in enumerate(facts, 1))))


def place(criterion: str, trial: str = locally_advanced.TRIAL) -> Place:
    return trial, criterion


PSORIASIS = named(DIAGNOSES, "psoriasis")
CERVIX = Diagnosis(what=named(DIAGNOSES, "squamous cell carcinoma of cervix"), onset=on("2026-03-01"))


def coded(tag: str, code: str) -> Concept:
    """A concept of one code, which criteria know by one tag."""
    return Concept(tag, (code,), frozenset({tag}))


def drug(name: str, start: str, end: str | None = None, **said: object) -> Drug:
    return replace(Drug(what=named(DRUGS, name), start=on(start), end=on(end) if end else None), **said)  # type: ignore[arg-type]


FINDINGS: dict[str, tuple[Place, Patient]] = {
    "a drug handed over in a year that is not over": (
        place("I9"),
        patient(drug("nivolumab", "2026", "2026", charted="MedicationDispense")),
    ),
    "a transfusion in the month of now": (
        place("E11"),
        patient(Operation(what=named(PROCEDURES, "platelet transfusion"), when=on("2026-11"))),
    ),
    "a malignancy diagnosed in the year of now": (
        place("E6"),
        patient(Diagnosis(what=named(DIAGNOSES, "malignant neoplasm of breast"), onset=on("2026"))),
    ),
    "an immunosuppressant that ended in the month of now": (
        place("E14"),
        patient(
            drug("adalimumab", "2026-01-25", "2026-11"),
            now=datetime(2026, 11, 5, tzinfo=UTC),
            first_dose=date(2026, 11, 8),
        ),
    ),
    "a live vaccine in the month that begins with the window": (
        place("E9"),
        patient(
            Vaccination(what=named(VACCINES, "varicella"), when=on("2027-04")),
            now=datetime(2027, 5, 1, 12, tzinfo=UTC),
            first_dose=date(2027, 5, 1),
        ),
    ),
    "75 years old at the first dose, whatever her day of birth": (
        place("I2"),
        patient(birth="1951-10", first_dose=date(2026, 10, 31), now=datetime(2026, 10, 28, tzinfo=UTC)),
    ),
    "18 years old at the first dose, whatever her day of birth": (
        place("I2"),
        patient(birth="2009-04", first_dose=date(2027, 4, 30), now=datetime(2027, 4, 30, tzinfo=UTC)),
    ),
    "a checkpoint inhibitor given today, before a first dose today": (
        place("I9"),
        patient(drug("durvalumab", "2026-11-20", "2026-11-20", charted="MedicationAdministration")),
    ),
    "a costimulating antibody given today, before a first dose today": (
        place("E2"),
        patient(drug("utomilumab", "2026-11-20", "2026-11-20")),
    ),
    "chemotherapy of the cervical cancer today, before a first dose today": (
        place("I4"),
        patient(CERVIX, drug("cisplatin", "2026-11-20", "2026-11-20", charted="MedicationAdministration")),
    ),
    "a drug that may have been for the skin carcinoma": (
        place("I4"),
        patient(
            CERVIX,
            Diagnosis(what=named(DIAGNOSES, "squamous cell carcinoma of skin"), onset=on("2025-01-01")),
            drug("nivolumab", "2025-03-15", "2025-03-15"),
        ),
    ),
    "an excepted autoimmune disease that is only suspected, and untreated": (
        place("E7"),
        patient(Diagnosis(what=named(DIAGNOSES, "vitiligo"), onset=on("2025-01-01"), certain=False)),
    ),
    "a local corticosteroid that stands in a sentence verifies nothing": (
        place("E14"),
        patient(
            drug(
                "triamcinolone",
                "2026-10-01",
                charted="MedicationRequest",
                identified=Identified.IN_A_SENTENCE,
                route=Route.NASAL,
            )
        ),
    ),
    "an answer older than E13 looks back": (
        place("E13"),
        patient(Attestation(trial=locally_advanced.TRIAL, answers=(("E13", False),), when=on("2026-11-05"))),
    ),
    "an answer older than E16 looks back": (
        place("E16"),
        patient(Attestation(trial=locally_advanced.TRIAL, answers=(("E16", True),), when=on("2026-11-17"))),
    ),
    "HIV by the ICD-10 of the WHO": (
        place("E20"),
        patient(Diagnosis(what=coded("hiv", "who:B20"), onset=on("2020-01-01"))),
    ),
    "a drug for psoriasis, by the object identifier of ICD-10-CM": (
        place("E7"),
        patient(
            Diagnosis(what=PSORIASIS, onset=on("2025-02-19")),
            drug("azathioprine", "2026-01-02", "2026-09-01", reason=replace(PSORIASIS, codes=("oid:L40.9",))),
        ),
    ),
    "a transplant by the ICD-10 of the WHO": (
        place("E19"),
        patient(Diagnosis(what=coded("allogeneic", "who:Z94.0"), onset=on("2020-01-01"))),
    ),
    "nodes by the ICD-10 of the WHO": (
        place("I6"),
        patient(CERVIX, Diagnosis(what=coded("node-metastasis", "who:C77.5"), onset=on("2026-04-01"))),
    ),
    "nodes by the object identifier of ICD-10-CM": (
        place("I6"),
        patient(CERVIX, Diagnosis(what=coded("node-metastasis", "oid:C77.5"), onset=on("2026-04-01"))),
    ),
    "carcinoma in situ by the ICD-10 of the WHO": (
        place("I3"),
        patient(Diagnosis(what=coded("cervix-in-situ", "who:D06.9"), onset=on("2026-04-01"))),
    ),
    "M1 beside a breast cancer that words alone tell of": (
        place("C2", recurrent_cervical.TRIAL),
        patient(
            CERVIX,
            Metastases(present=True, when=on("2026-06-06")),
            Diagnosis(what=named(DIAGNOSES, "malignant neoplasm of breast"), onset=on("2025-01-01"), certain=False),
        ),
    ),
    "nodes free by category and involved by stage": (
        place("I6"),
        patient(
            CERVIX,
            TumourSize(centimetres=Decimal("4.9"), when=on("2026-09-01")),
            Nodes(positive=False, when=on("2026")),
            FigoStage(stage="IIIC1", when=on("2026-09-04")),
        ),
    ),
    "FIGO IVB by the code of the cervix's own staging": (
        place("C2", recurrent_cervical.TRIAL),
        patient(CERVIX, FigoStage(stage="IVB", when=on("2026-10-10"), of_the_cervix=True)),
    ),
}

#: Why the answer is still wrong, by the finding's name.
OPEN: dict[str, str] = {}


def cases() -> list[object]:
    """The findings, those that are open marked so."""
    return [
        pytest.param(name, marks=[pytest.mark.xfail(strict=True, reason=OPEN[name])] if name in OPEN else [], id=name)
        for name in FINDINGS
    ]


@pytest.mark.parametrize("name", cases())
def test_finding(name: str, catalog: Catalog) -> None:
    """The answer is the truth, however the patient is written."""
    (trial, criterion), woman = FINDINGS[name]
    found = [one for style in STYLES for one in compare(catalog, woman, bundle(woman, style), (trial,))]
    assert not [str(one) for one in found if one.criterion == criterion]
