"""The registry's pipe-separated text -> a Record: lines without labels, in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cds.authoring.criteria_text import first_header
from cds.authoring.registry_record import Intervention, Outcome, Place, Record, Text, unescaped
from cds.errors import ContentError

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


def read_text(path: Path, content: bytes, text: str, nct: str | None) -> Record:
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
    if not lines[0].strip():
        raise ContentError("the first line, the title, is empty", where=f"{path}:1", remedy="download the record again")
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
        conditions=tuple(cells(lines[at - 1], Place(name, "conditions", at))),
        interventions=tuple(interventions(lines[at], Place(name, "interventions", at + 1))),
        outcomes=(
            *outcomes("primary", primary, Place(name, "primary outcomes", at + 2)),
            *outcomes("secondary", secondary, Place(name, "secondary outcomes", then + 1)),
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


def cells(line: str, place: Place) -> Iterable[Text]:
    for cell in line.split("|"):
        if cell.strip():
            yield Text(unescaped(cell.strip()), place)


def interventions(line: str, place: Place) -> Iterable[Intervention]:
    for cell in cells(line, place):
        found = _INTERVENTION.fullmatch(cell.value)
        yield Intervention(found[1] if found else None, found[2].strip() if found else cell.value, place)


def outcomes(kind: str, block: str, place: Place) -> Iterable[Outcome]:
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
    return Outcome(kind, measure or cell, description or None, frame or None, cell, place)
