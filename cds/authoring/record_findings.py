"""What looks wrong in a registry record, each with its place: what software can see without understanding medicine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cds.authoring.criteria_text import CriteriaText
from cds.authoring.registry_record import Place, Record

_DISEASE = re.compile(
    r"cancer|carcinom|tumou?r|neoplas|malignan|lymphom|leuk[a]?emi|melanom|sarcom|myelom|gliom|blastom|mesotheliom"
    r"|metasta|disease|disorder|syndrome|failure|infection|cirrhosis|diabetes|\bNSCLC\b|\bSCLC\b|\bHCC\b|\bAML\b|\bCLL\b"
    r"|\w{3,}(?:oma|itis|osis|emia|aemia|pathy|plegia|algia|trophy|penia|plasia)s?\b",
    re.IGNORECASE,
)
_DISEASE_PHRASE = re.compile(
    r"(?:\b(?:of|for|in|with|to|treating)\s+|^)(?P<disease>(?:[\w/±().-]+\s+){0,7}?[\w-]*(?:cancer|carcinoma|tumou?rs?"
    r"|lymphoma|leuk[a]?emia|melanoma|sarcoma|myeloma|glioma|blastoma|mesothelioma|neoplasms?)s?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RecordFinding:
    """Something that looks wrong: a rule's name, its place, words; `about` is the criterion that it concerns.

    `shown`: it is worth a line on a card (an erratum), not for the author alone.
    """

    rule: str
    place: Place
    text: str
    about: str | None = None
    shown: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.text}"


def names_disease(text: str) -> bool:
    """Whether a condition of the record is the name of a disease (`PD1` and `Immunotherapy` are none)."""
    return _DISEASE.search(text) is not None


def find_disease(record: Record) -> str:
    """The record's disease in its own words: its conditions, else a phrase of the title or summary, else the title."""
    conditions = [one.value for one in record.conditions if names_disease(one.value)]
    if conditions:
        return "; ".join(conditions)
    for text in record.texts:
        if found := _DISEASE_PHRASE.search(text.value):
            return found["disease"]
    return record.title.value


def record_findings(record: Record, criteria: CriteriaText) -> tuple[RecordFinding, ...]:
    """All that looks wrong in a record and its list of criteria, in the order of the checks."""
    return tuple(finding for check in CHECKS for finding in check(record, criteria))


CHECKS: tuple[Callable[[Record, CriteriaText], Iterable[RecordFinding]], ...] = ()
