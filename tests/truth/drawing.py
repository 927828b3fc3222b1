"""Random patients: facts drawn about every criterion, near the bounds of its windows more often than elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from .concepts import DIAGNOSES, DRUGS, PROCEDURES, VACCINES, Concept, tagged
from .dates import When, days_before, months_before
from .facts import (
    Diagnosis,
    Drug,
    Ecog,
    Fact,
    FigoStage,
    HivTest,
    Identified,
    Karnofsky,
    Nodes,
    Operation,
    Patient,
    Person,
    TumourSize,
    Vaccination,
    Void,
)
from .rendering import FIGO_STAGES, Style

_CHARTED = ("MedicationRequest", "MedicationAdministration", "MedicationStatement", "MedicationDispense")


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
        facts = [fact for about in _ABOUT if self.random.random() < 0.6 for fact in about(self)]
        facts += [self._voided(fact) for about in _ABOUT if self.random.random() < 0.15 for fact in about(self)]
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

    def of(self, concepts: Sequence[Concept], *tags: str) -> Concept:
        return self.random.choice(tagged(tuple(concepts), *tags) if tags else concepts)

    def _person(self) -> Person:
        sex = self.random.choice(("female",) * 12 + ("male", "other", "unknown", None))
        if self.maybe(0.03):
            return Person(sex=sex, birth=None)
        years = self.random.choice((18, 75, self.random.randrange(19, 74), self.random.randrange(19, 74)))
        day = months_before(self.first_dose, 12 * years) + timedelta(days=self.random.choice((-40, -1, 0, 1, 40)))
        form = self.random.choice((When.day, When.day, When.day, When.day, When.month, When.year))
        return Person(sex=sex, birth=form(day))

    def _voided(self, fact: Fact) -> Fact:
        """A fact made none, for one of the reasons that there are."""
        reasons = [one for one in Void if one is not Void.FAMILY or isinstance(fact, Diagnosis)]
        void = self.random.choice(reasons)
        if void is not Void.FUTURE:
            return replace(fact, void=void)
        later = When.day(self.now.date() + timedelta(days=self.random.randrange(2, 20)))
        dated: dict[str, Any] = {
            one.name: later for one in fields(fact) if one.name in ("onset", "recorded", "when", "start")
        }
        cleared: dict[str, Any] = {one.name: None for one in fields(fact) if one.name in ("abated", "end")}
        return replace(fact, void=void, **dated, **cleared)


def _cervical_cancer(draw: Draw) -> list[Fact]:
    what = draw.of(DIAGNOSES, "cervix", "cervix-in-situ")
    return [Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.9))]


def _other_cancer(draw: Draw) -> list[Fact]:
    what = draw.of(DIAGNOSES, "other-malignancy", "unstated-malignancy")
    bound = months_before(draw.first_dose, 60)
    onset = draw.when(bound) if draw.maybe(0.7) else None
    recorded = draw.when(bound) if draw.maybe(0.5) else None
    return [Diagnosis(what=what, onset=onset, recorded=recorded, certain=draw.maybe(0.9))]


def _risk(draw: Draw) -> list[Fact]:
    facts: list[Fact] = []
    if draw.maybe(0.8):
        size = Decimal(draw.random.choice(("2.5", "4.9", "5.0", "5.1", "5.4", "7")))
        facts.append(TumourSize(centimetres=size, when=draw.when(), unit_said=draw.maybe(0.9)))
    if draw.maybe(0.7):
        facts.append(Nodes(positive=draw.maybe(0.3), when=draw.when()))
    elif draw.maybe(0.5):
        what = draw.of(DIAGNOSES, "node-metastasis")
        facts.append(Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.8)))
    if draw.maybe(0.8):
        facts.append(FigoStage(stage=draw.random.choice(FIGO_STAGES), when=draw.when()))
    return facts


def _performance(draw: Draw) -> list[Fact]:
    grades = draw.random.choices((0, 1, 2, 3, 4, 5), (4, 5, 4, 1, 1, 1), k=draw.random.choice((1, 1, 2, 3)))
    facts: list[Fact] = [Ecog(grade=grade, when=draw.when() if draw.maybe(0.95) else None) for grade in grades]
    return [Karnofsky(score=90, when=draw.when())] if draw.maybe(0.1) else facts


def _antitumour_drug(draw: Draw) -> list[Fact]:
    what = draw.of(DRUGS, "checkpoint", "costimulating")
    identified = draw.random.choice((Identified.PLAINLY,) * 4 + (Identified.IN_A_SENTENCE, Identified.NOT))
    start = draw.when()
    return [Drug(what=what, start=start, end=start, identified=identified, charted=draw.random.choice(_CHARTED))]


def _vaccine(draw: Draw) -> list[Fact]:
    when = draw.when(months_before(draw.first_dose, 1), days_before(draw.first_dose, 30))
    return [Vaccination(what=draw.of(VACCINES), when=when if draw.maybe(0.95) else None)]


def _transfusion(draw: Draw) -> list[Fact]:
    when = draw.when(days_before(draw.first_dose, 28))
    return [Operation(what=draw.of(PROCEDURES, "transfusion", "transfusion-of-something"), when=when)]


def _transplant(draw: Draw) -> list[Fact]:
    if draw.maybe(0.5):
        return [Operation(what=draw.of(PROCEDURES, "allogeneic", "auto-or-allo", "cornea"), when=draw.when())]
    what = draw.of(DIAGNOSES, "allogeneic", "auto-or-allo", "cornea", "cornea")
    return [Diagnosis(what=what, onset=draw.when(), certain=draw.maybe(0.9))]


def _hiv(draw: Draw) -> list[Fact]:
    if draw.maybe(0.6):
        return [HivTest(reactive=draw.maybe(0.2), when=draw.when())]
    return [Diagnosis(what=draw.of(DIAGNOSES, "hiv"), onset=draw.when(), certain=draw.maybe(0.8))]


def _irrelevant(draw: Draw) -> list[Fact]:
    return [Diagnosis(what=draw.of(DIAGNOSES, "irrelevant"), onset=draw.when())]


_ABOUT: tuple[Callable[[Draw], list[Fact]], ...] = (
    _cervical_cancer,
    _other_cancer,
    _risk,
    _performance,
    _antitumour_drug,
    _vaccine,
    _transfusion,
    _transplant,
    _hiv,
    _irrelevant,
)
