"""All checks together: folders in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cds.authoring.check import (
    cases,
    comparisons,
    content,
    logic,
    plan,
    record,
    resources,
    source,
    terminology,
    translation,
    unknown,
)
from cds.authoring.check.content import Content
from cds.authoring.check.finding import Finding, Rule, in_order

_SUBJECTS = (content, translation, resources, plan, logic, unknown, comparisons, terminology, record, cases)
#: Every rule by its id, in the order of docs/rules.md.
RULES: dict[str, Rule] = {rule.id: rule for subject in (source, *_SUBJECTS) for rule in subject.RULES}


def check(folders: Iterable[Path], cache: Path | None = None) -> list[Finding]:
    """What is wrong in content folders, trial folders or single files, by file and line.

    A trial's folder is read with those beside it, which it may include and refer to; findings are of the folders that
    are named. `cache` is where the CQL translator is installed: it is asked about CQL whose ELM is stale.
    """
    found: list[Finding] = []
    asked: dict[Path, list[Path]] = {}
    for folder in folders:
        asked.setdefault(content.root_of(folder), []).append(folder)
    for root, focus in asked.items():
        read = Content.read(root, focus, cache)
        for subject in _SUBJECTS:
            found += subject.findings(read)
    return in_order(found)
