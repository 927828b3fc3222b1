"""The truth of record 000, computed from facts: cadonilimab in high-risk locally advanced cervical cancer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal

from .answers import UNKNOWN, Answer, barred, required
from .dates import When, days_before, full_years, months_before, since
from .facts import (
    Diagnosis,
    Drug,
    Ecog,
    F,
    FigoStage,
    HivTest,
    Identified,
    Nodes,
    Operation,
    Patient,
    Person,
    TumourSize,
    Vaccination,
)
from .three_valued import Known, every, some

TRIAL = "cadonilimab-cervical-locally-advanced"


def age_and_sex(patient: Patient) -> Answer:
    """I2: female, and 18 or older but not yet 75 at the first dose; what is not recorded is unknown."""
    person = next(patient.true(Person))
    female = None if person.sex in (None, "other", "unknown") else person.sex == "female"
    return required(every([female, _aged(person.birth, 18, 75, patient.first_dose)]))


def _aged(birth: When | None, least: int, below: int, day: date) -> Known:
    """Whether an age lies within bounds, as far as the date of birth says."""
    if birth is None:
        return None
    ages = {least <= full_years(born, day) < below for born in (birth.first, birth.last)}
    between = full_years(birth.last, day) < least and full_years(birth.first, day) >= below
    return ages.pop() if len(ages) == 1 and not between else None


def cervical_cancer(patient: Patient) -> Answer:
    """I3: an invasive cancer of the cervix with a stated histology; without one it is unknown, in situ alone fails."""
    invasive = [fact for fact in patient.true(Diagnosis) if "cervix" in fact.what]
    if any("histology" in fact.what and fact.certain for fact in invasive):
        return required(True)
    if invasive:
        return UNKNOWN
    in_situ = [fact for fact in patient.true(Diagnosis) if "cervix-in-situ" in fact.what]
    return required(False if any(fact.certain for fact in in_situ) else None)


def high_risk(patient: Patient) -> Answer:
    """I6: a tumour over 5 cm, metastatic lymph nodes, or stage IV: any of them."""
    return required(some([large_tumour(patient), nodal(patient), stage_four(patient)]))


def large_tumour(patient: Patient) -> Known:
    sizes = _latest((size.when, size) for size in patient.true(TumourSize))
    return _agreed(size.centimetres > Decimal(5) if size.unit_said else None for size in sizes)


def nodal(patient: Patient) -> Known:
    metastases = [fact for fact in patient.true(Diagnosis) if "node-metastasis" in fact.what]
    if any(fact.certain for fact in metastases):
        return True
    categories = _agreed(one.positive for one in _latest((fact.when, fact) for fact in patient.true(Nodes)))
    by_stage = _agreed(fact.stage.startswith("IIIC") or None for fact in _stages(patient))
    return some([categories if not metastases else categories or None, by_stage or False])


def stage_four(patient: Patient) -> Known:
    return _agreed(fact.stage.startswith("IV") for fact in _stages(patient))


def _stages(patient: Patient) -> list[FigoStage]:
    return _latest((fact.when, fact) for fact in patient.true(FigoStage))


def no_checkpoint_inhibitor(patient: Patient) -> Answer:
    """I9: never an immune checkpoint inhibitor."""
    return barred(given(patient, "checkpoint"))


def bispecific(patient: Patient) -> Answer:
    """E2: an earlier PD-(L)1 and CTLA-4 bispecific antibody, or one that stimulates T cells."""
    return barred(given(patient, "bispecific", "costimulating"))


def given(patient: Patient, *tags: str) -> Known:
    """Whether a drug with one of the tags was ever given. A name in a sentence, and a drug not named, leave it open."""
    return some(_is_drug(drug, tags) for drug in patient.true(Drug))


def _is_drug(drug: Drug, tags: tuple[str, ...]) -> Known:
    if drug.identified is Identified.NOT:
        return None
    if not any(tag in drug.what for tag in tags):
        return False
    return True if drug.identified is Identified.PLAINLY else None


def performance(patient: Patient) -> Answer:
    """I13: ECOG 0 or 1, by the latest; a Karnofsky status is never converted."""
    return required(_agreed(fact.grade <= 1 for fact in _latest((fact.when, fact) for fact in patient.true(Ecog))))


def other_malignancy(patient: Patient) -> Answer:
    """E6: another malignancy within 5 years; of a cured skin carcinoma a person has to say that it is cured."""
    bound = months_before(patient.first_dose, 60)

    def counts(fact: Diagnosis) -> Known:
        if not ("other-malignancy" in fact.what or "unstated-malignancy" in fact.what):
            return False
        within = since(bound, fact.onset or fact.recorded)
        open_ = "unstated-malignancy" in fact.what or "exception" in fact.what or not fact.certain
        return None if open_ and within is not False else within

    return barred(some(counts(fact) for fact in patient.true(Diagnosis)))


def live_vaccine(patient: Patient) -> Answer:
    """E9 and its note E10: a live vaccine within one month, which is 30 days too: where these differ it is unknown."""
    month, thirty = months_before(patient.first_dose, 1), days_before(patient.first_dose, 30)

    def counts(fact: Vaccination) -> Known:
        if not ("live" in fact.what or "live-or-not" in fact.what):
            return False
        by_month, by_days = since(month, fact.when), since(thirty, fact.when)
        within = by_month if by_month is by_days else None
        return within if "live" in fact.what else (None if within is not False else False)

    allowed = [since(thirty, fact.when) for fact in patient.true(Vaccination) if "inactivated-influenza" in fact.what]
    verified = True if True in allowed else None if allowed else False
    return barred(some(counts(fact) for fact in patient.true(Vaccination)), verified=verified)


def transfusion(patient: Patient) -> Answer:
    """E11: platelets or red cells within 4 weeks; a code that names no product leaves it open."""
    bound = days_before(patient.first_dose, 28)

    def counts(fact: Operation) -> Known:
        within = since(bound, fact.end or fact.when)
        if "transfusion" in fact.what:
            return within
        return None if "transfusion-of-something" in fact.what and within is not False else False

    return barred(some(counts(fact) for fact in patient.true(Operation)))


def transplant(patient: Patient) -> Answer:
    """E19: an organ (the cornea apart) or stem cells of another person; codes that may mean her own leave it open."""
    facts: list[Diagnosis | Operation] = [*patient.true(Diagnosis), *patient.true(Operation)]

    def counts(fact: Diagnosis | Operation) -> Known:
        if "auto-or-allo" in fact.what:
            return None
        if "allogeneic" not in fact.what:
            return False
        return _certain(fact) or None

    return barred(some(map(counts, facts)), verified=any("cornea" in fact.what and _certain(fact) for fact in facts))


def _certain(fact: Diagnosis | Operation) -> bool:
    return not isinstance(fact, Diagnosis) or fact.certain


def hiv(patient: Patient) -> Answer:
    """E20: known HIV. A reactive screening test alone leaves it open, a negative test verifies that it is clear."""
    diagnoses = [fact.certain or None for fact in patient.true(Diagnosis) if "hiv" in fact.what]
    tests = [fact.reactive for fact in patient.true(HivTest)]
    return barred(some([*diagnoses, None if True in tests else False]), verified=False in tests)


def asked(patient: Patient) -> Answer:
    """A criterion that only a person can answer."""
    return UNKNOWN


def _latest(dated: Iterable[tuple[When | None, F]]) -> list[F]:
    """The facts that may be the latest: those that no other is surely later than."""
    facts = list(dated)
    newest = max((when.first for when, _ in facts if when), default=None)
    return [fact for when, fact in facts if when is None or newest is None or when.last >= newest]


def _agreed(values: Iterable[Known]) -> Known:
    """What all of the values say; None where there are none or they differ."""
    said = set(values)
    return said.pop() if len(said) == 1 else None


CRITERIA: dict[str, Callable[[Patient], Answer]] = {
    "I1": asked,
    "I2": age_and_sex,
    "I3": cervical_cancer,
    "I5": asked,
    "I6": high_risk,
    "I7": asked,
    "I8": asked,
    "I9": no_checkpoint_inhibitor,
    "I13": performance,
    "I14": asked,
    "I15": asked,
    "I16": asked,
    "E1": asked,
    "E2": bispecific,
    "E6": other_malignancy,
    "E9": live_vaccine,
    "E11": transfusion,
    "E19": transplant,
    "E20": hiv,
    "E24": asked,
    "E25": asked,
}
