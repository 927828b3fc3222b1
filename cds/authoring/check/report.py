"""Findings as text for machines: JSON, SARIF 2.1.0, GitHub's annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cds.authoring.check.finding import Finding, Rule, Severity

#: The levels of SARIF (3.27.10) and of GitHub's workflow commands.
_SARIF = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFORMATION: "note"}
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFORMATION: "notice"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def counts(findings: Iterable[Finding]) -> dict[Severity, int]:
    """How many findings there are of each severity, zeros included."""
    found = Counter(finding.severity for finding in findings)
    return {severity: found[severity] for severity in Severity}


def as_json(findings: Sequence[Finding]) -> str:
    """``{"findings": [{rule, severity, file, line, column, message, mend}], "counts": {severity: number}}``."""
    told = [
        {
            "rule": finding.rule.id,
            "severity": finding.severity.value,
            "file": str(finding.place.path),
            "line": finding.place.line,
            "column": finding.place.column,
            "message": finding.message,
            "mend": finding.mend,
        }
        for finding in findings
    ]
    return json.dumps({"findings": told, "counts": counts(findings)}, ensure_ascii=False, indent=2)


def as_sarif(findings: Sequence[Finding], rules: Mapping[str, Rule], version: str) -> str:
    """A SARIF 2.1.0 log of one run: all rules, and a result for each finding. Files are named from here on."""
    places = {rule: number for number, rule in enumerate(rules)}
    driver = {
        "name": "cds check",
        "version": version,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.title},
                "defaultConfiguration": {"level": _SARIF[rule.severity]},
            }
            for rule in rules.values()
        ],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            {
                "ruleId": finding.rule.id,
                "ruleIndex": places[finding.rule.id],
                "level": _SARIF[finding.severity],
                "message": {"text": f"{finding.message} ({finding.mend})"},
                "locations": [{"physicalLocation": _location(finding)}],
            }
            for finding in findings
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2)


def _location(finding: Finding) -> dict[str, Any]:
    place = finding.place
    region = {"startLine": place.line, "startColumn": place.column}
    return {"artifactLocation": {"uri": _uri(place.path)}, "region": region}


def _uri(path: Path) -> str:
    """A file as a URI: relative to where the command runs, absolute where it is elsewhere."""
    here = path.resolve()
    return quote(here.relative_to(Path.cwd()).as_posix()) if here.is_relative_to(Path.cwd()) else here.as_uri()


def as_annotations(findings: Iterable[Finding]) -> str:
    """A workflow command of GitHub Actions for each finding, a line each."""
    return "\n".join(_annotation(finding) for finding in findings)


def _annotation(finding: Finding) -> str:
    place = finding.place
    values = {"file": str(place.path), "line": place.line, "col": place.column, "title": finding.rule.id}
    told = ",".join(f"{name}={_property(str(value))}" for name, value in values.items())
    return f"::{_GITHUB[finding.severity]} {told}::{_data(f'{finding.message} ({finding.mend})')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
