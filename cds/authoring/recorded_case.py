"""A new case of a trial: a patient as she is, and what the trial answers for her today as what is expected."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from cds.authoring.cases import BUNDLE, CASES, EXPECTED, Suite
from cds.errors import ContentError
from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.eligibility import Eligibility

Json = dict[str, Any]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case that is not written yet: its two files, what stands in them, and the answer that it records."""

    name: str
    bundle_file: Path
    expected_file: Path
    answer: Eligibility
    bundle: Json = field(repr=False)
    expected: Json = field(repr=False)

    def write(self) -> None:
        """Writes the two files. Raises ContentError where one is there already, or cannot be written."""
        written: list[Path] = []
        for path, content in ((self.bundle_file, self.bundle), (self.expected_file, self.expected)):
            try:
                path.parent.mkdir(exist_ok=True)
                with path.open("xb") as file:
                    written.append(path)
                    file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            except OSError as error:
                for one in written:
                    one.unlink()
                raise ContentError(f"cannot be written: {error.strerror}", where=str(path)) from error


def new_case(suite: Suite, bundle: Any, name: str, *, now: datetime, first_dose: date) -> NewCase:
    """The case `name` of a trial: the patient in `bundle`, with the status and each criterion's outcome and basis.

    Raises ContentError where there is such a case already or the name cannot be one, RecordError where the bundle is
    no single patient's.
    """
    if not _NAME.fullmatch(name) or name.endswith(".expected"):
        raise ContentError(
            f"{name!r} cannot be a case's name", remedy="letters, digits, '.', '-' and '_', at most 100, no '.expected'"
        )
    folder = suite.folder / CASES
    bundle_file, expected_file = folder / f"{name}{BUNDLE}", folder / f"{name}{EXPECTED}"
    for path in (bundle_file, expected_file):
        if path.exists():
            raise ContentError("is there already", where=str(path), remedy="give another --name")
    record = PatientRecord.from_bundle(bundle, now=now)
    found = match(suite.catalog, record, now=now, first_dose=first_dose, trials=[suite.trial.id], all_criteria=True)
    (answer,) = found.trials
    criteria = {
        result.criterion.id: {"outcome": result.outcome.value, "basis": result.basis.value}
        for result in answer.criteria
    }
    expected = {
        "now": found.evaluated_at,
        "firstDose": found.first_dose,
        "trials": {suite.trial.id: {"status": answer.status.value, "criteria": criteria}},
    }
    return NewCase(name, bundle_file, expected_file, answer, bundle, expected)
