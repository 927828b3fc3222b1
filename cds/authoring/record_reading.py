"""A file -> a Record: the pipe-separated text, ClinicalTrials.gov API v2 JSON, or its CSV download."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cds.authoring.record_csv import header, read_csv
from cds.authoring.record_json import read_json
from cds.authoring.record_text import read_text
from cds.authoring.registry_record import Record
from cds.errors import ContentError

#: A larger file is no record: the registry's longest texts end at 32,000 characters, a page holds 1,000 studies.
LARGEST: Final = 20_000_000
#: No text of a record is longer: what is, is no record, and would take minutes to read.
LONGEST: Final = 100_000


def read_record(path: Path, nct: str | None = None) -> Record:
    """The registry record in a file; its form is told from its content.

    `nct` chooses one study of a page or a download that holds several. Raises ContentError, with file and line, for
    what is no record, is cut off, is too large, or is not UTF-8, and where a choice is needed.
    """
    record = _read(path, nct)
    for one in (*record.texts, record.eligibility):
        if one is not None and len(one.value) > LONGEST:
            raise ContentError(
                f"the {one.place.field} has {len(one.value):,} characters; a record's has at most {LONGEST:,}",
                where=str(path) if one.place.line is None else f"{path}:{one.place.line}",
                remedy="give one record, as the registry has it",
            )
    return record


def _read(path: Path, nct: str | None) -> Record:
    content, text = _decoded(path)
    if text.lstrip()[:1] in ("{", "["):
        return read_json(path, content, text, nct)
    if header(text) is not None:
        return read_csv(path, text, nct)
    return read_text(path, content, text, nct)


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
