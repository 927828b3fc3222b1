"""What people's answers to a trial's questionnaire make of what is true by the data."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from . import hepatocellular, locally_advanced, recurrent_cervical, small_cell_lung
from .answers import MET, NOT_MET, UNKNOWN, Answer
from .facts import Attestation, Patient
from .three_valued import Known

#: The criteria of classes A and P: the questions of each trial. Of class C, and of the disease, nobody is asked.
QUESTIONS: dict[str, tuple[str, ...]] = {
    locally_advanced.TRIAL: (
        *("I1", "I4", "I5", "I7", "I8", "I10", "I14", "I15", "I16", "E1", "E3", "E4", "E5", "E7", "E8"),
        *("E12", "E13", "E16", "E17", "E18", "E22", "E23", "E24", "E25"),
    ),
    recurrent_cervical.TRIAL: ("C2",),
    small_cell_lung.TRIAL: ("C2", "C3", "C3b"),
    hepatocellular.TRIAL: ("C2", "C3", "C4"),
}
#: The criteria of which it is not said here what data a person's word needs beside it.
_NEED_DATA = {(locally_advanced.TRIAL, "E22"), (hepatocellular.TRIAL, "C3")}
#: How old an answer may be: 28 days, or as long as the criterion looks back where that is shorter.
_AGES = {(locally_advanced.TRIAL, "E13"): 14, (locally_advanced.TRIAL, "E16"): 2}
_AGE = 28

ATTESTED_MET, ATTESTED_NOT_MET = Answer("met", "attested"), Answer("not-met", "attested")


def attested(patient: Patient, trial: str, criterion: str, by_data: Answer | None) -> Answer | None:
    """The truth of a criterion with what people said of it; `by_data` is the truth of the data alone.

    The latest answer counts. It never overrules data that speak against the patient, or that prove that a criterion is
    met; but of an exclusion of which the record is merely clear, she or a doctor may know better.
    """
    said = [one for one in patient.true(Attestation) if one.trial == trial and criterion in dict(one.answers)]
    if not said or criterion not in QUESTIONS[trial] or by_data is None:
        return by_data
    open_world = trial != locally_advanced.TRIAL
    if by_data == NOT_MET or by_data.outcome == "not-applicable" or (by_data == MET and open_world):
        return by_data
    age = timedelta(days=_AGES.get((trial, criterion), _AGE))
    valid = [one for one in said if patient.now.date() - one.when.first <= age]
    answers = {_for_her(criterion, dict(one.answers)[criterion]) for one in _last(valid or said)}
    if by_data.basis is None:
        return None if False in answers else Answer(by_data.outcome, None)
    if by_data.outcome == "met" and False not in answers:
        return ATTESTED_MET if valid and answers == {True} and by_data != MET else by_data
    if not valid or len(answers) > 1 or None in answers:
        return UNKNOWN
    if answers == {False}:
        return ATTESTED_NOT_MET
    if (trial, criterion) == (locally_advanced.TRIAL, "I10"):
        negative = locally_advanced.negative_test(patient)
        return None if negative is None else ATTESTED_MET if negative else UNKNOWN
    return None if (trial, criterion) in _NEED_DATA else ATTESTED_MET


def _for_her(criterion: str, holds: Known) -> Known:
    """Whether an answer to whether a criterion's text is true of her lets her in: not so a yes to an exclusion."""
    return None if holds is None else holds is not criterion.startswith("E")


def _last(said: Collection[Attestation]) -> list[Attestation]:
    def after(other: Attestation, day: date) -> bool:
        return other.when.first > day

    return [one for one in said if not any(after(other, one.when.last) for other in said)]
