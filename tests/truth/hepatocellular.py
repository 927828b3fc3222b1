"""The truth of record 003, computed from facts: cadonilimab with lenvatinib in hepatocellular carcinoma."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from .answers import UNKNOWN, Answer, required
from .facts import ChildPugh, LiverFinding, LiverRemnant, Metastases, Part, Patient
from .reading import agreed, diagnosed, ecog_at_most_one, latest

TRIAL = "cadonilimab-lenvatinib-hcc"


def hepatocellular_carcinoma(patient: Patient) -> Answer | None:
    """C1: hepatocellular carcinoma; broader codes and variants leave it open, another type contradicts."""
    plain, other_type = diagnosed(patient, "liver"), diagnosed(patient, "liver-other")
    open_ = diagnosed(patient, "liver-variant", "liver-unstated") is not False
    if plain and diagnosed(patient, "liver-variant") is not False:
        return None  # which of the two holds is not said
    if other_type is not False and (open_ or plain is None):
        return None
    if other_type and plain is False:
        return required(False)
    return required(plain or None)


def asked(patient: Patient) -> Answer:
    """A criterion that only a person can answer."""
    return UNKNOWN


CRITERIA: dict[str, Callable[[Patient], Answer | None]] = {
    "C1": hepatocellular_carcinoma,
    **dict.fromkeys(("C2", "C3", "C4"), asked),
}

#: Of bilirubin and INR the limits of 2 points; more is 3. Of albumin likewise, downwards.
_LIMITS = {
    Part.BILIRUBIN: (Decimal(2), Decimal(3)),
    Part.INR: (Decimal("1.7"), Decimal("2.3")),
    Part.ALBUMIN: (Decimal("2.8"), Decimal("3.5")),
}
_CONDITIONS = {Part.ASCITES: "ascites", Part.ENCEPHALOPATHY: "encephalopathy"}


def child_pugh_below_seven(patient: Patient) -> Answer | None:
    """CV1: a Child-Pugh score below 7, as recorded or from its parts; a part that is open is bounded by its points."""
    for part, tag in _CONDITIONS.items():
        if _recorded_points(patient, part) and diagnosed(patient, tag) is not False:
            return None  # which of the two holds is not said
    least, most = (sum(sides) for sides in zip(*(_points(patient, part) for part in Part), strict=True))
    computed = True if most < 7 else False if least >= 7 else None
    recorded = agreed(one.score < 7 for one in latest((one.when, one) for one in patient.true(ChildPugh)))
    if any(patient.true(ChildPugh)) and recorded is None:
        return UNKNOWN
    return required(agreed(value for value in (computed, recorded) if value is not None))


def _points(patient: Patient, part: Part) -> tuple[int, int]:
    """The least and the most points that a part may have."""
    points = _recorded_points(patient, part)
    if points:
        return min(points), max(points)
    tag = _CONDITIONS.get(part)
    return (2, 3) if tag and diagnosed(patient, tag) else (1, 3)


def _recorded_points(patient: Patient, part: Part) -> set[int]:
    found = latest((one.when, one) for one in patient.true(LiverFinding) if one.part is part)
    return {_score(part, one.value) for one in found}


def _score(part: Part, value: Decimal) -> int:
    if part in _CONDITIONS:
        return int(value)
    low, high = _LIMITS[part]
    if part is Part.ALBUMIN:
        return 1 if value > high else 2 if value >= low else 3
    return 1 if value < low else 2 if value <= high else 3


def ecog(patient: Patient) -> Answer:
    """CV2: ECOG 0 or 1."""
    return required(ecog_at_most_one(patient))


def extrahepatic(patient: Patient) -> Answer | None:
    """CV3: no lesion outside the liver, or a necrotic one, which imaging and a person have to say."""
    return None if any(patient.true(Metastases)) else UNKNOWN


def remnant(patient: Patient) -> Answer:
    """CV5: at least 35 % of the liver stays."""
    found = latest((one.when, one) for one in patient.true(LiverRemnant))
    return required(agreed(one.percent >= 35 if one.unit_said else None for one in found))


#: The definitions of conversion, which are never asked at entry.
CONVERSION: dict[str, Callable[[Patient], Answer | None]] = {
    "CV1": child_pugh_below_seven,
    "CV2": ecog,
    "CV3": extrahepatic,
    "CV4": asked,
    "CV5": remnant,
}
