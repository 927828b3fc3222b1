"""What a trial answers for a patient: outcomes, basis, evidence, what is missing, status and rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

Resource = dict[str, Any]


class Outcome(StrEnum):
    """What is known of one criterion for one patient."""

    MET = "met"
    NOT_MET = "not-met"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not-applicable"


class Basis(StrEnum):
    """How it is known."""

    VERIFIED = "verified"
    PRESUMED = "presumed"
    ATTESTED = "attested"
    NONE = "none"


class Status(StrEnum):
    """What a trial's criteria come to for one patient, best first."""

    ELIGIBLE = "eligible"
    POTENTIALLY_ELIGIBLE = "potentially-eligible"
    INELIGIBLE = "ineligible"
    NOT_APPLICABLE = "not-applicable"


class Kind(StrEnum):
    """Whether being true lets a patient in, keeps her out, or is part of an outcome that the trial measures."""

    INCLUSION = "inclusion"
    EXCLUSION = "exclusion"
    OUTCOME = "outcome"


class Assessment(StrEnum):
    """Who can decide a criterion: the data, the data in part, or a person alone."""

    COMPUTABLE = "computable"
    PARTIAL = "partial"
    ATTESTATION = "attestation"


class Policy(StrEnum):
    """What missing data means for a criterion, or for a part of it."""

    UNKNOWN = "unknown"
    PRESUME_ABSENT = "presume-absent"
    ATTEST = "attest"


@dataclass(frozen=True, slots=True)
class Note:
    """A note or definition that the record numbers as if it were a criterion (E10, I11 of record 000)."""

    number: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of a protocol, as its PlanDefinition action says it."""

    id: str
    kind: Kind
    number: str
    title: str
    text: str
    assessment: Assessment
    policies: tuple[Policy, ...]
    definition: str | None
    disease: bool = False
    applies_when: str | None = None
    evidence_definitions: tuple[str, ...] = ()
    verifying_definitions: tuple[str, ...] = ()
    question: str | None = None
    errata: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """Data that a criterion rests on and that the record does not hold; `title` says it in words."""

    type: str
    value_set: str | None
    title: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A resource that an outcome rests on: its `reference` (``Type/id`` or fullUrl) and the resource as JSON."""

    reference: str
    resource: Resource = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """The answer for one criterion; `failed` where its definition could not be evaluated, which leaves it unknown."""

    criterion: Criterion
    outcome: Outcome
    basis: Basis
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[Missing, ...] = ()
    clears_on: date | None = None
    reason: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """How many criteria have each outcome; `presumed` is how many of `met` are presumed."""

    met: int
    not_met: int
    unknown: int
    not_applicable: int
    presumed: int


@dataclass(frozen=True, slots=True)
class Eligibility:
    """One trial's answer for one patient; `criteria` is in protocol order.

    `unread` names the resource types that its criteria rest on and that were not searched.
    """

    trial: str
    title: str
    status: Status
    criteria: tuple[CriterionResult, ...]
    counts: Counts
    record_incomplete: bool
    eligible_from: date | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetResult:
    """What a trial's set of criteria beside those of entry comes to: `outcome` is that of all of them together.

    It is not-applicable where the trial does not concern the patient, whatever the criteria are.
    """

    trial: str
    title: str
    outcome: Outcome
    criteria: tuple[CriterionResult, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class SetMatch:
    """What the trials' sets of that name come to for one patient."""

    patient: str
    evaluated_at: str
    name: str
    trials: Sequence[SetResult]


@dataclass(frozen=True, slots=True)
class Match:
    """All active trials for one patient, best first; `evaluated_at` and `first_dose` are ISO 8601 texts."""

    patient: str
    evaluated_at: str
    first_dose: str
    trials: Sequence[Eligibility]
    deceased: bool = False


_STATUS_ORDER = {status: position for position, status in enumerate(Status)}


def rank(answer: Eligibility) -> tuple[int, float, int, str]:
    """Where a trial stands among a patient's trials (smaller is better).

    By status; then by the share of its criteria that are not met or open; then by how many are verified; the id
    makes the order total, so that the same chart gives the same order every time.
    """
    counts = answer.counts
    number = counts.met + counts.not_met + counts.unknown + counts.not_applicable
    open_share = (counts.not_met + counts.unknown) / number if number else 1.0
    return (_STATUS_ORDER[answer.status], open_share, counts.presumed - counts.met, answer.trial)


def as_json(match: Match) -> dict[str, Any]:
    """`match` in the fixed JSON of ``cds match``."""
    head: dict[str, Any] = {
        "patient": match.patient,
        "evaluatedAt": match.evaluated_at,
        "firstDose": match.first_dose,
    }
    if match.deceased:
        head["deceased"] = True
    head["trials"] = [_eligibility_json(answer) for answer in match.trials]
    return head


def set_as_json(match: SetMatch) -> dict[str, Any]:
    """`match` in the fixed JSON of ``cds match --criteria``."""
    return {
        "patient": match.patient,
        "evaluatedAt": match.evaluated_at,
        "criteriaSet": match.name,
        "trials": [
            {
                "trial": answer.trial,
                "title": answer.title,
                "outcome": answer.outcome.value,
                "counts": _counts_json(answer.counts),
                "criteria": [_criterion_json(result) for result in answer.criteria],
            }
            for answer in match.trials
        ],
    }


def _eligibility_json(answer: Eligibility) -> dict[str, Any]:
    return {
        "trial": answer.trial,
        "title": answer.title,
        "status": answer.status.value,
        "eligibleFrom": answer.eligible_from.isoformat() if answer.eligible_from else None,
        "recordIncomplete": answer.record_incomplete,
        "counts": _counts_json(answer.counts),
        "criteria": [_criterion_json(result) for result in answer.criteria],
    }


def _counts_json(counts: Counts) -> dict[str, int]:
    return {
        "met": counts.met,
        "notMet": counts.not_met,
        "unknown": counts.unknown,
        "notApplicable": counts.not_applicable,
        "presumed": counts.presumed,
    }


def _criterion_json(result: CriterionResult) -> dict[str, Any]:
    criterion = result.criterion
    return {
        "id": criterion.id,
        "kind": criterion.kind.value,
        "number": criterion.number,
        "title": criterion.title,
        "text": criterion.text,
        "assessment": criterion.assessment.value,
        "outcome": result.outcome.value,
        "basis": result.basis.value,
        "evidence": [item.reference for item in result.evidence],
        "missing": [{"type": item.type, "valueSet": item.value_set, "title": item.title} for item in result.missing],
        "clearsOn": result.clears_on.isoformat() if result.clears_on else None,
        "reason": result.reason,
    }
