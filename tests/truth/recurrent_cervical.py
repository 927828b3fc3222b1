"""The truth of record 001, computed from facts: cadonilimab with anlotinib in cervical cancer, R/M/P."""

from __future__ import annotations

from collections.abc import Callable

from .answers import UNKNOWN, Answer, required
from .facts import Diagnosis, FigoStage, Metastases, Pathology, Patient
from .reading import agreed, diagnosed, latest
from .three_valued import Known, some

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
    if some(
        [
            diagnosed(patient, "recurrence"),
            some(one.certain or None for one in relapsed),
            agreed(one.stage == "IVB" for one in stages),
        ]
    ):
        return required(True)
    if any(one.course == "resolved" for one in spread):
        return None
    if any("unstated-malignancy" in one.what for one in patient.true(Diagnosis)):
        return None  # it may be the same cancer
    metastatic = some([some(one.certain or None for one in spread), m1 or None])
    if any(one.what.name == "metastasis in abdominal lymph nodes" for one in patient.true(Diagnosis)):
        return required(True) if metastatic and _hers(patient) else None
    return required(True) if metastatic and _hers(patient) else UNKNOWN


def _hers(patient: Patient) -> Known:
    """Whether a metastasis is of the cervical cancer: with another malignancy on record nobody knows, skin apart."""
    others = ("other-malignancy", "unstated-malignancy", "other-malignancy-unverified")
    found = [one for one in patient.true(Diagnosis) if any(tag in one.what for tag in others)]
    return None if any("exception" not in one.what for one in found) else True


CRITERIA: dict[str, Callable[[Patient], Answer | None]] = {"C1": cervical_cancer, "C2": recurrent_or_metastatic}
