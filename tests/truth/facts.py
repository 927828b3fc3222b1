"""Atomic facts: what a chart may say, free of how FHIR writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Self, TypeVar

from .concepts import Concept
from .dates import When


class Void(Enum):
    """Why what is written is no fact of the patient."""

    ENTERED_IN_ERROR = "entered-in-error"
    NEVER_HAPPENED = "refuted, not done, not taken or cancelled"
    OTHER_PATIENT = "of another patient"
    FAMILY = "of a family member"
    FUTURE = "dated after now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What is said of the patient; nothing where `void` says why not. `key` tells the facts of a patient apart."""

    void: Void | None = None
    key: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Fact):
    """Her sex (FHIR's code, None where not recorded) and date of birth; `died` is a day, or that she did."""

    sex: str | None
    birth: When | None
    died: When | bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(Fact):
    """A condition. `certain` is False where it is only suspected; `histology` says that one is noted with it."""

    what: Concept
    onset: When | None = None
    recorded: When | None = None
    abated: When | None = None
    certain: bool = True
    course: str = "active"
    histology: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Fact):
    """A procedure that was done, for a reason that is stated or not; `end` where it lasted.

    Where it is `in_words` no code says which it was.
    """

    what: Concept
    when: When | None
    end: When | None = None
    reason: Concept | None = None
    in_words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vaccination(Fact):
    """A vaccine that was given; where it is `in_words` no code says which."""

    what: Concept
    when: When | None
    in_words: bool = False


class Identified(Enum):
    """How a drug is known."""

    PLAINLY = "by code, or by its exact name where it has none"
    IN_A_SENTENCE = "by a name inside free text"
    NOT = "by a reference that does not resolve"


class Route(Enum):
    """The way of a drug into the body."""

    ORAL = "26643006"
    INTRAVENOUS = "47625008"
    SUBCUTANEOUS = "34206005"
    NASAL = "46713006"
    INHALED = "447694001"
    TOPICAL = "6064005"
    INTRAPLEURAL = "372469009"

    @property
    def systemic(self) -> bool:
        return self in (Route.ORAL, Route.INTRAVENOUS, Route.SUBCUTANEOUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drug(Fact):
    """A drug that was given or taken, from `start` until `end` (None: it still is), as `charted` says.

    `charted` is a MedicationRequest, MedicationAdministration, MedicationStatement or MedicationDispense.
    """

    what: Concept
    start: When
    end: When | None = None
    charted: str = "MedicationStatement"
    identified: Identified = Identified.PLAINLY
    route: Route | None = None
    daily_mg: Decimal | None = None
    reason: Concept | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecog(Fact):
    """An ECOG performance status."""

    grade: int
    when: When | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Karnofsky(Fact):
    """A Karnofsky performance status."""

    score: int
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class TumourSize(Fact):
    """The largest diameter of a tumour; `unit_said` is False where nobody wrote the unit.

    It is the cervix's; that it is `of_the_cervix` is written.
    """

    centimetres: Decimal
    when: When
    unit_said: bool = True
    of_the_cervix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes(Fact):
    """The category of the regional lymph nodes: positive (N1 or more) or N0."""

    positive: bool
    when: When
    of_the_cervix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FigoStage(Fact):
    """The FIGO stage of the cervical cancer."""

    stage: str
    when: When
    of_the_cervix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HivTest(Fact):
    """A screening test for HIV."""

    reactive: bool
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Pathology(Fact):
    """A report of a pathologist that names an invasive cancer of the cervix."""

    what: Concept
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class HepatitisBSurfaceAntigen(Fact):
    """A test for HBsAg."""

    positive: bool
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class HepatitisBDna(Fact):
    """A hepatitis B virus DNA that was found, in [IU]/mL."""

    amount: int
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyTest(Fact):
    """A test for choriogonadotropin in urine or serum."""

    serum: bool
    positive: bool
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyStatus(Fact):
    """That she is, or is not, pregnant; or that she breastfeeds."""

    status: str
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Menopause(Fact):
    """The day of the last period, and FSH within or below the laboratory's range after menopause, where measured."""

    last_period: When
    when: When
    fsh_within_range: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allergy(Fact):
    """An allergy to a substance, by its name."""

    substance: str
    plainly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxicity(Fact):
    """An adverse event, of a treatment that is named or not; `resolved` is None where its course is not said."""

    event: str
    of_a_treatment: bool
    grade: int | None
    resolved: bool | None
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialParticipation(Fact):
    """A part in another study; `end` where it is over."""

    status: str
    start: When
    end: When | None = None
    registry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Metastases(Fact):
    """The category of distant metastasis: M1 or M0."""

    present: bool
    when: When
    of_the_cervix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseStatus(Fact):
    """How the cancer responds: ``worsened``, ``stable`` or ``improved``."""

    status: str
    when: When


class Part(Enum):
    """A part of the Child-Pugh score."""

    BILIRUBIN = "bilirubin in mg/dL"
    ALBUMIN = "albumin in g/dL"
    INR = "international normalised ratio"
    ASCITES = "ascites: 1 none, 2 slight, 3 moderate or more"
    ENCEPHALOPATHY = "encephalopathy: 1 none, 2 grade 1 to 2, 3 grade 3 to 4"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiverFinding(Fact):
    """A part of the Child-Pugh score; of ascites and encephalopathy `value` is the points."""

    part: Part
    value: Decimal
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPugh(Fact):
    """A Child-Pugh score as recorded."""

    score: int
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class LiverRemnant(Fact):
    """The share of the liver that would stay after resection, in percent."""

    percent: Decimal
    when: When
    unit_said: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation(Fact):
    """A questionnaire of a trial that somebody filled in: of each criterion whether its text is true of her."""

    trial: str
    answers: tuple[tuple[str, bool | None], ...]
    when: When


@dataclass(frozen=True, slots=True)
class Patient:
    """What is known of a patient at `now`, before a first dose."""

    now: datetime
    first_dose: date
    facts: tuple[Fact, ...]

    def true(self, kind: type[F]) -> Iterator[F]:
        """The facts of a kind that are facts."""
        return (fact for fact in self.facts if isinstance(fact, kind) and fact.void is None)

    def with_facts(self, facts: tuple[Fact, ...]) -> Self:
        """The same patient of whom other facts are known."""
        return replace(self, facts=facts)

    def with_first_dose(self, day: date) -> Self:
        """The same patient before a first dose on another day."""
        return replace(self, first_dose=day)


F = TypeVar("F", bound=Fact)
