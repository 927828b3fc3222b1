"""What several criteria ask of a patient's facts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from .dates import When, days_before, since
from .facts import Diagnosis, Drug, Ecog, F, Identified, Operation, Patient, Vaccination
from .three_valued import Known, some


def latest(dated: Iterable[tuple[When | None, F]]) -> list[F]:
    """The facts that may be the latest: those that no other is surely later than."""
    facts = list(dated)
    newest = max((when.first for when, _ in facts if when), default=None)
    return [fact for when, fact in facts if when is None or newest is None or when.last >= newest]


def agreed(values: Iterable[Known]) -> Known:
    """What all of the values say; None where there are none or they differ."""
    said = set(values)
    return said.pop() if len(said) == 1 else None


def ecog_at_most_one(patient: Patient) -> Known:
    """ECOG 0 or 1, by the latest; a Karnofsky status is never converted."""
    return agreed(fact.grade <= 1 for fact in latest((fact.when, fact) for fact in patient.true(Ecog)))


def certain(fact: Diagnosis | Operation | Vaccination) -> bool:
    """Whether a diagnosis is confirmed, and of a procedure or vaccine a code says which it was."""
    return fact.certain if isinstance(fact, Diagnosis) else not fact.in_words


def diagnosed(patient: Patient, *tags: str) -> Known:
    """Whether she has a diagnosis with one of the tags that is not over; one that is only suspected leaves it open."""
    found = [
        one for one in patient.true(Diagnosis) if any(tag in one.what for tag in tags) and one.course != "resolved"
    ]
    return some(one.certain or None for one in found)


def other_malignancies(patient: Patient) -> bool:
    """Whether a malignancy that may be another than that of the cervix is on record, however long ago."""
    return any(
        "other-malignancy" in fact.what or "unstated-malignancy" in fact.what for fact in patient.true(Diagnosis)
    )


def is_drug(drug: Drug, *tags: str) -> Known:
    """Whether a drug has one of the tags: a name in a sentence, and a drug that is not named, leave it open."""
    if drug.identified is Identified.NOT:
        return None
    if not any(tag in drug.what for tag in tags):
        return False
    return True if drug.identified is Identified.PLAINLY else None


def given(patient: Patient, *tags: str) -> Known:
    """Whether a drug with one of the tags was ever given."""
    return some(is_drug(drug, *tags) for drug in patient.true(Drug))


def overlaps(drug: Drug, bound: date) -> Known:
    """Whether a course reaches into the time since `bound`: it overlaps, whenever it began.

    How long what was dispensed lasts is not on record.
    """
    if drug.charted == "MedicationDispense":
        return since(bound, drug.start) or None
    return True if drug.end is None else since(bound, drug.end)


def for_the_cancer(patient: Patient, fact: Drug | Operation) -> Known:
    """Whether a treatment was for the cervical cancer: by its reason, else as long as there is no other malignancy."""
    if fact.reason is not None:
        return "cervix" in fact.reason
    return None if other_malignancies(patient) else True


def within_days(patient: Patient, when: When | None, days: int) -> Known:
    """Whether something happened within so many days before the first dose."""
    return since(days_before(patient.first_dose, days), when)
