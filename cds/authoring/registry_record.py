"""A registry record in a file -> a Record: pipe-separated text, ClinicalTrials.gov API v2 JSON, or its CSV download.

The three forms say the same in other words. What a form does not hold is None or empty here, never guessed:
the text has no registry number, phase, status, sponsor or site; the CSV download has no eligibility list.

Sources: https://clinicaltrials.gov/data-api/about-api/study-data-structure (the modules of ``protocolSection``) and the
column names of the registry's CSV download.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cds.authoring.criteria_text import first_header
from cds.errors import ContentError

#: A larger file is no record: the registry's longest texts end at 32,000 characters, a page holds 1,000 studies.
LARGEST: Final = 20_000_000

#: The registry's kinds of intervention, as they stand before the colon.
_INTERVENTION = re.compile(
    r"(DRUG|BIOLOGICAL|DEVICE|PROCEDURE|RADIATION|BEHAVIORAL|GENETIC|DIETARY[ _]SUPPLEMENT|COMBINATION[ _]PRODUCT"
    r"|DIAGNOSTIC[ _]TEST|OTHER): *(.+)",
    re.DOTALL,
)
#: How a time frame begins, in the registry's free text.
_TIME_FRAME = re.compile(
    r"((time frame|up to|about|approximately|through|from|baseline|at|within|until|till|every|during|on day|day|week"
    r"|month|year|cycle|an average of|average|end of|the end|the last|assessed|after|before|prior to|over|immediately"
    r"|first|once|one|two|three|six|twelve)\b"
    r"|post|pre-|≤|<|~|[\d.]+ *-? *(minute|hour|day|week|month|year|cycle)s?\b|[\d.]+ *(h|d|w|m|y)\b)",
    re.IGNORECASE,
)
#: What of a time frame can stand before a further comma of it.
_TIME_FRAME_GOES_ON = re.compile(r"(time frame\b|up to\b|through\b|from\b|baseline\b|until\b|within\b)", re.IGNORECASE)
_OF_TIME = re.compile(r"\s*time frame\s*[:：]\s*", re.IGNORECASE)
_NCT = re.compile(r"NCT\d{8}", re.IGNORECASE)
_BULLET = re.compile(r"\s*([*•·-]|\d{1,2}[.)、])\s")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the record: its field, the file, and the line in it (None where lines mean nothing)."""

    file: str
    field: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}" if self.line else f"{self.file}: {self.field}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the record, as it is to be read (Markdown's escapes taken away), and where it stands."""

    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome measure; `kind` is ``primary``, ``secondary`` or ``other``; `verbatim` is all of it."""

    kind: str
    measure: str
    description: str | None
    time_frame: str | None
    verbatim: str
    place: Place


@dataclass(frozen=True, slots=True)
class Intervention:
    """What is given or done: the registry's type (``DRUG``), its name, and what else is said of it."""

    type: str | None
    name: str
    place: Place
    description: str | None = None
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm as the registry has it; `type` is the registry's code (``EXPERIMENTAL``)."""

    label: str
    type: str | None
    description: str | None
    interventions: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Site:
    """A place where the study is run."""

    facility: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str | None
    verbatim: str


@dataclass(frozen=True, slots=True)
class Record:
    """One registry record.

    `form` is ``text``, ``json`` or ``csv``; `name` the local name of the file; `original` its bytes (of a page or a
    download of several studies: this one alone). `eligibility` is the list of criteria as written, None where the
    record came without it; `description` is what stands beside it. `status` and `phases` are the registry's codes.
    """

    form: str
    name: str
    original: bytes
    title: Text
    official_title: Text | None = None
    acronym: str | None = None
    nct: str | None = None
    other_ids: tuple[str, ...] = ()
    status: str | None = None
    study_type: str | None = None
    phases: tuple[str, ...] = ()
    summary: Text | None = None
    description: Text | None = None
    conditions: tuple[Text, ...] = ()
    keywords: tuple[Text, ...] = ()
    interventions: tuple[Intervention, ...] = ()
    arms: tuple[Arm, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    sponsor: str | None = None
    collaborators: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    sex: str | None = None
    minimum_age: str | None = None
    maximum_age: str | None = None
    enrollment: int | None = None
    start: str | None = None
    completion: str | None = None
    eligibility: Text | None = None

    @property
    def texts(self) -> tuple[Text, ...]:
        """The prose of the record: titles, summary, description."""
        prose = (self.title, self.official_title, self.summary, self.description)
        return tuple(text for text in prose if text is not None)


def unescaped(text: str) -> str:
    r"""A registry text as it is to be read: without the escapes that Markdown asks for.

    >>> unescaped(r"aged \\< 75 years")
    'aged < 75 years'
    """
    return re.sub(r"\\([<>\[\]*_~#`^])", r"\1", text)


def read_record(path: Path, nct: str | None = None) -> Record:
    """The registry record in a file; its form is told from its content.

    `nct` chooses one study of a page or a download that holds several. Raises ContentError, with file and line, for
    what is no record, is cut off, is too large, or is not UTF-8, and where a choice is needed.
    """
    content, text = _decoded(path)
    if text.lstrip()[:1] in ("{", "["):
        return _of_json(path, content, text, nct)
    if _header(text) is not None:
        return _of_csv(path, text, nct)
    return _of_text(path, content, text, nct)


def _decoded(path: Path) -> tuple[bytes, str]:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ContentError(
                f"has {size:,} bytes; a registry record has at most {LARGEST:,}",
                where=str(path),
                remedy="download one study, not the whole registry",
            )
        content = path.read_bytes()
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ContentError(
            f"is not UTF-8: the byte 0x{content[error.start]:02x} in this line is no character",
            where=f"{path}:{line}",
            remedy="save the record as UTF-8 (an editor offers it under “Save with encoding”)",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ContentError(
            "is no text: it holds a zero byte", where=f"{path}:{line}", remedy="save the record as UTF-8 text"
        )
    if not text.strip():
        raise ContentError("is empty", where=f"{path}:1", remedy="download the record again")
    return content, text.replace("\r\n", "\n").replace("\r", "\n")


# ------------------------------------------------------------------------------------------------------------ the text


def _of_text(path: Path, content: bytes, text: str, nct: str | None) -> Record:
    """The lines title, summary, conditions, interventions, primary and secondary outcomes, description.

    The line of interventions is the one that can be told for certain, so the rest is found from there.
    """
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    at = next((number for number, line in enumerate(lines) if _INTERVENTION.match(line)), None)
    if at is None:
        raise _no_record(path, lines)
    if at < 3:
        raise ContentError(
            "the interventions come too early: title, summary and conditions stand before them, a line each",
            where=f"{path}:{at + 1}",
            remedy="download the record again, or add the missing line",
        )
    name = path.name
    primary, then = _outcome_lines(lines, at + 1)
    secondary, last = _outcome_lines(lines, then)
    if not primary.strip() or then >= len(lines):
        raise ContentError(
            "is cut off: after the interventions come the primary outcomes, the secondary outcomes and the description",
            where=f"{path}:{len(lines)}",
            remedy="download the record again",
        )
    summary, description = "\n".join(lines[1 : at - 1]).strip("\n"), "\n".join(lines[last:])
    record = Record(
        form="text",
        name=path.stem,
        original=content,
        title=Text(unescaped(lines[0].strip()), Place(name, "title", 1)),
        summary=_prose(summary, Place(name, "summary", 2)),
        conditions=tuple(_cells(lines[at - 1], Place(name, "conditions", at))),
        interventions=tuple(_interventions(lines[at], Place(name, "interventions", at + 1))),
        outcomes=(
            *_outcomes("primary", primary, Place(name, "primary outcomes", at + 2)),
            *_outcomes("secondary", secondary, Place(name, "secondary outcomes", then + 1)),
        ),
        description=_prose(description, Place(name, "description", last + 1)),
    )
    record = _with_eligibility(record)
    found = _NCT.search(text)
    if nct is not None and (found is None or found[0].upper() != nct.upper()):
        raise ContentError(f"does not name {nct.upper()}", where=str(path), remedy="leave out --nct")
    return record


def _no_record(path: Path, lines: list[str]) -> ContentError:
    start = " ".join(lines[0].split())[:60]
    return ContentError(
        f"is no registry record: it is neither JSON nor the registry's CSV, and no line of it lists interventions "
        f"(“DRUG: name|…”); it begins “{start}”",
        where=f"{path}:1",
        remedy="give the pipe-separated text, the JSON of the API v2 (/api/v2/studies/NCT…), or the CSV download",
    )


def _outcome_lines(lines: list[str], at: int) -> tuple[str, int]:
    """The block of outcomes that begins at a line, and the line after it: bulleted lists may stand inside a cell."""
    if at >= len(lines):
        return "", at
    end = at + 1
    while end < len(lines):
        ahead = end
        while ahead < len(lines) and not lines[ahead].strip():
            ahead += 1
        if ahead == len(lines) or not _BULLET.match(lines[ahead]):
            break
        end = ahead + 1
    return "\n".join(lines[at:end]), end


def _with_eligibility(record: Record) -> Record:
    """The record with its eligibility list taken out of the description, or the summary, that it stands in."""
    for field in ("description", "summary"):
        text: Text | None = getattr(record, field)
        at = first_header(text.value) if text else None
        if text is None or at is None or text.place.line is None:
            continue
        before = text.value[:at]
        place = replace(text.place, field="eligibility", line=text.place.line + before.count("\n"))
        rest = replace(text, value=before.rstrip()) if before.strip() else None
        eligibility = Text(text.value[at:], place)
        if field == "description":
            return replace(record, description=rest, eligibility=eligibility)
        return replace(record, summary=rest, eligibility=eligibility)
    return record


def _prose(text: str, place: Place) -> Text | None:
    return Text(unescaped(text.rstrip()), place) if text.strip() else None


def _cells(line: str, place: Place) -> Iterable[Text]:
    for cell in line.split("|"):
        if cell.strip():
            yield Text(unescaped(cell.strip()), place)


def _interventions(line: str, place: Place) -> Iterable[Intervention]:
    for cell in _cells(line, place):
        found = _INTERVENTION.fullmatch(cell.value)
        yield Intervention(found[1] if found else None, found[2].strip() if found else cell.value, place)


def _outcomes(kind: str, block: str, place: Place) -> Iterable[Outcome]:
    line = place.line
    for cell in block.split("|"):
        if cell.strip():
            yield _outcome(kind, unescaped(cell.strip()), replace(place, line=line))
        if line is not None:
            line += cell.count("\n")


def _outcome(kind: str, cell: str, place: Place) -> Outcome:
    """A cell “measure, description, time frame”; commas may stand in each of the three."""
    parts = re.split(r",\s", cell)
    frame_at = len(parts)
    if len(parts) > 1 and _TIME_FRAME.match(parts[-1].lstrip()):
        frame_at -= 1
        while frame_at > 1 and _TIME_FRAME_GOES_ON.match(parts[frame_at - 1].lstrip()):
            frame_at -= 1
    # The commas stand again as they were written.
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + len(part) + 2)
    measure = cell[: ends[1] - 2].strip()
    description = cell[ends[1] : ends[frame_at] - 2].strip() if frame_at > 1 else ""
    frame = _OF_TIME.sub("", cell[ends[frame_at] :].strip(), count=1) if frame_at < len(parts) else ""
    return Outcome(kind, measure, description or None, frame or None, cell, place)


# ------------------------------------------------------------------------------------------------------------ the JSON


def _of_json(path: Path, content: bytes, text: str, nct: str | None) -> Record:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        said = getattr(error, "msg", "nested too deep")
        cut = getattr(error, "pos", 0) >= len(text.rstrip()) - 1 or said.startswith("Unterminated string")
        raise ContentError(
            "is cut off in the middle of its JSON" if cut else f"is no JSON: {said}",
            where=f"{path}:{line}",
            remedy="download the record again",
        ) from error
    studies = found.get("studies", [found]) if isinstance(found, dict) else found
    if not isinstance(studies, list) or not all(_is_study(study) for study in studies) or not studies:
        raise ContentError(
            "is no study of the API v2: it has no protocolSection with an identificationModule",
            where=f"{path}:1",
            remedy="download it from https://clinicaltrials.gov/api/v2/studies/NCT…",
        )
    names = [str(_module(study, "identification").get("nctId", "?")) for study in studies]
    study = studies[_chosen(path, names, nct)]
    if len(studies) > 1:
        content = (json.dumps(study, ensure_ascii=False, indent=2) + "\n").encode()
        text = content.decode()
    return _of_study(path, content, text, study)


def _is_study(study: Any) -> bool:
    section = study.get("protocolSection") if isinstance(study, dict) else None
    return isinstance(section, dict) and isinstance(section.get("identificationModule"), dict)


def _chosen(path: Path, names: list[str], nct: str | None) -> int:
    """Which of several studies is meant."""
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if nct is not None:
        for index, name in enumerate(names):
            if name.upper() == nct.upper():
                return index
        raise ContentError(f"does not hold {nct.upper()}", where=str(path), remedy=f"it holds {listed}")
    if len(names) > 1:
        raise ContentError(
            f"holds {len(names)} studies: {listed}", where=str(path), remedy=f"choose one, such as --nct {names[0]}"
        )
    return 0


def _module(study: Json, name: str) -> Json:
    module = study["protocolSection"].get(f"{name}Module", {})
    return module if isinstance(module, dict) else {}


class _Study:
    """One study of the API v2: its fields as texts with their places."""

    def __init__(self, path: Path, text: str, study: Json) -> None:
        self.path, self.lines, self.study = path, text.split("\n"), study

    def place(self, module: str, field: str) -> Place:
        line = next((number for number, line in enumerate(self.lines, 1) if f'"{field}"' in line), None)
        minified = len(self.lines) <= 2
        return Place(self.path.name, f"protocolSection.{module}Module.{field}", None if minified else line)

    def text(self, module: str, field: str) -> Text | None:
        value = _string(_module(self.study, module).get(field))
        return Text(unescaped(value), self.place(module, field)) if value else None

    def texts(self, module: str, field: str) -> tuple[Text, ...]:
        place = self.place(module, field)
        return tuple(Text(unescaped(value), place) for value in _strings(_module(self.study, module).get(field)))

    def objects(self, module: str, field: str) -> list[Json]:
        found = _module(self.study, module).get(field)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _of_study(path: Path, content: bytes, text: str, study: Json) -> Record:
    of = _Study(path, text, study)
    identification, status = _module(study, "identification"), _module(study, "status")
    design, eligibility = _module(study, "design"), _module(study, "eligibility")
    sponsors = _module(study, "sponsorCollaborators")
    title = of.text("identification", "briefTitle") or of.text("identification", "officialTitle")
    if title is None:
        raise ContentError(
            "has no title: protocolSection.identificationModule.briefTitle", where=str(path), remedy="download it again"
        )
    count = _object(design.get("enrollmentInfo")).get("count")
    return Record(
        form="json",
        name=path.stem,
        original=content,
        title=title,
        official_title=of.text("identification", "officialTitle"),
        acronym=_string(identification.get("acronym")),
        nct=_string(identification.get("nctId")),
        other_ids=tuple(
            one
            for one in (
                _string(_object(identification.get("orgStudyIdInfo")).get("id")),
                *(_string(one.get("id")) for one in of.objects("identification", "secondaryIdInfos")),
            )
            if one
        ),
        status=_string(status.get("overallStatus")),
        study_type=_string(design.get("studyType")),
        phases=tuple(_strings(design.get("phases"))),
        summary=of.text("description", "briefSummary"),
        description=of.text("description", "detailedDescription"),
        conditions=of.texts("conditions", "conditions"),
        keywords=of.texts("conditions", "keywords"),
        interventions=tuple(_json_intervention(of, one) for one in of.objects("armsInterventions", "interventions")),
        arms=tuple(_json_arm(of, one) for one in of.objects("armsInterventions", "armGroups")),
        outcomes=tuple(
            _json_outcome(of, kind, f"{kind}Outcomes", one)
            for kind in ("primary", "secondary", "other")
            for one in of.objects("outcomes", f"{kind}Outcomes")
        ),
        sponsor=_string(_object(sponsors.get("leadSponsor")).get("name")),
        collaborators=tuple(
            name for one in of.objects("sponsorCollaborators", "collaborators") if (name := _string(one.get("name")))
        ),
        sites=tuple(_json_site(one) for one in of.objects("contactsLocations", "locations")),
        sex=_string(eligibility.get("sex")),
        minimum_age=_string(eligibility.get("minimumAge")),
        maximum_age=_string(eligibility.get("maximumAge")),
        enrollment=count if isinstance(count, int) else None,
        start=_string(_object(status.get("startDateStruct")).get("date")),
        completion=_string(_object(status.get("completionDateStruct")).get("date")),
        eligibility=of.text("eligibility", "eligibilityCriteria"),
    )


def _json_intervention(of: _Study, one: Json) -> Intervention:
    return Intervention(
        _string(one.get("type")),
        _string(one.get("name")) or "?",
        of.place("armsInterventions", "interventions"),
        _unescaped(one.get("description")),
        tuple(_strings(one.get("otherNames"))),
    )


def _json_arm(of: _Study, one: Json) -> Arm:
    return Arm(
        _string(one.get("label")) or "?",
        _string(one.get("type")),
        _unescaped(one.get("description")),
        tuple(_strings(one.get("interventionNames"))),
        of.place("armsInterventions", "armGroups"),
    )


def _json_outcome(of: _Study, kind: str, field: str, one: Json) -> Outcome:
    measure, description = _unescaped(one.get("measure")) or "?", _unescaped(one.get("description"))
    frame = _unescaped(one.get("timeFrame"))
    verbatim = ", ".join(part for part in (measure, description, frame) if part)
    return Outcome(kind, measure, description, frame, verbatim, of.place("outcomes", field))


def _json_site(one: Json) -> Site:
    facility, city, state, code, country = (
        _string(one.get(name)) for name in ("facility", "city", "state", "zip", "country")
    )
    verbatim = ", ".join(part for part in (facility, city, state, code, country) if part)
    return Site(facility, city, state, code, country, verbatim)


def _string(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _unescaped(value: Any) -> str | None:
    text = _string(value)
    return unescaped(text) if text else None


def _strings(value: Any) -> list[str]:
    return [text for one in value if (text := _string(one))] if isinstance(value, list) else []


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


# ------------------------------------------------------------------------------------------------------------- the CSV

#: The columns that a download needs to be a record; the rest may be left out.
_NEEDED = ("NCT Number", "Study Title")


def _header(text: str) -> list[str] | None:
    """The columns of a CSV download; None for what is none."""
    first = text.lstrip().partition("\n")[0]
    if "NCT Number" not in first:
        return None
    return next(csv.reader([first]), None)


def _of_csv(path: Path, text: str, nct: str | None) -> Record:
    try:
        rows = list(csv.DictReader(io.StringIO(text.lstrip(), newline=""), strict=True))
    except csv.Error as error:
        line = text.count("\n") + 1
        raise ContentError(
            f"is cut off or no CSV: {error}", where=f"{path}:{line}", remedy="download it again"
        ) from error
    columns = _header(text) or []
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
    number = _chosen(path, [row["NCT Number"] for row in rows], nct)
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
        conditions=tuple(_cells(row.get("Conditions") or "", place("Conditions"))),
        interventions=tuple(_interventions(row.get("Interventions") or "", place("Interventions"))),
        outcomes=tuple(
            outcome
            for kind in ("primary", "secondary", "other")
            for outcome in _outcomes(
                kind, row.get(f"{kind.title()} Outcome Measures") or "", place(f"{kind.title()} Outcome Measures")
            )
        ),
        sponsor=value("Sponsor"),
        collaborators=tuple(part.strip() for part in (value("Collaborators") or "").split("|") if part.strip()),
        sites=tuple(_csv_site(part) for part in (value("Locations") or "").split("|") if part.strip()),
        sex=_code(value("Sex")),
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
