"""A Record -> the folder of a draft trial, all of it or nothing.

How includes and value sets resolve: as in plandefinitions/, by the folder ``shared/`` beside the trial's. What the
draft needs of it and is not there (the libraries Screening and CommonCriteria, and the value sets that they name) is
copied there, and nothing that is there is touched. So a trial translates and loads wherever it is made, and can be
moved into plandefinitions/ as it is.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from cds.authoring.criteria_text import CriterionText
from cds.authoring.draft_cql import eligibility_cql
from cds.authoring.draft_plan import SHARED, STARTER_CASE, library, plan_definition, starter_case_expected
from cds.authoring.draft_study import research_study
from cds.authoring.draft_trial import draft_trial
from cds.authoring.drafting import Draft
from cds.authoring.record_findings import RecordFinding
from cds.authoring.registry_record import Record
from cds.errors import ContentError
from cds.trials.compiled import elm_path, sources

Json = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_ATC: Final = "http://www.whocc.no/atc"


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: the folder, its criteria with their drafts, and what looks wrong in the record."""

    folder: Path
    criteria: tuple[tuple[CriterionText, Draft], ...]
    findings: tuple[RecordFinding, ...]
    copied: tuple[str, ...]


def make_trial(record: Record, folder: Path, content: Path, today: date) -> Made:
    """Writes the trial folder of a record, all of it or nothing.

    `content` is the folder with ``shared/`` (plandefinitions/), `today` the date of what is written. Raises
    ContentError where `folder` holds something, its name is no id of FHIR, or the shared libraries are not there.
    """
    _require_free(folder)
    trial = draft_trial(record, folder.resolve().name, today, known_drugs(content))
    _require_sibling_free(folder, trial.library_name)
    shared = _missing_shared(content, folder.resolve().parent)
    texts = {
        "research-study.json": _json(research_study(trial)),
        "plan-definition.json": _json(plan_definition(trial)),
        "library.json": _json(library(trial)),
        "eligibility.cql": eligibility_cql(trial),
        "cases/nothing-on-record.json": _json(STARTER_CASE),
        "cases/nothing-on-record.expected.json": _json(starter_case_expected(trial)),
    }
    _write(folder, {**{name: text.encode() for name, text in texts.items()}, **trial.files}, shared)
    return Made(folder, trial.drafts, trial.findings, tuple(shared))


def _require_free(folder: Path) -> None:
    if not _ID.fullmatch(folder.resolve().name):
        raise ContentError(
            "its name is the trial's id, and an id has letters, digits, hyphens and dots alone (64 at most)",
            where=str(folder),
            remedy="choose another name, such as my-drug-lung-cancer",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ContentError("exists and is not empty", where=str(folder), remedy="name a new folder, or empty this one")


def _require_sibling_free(folder: Path, library: str) -> None:
    """Two trials whose ids differ in their punctuation alone would have libraries of one name."""
    for sibling in sorted(folder.resolve().parent.glob("*/eligibility.cql")):
        if library in sources([sibling]):
            raise ContentError(
                f"its library would be called {library}, as that of {sibling.parent.name} is",
                where=str(folder),
                remedy="choose another name",
            )


def _missing_shared(content: Path, beside: Path) -> dict[str, bytes]:
    """What the folder ``shared/`` beside a trial lacks of the libraries and value sets that drafts name, by path in it.

    Value sets may stand in any trial's folder there.
    """
    files: dict[str, bytes] = {}
    wanted: set[str] = set()
    for name, id_ in SHARED.items():
        cql = beside / "shared" / f"{name}.cql"
        if not cql.is_file():
            cql = content / "shared" / f"{name}.cql"
            if not cql.is_file():
                raise ContentError(
                    "is not there: drafts are made of it",
                    where=str(cql),
                    remedy="set CDS_PLANDEFINITIONS to the folder of trials that has shared/",
                )
            for path in (cql, elm_path(cql), cql.with_name(f"{id_}.library.json")):
                if path.is_file():
                    files[path.name] = path.read_bytes()
        wanted |= set(re.findall(r"^valueset .*: '([^']+)'", cql.read_text(encoding="utf-8"), re.MULTILINE))
    wanted -= {url for path in beside.glob("*/valuesets/*.json") if (url := _url(path))}
    for path in sorted(content.glob("*/valuesets/*.json")):
        if (url := _url(path)) in wanted:
            files[f"valuesets/{path.name}"] = path.read_bytes()
            wanted.discard(url or "")
    if wanted:
        remedy = "set CDS_PLANDEFINITIONS to the folder of trials that has them"
        raise ContentError(f"no value set {', '.join(sorted(wanted))}", where=str(content), remedy=remedy)
    return files


def known_drugs(content: Path) -> frozenset[str]:
    """The names of drugs, lower case, that the value sets of the trials hold by ATC: what a misspelt one may mean."""
    names: set[str] = set()
    for path in content.glob("*/valuesets/*.json"):
        for entry in _entries(path):
            if entry.get("system") == _ATC:
                names.add(str(entry.get("display", "")).lower())
    return frozenset(names)


def _entries(path: Path) -> list[Json]:
    try:
        found = json.loads(path.read_bytes()).get("expansion", {}).get("contains", [])
    except (ValueError, AttributeError):
        return []
    return [one for one in found if isinstance(one, dict)]


def _url(path: Path) -> str | None:
    try:
        url = json.loads(path.read_bytes()).get("url")
    except (ValueError, AttributeError):
        return None
    return url if isinstance(url, str) else None


def _write(folder: Path, files: Mapping[str, bytes], shared: Mapping[str, bytes]) -> None:
    """Writes all of a folder, or nothing: it is made beside its place and moved there. What is shared goes first."""
    target = folder.resolve()
    if not target.parent.is_dir():
        raise ContentError(
            "there is no such folder", where=str(target.parent), remedy=f"make it: mkdir -p {target.parent}"
        )
    put: list[Path] = []
    made = None
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        for name, content in files.items():
            _put(made / name, content)
        made.chmod(0o755)
        for name, content in shared.items():
            place = target.parent / "shared" / name
            if not place.exists():
                put.append(place)
                _put(place, content)
        if target.exists():
            target.rmdir()
        made.replace(target)
    except OSError as error:
        for place in put:
            place.unlink(missing_ok=True)
        raise ContentError(f"cannot be written: {error.strerror}", where=str(error.filename or folder)) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _json(resource: Json) -> str:
    return json.dumps(resource, ensure_ascii=False, indent=2) + "\n"
