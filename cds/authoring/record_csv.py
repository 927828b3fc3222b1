"""ClinicalTrials.gov's CSV download -> a Record: a row of it. The download has no eligibility list."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from cds.authoring.record_text import cells, interventions, outcomes
from cds.authoring.registry_record import Place, Record, Site, Text, chosen_study, unescaped
from cds.errors import ContentError

#: The columns that a download needs to be a record; the rest may be left out.
_NEEDED = ("NCT Number", "Study Title")


def header(text: str) -> list[str] | None:
    """The columns of a CSV download; None for what is none."""
    first = text.lstrip().partition("\n")[0]
    if "NCT Number" not in first:
        return None
    return next(csv.reader([first]), None)


def read_csv(path: Path, text: str, nct: str | None) -> Record:
    try:
        rows = list(csv.DictReader(io.StringIO(text.lstrip(), newline=""), strict=True))
    except csv.Error as error:
        line = text.count("\n") + 1
        raise ContentError(
            f"is cut off or no CSV: {error}", where=f"{path}:{line}", remedy="download it again"
        ) from error
    columns = header(text) or []
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise ContentError(
            f"has no column {', '.join(missing)}", where=f"{path}:1", remedy="download it with all columns"
        )
    if not rows:
        raise ContentError("holds no study, only the columns", where=f"{path}:1", remedy="download it again")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ContentError(
                f"the study in row {number} has {'more' if None in row else 'fewer'} cells than there are columns",
                where=f"{path}: row {number}",
                remedy="download it again",
            )
    number = chosen_study(path, [row["NCT Number"] for row in rows], nct)
    return _of_row(path, columns, rows[number], number + 2)


def _of_row(path: Path, columns: list[str], row: Mapping[str, str], number: int) -> Record:
    def place(column: str) -> Place:
        return Place(path.name, f"row {number}, column {column}")

    def value(column: str) -> str | None:
        return (row.get(column) or "").strip() or None

    def text(column: str) -> Text | None:
        found = value(column)
        return Text(unescaped(found), place(column)) if found else None

    title = text("Study Title")
    if title is None:
        raise ContentError("the study has no title", where=str(place("Study Title")), remedy="download it again")
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerow({column: row[column] for column in columns})
    enrollment = value("Enrollment")
    return Record(
        form="csv",
        name=path.stem,
        original=written.getvalue().encode(),
        title=title,
        acronym=value("Acronym"),
        nct=value("NCT Number"),
        other_ids=tuple(part.strip() for part in (value("Other IDs") or "").split("|") if part.strip()),
        status=_code(value("Study Status")),
        study_type=_code(value("Study Type")),
        phases=tuple(_code(part) or "" for part in (value("Phases") or "").split("|") if part.strip()),
        summary=text("Brief Summary"),
        description=text("Detailed Description"),
        conditions=tuple(cells(row.get("Conditions") or "", place("Conditions"))),
        interventions=tuple(interventions(row.get("Interventions") or "", place("Interventions"))),
        outcomes=tuple(
            outcome
            for kind in ("primary", "secondary", "other")
            for outcome in outcomes(
                kind, row.get(f"{kind.title()} Outcome Measures") or "", place(f"{kind.title()} Outcome Measures")
            )
        ),
        sponsor=value("Sponsor"),
        collaborators=tuple(part.strip() for part in (value("Collaborators") or "").split("|") if part.strip()),
        sites=tuple(_csv_site(part) for part in (value("Locations") or "").split("|") if part.strip()),
        sex=_code(value("Sex")),
        age_groups=value("Age"),
        enrollment=int(enrollment) if enrollment and enrollment.isdecimal() else None,
        start=value("Start Date"),
        completion=value("Completion Date"),
        eligibility=text("Eligibility Criteria"),
    )


def _code(text: str | None) -> str | None:
    """The registry's code: the download writes some in words."""
    return re.sub(r"[\s,]+", "_", text.strip()).upper() if text else None


def _csv_site(text: str) -> Site:
    """“Facility, City, State, Zip, Country”: told apart from the end, and only where all five parts stand."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 5:
        facility, city, state, code, country = parts
        return Site(facility, city, state, code, country, text.strip())
    return Site(None, None, None, None, None, text.strip())
