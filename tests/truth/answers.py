"""What is true of a criterion for a patient, by the meanings of the protocols and of the design."""

from __future__ import annotations

from dataclasses import dataclass

from .three_valued import Known

VERIFIED, PRESUMED, NONE = "verified", "presumed", "none"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome and its basis; `basis` is None where the protocols leave open which it is.

    Of two outcomes that they allow (``met or unknown``) neither is wrong.
    """

    outcome: str
    basis: str | None

    @property
    def outcomes(self) -> tuple[str, ...]:
        return tuple(self.outcome.split(" or "))

    def __str__(self) -> str:
        return f"{self.outcome} ({self.basis})" if self.basis else self.outcome


UNKNOWN = Answer("unknown", NONE)
NOT_MET = Answer("not-met", VERIFIED)
MET = Answer("met", VERIFIED)
PRESUMED_MET = Answer("met", PRESUMED)
MET_OR_UNKNOWN = Answer("met or unknown", None)
#: Not applicable, which may rest on evidence or on its absence.
NOT_APPLICABLE = Answer("not-applicable", None)


def required(value: Known) -> Answer:
    """The answer for an open-world criterion that must hold: without data it is unknown."""
    return UNKNOWN if value is None else MET if value else NOT_MET


def barred(value: Known, *, verified: bool | None = False) -> Answer:
    """The answer for a closed-world exclusion: nothing found is presumed clear, and shown apart from verified.

    `verified` says whether something on record decides that it is clear (None: the protocols leave that open).
    """
    if value is None:
        return UNKNOWN
    if value:
        return NOT_MET
    return Answer("met", None if verified is None else VERIFIED if verified else PRESUMED)


def barred_or_asked(value: Known) -> Answer:
    """The answer for an exclusion of which data decide one part alone: the rest is for a person to say."""
    return NOT_MET if value else UNKNOWN
