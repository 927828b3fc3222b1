"""The truth of record 001, computed from facts: cadonilimab with anlotinib in cervical cancer, R/M/P."""

from __future__ import annotations

from collections.abc import Callable

from .answers import MET, MET_OR_UNKNOWN, UNKNOWN, Answer, required
from .facts import Diagnosis, FigoStage, Metastases, Pathology, Patient
from .reading import agreed, diagnosed, latest
from .three_valued import some

TRIAL = "cadonilimab-anlotinib-cervical"
_BACK = ("recurrence", "relapse")


def cervical_cancer(patient: Patient) -> Answer | None:
    """C1: an invasive cancer of the cervix; the histology need not be stated, and in situ alone is none."""
    invasive = diagnosed(patient, "cervix")
    if not invasive and any(patient.true(Pathology)):
        return None  # what a report says of which no diagnosis is on record, or a suspected one
    if invasive is False and diagnosed(patient, "cervix-in-situ"):
        return required(False)
    return required(invasive or None)


def recurrent_or_metastatic(patient: Patient) -> Answer | None:
    """C2: recurrent, metastatic or persistent, of which data show the first two: the last is for a person to say."""
    if not diagnosed(patient, "cervix"):
        return None
    spread = [one for one in patient.true(Diagnosis) if "distant-metastasis" in one.what]
    m1 = agreed(one.present for one in latest((one.when, one) for one in patient.true(Metastases)))
    found = min(one.onset.first for one in patient.true(Diagnosis) if "cervix" in one.what and one.onset)
    if any(one.when.last < found for one in patient.true(FigoStage)):
        return None  # a stage from before the cancer was found
    stages = latest((one.when, one) for one in patient.true(FigoStage))
    relapsed = [one for one in patient.true(Diagnosis) if "cervix" in one.what and one.course in _BACK]
    if some([diagnosed(patient, "recurrence"), some(one.certain or None for one in relapsed)]):
        return MET
    if agreed(one.stage == "IVB" for one in stages):
        said = all(one.of_the_cervix for one in stages) or _of_the_cervix(patient) == MET
        return MET if said else MET_OR_UNKNOWN  # of which tumour
    if any(one.course == "resolved" for one in spread):
        return None
    if any("unstated-malignancy" in one.what for one in patient.true(Diagnosis)):
        return None  # it may be the same cancer
    if not some([some(one.certain or None for one in spread), m1 or None]):
        listed = any(one.what.name == "metastasis in abdominal lymph nodes" for one in patient.true(Diagnosis))
        return None if listed else UNKNOWN
    return _of_the_cervix(patient)


def _of_the_cervix(patient: Patient) -> Answer:
    """Of a metastasis: with another malignancy on record nobody knows whose it is, a cancer of the skin apart."""
    others = ("other-malignancy", "unstated-malignancy", "other-malignancy-unverified")
    found = [one for one in patient.true(Diagnosis) if any(tag in one.what for tag in others)]
    if any("exception" not in one.what for one in found):
        return UNKNOWN
    return MET_OR_UNKNOWN if any(not one.certain for one in found) else MET


CRITERIA: dict[str, Callable[[Patient], Answer | None]] = {"C1": cervical_cancer, "C2": recurrent_or_metastatic}
