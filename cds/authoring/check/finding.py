"""What is wrong with authored content, and where: a Finding of a Rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    """How much a finding matters: an error is wrong, a warning may be, an information is for the reviewer."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"

    @property
    def rank(self) -> int:
        """0 for what matters most."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is checked: a stable name in kebab case, how much it matters, and what it says in one sentence."""

    id: str
    severity: Severity
    title: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file; line and column begin at 1."""

    path: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the rule, the place, what is wrong there, and how it is mended."""

    rule: Rule
    place: Place
    message: str
    mend: str

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return self.rule.severity

    def __str__(self) -> str:
        return f"{self.place}: {self.severity.value}: {self.message} ({self.mend}) [{self.rule.id}]"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by file and line, each once."""

    def key(finding: Finding) -> tuple[str, int, int, int, str, str]:
        place = finding.place
        return str(place.path), place.line, place.column, finding.severity.rank, finding.rule.id, finding.message

    return sorted(set(findings), key=key)
