"""The dose of systemic corticosteroids before the first dose, as prednisone: bounds, where data are open."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from .concepts import PREDNISONE_5_MG
from .dates import days_before
from .facts import Drug, Identified, Patient
from .reading import is_drug, overlaps
from .three_valued import Known

ALLOWED_MG = Decimal(10)
WINDOW = 7
_ANY = Decimal("Infinity")


def over_physiological(patient: Patient) -> Known:
    """Whether on some day of the week before the first dose more than 10 mg of prednisone or equal are taken."""
    days = [days_before(patient.first_dose, back) for back in range(WINDOW + 1)]
    doses = [_dose(patient, day) for day in days]
    if any(least > ALLOWED_MG for least, _ in doses):
        return True
    if any(overlaps(drug, days[-1]) and _equivalent(drug)[0] > ALLOWED_MG for drug in patient.true(Drug)):
        return True  # on whichever of the days
    return False if all(most <= ALLOWED_MG for _, most in doses) else None


def allowed_steroid(patient: Patient) -> Known:
    """Whether a steroid of the week before the first dose is on record: a local one, or a physiological dose."""
    bound = days_before(patient.first_dose, WINDOW)
    reached = {overlaps(drug, bound) for drug in patient.true(Drug) if is_drug(drug, "steroid")}
    return True if True in reached else None if None in reached else False


def systemic(drug: Drug) -> Known:
    """Whether a steroid acts on the whole body: by its route; without one only where it has no local form."""
    if drug.route is not None:
        return drug.route.systemic
    return True if "no-local-form" in drug.what else None


def _dose(patient: Patient, day: date) -> tuple[Decimal, Decimal]:
    """The least and the most prednisone that all steroids together may equal on a day."""
    doses = [_equivalent(drug) for drug in patient.true(Drug) if _on(drug, day) is not False]
    sure = [_equivalent(drug) for drug in patient.true(Drug) if _on(drug, day) is True]
    return sum((least for least, _ in sure), Decimal()), sum((most for _, most in doses), Decimal())


def _equivalent(drug: Drug) -> tuple[Decimal, Decimal]:
    """The least and the most prednisone that a drug's daily dose equals."""
    if drug.identified is Identified.NOT:
        return Decimal(), _ANY
    if "steroid" not in drug.what:
        return Decimal(), Decimal()
    acts = systemic(drug)
    if acts is False:
        return Decimal(), Decimal()
    table = PREDNISONE_5_MG[drug.what.name]
    if table is None or drug.daily_mg is None or drug.identified is not Identified.PLAINLY:
        return Decimal(), _ANY
    least, most = (drug.daily_mg * 5 / mg for mg in reversed(table))
    return (least, most) if acts else (Decimal(), most)


def _on(drug: Drug, day: date) -> Known:
    """Whether a drug is taken on a day."""
    if drug.charted == "MedicationDispense":
        return drug.start.first == day == drug.start.last or (None if drug.start.first <= day else False)
    far = day + timedelta(days=1)
    first, last = (drug.end.first, drug.end.last) if drug.end else (far, far)
    if drug.start.last <= day <= first:
        return True
    return None if drug.start.first <= day <= last else False
