"""Random patients: facts drawn about every criterion, near the bounds of its windows more often than elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from .attesting import QUESTIONS
from .concepts import DIAGNOSES, DRUGS, PREDNISONE_5_MG, PROCEDURES, VACCINES, Concept, named, tagged
from .dates import When, days_before, months_before
from .facts import (
    Allergy,
    Attestation,
    ChildPugh,
    Diagnosis,
    DiseaseStatus,
    Drug,
    Ecog,
    Fact,
    FigoStage,
    HepatitisBDna,
    HepatitisBSurfaceAntigen,
    HivTest,
    Identified,
    Karnofsky,
    LiverFinding,
    LiverRemnant,
    Menopause,
    Metastases,
    Nodes,
    Operation,
    Part,
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
    Void,
)
from .rendering import FIGO_STAGES, Style

#: Why a fact may be none, where that is not as of most: no diagnosis but those of the family, no status, no date.
_VOIDS: dict[type[Fact], tuple[Void, ...]] = {
    Diagnosis: tuple(Void),
    Allergy: (Void.ENTERED_IN_ERROR, Void.NEVER_HAPPENED, Void.OTHER_PATIENT),
    Toxicity: (Void.NEVER_HAPPENED, Void.OTHER_PATIENT, Void.FUTURE),
    TrialParticipation: (Void.OTHER_PATIENT, Void.FUTURE),
}
_COURSES = ("MedicationRequest", "MedicationAdministration", "MedicationStatement")
_CHARTED = (*_COURSES, "MedicationDispense")


def patients(number: int, seed: int) -> Iterator[tuple[Patient, Style]]:
    """`number` random patients, each with a style to write her in; the same for the same seed."""
    for place in range(number):
        draw = Draw.begin(Random(f"{seed} {place}"))
        yield draw.patient(), Style(*(draw.random.randrange(10**9) for _ in fields(Style)))


@dataclass(frozen=True, slots=True)
class Draw:
    """One patient's drawing: the source of chance, now and the first dose."""

    random: Random
    now: datetime
    first_dose: date

    @classmethod
    def begin(cls, random: Random) -> Draw:
        now = datetime(2026, 1, 15, 12, tzinfo=UTC) + timedelta(days=random.randrange(730))
        return cls(random, now, now.date() + timedelta(days=random.choice((0, 0, 0, 1, 3, 10, 30))))

    def patient(self) -> Patient:
        """Facts on some of the criteria, in random order after the person."""
        facts = [fact for about in _ABOUT if self.maybe(0.8 if about is _cancer else 0.3) for fact in about(self)]
        facts += [fact for about in _OFTEN if self.maybe(0.1) for fact in about(self)]
        facts += [self._voided(fact) for about in _ABOUT if self.maybe(0.1) for fact in about(self)]
        self.random.shuffle(facts)
        keyed = (replace(fact, key=key) for key, fact in enumerate(facts, 1))
        return Patient(self.now, self.first_dose, (self._person(), *keyed))

    def maybe(self, share: float) -> bool:
        return self.random.random() < share

    def past(self, *bounds: date) -> date:
        """A day not after now: often on or beside one of the bounds."""
        if bounds and self.maybe(0.8):
            day = self.random.choice(bounds) + timedelta(days=self.random.choice((-30, -2, -1, 0, 1, 2, 5)))
        else:
            day = days_before(self.now.date(), int(self.random.triangular(0, 3650, 100)))
        return min(day, self.now.date())

    def when(self, *bounds: date) -> When:
        """A date not after now, as written: with or without an hour, seldom a month or a year alone."""
        day = self.past(*bounds)
        form = self.random.choice(("day", "day", "day", "day", "hour", "month", "year"))
        if form == "hour" and day < days_before(self.now.date(), 1):
            return When.hour(day, self.random.randrange(24), self.random.choice(("Z", "+08:00", "-05:00")))
        return When.month(day) if form == "month" else When.year(day) if form == "year" else When.day(day)

    def when_before(self, when: When) -> When:
        """A full date before another."""
        return When.day(days_before(when.first, self.random.choice((0, 1, 30, 400))))

    def reason(self) -> Concept | None:
        """Why something was given or done: not said, or for some disease."""
        if self.maybe(0.5):
            return None
        return self.of(DIAGNOSES, "cervix", "irrelevant", "autoimmune")

    def of(self, concepts: Sequence[Concept], *tags: str) -> Concept:
        return self.random.choice(tagged(tuple(concepts), *tags) if tags else concepts)

    def _person(self) -> Person:
        sex = self.random.choice(("female",) * 12 + ("male", "other", "unknown", None))
        if self.maybe(0.03):
            return Person(sex=sex, birth=None)
        years = self.random.choice((18, 75, self.random.randrange(19, 74), self.random.randrange(19, 74)))
        day = months_before(self.first_dose, 12 * years) + timedelta(days=self.random.choice((-40, -1, 0, 1, 40)))
        form = self.random.choice((When.day, When.day, When.day, When.day, When.month, When.year))
        died = self.random.choice((True, When.day(self.past()))) if self.maybe(0.03) else False
        return Person(sex=sex, birth=form(day), died=died)

    def _voided(self, fact: Fact) -> Fact:
        """A fact made none, for one of the reasons that there are."""
        reasons = _VOIDS.get(type(fact), (*tuple(Void)[:3], Void.FUTURE))
        void = self.random.choice(reasons)
        if void is not Void.FUTURE:
            return replace(fact, void=void)
        day = self.now.date() + timedelta(days=self.random.choice((0, 1, 2, 9, 19)))
        later = When.hour(day, 20, "Z") if day == self.now.date() else When.day(day)
        dated: dict[str, Any] = {
            one.name: later for one in fields(fact) if one.name in ("onset", "recorded", "when", "start")
        }
        cleared: dict[str, Any] = {one.name: None for one in fields(fact) if one.name in ("abated", "end")}
        return replace(fact, void=void, **dated, **cleared)


def _cancer(draw: Draw) -> list[Fact]:
    """The cancer for which she is here."""
    about = draw.random.choice((_cervical_cancer, _cervical_cancer, _cervical_cancer, _lung_cancer, _liver_cancer))
    return about(draw)


def _cervical_cancer(draw: Draw) -> list[Fact]:
    what = draw.of(DIAGNOSES, "cervix", "cervix-in-situ")
    course = draw.random.choice(("active",) * 6 + ("recurrence", "relapse"))
    histology = "histology" not in what and "cervix" in what and draw.maybe(0.3)
    facts: list[Fact] = [
        Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.85), course=course, histology=histology)
    ]
    if draw.maybe(0.2):
        facts.append(Pathology(what=draw.of(DIAGNOSES, "histology"), when=draw.when()))
    return facts


def _lung_cancer(draw: Draw) -> list[Fact]:
    """A lung cancer, and sometimes platinum, progression and M1."""
    what = draw.of(DIAGNOSES, "small-cell", "small-cell-unverified", "lung", "non-small-cell")
    facts: list[Fact] = [Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8))]
    if draw.maybe(0.7):
        drug = _drug(draw, "platinum", bound=days_before(draw.first_dose, 90), ever=True)
        facts.append(replace(drug, reason=None))
    if draw.maybe(0.6):
        status = draw.random.choice(("worsened", "worsened", "stable", "improved"))
        facts.append(DiseaseStatus(status=status, when=draw.when(days_before(draw.first_dose, 60))))
    if draw.maybe(0.2):
        facts.append(Metastases(present=draw.maybe(0.7), when=draw.when()))
    return facts


def _liver_cancer(draw: Draw) -> list[Fact]:
    """A liver cancer, and parts of a Child-Pugh score."""
    what = draw.of(DIAGNOSES, "liver", "liver-variant", "liver-unstated", "liver-other")
    facts: list[Fact] = [Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8))]
    mild = draw.maybe(0.6)
    for part, values in _LIVER_VALUES.items():
        if draw.maybe(0.85):
            value = Decimal(draw.random.choice(values[:3] if mild else values))
            facts.append(LiverFinding(part=part, value=value, when=draw.when()))
    if draw.maybe(0.2):
        facts.append(ChildPugh(score=draw.random.choice((5, 6, 7, 8)), when=draw.when()))
    if draw.maybe(0.2):
        facts.append(Diagnosis(what=draw.of(DIAGNOSES, "ascites", "encephalopathy"), onset=draw.when()))
    if draw.maybe(0.5):
        percent = Decimal(draw.random.choice(("30", "34.9", "35", "36", "52")))
        facts.append(LiverRemnant(percent=percent, when=draw.when(), unit_said=draw.maybe(0.9)))
    return facts


#: Values on both sides of the limits of the Child-Pugh score, mild ones first.
_LIVER_VALUES = {
    Part.BILIRUBIN: ("1.1", "1.9", "2.0", "2.9", "3.1", "4"),
    Part.ALBUMIN: ("4.1", "3.6", "3.5", "2.8", "2.7"),
    Part.INR: ("1.1", "1.6", "1.7", "2.3", "2.4"),
    Part.ASCITES: ("1", "1", "2", "3"),
    Part.ENCEPHALOPATHY: ("1", "1", "2", "3"),
}


def _spread(draw: Draw) -> list[Fact]:
    if draw.maybe(0.5):
        return [Metastases(present=draw.maybe(0.6), when=draw.when())]
    return [Diagnosis(what=draw.of(DIAGNOSES, "distant-metastasis"), onset=draw.when(), certain=draw.maybe(0.8))]


#: Malignancies that no trial is about.
_OTHER_CANCERS = tuple(
    named(DIAGNOSES, name)
    for name in (
        "malignant neoplasm of breast",
        "basal cell carcinoma of skin",
        "squamous cell carcinoma of skin",
        "malignant neoplastic disease",
    )
)


def _other_cancer(draw: Draw) -> list[Fact]:
    what = draw.random.choice(_OTHER_CANCERS)
    bound = months_before(draw.first_dose, 60)
    onset = draw.when(bound) if draw.maybe(0.7) else None
    recorded = draw.when(bound) if draw.maybe(0.5) else None
    return [Diagnosis(what=what, onset=onset, recorded=recorded, certain=draw.maybe(0.8))]


def _risk(draw: Draw) -> list[Fact]:
    facts: list[Fact] = []
    said = draw.maybe(0.4)
    if draw.maybe(0.8):
        size = Decimal(draw.random.choice(("2.5", "4.9", "5.0", "5.1", "5.4", "7")))
        unit_said = draw.maybe(0.9)
        facts.append(TumourSize(centimetres=size, when=draw.when(), unit_said=unit_said, of_the_cervix=said))
    if draw.maybe(0.7):
        facts.append(Nodes(positive=draw.maybe(0.3), when=draw.when(), of_the_cervix=said))
    elif draw.maybe(0.5):
        what = draw.of(DIAGNOSES, "node-metastasis")
        facts.append(Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8)))
    if draw.maybe(0.8):
        facts.append(FigoStage(stage=draw.random.choice(FIGO_STAGES), when=draw.when(), of_the_cervix=said))
    return facts


def _performance(draw: Draw) -> list[Fact]:
    grades = draw.random.choices((0, 1, 2, 3, 4, 5), (4, 5, 4, 1, 1, 1), k=draw.random.choice((1, 1, 2, 3)))
    facts = [Ecog(grade=grade, when=draw.when() if draw.maybe(0.95) else None) for grade in grades]
    if len(grades) > 1 and draw.maybe(0.3):
        facts[1] = replace(facts[1], when=facts[0].when)
    return [Karnofsky(score=90, when=draw.when())] if draw.maybe(0.1) else [*facts]


def _drug(draw: Draw, *tags: str, bound: date, routes: Sequence[Route | None] = (None,), ever: bool = False) -> Drug:
    """A drug of a class, whose course ended near a bound, is running, or is known to have been given once."""
    what = draw.of(DRUGS, *tags)
    identified = draw.random.choices(tuple(Identified), (16, 1, 1))[0]
    charted = draw.random.choice(_CHARTED if ever else _COURSES)
    last = draw.when(bound)
    if ever and charted == "MedicationRequest" and last.last >= draw.now.date():
        last = When.day(days_before(draw.now.date(), 1))  # what was ordered on the day of the first dose may be for it
    start = last if ever else draw.when_before(last)
    end: When | None = last
    if not ever and draw.maybe(0.3) and charted != "MedicationAdministration":
        end = None
    reason = None if charted == "MedicationDispense" or identified is not Identified.PLAINLY else draw.reason()
    route = None if identified is Identified.NOT else draw.random.choice(routes)
    return Drug(what=what, start=start, end=end, charted=charted, identified=identified, reason=reason, route=route)


def _antitumour_drug(draw: Draw) -> list[Fact]:
    return [_drug(draw, "anti-tumour", bound=draw.first_dose, ever=True)]


def _steroids(draw: Draw) -> list[Fact]:
    """One or two steroids at a time, with doses about the allowed one, mostly by a systemic route."""
    names = draw.random.sample(sorted(PREDNISONE_5_MG), k=draw.random.choice((1, 1, 2)))
    facts: list[Fact] = []
    for name in names:
        what, table = named(DRUGS, name), PREDNISONE_5_MG[name]
        drug = _drug(draw, "steroid", bound=days_before(draw.first_dose, draw.random.choice((7, 7, 7, 730))))
        if drug.charted == "MedicationAdministration":  # what was administered was so on one day
            drug = replace(drug, start=drug.end or drug.start)
        route = draw.random.choice(
            (Route.ORAL,) * 4 + (Route.INTRAVENOUS, Route.NASAL, Route.INHALED, Route.TOPICAL, None)
        )
        tenth = (table or (Decimal(6), Decimal(6)))[draw.random.choice((0, 1))] / 5
        mg = tenth * draw.random.choice((4, 5, 6, 9, 10, 10, Decimal("10.5"), 12, 20))
        known = draw.maybe(0.93)
        facts.append(
            replace(drug, what=what, route=route, daily_mg=mg if known else None)
            if drug.identified is not Identified.NOT
            else drug
        )
    return facts


def _immunosuppressant(draw: Draw) -> list[Fact]:
    bound = draw.random.choice((days_before(draw.first_dose, 7), months_before(draw.first_dose, 24)))
    return [_drug(draw, "immunosuppressant", bound=bound)]


def _immunomodulator(draw: Draw) -> list[Fact]:
    routes = (Route.SUBCUTANEOUS, Route.SUBCUTANEOUS, Route.INTRAVENOUS, Route.INTRAPLEURAL, None)
    drug = _drug(draw, "immunomodulator", bound=days_before(draw.first_dose, 14), routes=routes)
    if draw.maybe(0.2):
        return [replace(drug, what=draw.of(DRUGS, "chinese-medicine"), route=None, reason=None)]
    return [drug]


def _treatment(draw: Draw) -> list[Fact]:
    what = draw.of(PROCEDURES, "anti-tumour-procedure", "radical-surgery", "hysterectomy", "cone", "biopsy")
    tells_by_itself = "cone" in what or "radical-surgery" in what
    in_words = draw.maybe(0.1)
    reason = None if tells_by_itself or in_words else draw.reason()
    return [Operation(what=what, when=draw.when(), reason=reason, in_words=in_words)]


def _fertility(draw: Draw) -> list[Fact]:
    facts: list[Fact] = []
    if draw.maybe(0.4):
        if draw.maybe(0.5):
            facts.append(Operation(what=draw.of(PROCEDURES, "sterilising", "one-sided"), when=draw.when()))
        else:
            facts.append(Diagnosis(what=draw.of(DIAGNOSES, "sterilised"), onset=draw.when()))
    elif draw.maybe(0.5):
        last_period = draw.when(months_before(draw.first_dose, 12))
        fsh = draw.random.choice((True, True, False, None))
        facts.append(Menopause(last_period=last_period, when=When.day(draw.now.date()), fsh_within_range=fsh))
    for serum in draw.random.choice(((), (True,), (False,), (False, True))):
        when = draw.when(days_before(draw.first_dose, 3))
        facts.append(PregnancyTest(serum=serum, positive=draw.maybe(0.4), when=when))
    return facts


def _pregnancy(draw: Draw) -> list[Fact]:
    if draw.maybe(0.5):
        status = draw.random.choice(("pregnant", "not pregnant", "breastfeeding"))
        return [PregnancyStatus(status=status, when=When.day(days_before(draw.now.date(), draw.random.randrange(20))))]
    ago = draw.random.choice((10, 60, 700))
    onset = When.day(days_before(draw.now.date(), ago))
    course = draw.random.choice(("active", "active", "resolved"))
    abated = When.day(days_before(draw.now.date(), 5)) if course == "resolved" else None
    what = draw.of(DIAGNOSES, "pregnant", "breastfeeding")
    return [Diagnosis(what=what, onset=onset, abated=abated, course=course)]


def _allergies(draw: Draw) -> list[Fact]:
    substance = draw.random.choice(("Cadonilimab", "cadonilimab", "Peanut", "Penicillin"))
    return [Allergy(substance=substance, plainly=draw.maybe(0.8))]


def _problem(draw: Draw) -> list[Fact]:
    """A problem that is asked about where it is found, active or over."""
    what = draw.of(DIAGNOSES, "brain", "effusion", "wound")
    onset = draw.when()
    if draw.maybe(0.3):
        over = When.day(draw.now.date())
        return [Diagnosis(what=what, onset=onset, abated=over, course="resolved")]
    return [Diagnosis(what=what, onset=onset, certain=draw.maybe(0.8))]


def _participation(draw: Draw) -> list[Fact]:
    status = draw.random.choice(("on-study-intervention", "on-study", "off-study", "off-study", "candidate"))
    end = draw.when(days_before(draw.first_dose, 28)) if status == "off-study" else None
    start = draw.when_before(end) if end else draw.when()
    return [TrialParticipation(status=status, start=start, end=end, registry=draw.maybe(0.2))]


def _autoimmune(draw: Draw) -> list[Fact]:
    """An autoimmune disease, with or without a drug for it."""
    what = draw.of(DIAGNOSES, "autoimmune", "autoimmune-exception", "autoimmune-exception")
    facts: list[Fact] = [Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8))]
    if draw.maybe(0.6):
        bound = months_before(draw.first_dose, 24)
        drug = _drug(draw, "immunosuppressant", bound=bound)
        facts.append(
            drug if drug.reason is None else replace(drug, reason=draw.random.choice((what, what, drug.reason)))
        )
    return facts


def _haemoptysis(draw: Draw) -> list[Fact]:
    when = draw.when(months_before(draw.first_dose, 3))
    return [Diagnosis(what=draw.of(DIAGNOSES, "haemoptysis"), onset=when, abated=when, course="resolved")]


def _surgery(draw: Draw) -> list[Fact]:
    day = min(days_before(draw.first_dose, draw.random.choice((0, 1, 2, 3, 4))), draw.now.date())
    what = draw.of(PROCEDURES, "central-line", "central-line-unverified", "surgery", "biopsy")
    when = (
        When.hour(day, draw.random.randrange(24), "Z") if day < draw.now.date() and draw.maybe(0.5) else When.day(day)
    )
    return [Operation(what=what, when=when)]


def _hepatitis(draw: Draw) -> list[Fact]:
    facts: list[Fact] = []
    if draw.maybe(0.5):
        what = draw.of(DIAGNOSES, "hepatitis-b", "hepatitis-b", "hepatitis-b-carrier")
        facts.append(Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8)))
        if draw.maybe(0.5):
            facts.append(HepatitisBDna(amount=draw.random.choice((300, 20_000)), when=draw.when()))
        if draw.maybe(0.4):
            facts.append(_drug(draw, "antiviral", bound=days_before(draw.now.date(), 120)))
    else:
        facts.append(HepatitisBSurfaceAntigen(positive=draw.maybe(0.4), when=draw.when()))
    return facts


def _toxicity(draw: Draw) -> list[Fact]:
    event = draw.random.choice(("Diarrhoea", "Nausea", "Alopecia", "Lymphopenia"))
    return [
        Toxicity(
            event=event,
            of_a_treatment=draw.maybe(0.7),
            grade=draw.random.choice((1, 2, 3, None)),
            resolved=draw.random.choice((True, False, False, None)),
            when=draw.when(),
        )
    ]


def _attestation(draw: Draw) -> list[Fact]:
    """A questionnaire filled in, with some of its questions answered, near the age at which answers count no more."""
    trial = draw.random.choice((*QUESTIONS, next(iter(QUESTIONS))))
    asked = draw.random.sample(QUESTIONS[trial], k=draw.random.randint(1, len(QUESTIONS[trial])))
    answers = tuple((id_, draw.random.choice((True, False, True, False, None))) for id_ in asked)
    today = draw.now.date()
    day = days_before(today, draw.random.choice((0, 1, 2, 3, 14, 15, 20, 28, 29)))
    return [Attestation(trial=trial, answers=answers, when=When.day(day))]


def _vaccine(draw: Draw) -> list[Fact]:
    when = draw.when(months_before(draw.first_dose, 1), days_before(draw.first_dose, 30))
    return [Vaccination(what=draw.of(VACCINES), when=when if draw.maybe(0.95) else None, in_words=draw.maybe(0.1))]


def _transfusion(draw: Draw) -> list[Fact]:
    when = draw.when(days_before(draw.first_dose, 28))
    what = draw.of(PROCEDURES, "transfusion", "transfusion-of-something")
    return [Operation(what=what, when=when, in_words=draw.maybe(0.1))]


def _transplant(draw: Draw) -> list[Fact]:
    if draw.maybe(0.5):
        what = draw.of(PROCEDURES, "allogeneic", "auto-or-allo", "cornea")
        return [Operation(what=what, when=draw.when(), in_words=draw.maybe(0.1))]
    what = draw.of(DIAGNOSES, "allogeneic", "auto-or-allo", "cornea", "cornea")
    return [Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8))]


def _hiv(draw: Draw) -> list[Fact]:
    if draw.maybe(0.6):
        return [HivTest(reactive=draw.maybe(0.2), when=draw.when())]
    return [Diagnosis(what=draw.of(DIAGNOSES, "hiv"), onset=draw.when(), certain=draw.maybe(0.8))]


def _irrelevant(draw: Draw) -> list[Fact]:
    return [Diagnosis(what=draw.of(DIAGNOSES, "irrelevant"), onset=draw.when())]


_ABOUT: tuple[Callable[[Draw], list[Fact]], ...] = (
    _cancer,
    _other_cancer,
    _spread,
    _risk,
    _performance,
    _antitumour_drug,
    _steroids,
    _immunosuppressant,
    _immunomodulator,
    _treatment,
    _fertility,
    _pregnancy,
    _allergies,
    _problem,
    _participation,
    _autoimmune,
    _haemoptysis,
    _surgery,
    _hepatitis,
    _toxicity,
    _attestation,
    _vaccine,
    _transfusion,
    _transplant,
    _hiv,
    _irrelevant,
)

#: What there may be several facts of.
_OFTEN = (
    _attestation,
    _other_cancer,
    _performance,
    _antitumour_drug,
    _vaccine,
    _transfusion,
    _transplant,
    _toxicity,
    _surgery,
)
