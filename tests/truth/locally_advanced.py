"""The truth of record 000, computed from facts: cadonilimab in high-risk locally advanced cervical cancer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from .answers import MET_OR_UNKNOWN, NOT_APPLICABLE, UNKNOWN, Answer, barred, barred_or_asked, required
from .dates import When, days_before, full_years, months_before, since
from .facts import (
    Allergy,
    Diagnosis,
    Drug,
    FigoStage,
    HepatitisBDna,
    HepatitisBSurfaceAntigen,
    HivTest,
    Identified,
    Menopause,
    Metastases,
    Nodes,
    Operation,
    Pathology,
    Patient,
    Person,
    PregnancyStatus,
    PregnancyTest,
    Route,
    Toxicity,
    TrialParticipation,
    TumourSize,
    Vaccination,
)
from .reading import (
    agreed,
    certain,
    diagnosed,
    ecog_at_most_one,
    for_the_cancer,
    given,
    is_drug,
    latest,
    other_malignancies,
    overlaps,
    within_days,
)
from .steroids import allowed_steroid, over_physiological, systemic
from .three_valued import Known, every, negated, some

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


def cervical_cancer(patient: Patient) -> Answer | None:
    """I3: an invasive cancer of the cervix with a stated histology; without one it is unknown, in situ alone fails."""
    invasive = [fact for fact in patient.true(Diagnosis) if "cervix" in fact.what]
    reports = any(patient.true(Pathology))
    if any(fact.certain and (reports or fact.histology or "histology" in fact.what) for fact in invasive):
        return required(True)
    if reports:
        return None  # what a report says of which no diagnosis is on record, or a suspected one
    if invasive:
        return UNKNOWN
    in_situ = [fact for fact in patient.true(Diagnosis) if "cervix-in-situ" in fact.what]
    return required(False if any(fact.certain for fact in in_situ) else None)


def high_risk(patient: Patient) -> Answer | None:
    """I6: a tumour over 5 cm, metastatic lymph nodes, or stage IV: any of them."""
    nodes = nodal(patient)
    rest = some([large_tumour(patient), stage_four(patient)])
    if nodes and _free_nodes(patient) and rest is not True:
        return MET_OR_UNKNOWN  # which of the two came last
    value = some([nodes, rest])
    spread = [one for one in patient.true(Diagnosis) if "distant-metastasis" in one.what]
    if value is not True and (spread or any(patient.true(Metastases))):
        return None  # what a distant metastasis says of the stage is not said
    if value is not None and other_malignancies(patient) and not _told_of_the_cervix(patient):
        return Answer(f"{required(value).outcome} or unknown", None)  # of which tumour is not said
    return required(value)


def _told_of_the_cervix(patient: Patient) -> bool:
    """Whether every result is said to be of the cervical cancer."""
    results: list[TumourSize | Nodes | FigoStage] = [
        *patient.true(TumourSize),
        *patient.true(Nodes),
        *patient.true(FigoStage),
    ]
    spread = diagnosed(patient, "node-metastasis") is not False
    return diagnosed(patient, "cervix") is True and all(one.of_the_cervix for one in results) and not spread


def large_tumour(patient: Patient) -> Known:
    """The largest diameter over 5 cm, by the latest measurement."""
    sizes = latest((size.when, size) for size in patient.true(TumourSize))
    return agreed(size.centimetres > Decimal(5) if size.unit_said else None for size in sizes)


def nodal(patient: Patient) -> Known:
    """Lymph node metastasis: on the problem list, by the category of the nodes, or by FIGO IIIC, which means it."""
    listed = [one.certain or None for one in patient.true(Diagnosis) if "node-metastasis" in one.what]
    category = agreed(one.positive for one in latest((one.when, one) for one in patient.true(Nodes)))
    by_stage = agreed(fact.stage.startswith("IIIC") for fact in _stages(patient))
    found = some([*listed, category or False, by_stage or False])
    return found if found is not False else category if category is False else None


def _free_nodes(patient: Patient) -> bool:
    return any(not one.positive for one in patient.true(Nodes))


def stage_four(patient: Patient) -> Known:
    return agreed(fact.stage.startswith("IV") for fact in _stages(patient))


def _stages(patient: Patient) -> list[FigoStage]:
    return latest((fact.when, fact) for fact in patient.true(FigoStage))


def no_checkpoint_inhibitor(patient: Patient) -> Answer:
    """I9: never an immune checkpoint inhibitor."""
    return barred(given(patient, "checkpoint"))


def bispecific(patient: Patient) -> Answer:
    """E2: an earlier PD-(L)1 and CTLA-4 bispecific antibody, or one that stimulates T cells."""
    return barred(given(patient, "bispecific", "costimulating"))


def performance(patient: Patient) -> Answer:
    """I13: ECOG 0 or 1, by the latest; a Karnofsky status is never converted."""
    return required(ecog_at_most_one(patient))


def other_malignancy(patient: Patient) -> Answer | None:
    """E6: another malignancy within 5 years; of a cured skin carcinoma a person has to say that it is cured."""
    bound = months_before(patient.first_dose, 60)

    def counts(fact: Diagnosis) -> Known:
        if not ("other-malignancy" in fact.what or "unstated-malignancy" in fact.what):
            return False
        within = since(bound, fact.onset or fact.recorded)
        open_ = "unstated-malignancy" in fact.what or "exception" in fact.what or not fact.certain
        return None if open_ and within is not False else within

    value = some(counts(fact) for fact in patient.true(Diagnosis))
    if value is not True and any("other-malignancy-unverified" in one.what for one in patient.true(Diagnosis)):
        return None
    return barred(value)


def live_vaccine(patient: Patient) -> Answer:
    """E9 and its note E10: a live vaccine within one month, which is 30 days too: where these differ it is unknown."""
    month, thirty = months_before(patient.first_dose, 1), days_before(patient.first_dose, 30)

    def counts(fact: Vaccination) -> Known:
        if not ("live" in fact.what or "live-or-not" in fact.what):
            return False
        by_month, by_days = since(month, fact.when), since(thirty, fact.when)
        within = by_month if by_month is by_days else None
        return within if "live" in fact.what and certain(fact) else (None if within is not False else False)

    allowed = [
        since(thirty, fact.when)
        for fact in patient.true(Vaccination)
        if "inactivated-influenza" in fact.what and certain(fact)
    ]
    verified = True if True in allowed else None if allowed else False
    return barred(some(counts(fact) for fact in patient.true(Vaccination)), verified=verified)


def transfusion(patient: Patient) -> Answer:
    """E11: platelets or red cells within 4 weeks; a code that names no product leaves it open."""
    bound = days_before(patient.first_dose, 28)

    def counts(fact: Operation) -> Known:
        within = since(bound, fact.end or fact.when)
        if "transfusion" in fact.what and certain(fact):
            return within
        asked = "transfusion" in fact.what or "transfusion-of-something" in fact.what
        return None if asked and within is not False else False

    return barred(some(counts(fact) for fact in patient.true(Operation)))


def transplant(patient: Patient) -> Answer:
    """E19: an organ (the cornea apart) or stem cells of another person; codes that may mean her own leave it open."""
    facts: list[Diagnosis | Operation] = [*patient.true(Diagnosis), *patient.true(Operation)]

    def counts(fact: Diagnosis | Operation) -> Known:
        if "auto-or-allo" in fact.what:
            return None
        if "allogeneic" not in fact.what:
            return False
        return certain(fact) or None

    return barred(some(map(counts, facts)), verified=any("cornea" in fact.what and certain(fact) for fact in facts))


def hiv(patient: Patient) -> Answer:
    """E20: known HIV. A reactive screening test alone leaves it open, a negative test verifies that it is clear."""
    diagnoses = [fact.certain or None for fact in patient.true(Diagnosis) if "hiv" in fact.what]
    tests = [fact.reactive for fact in patient.true(HivTest)]
    return barred(some([*diagnoses, None if True in tests else False]), verified=False in tests)


def untreated(patient: Patient) -> Answer | None:
    """I4: no earlier systemic or local anti-tumour treatment of the cervical cancer."""
    if not diagnosed(patient, "cervix"):
        return None  # of which cancer no treatment may be on record is not said
    if any("unstated-malignancy" in one.what for one in patient.true(Diagnosis)):
        return None  # it may be the same cancer
    return barred(
        some(
            [
                *(_treats(patient, drug) for drug in patient.true(Drug)),
                *(_operated(patient, operation) for operation in patient.true(Operation)),
            ]
        )
    )


def _treats(patient: Patient, drug: Drug) -> Known:
    """Whether a drug was treatment of the cervical cancer; one with other uses leaves it open without a reason."""
    if drug.identified is Identified.NOT:
        return None
    reason = for_the_cancer(patient, drug)
    if "other-uses" in drug.what and drug.reason is None:
        reason = None
    return every([is_drug(drug, "anti-tumour", "other-uses"), reason])


def _operated(patient: Patient, operation: Operation) -> Known:
    """Whether an operation treated the cervical cancer; an excision or a simple hysterectomy may have."""
    if "cone" in operation.what:
        return None
    if "radical-surgery" in operation.what and operation.reason is None:
        return certain(operation) or None
    reason = for_the_cancer(patient, operation)
    if "hysterectomy" in operation.what and operation.reason is None:
        reason = None
    treats = any(tag in operation.what for tag in ("anti-tumour-procedure", "radical-surgery", "hysterectomy"))
    return every([treats, reason, certain(operation) or None])


def pregnancy_test(patient: Patient) -> Answer | None:
    """I10 to I12: not applicable to who is not fertile; a positive serum test bars; contraception is hers to say."""
    if next(patient.true(Person)).sex != "female":
        return None
    infertile = some([sterilised(patient), postmenopausal(patient)])
    if infertile:
        return NOT_APPLICABLE
    serum = {one.positive for one in patient.true(PregnancyTest) if one.serum and within_days(patient, one.when, 3)}
    straddling = any(one.serum and within_days(patient, one.when, 3) is None for one in patient.true(PregnancyTest))
    if serum != {True} or straddling:
        return UNKNOWN
    if infertile is None:
        return None  # what a positive test says of the menopause is not said
    return barred_or_asked(True)


def negative_test(patient: Patient) -> Known:
    """I10: whether the test of the last 3 days is negative: the serum's, if there is one; None where tests differ."""
    recent = [one for one in patient.true(PregnancyTest) if within_days(patient, one.when, 3) is not False]
    if any(within_days(patient, one.when, 3) is None for one in recent):
        return None
    results = {one.positive for one in recent if one.serum} or {one.positive for one in recent}
    return None if len(results) > 1 else results == {False}


def sterilised(patient: Patient) -> Known:
    """I11: bilateral ligation or oophorectomy, or total hysterectomy; one side does not count."""
    by_operation = some(certain(one) or None for one in patient.true(Operation) if "sterilising" in one.what)
    return some([by_operation, diagnosed(patient, "sterilised")])


def postmenopausal(patient: Patient) -> Known:
    """I11: 12 months without a period, and FSH within the laboratory's range after menopause."""
    bound = months_before(patient.first_dose, 12)

    def over(fact: Menopause) -> Known:
        long_ago = fact.last_period.last <= bound or (None if fact.last_period.first <= bound else False)
        return every([long_ago, fact.fsh_within_range])

    return some(over(fact) for fact in patient.true(Menopause))


def allergy(patient: Patient) -> Answer:
    """E3: an allergy to cadonilimab; to its excipients nobody knows, for they are not listed."""
    return barred_or_asked(any("adonilimab" in one.substance and one.plainly for one in patient.true(Allergy)))


def brain(patient: Patient) -> Answer:
    """E4: whether brain metastases or a compressed cord are symptomatic is not coded: found, they are asked about."""
    return barred(None if diagnosed(patient, "brain") is not False else False)


def other_trial(patient: Patient) -> Answer:
    """E5: in an interventional trial now, or a trial drug or device within 4 weeks; registries do not count."""

    def counts(fact: TrialParticipation) -> Known:
        if fact.registry or fact.status in ("candidate", "withdrawn"):
            return False
        if fact.status == "on-study-intervention":
            return True
        return None if fact.status == "on-study" or within_days(patient, fact.end, 28) is not False else False

    participant = None if diagnosed(patient, "trial-participant") is not False else False
    return barred(some([participant, *(counts(fact) for fact in patient.true(TrialParticipation))]))


def autoimmune(patient: Patient) -> Answer | None:
    """E7: an autoimmune disease that was treated systemically within 2 years; three of them and replacement do not."""
    diseases = [
        one for one in patient.true(Diagnosis) if "autoimmune" in one.what or "autoimmune-exception" in one.what
    ]
    drugs = list(patient.true(Drug))
    known = {one.what.name for one in diseases if one.certain}
    untold = [one for one in drugs if one.reason and "autoimmune" in one.reason and one.reason.name not in known]
    if untold or any(one.what.name == "cyclophosphamide" for one in drugs):
        return None  # a disease told by the reason for a drug alone; a drug not listed for this criterion
    if not diseases:
        return barred(False)
    treatments = [_treated(patient, drug, one) for drug in drugs for one in diseases]
    untreated = [None for one in diseases if "autoimmune" in one.what]
    return barred(some([*treatments, *untreated]), verified=None)


def _treated(patient: Patient, drug: Drug, disease: Diagnosis) -> Known:
    """Whether a drug treated a disease within 2 years."""
    within = overlaps(drug, months_before(patient.first_dose, 24))
    if drug.identified is Identified.NOT:
        return within and None
    if "steroid" in drug.what:
        acts = systemic(drug)
    elif "immunosuppressant" in drug.what:
        acts = True
    else:
        return False
    given_for = None if drug.reason is None else drug.reason.name == disease.what.name
    return every([within, is_drug(drug, "steroid", "immunosuppressant"), acts, given_for, disease.certain or None])


def haemoptysis(patient: Patient) -> Answer:
    """E8: within 3 months; no code tells how much, so what is found is asked about."""
    bound = months_before(patient.first_dose, 3)

    def counts(fact: Diagnosis) -> Known:
        return None if "haemoptysis" in fact.what and since(bound, fact.abated or fact.onset) is not False else False

    return barred(some(counts(fact) for fact in patient.true(Diagnosis)))


def immunomodulator(patient: Patient) -> Answer | None:
    """E13: Chinese medicine against tumours or an immunomodulator within 2 weeks, unless into the pleura alone."""
    bound = days_before(patient.first_dose, 14)

    def counts(drug: Drug) -> Known:
        if is_drug(drug, "chinese-medicine") is not False:
            return None if overlaps(drug, bound) is not False else False
        acts = None if drug.route is None else drug.route.systemic
        return every([overlaps(drug, bound), is_drug(drug, "immunomodulator"), acts])

    drugs = list(patient.true(Drug))
    if any(one.what.name == "thymalfasin" and one.route is None for one in drugs):
        return None  # whether a thymosin without a route may be local is not said
    local = [one for one in drugs if is_drug(one, "immunomodulator") and one.route is Route.INTRAPLEURAL]
    reached = {overlaps(one, bound) for one in local}
    verified = True if True in reached else None if None in reached else False
    return barred(some(map(counts, drugs)), verified=verified)


def immunosuppression(patient: Patient) -> Answer:
    """E14 and its note E15: an immunosuppressant within 7 days, or more than 10 mg a day of prednisone or equal."""
    bound = days_before(patient.first_dose, 7)

    def counts(drug: Drug) -> Known:
        if drug.identified is Identified.NOT:
            return None if overlaps(drug, bound) is not False else False
        return every([overlaps(drug, bound), is_drug(drug, "immunosuppressant")])

    value = some([over_physiological(patient), *map(counts, patient.true(Drug))])
    return barred(value, verified=allowed_steroid(patient))


#: Operations of which the protocols do not say whether they are minor.
_SURGICAL = (
    *("radical-surgery", "hysterectomy", "sterilising", "one-sided", "cone"),
    *("allogeneic", "auto-or-allo", "cornea"),
)


def minor_surgery(patient: Patient) -> Answer | None:
    """E16: minor surgery or a central venous catheter within 48 hours, whenever on its day the first dose is given."""
    minor = ("central-line", "central-line-unverified", "surgery", "biopsy")

    def within(fact: Operation) -> Known:
        if fact.when is None:
            return None
        ages = {(patient.first_dose - fact.when.last).days, (patient.first_dose - fact.when.first).days}
        return agreed({None if age in (0, 2) or age < 0 else age < 2 for age in ages})

    def counts(fact: Operation) -> Known:
        if not any(tag in fact.what for tag in minor):
            return False
        value = within(fact)
        return value if "central-line" in fact.what else (None if value is not False else False)

    others = [one for one in patient.true(Operation) if any(tag in one.what for tag in _SURGICAL)]
    value = some(counts(fact) for fact in patient.true(Operation))
    if value is False and any(within(one) is not False for one in others):
        return None  # of other operations it is not said whether they are minor
    return barred(value)


def effusion(patient: Patient) -> Answer:
    """E17: an effusion that is there is asked about, for no code says whether it is under control."""
    return barred(None if diagnosed(patient, "effusion") is not False else False)


def wound(patient: Patient) -> Answer:
    """E18: a wound, ulcer or fracture that is there is asked about."""
    return barred(None if diagnosed(patient, "wound") is not False else False)


def hepatitis_b(patient: Patient) -> Answer | None:
    """E21: active hepatitis B without an antiviral. What is active is not defined: DNA of a known infection is."""
    infection = diagnosed(patient, "hepatitis-b")
    antigens = [one.positive for one in patient.true(HepatitisBSurfaceAntigen)]
    dna = any(patient.true(HepatitisBDna))
    carrier = diagnosed(patient, "hepatitis-b-carrier") is not False
    if infection is not False and False in antigens:
        return None  # which of the two holds is not said
    if dna and not infection:
        return None  # nor what DNA alone means
    signal = infection is not False or carrier or True in antigens
    active: Known = True if infection and dna else None if signal else False
    treated = some(_antiviral(patient, drug) for drug in patient.true(Drug))
    verified = True if False in antigens or (treated and signal) else None if treated is not False else False
    return barred(every([active, negated(treated)]), verified=verified)


def _antiviral(patient: Patient, drug: Drug) -> Known:
    """Whether an antiviral is being taken."""
    return every([is_drug(drug, "antiviral"), overlaps(drug, patient.first_dose)])


def pregnancy(patient: Patient) -> Answer | None:
    """E22: pregnant or breastfeeding now; whether she plans a pregnancy is hers to say."""
    if any(one.positive for one in patient.true(PregnancyTest)):
        return None  # whether a test is enough is not said
    statuses = {one.status for one in patient.true(PregnancyStatus)}
    if {"pregnant", "not pregnant"} <= statuses:
        return None
    recent = days_before(patient.first_dose, 150)

    def counts(fact: Diagnosis) -> Known:
        if not ("pregnant" in fact.what or "breastfeeding" in fact.what) or fact.course == "resolved":
            return False
        return every([fact.certain or None, since(recent, fact.onset) or None])

    if any("breastfeeding" in one.what and not since(recent, one.onset) for one in patient.true(Diagnosis)):
        return None  # how long it is taken to last is not said
    found = [True for status in ("pregnant", "breastfeeding") if status in statuses]
    if "not pregnant" in statuses and any("pregnant" in one.what for one in patient.true(Diagnosis)):
        return None
    return barred_or_asked(some([*found, *map(counts, patient.true(Diagnosis))]))


def toxicity(patient: Patient) -> Answer:
    """E23: an unresolved toxicity of grade 2 or more, but for four kinds."""
    exempt = ("Alopecia", "Neuralgia", "Lymphopenia")

    def counts(fact: Toxicity) -> Known:
        if fact.event in exempt or fact.resolved:
            return False
        severe = None if fact.grade is None else fact.grade >= 2
        return every([severe, None if fact.resolved is None or not fact.of_a_treatment else True])

    return barred(some(counts(fact) for fact in patient.true(Toxicity)))


def asked(patient: Patient) -> Answer:
    """A criterion that only a person can answer; of E12 too whether an operation was major, or is expected."""
    return UNKNOWN


CRITERIA: dict[str, Callable[[Patient], Answer | None]] = {
    "I1": asked,
    "I2": age_and_sex,
    "I3": cervical_cancer,
    "I4": untreated,
    "I5": asked,
    "I6": high_risk,
    "I7": asked,
    "I8": asked,
    "I9": no_checkpoint_inhibitor,
    "I10": pregnancy_test,
    "I13": performance,
    "I14": asked,
    "I15": asked,
    "I16": asked,
    "E1": asked,
    "E2": bispecific,
    "E3": allergy,
    "E4": brain,
    "E5": other_trial,
    "E6": other_malignancy,
    "E7": autoimmune,
    "E8": haemoptysis,
    "E9": live_vaccine,
    "E11": transfusion,
    "E12": asked,
    "E13": immunomodulator,
    "E14": immunosuppression,
    "E16": minor_surgery,
    "E17": effusion,
    "E18": wound,
    "E19": transplant,
    "E20": hiv,
    "E21": hepatitis_b,
    "E22": pregnancy,
    "E23": toxicity,
    "E24": asked,
    "E25": asked,
}
