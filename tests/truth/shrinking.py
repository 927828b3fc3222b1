"""The smallest patient of whom something is still wrong."""

from __future__ import annotations

from collections.abc import Callable

from .facts import Patient, Person


def shrunk(patient: Patient, wrong: Callable[[Patient], bool]) -> Patient:
    """The patient without every fact that can be left out while `wrong` still holds of her."""
    smaller = True
    while smaller:
        smaller = False
        for fact in patient.facts:
            if isinstance(fact, Person):
                continue
            fewer = patient.with_facts(tuple(one for one in patient.facts if one is not fact))
            if wrong(fewer):
                patient, smaller = fewer, True
    return patient
