"""The truth of record 002, computed from facts: cadonilimab in extensive-stage small cell lung cancer."""

from __future__ import annotations

from collections.abc import Callable

from .answers import NOT_APPLICABLE, UNKNOWN, Answer, required
from .facts import Diagnosis, DiseaseStatus, Drug, Metastases, Patient
from .reading import diagnosed, given, is_drug
from .three_valued import Known, every, some

TRIAL = "cadonilimab-es-sclc"


def extensive_small_cell(patient: Patient) -> Answer | None:
    """C1: small cell lung cancer of extensive stage; stage IV is likely so, C34 says neither, stage I contradicts."""
    extensive, first_stage = diagnosed(patient, "extensive"), diagnosed(patient, "stage-one")
    if first_stage is not False and (_others_of_small_cell(patient) or _spread(patient)):
        return None  # which of the two holds is not said
    if extensive is not False:
        return required(extensive)
    if first_stage is not False:
        return required(False if first_stage else None)
    small, other_type = diagnosed(patient, "small-cell"), diagnosed(patient, "non-small-cell")
    if diagnosed(patient, "small-cell-unverified") is not False:
        return UNKNOWN
    return required(False if small is False and other_type else None)


def _others_of_small_cell(patient: Patient) -> bool:
    """Whether a lung cancer that is not said to be of stage I stands beside one that is."""
    others = ("small-cell", "small-cell-unverified", "non-small-cell", "lung")
    found = (one.what for one in patient.true(Diagnosis))
    return any("stage-one" not in what and any(tag in what for tag in others) for what in found)


def _spread(patient: Patient) -> bool:
    return any("metastasis" in one.what.name for one in patient.true(Diagnosis)) or any(
        one.present for one in patient.true(Metastases)
    )


def failed_platinum(patient: Patient) -> Answer | None:
    """C2: platinum and then progression; nothing on record says that it did not fail."""
    reasons = [one.reason for one in patient.true(Drug) if is_drug(one, "platinum")]
    if (
        not diagnosed(patient, "small-cell")
        or diagnosed(patient, "cervix") is not False
        or any(reasons)
        or _several(patient)
    ):
        return None
    found = (every([is_drug(drug, "platinum"), _progressed_after(patient, drug)]) for drug in patient.true(Drug))
    return required(True) if some(found) else UNKNOWN


def _several(patient: Patient) -> bool:
    """Whether malignancies besides the lung's are on record, whose progression it may have been."""
    return any(
        "small-cell" not in one.what
        and ("other-malignancy" in one.what or "unstated-malignancy" in one.what or "cervix-in-situ" in one.what)
        for one in patient.true(Diagnosis)
    )


def _progressed_after(patient: Patient, drug: Drug) -> Known:
    worse = [one for one in patient.true(DiseaseStatus) if one.status == "worsened"]
    return some(True if one.when.first > drug.start.last else None for one in worse)


def checkpoint_inhibitor_before(patient: Patient) -> Answer | None:
    """C3: atezolizumab or durvalumab is optional: not applicable to who had none. Its reason may be another cancer."""
    if any(one.reason for one in patient.true(Drug) if is_drug(one, "pd-l1")):
        return None
    had = given(patient, "pd-l1")
    return NOT_APPLICABLE if had is False else required(had)


def asked(patient: Patient) -> Answer:
    """C3b: the record contradicts itself, which the site has to clear."""
    return UNKNOWN


CRITERIA: dict[str, Callable[[Patient], Answer | None]] = {
    "C1": extensive_small_cell,
    "C2": failed_platinum,
    "C3": checkpoint_inhibitor_before,
    "C3b": asked,
}
