"""Atomic facts: what a chart may say, free of how FHIR writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """Her sex (FHIR's code, None where not recorded) and date of birth."""

    sex: str | None
    birth: When | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(Fact):
    """A condition. `certain` is False where it is only suspected."""

    what: Concept
    onset: When | None = None
    recorded: When | None = None
    abated: When | None = None
    certain: bool = True
    course: str = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Fact):
    """A procedure that was done; `end` where it lasted."""

    what: Concept
    when: When | None
    end: When | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vaccination(Fact):
    """A vaccine that was given."""

    what: Concept
    when: When | None


class Identified(Enum):
    """How a drug is known."""

    PLAINLY = "by code, or by its exact name where it has none"
    IN_A_SENTENCE = "by a name inside free text"
    NOT = "by a reference that does not resolve"


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
    """The largest diameter of the cervical tumour; `unit_said` is False where nobody wrote the unit."""

    centimetres: Decimal
    when: When
    unit_said: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes(Fact):
    """The category of the regional lymph nodes: positive (N1 or more) or N0."""

    positive: bool
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class FigoStage(Fact):
    """The FIGO stage of the cervical cancer."""

    stage: str
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class HivTest(Fact):
    """A screening test for HIV."""

    reactive: bool
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
        return type(self)(self.now, self.first_dose, facts)


F = TypeVar("F", bound=Fact)
