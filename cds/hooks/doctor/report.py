"""Findings: what was looked at, what is wrong there, by which rule, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Severity(StrEnum):
    """How bad a finding is: an error will not work, a warning will not work with everyone."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    OK = "ok"


#: The section of CDS Hooks that a numbered rule stands in: the first number of each section.
_SECTIONS = (
    (82, "CDS Hooks and PlanDefinition"),
    (80, "CDS Hooks library"),
    (77, "CDS Hooks 2.0.1, Cross-Origin Resource Sharing"),
    (69, "CDS Hooks 2.0.1, Security and Safety"),
    (62, "CDS Hooks 2.0.1, Feedback"),
    (48, "CDS Hooks 2.0.1, CDS Service Response"),
    (40, "CDS Hooks 2.0.1, FHIR Resource Access"),
    (32, "CDS Hooks 2.0.1, Providing FHIR Resources to a CDS Service"),
    (22, "CDS Hooks 2.0.1, Calling a CDS Service"),
    (17, "CDS Hooks 2.0.1, Prefetch Template"),
    (5, "CDS Hooks 2.0.1, Discovery"),
    (1, "CDS Hooks 2.0.1, Use of JSON"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `rule` is a section of a specification, `number` its place in our checklist."""

    severity: Severity
    rule: str
    where: str
    message: str
    remedy: str | None = None
    number: int | None = None

    def as_json(self) -> Json:
        """The finding without what it does not have."""
        told = {
            "severity": self.severity.value,
            "rule": self.rule,
            "number": self.number,
            "where": self.where,
            "message": self.message,
            "remedy": self.remedy,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(slots=True)
class Report:
    """All findings about what stands at `url`, in the order in which they were made."""

    url: str
    kind: str = "unknown"
    findings: list[Finding] = field(default_factory=list)

    def expect(
        self,
        holds: bool,
        rule: int | str,
        where: str,
        right: str,
        wrong: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
    ) -> bool:
        """Notes that a rule holds (`right`) or does not (`wrong`, what to do, how bad that is); answers whether."""
        if holds:
            self._add(Severity.OK, rule, where, right, None)
        else:
            self._add(severity, rule, where, wrong, remedy)
        return holds

    def error(self, rule: int | str, where: str, wrong: str, remedy: str) -> None:
        """Notes what will not work."""
        self._add(Severity.ERROR, rule, where, wrong, remedy)

    def warning(self, rule: int | str, where: str, wrong: str, remedy: str) -> None:
        """Notes what will not work with everyone."""
        self._add(Severity.WARNING, rule, where, wrong, remedy)

    def info(self, rule: int | str, where: str, what: str, remedy: str | None = None) -> None:
        """Notes what is worth knowing."""
        self._add(Severity.INFO, rule, where, what, remedy)

    def _add(self, severity: Severity, rule: int | str, where: str, message: str, remedy: str | None) -> None:
        number = rule if isinstance(rule, int) else None
        section = next(name for first, name in _SECTIONS if first <= rule) if isinstance(rule, int) else rule
        finding = Finding(severity, section, where, message, remedy, number)
        if finding not in self.findings:
            self.findings.append(finding)

    def of(self, *severities: Severity) -> list[Finding]:
        """The findings of some severities."""
        return [one for one in self.findings if one.severity in severities]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that will not work."""
        return not self.of(Severity.ERROR)

    def as_json(self, severities: Iterable[Severity] = tuple(Severity)) -> Json:
        """The report, with the findings of some severities."""
        return {
            "url": self.url,
            "kind": self.kind,
            "healthy": self.healthy,
            "counts": {severity.value: len(self.of(severity)) for severity in Severity},
            "findings": [one.as_json() for one in self.of(*severities)],
        }
