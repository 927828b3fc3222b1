"""The day on which a criterion that is not met is met, by the truth at later first doses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import date, timedelta

from .answers import Answer
from .dates import When, months_before
from .facts import Patient

Truth = Callable[[Patient], Answer | None]

#: After an event, the days and the months on which the windows of a criterion of record 000 end.
_DAYS = {"E5": (28,), "E9": (30,), "E11": (28,), "E13": (14,), "E14": (7,), "E16": (2,)}
_MONTHS = {"I2": (18 * 12, 75 * 12), "I10": (12,), "E6": (60,), "E7": (24,), "E8": (3,), "E9": (1,)}
_HORIZON = timedelta(days=6 * 366)


class NotSaidError(Exception):
    """On some later day the protocols do not say what is true."""


def clears_on(patient: Patient, criterion: str, truth: Truth) -> date | None:
    """The first later first dose at which a criterion is met or does not apply; None where there is none.

    Its answer can change on no other days than those that its windows count from a date on record. NotSaidError where
    on a day before that the truth is not said.
    """
    for day in sorted(set(_candidates(patient, criterion))):
        later = truth(patient.with_first_dose(day))
        if later is None:
            raise NotSaidError
        if later.outcome in ("met", "not-applicable"):
            return day
    return None


def _candidates(patient: Patient, criterion: str) -> Iterator[date]:
    """The days on which the answer may change, and those beside them."""
    for event in _dates(patient):
        ends = [event + timedelta(days=days) for days in _DAYS.get(criterion, ())]
        ends += [months_before(event, -months) for months in _MONTHS.get(criterion, ())]
        for end in ends:
            for day in (end + timedelta(days=beside) for beside in range(-1, 6)):
                if patient.first_dose < day <= patient.first_dose + _HORIZON:
                    yield day


def _dates(patient: Patient) -> Iterable[date]:
    found: set[date] = set()
    for fact in patient.facts:
        for one in fields(fact):
            value = getattr(fact, one.name)
            if isinstance(value, When):
                found |= {value.first, value.last}
    return found
