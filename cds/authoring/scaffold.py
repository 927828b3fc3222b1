"""A Record -> the folder of a draft trial: what the record says, as FHIR and CQL, and nothing invented.

How includes and value sets resolve: as in plandefinitions/, by the folder ``shared/`` beside the trial's. What the
draft needs of it and is not there (the libraries Screening and CommonCriteria, and the value sets that they name) is
copied there, and nothing that is there is touched. So a trial translates and loads wherever it is made, and can be
moved into plandefinitions/ as it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from cds.authoring.criteria_text import (
    EXCLUSION,
    INCLUSION,
    CriteriaText,
    CriterionText,
    Remark,
    split_criteria,
)
from cds.authoring.drafting import Draft, draft
from cds.authoring.record_findings import RecordFinding, find_disease, names_disease, record_findings
from cds.authoring.registry_record import Outcome, Record
from cds.errors import ContentError
from cds.trials.catalog import CANONICAL_BASE, EXTENSION
from cds.trials.compiled import elm_path, includes, sources

Json = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_OBJECTIVE = "http://terminology.hl7.org/CodeSystem/research-study-objective-type"
_OUTCOME = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy.outcomeMeasure"
_SUMMARY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy.descriptionSummary"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

#: The registry's recruitment statuses as R4 has them (http://hl7.org/fhir/R4/valueset-research-study-status.html).
_STATUS: Final = {
    "RECRUITING": "active",
    "ENROLLING_BY_INVITATION": "active",
    "NOT_YET_RECRUITING": "approved",
    "ACTIVE_NOT_RECRUITING": "closed-to-accrual",
    "COMPLETED": "completed",
    "SUSPENDED": "temporarily-closed-to-accrual",
    "TERMINATED": "administratively-completed",
    "WITHDRAWN": "withdrawn",
}
#: Phases as in http://terminology.hl7.org/CodeSystem/research-study-phase.
_PHASES: Final = {
    ("EARLY_PHASE1",): ("early-phase-1", "Early Phase 1"),
    ("PHASE1",): ("phase-1", "Phase 1"),
    ("PHASE1", "PHASE2"): ("phase-1-phase-2", "Phase 1/Phase 2"),
    ("PHASE2",): ("phase-2", "Phase 2"),
    ("PHASE2", "PHASE3"): ("phase-2-phase-3", "Phase 2/Phase 3"),
    ("PHASE3",): ("phase-3", "Phase 3"),
    ("PHASE4",): ("phase-4", "Phase 4"),
    ("NA",): ("n-a", "N/A"),
}
_PHASE_WORDS = re.compile(r"\bphase\s+(I{1,3}V?|IV|[1-4])(?:\s*[/-]\s*(I{1,3}V?|IV|[1-4]))?[ab]?\b", re.IGNORECASE)
_ROMAN: Final = {"I": "1", "II": "2", "III": "3", "IV": "4"}
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_ATC: Final = "http://www.whocc.no/atc"
_LIBRARIES: Final = ("Screening", "CommonCriteria")


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
    criteria = trial_criteria(record)
    findings = record_findings(record, criteria, known_drugs(content))
    writer = _Writer(record, folder.resolve().name, criteria, findings, today)
    _require_sibling_free(folder, writer.library_name)
    shared = _missing_shared(content, folder.resolve().parent)
    texts = {
        "research-study.json": _json(writer.research_study()),
        "plan-definition.json": _json(writer.plan_definition()),
        "library.json": _json(writer.library()),
        "eligibility.cql": writer.cql(),
        "cases/nothing-on-record.json": _json(_STARTER_CASE),
        "cases/nothing-on-record.expected.json": _json(writer.expected()),
    }
    files = {name: text.encode() for name, text in texts.items()}
    _write(folder, {**files, **record_files(record)}, shared)
    return Made(folder, writer.drafts, findings, tuple(shared))


def plan_definition(record: Record, trial: str, today: date) -> Json:
    """The PlanDefinition that the folder `trial` of a record gets."""
    criteria = trial_criteria(record)
    return _Writer(record, trial, criteria, record_findings(record, criteria), today).plan_definition()


def record_files(record: Record) -> dict[str, bytes]:
    """The record as it is kept: ``record.txt``, and beside it the original where that is JSON or CSV."""
    if record.form == "text":
        return {"record.txt": record.original}
    return {"record.txt": record_text(record).encode(), f"record.{record.form}": record.original}


def record_text(record: Record) -> str:
    """The record in the registry's pipe-separated form, for people and for checks of verbatim texts."""

    def cells(outcomes: Iterable[Outcome]) -> str:
        return "|".join(one.verbatim for one in outcomes)

    lines = [
        record.title.value,
        record.summary.value if record.summary else "",
        "|".join(one.value for one in record.conditions),
        "|".join(f"{one.type}: {one.name}" if one.type else one.name for one in record.interventions),
        cells(one for one in record.outcomes if one.kind == "primary"),
        cells(one for one in record.outcomes if one.kind != "primary"),
        record.description.value if record.description else "",
    ]
    if fields := "\n".join(text for _, text in _registry_fields(record)):
        lines.append(f"\n{fields}")
    if record.eligibility:
        lines.append(f"\n{record.eligibility.value}")
    return "\n".join(lines) + "\n"


def trial_criteria(record: Record) -> CriteriaText:
    """The criteria of a record: its list; what it has no list for (disease, age, sex) from its fields.

    A record without a list gets a criterion ``C1`` for its disease. The registry's own fields for age and sex become
    criteria ``R1``, ``R2`` where the list does not speak of them.
    """
    split = split_criteria(record.eligibility.value) if record.eligibility else CriteriaText((), (), ())
    more: list[CriterionText] = []
    if not split.criteria:
        text = find_disease(record)
        more.append(CriterionText("C1", INCLUSION, None, "", text, 1, text))
    inclusions = " ".join(one.text for one in split.of(INCLUSION))
    number = 0
    for about, text in _registry_fields(record):
        if about.search(inclusions):
            continue
        number += 1
        more.append(CriterionText(f"R{number}", INCLUSION, None, "", text, 1, text))
    return CriteriaText(split.headers, (*split.of(INCLUSION), *more, *split.of(EXCLUSION)), split.oddities)


_ABOUT_AGE = re.compile(r"\b(?:aged?|years? old|years? of age|adults?|years and older)\b", re.IGNORECASE)
_ABOUT_SEX = re.compile(r"\b(?:fe)?males?\b|\b(?:wo)?men\b", re.IGNORECASE)


def _registry_fields(record: Record) -> Iterator[tuple[re.Pattern[str], str]]:
    """The registry's own fields for age and sex as texts, each with what a criterion about the same would say."""
    ages = []
    if record.minimum_age:
        ages.append(f"Minimum age: {record.minimum_age}")
    if record.maximum_age:
        ages.append(f"Maximum age: {record.maximum_age}")
    if ages:
        yield _ABOUT_AGE, "; ".join(ages)
    if record.sex in ("FEMALE", "MALE"):
        yield _ABOUT_SEX, f"Sex: {record.sex.title()}"


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


# ---------------------------------------------------------------------------------------------- libraries, value sets


def _missing_shared(content: Path, beside: Path) -> dict[str, bytes]:
    """What the folder ``shared/`` beside a trial lacks of the libraries and value sets that drafts name, by path in it.

    Value sets may stand in any trial's folder there.
    """
    files: dict[str, bytes] = {}
    wanted: set[str] = set()
    for name in _LIBRARIES:
        cql = beside / "shared" / f"{name}.cql"
        if not cql.is_file():
            cql = content / "shared" / f"{name}.cql"
            if not cql.is_file():
                raise ContentError(
                    "is not there: drafts are made of it",
                    where=str(cql),
                    remedy="set CDS_PLANDEFINITIONS to the folder of trials that has shared/",
                )
            for path in (cql, elm_path(cql), cql.with_name(f"{_kebab(name)}.library.json")):
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


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


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


# --------------------------------------------------------------------------------------------------- the resources


class _Writer:
    """The files of one trial, as values."""

    def __init__(
        self,
        record: Record,
        trial: str,
        criteria: CriteriaText,
        findings: tuple[RecordFinding, ...],
        today: date,
    ) -> None:
        self.record, self.trial, self.criteria, self.findings = record, trial, criteria, findings
        self.today = today.isoformat()
        self.library_name = _pascal(trial)
        self.incomplete = record.eligibility is None or not split_has_list(criteria)
        self.drafts = tuple((one, self._draft(one)) for one in criteria.criteria)
        self.disease = self._disease()
        self.files = record_files(record)

    def _draft(self, one: CriterionText) -> Draft:
        made = draft(one)
        if one.id == "C1":
            return Draft(
                made.title,
                None,
                "computable",
                ("unknown",),
                "To be written: whether the patient has this disease; null where the record does not say.",
            )
        return made

    def _disease(self) -> str | None:
        """The criterion that says whether the trial concerns the patient: the first inclusion about its disease."""
        words = disease_words(self.record)
        best: tuple[int, str | None] = (0, None)
        for one in self.criteria.of(INCLUSION):
            if one.id == "C1":
                return one.id
            said = set(re.findall(r"[a-z]{4,}", one.text.lower()))
            if not words & said or not _DIAGNOSIS.search(one.text):
                continue
            score = len(words & said) + (3 if _PROVEN.search(one.text) else 0)
            if score > best[0]:
                best = (score, one.id)
        return best[1]

    # ------------------------------------------------------------------------------------------------ ResearchStudy

    def research_study(self) -> Json:
        record = self.record
        study: Json = {"resourceType": "ResearchStudy", "id": self.trial}
        extensions = [{"url": _SUMMARY, "valueMarkdown": record.summary.value}] if record.summary else []
        extensions += [_outcome_extension(one) for one in record.outcomes]
        _put_if(study, "extension", extensions)
        study["identifier"] = self._identifiers()
        study["title"] = record.title.value
        study["protocol"] = [{"reference": f"PlanDefinition/{self.trial}"}]
        status = _STATUS.get(record.status or "")
        if status:
            study["status"] = status
        else:
            study["_status"] = {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
        _put_if(study, "phase", self._phase())
        _put_if(study, "category", [{"text": record.study_type}] if record.study_type else [])
        _put_if(study, "focus", [{"text": one.name} for one in record.interventions])
        conditions = [one for one in record.conditions if names_disease(one.value)]
        _put_if(study, "condition", [{"text": one.value} for one in conditions] or self._derived_condition())
        study["relatedArtifact"] = [self._artifact("documentation")]
        keywords = [one for one in record.conditions if one not in conditions] + list(record.keywords)
        _put_if(study, "keyword", [{"text": one.value} for one in keywords])
        _put_if(study, "description", self._description())
        period = {
            name: value
            for name, value in (("start", record.start), ("end", record.completion))
            if value and _DATE.fullmatch(value)
        }
        _put_if(study, "period", period)
        if record.sponsor:
            study["sponsor"] = {"display": record.sponsor}
        _put_if(study, "site", [{"display": one.verbatim} for one in record.sites])
        study["note"] = [{"text": text} for text in self._notes()]
        _put_if(study, "arm", [self._arm(one) for one in record.arms])
        _put_if(study, "objective", [{"name": one.measure, "type": _outcome_type(one.kind)} for one in record.outcomes])
        return study

    def _description(self) -> str:
        """The detailed description; in the registry's text form the list of criteria is a part of it."""
        parts = [self.record.description]
        if self.record.form == "text":
            parts.append(self.record.eligibility)
        return "\n\n".join(part.value for part in parts if part)

    def _identifiers(self) -> list[Json]:
        record = self.record
        found: list[Json] = []
        if record.nct:
            found.append({"system": "https://clinicaltrials.gov", "value": record.nct})
        found += [{"type": {"text": "Other study number"}, "value": one} for one in record.other_ids]
        if not found:
            found.append(
                {
                    "type": {"text": "Local record number; the record holds no registry number"},
                    "system": f"{CANONICAL_BASE}/registry-record",
                    "value": record.name,
                }
            )
        return found

    def _phase(self) -> Json | None:
        if self.record.phases:
            text = ", ".join(self.record.phases)
            known = _PHASES.get(tuple(self.record.phases))
        else:
            words = {found[0]: found for one in self.record.texts for found in _PHASE_WORDS.finditer(one.value)}
            if len({word.lower() for word in words}) != 1:
                return None
            text, found = next(iter(words.items()))
            numbers = [_ROMAN.get(part.upper(), part) for part in found.groups() if part]
            known = _PHASES.get(tuple(f"PHASE{number}" for number in numbers))
        if known is None:
            return {"text": text}
        code, display = known
        system = "http://terminology.hl7.org/CodeSystem/research-study-phase"
        return {"coding": [{"system": system, "code": code, "display": display}], "text": text}

    def _derived_condition(self) -> list[Json]:
        """The disease as the title or the summary names it, where no condition does."""
        text = find_disease(self.record)
        return [{"text": text}] if names_disease(text) else []

    def _arm(self, arm: Any) -> Json:
        found: Json = {"name": arm.label}
        if arm.type:
            found["type"] = {"text": arm.type}
        parts = [part for part in (arm.description, ", ".join(arm.interventions)) if part]
        if parts:
            found["description"] = "\n\n".join(parts)
        return found

    def _artifact(self, kind: str) -> Json:
        name = next(name for name in reversed(self.files))
        content = self.files[name]
        types = {"txt": "text/plain; charset=utf-8", "json": "application/json", "csv": "text/csv; charset=utf-8"}
        return {
            "type": kind,
            "label": "Registry record",
            "display": "The registry record as received"
            + (", byte for byte" if content == self.record.original else ""),
            "citation": f"{self.record.nct or f'Local record {self.record.name}'}; "
            f"SHA-256 {hashlib.sha256(content).hexdigest()}",
            "document": {
                "contentType": types[name.rpartition(".")[2]],
                "language": "en",
                "url": name,
                "size": len(content),
                "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
                "title": name,
            },
        }

    def _notes(self) -> list[str]:
        record = self.record
        notes = ["Made from the registry record; a draft that nobody has reviewed."]
        if record.official_title:
            notes.append(f"Official title: {record.official_title.value}")
        if record.status:
            notes.append(f"Recruitment status in the registry: {record.status}")
        if record.collaborators:
            notes.append(f"Collaborators: {'; '.join(record.collaborators)}")
        if record.enrollment is not None:
            notes.append(f"Enrolment in the registry: {record.enrollment}")
        return notes + [str(finding) for finding in self.findings]

    # ----------------------------------------------------------------------------------------------- PlanDefinition

    def plan_definition(self) -> Json:
        extensions: list[Json] = [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/cqf-cdsHooksEndpoint",
                "valueUri": "/cds-services/trial-match",
            }
        ]
        if self.incomplete:
            extensions.append({"url": EXTENSION + "record-incomplete", "valueBoolean": True})
        extensions += [
            {"url": EXTENSION + "erratum", "valueString": finding.text}
            for finding in self.findings
            if finding.about is None and finding.shown
        ]
        groups = [self._group(kind) for kind in (INCLUSION, EXCLUSION) if self.criteria.of(kind)]
        plan: Json = {
            "resourceType": "PlanDefinition",
            "id": self.trial,
            "extension": extensions,
            "url": f"{CANONICAL_BASE}/PlanDefinition/{self.trial}",
            "version": "0.1.0",
            "name": self.library_name,
            "title": self.record.title.value,
            "type": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/plan-definition-type",
                        "code": "clinical-protocol",
                        "display": "Clinical Protocol",
                    }
                ]
            },
            "status": "draft",
            "date": self.today,
            "description": self._counted(),
            "usage": "The planned first dose is an input (parameter First Dose); it is in no chart. Nothing here "
            "replaces the protocol or the study team.",
            "relatedArtifact": [self._artifact("derived-from")],
            "library": [f"{CANONICAL_BASE}/Library/{self.trial}"],
        }
        plan["action"] = [
            {
                "id": "eligibility",
                "title": "Eligibility",
                "description": "Each criterion names a Boolean definition of the library. An inclusion that is true "
                "is met; an exclusion that is true keeps the patient out; null is unknown, never false. Windows end "
                "at the planned first dose (parameter First Dose).",
                "trigger": [{"type": "named-event", "name": "patient-view"}],
                "groupingBehavior": "logical-group",
                "action": groups,
            }
        ]
        return plan

    def _counted(self) -> str:
        inclusion, exclusion = len(self.criteria.of(INCLUSION)), len(self.criteria.of(EXCLUSION))
        drafted = sum(1 for _, made in self.drafts if made.expression)
        text = f"A draft made from the registry record: {inclusion} inclusion and {exclusion} exclusion criteria, "
        text += f"{drafted} of them drafted."
        if self.incomplete:
            text += " The record came without its eligibility list: ask the site for it."
        return text

    def _group(self, kind: str) -> Json:
        group: Json = {"id": kind, "title": f"{kind.title()} criteria"}
        if kind == EXCLUSION:
            group["description"] = "True: the patient is excluded."
        if header := self.criteria.header(kind):
            group["textEquivalent"] = header.text
        group["groupingBehavior"] = "logical-group"
        group["action"] = [self._action(one, made) for one, made in self.drafts if one.kind == kind]
        return group

    def _action(self, one: CriterionText, made: Draft) -> Json:
        extensions: list[Json] = [{"url": EXTENSION + "assessment", "valueCode": made.assessment}]
        extensions += [{"url": EXTENSION + "missing-data-policy", "valueCode": policy} for policy in made.policies]
        if one.id == self.disease:
            extensions.append({"url": EXTENSION + "disease-criterion", "valueBoolean": True})
        extensions += [{"url": EXTENSION + "verified-by", "valueString": name} for name, _ in made.verified_by]
        extensions += [
            {"url": EXTENSION + "erratum", "valueString": finding.text}
            for finding in self.findings
            if finding.about == one.id and finding.shown
        ]
        action: Json = {
            "id": one.id,
            "extension": extensions,
            "prefix": one.number or one.id,
            "title": made.title,
            "description": self._where(one),
            "textEquivalent": one.text,
        }
        documents = [_documentation(remark, one) for remark in (*one.headings, *one.notes)]
        _put_if(action, "documentation", documents)
        action["condition"] = [
            {"kind": "applicability", "expression": {"language": "text/cql-identifier", "expression": one.id}}
        ]
        return action

    def _where(self, one: CriterionText) -> str:
        """Where the criterion stands in the record, with its number as it is written there."""
        if one.id[0] in "CR":
            return "From the fields of the record; its list does not say it."
        written = f", as “{one.marker}”" if one.marker else ""
        return f"Line {one.line} of the record's eligibility list{written}."

    # ------------------------------------------------------------------------------------------------------ Library

    def library(self) -> Json:
        dependencies = [
            ("FHIR model information", "http://fhir.org/guides/cqf/common/Library/FHIR-ModelInfo|4.0.1"),
            ("FHIRHelpers", "http://fhir.org/guides/cqf/common/Library/FHIRHelpers|4.0.1"),
        ]
        dependencies += [
            (f"Library {name}", f"{CANONICAL_BASE}/Library/{_kebab(name)}|1.0.0")
            for name in includes(self.cql())
            if name != "FHIRHelpers"
        ]
        return {
            "resourceType": "Library",
            "id": self.trial,
            "url": f"{CANONICAL_BASE}/Library/{self.trial}",
            "version": "0.1.0",
            "name": self.library_name,
            "title": f"Eligibility: {self.record.title.value}",
            "status": "draft",
            "type": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/library-type",
                        "code": "logic-library",
                        "display": "Logic Library",
                    }
                ]
            },
            "date": self.today,
            "description": "The eligibility logic of this trial: a Boolean definition per criterion, null where the "
            "data does not decide. A draft that nobody has reviewed.",
            "relatedArtifact": [
                {"type": "depends-on", "display": display, "resource": url} for display, url in dependencies
            ],
            "parameter": [
                {
                    "name": "First Dose",
                    "use": "in",
                    "min": 0,
                    "max": "1",
                    "type": "date",
                    "documentation": "The planned first dose, the index date of every look-back window; today where "
                    "it is not given.",
                }
            ],
            "content": [
                {"contentType": "text/cql", "url": "eligibility.cql"},
                {"contentType": "application/elm+json", "url": "eligibility.elm.json"},
            ],
        }

    # ---------------------------------------------------------------------------------------------------------- CQL

    def cql(self) -> str:
        title = _comment_text(self.record.title.value)
        lines = [
            "/*",
            *textwrap.wrap(f"{title}: a draft made from its registry record.", 118),
            "",
            "One Boolean per criterion: I and E are the record's inclusions and exclusions by their numbers, C and R",
            "come from its other fields. An inclusion lets a patient in when true, an exclusion keeps her out when",
            "true. Null: the record does not decide. What could not be drafted is null, and says what to write.",
            "",
            "Every look-back window ends at the planned first dose and is closed at its bound.",
            "*/",
            f"library {self.library_name} version '0.1.0'",
            "",
            "using FHIR version '4.0.1'",
            "",
            "include FHIRHelpers version '4.0.1'",
            *(f"include {name} version '1.0.0'" for name in _LIBRARIES),
            "",
            "context Patient",
            "",
        ]
        defined: set[str] = set()
        for kind in (INCLUSION, EXCLUSION):
            if self.criteria.of(kind):
                lines += [f"// {'=' * (94 - len(kind))} {kind} criteria", ""]
            for one, made in self.drafts:
                if one.kind == kind:
                    lines += _defines(one, made, defined)
        return "\n".join(lines).rstrip() + "\n"

    # --------------------------------------------------------------------------------------------------------- cases

    def expected(self) -> Json:
        """What a chart without a fact answers: presumed where that is the policy, else unknown."""
        outcomes = {}
        for one, made in self.drafts:
            presumed = made.expression is not None and made.policies == ("presume-absent",)
            outcomes[one.id] = (
                {"outcome": "met", "basis": "presumed"} if presumed else {"outcome": "unknown", "basis": "none"}
            )
        status = "potentially-eligible" if self.disease is None else "not-applicable"
        return {
            "now": f"{self.today}T12:00:00Z",
            "firstDose": self.today,
            "trials": {self.trial: {"status": status, "criteria": outcomes}},
        }


_STARTER_CASE: Final[Json] = {
    "resourceType": "Bundle",
    "id": "nothing-on-record",
    "type": "collection",
    "entry": [
        {
            "fullUrl": f"{CANONICAL_BASE}/Patient/nothing-on-record",
            "resource": {"resourceType": "Patient", "id": "nothing-on-record"},
        }
    ],
}
_PROVEN = re.compile(r"\b(?:diagnos\w+|confirm\w+|histolog\w+|patholog\w+|cytolog\w+)\b", re.IGNORECASE)
_DIAGNOSIS = re.compile(
    r"\b(?:diagnos\w+|confirm\w+|histolog\w+|patholog\w+|cytolog\w+|unresectable|metastatic|advanced|recurrent"
    r"|relapsed|refractory|stage)\b",
    re.IGNORECASE,
)
_COMMON_WORDS: Final = frozenset(
    ("advanced", "locally", "metastatic", "recurrent", "stage", "with", "unresectable", "disease", "primary", "adult",
     "relapsed", "refractory", "extensive", "limited", "high", "risk")
)  # fmt: skip


def split_has_list(criteria: CriteriaText) -> bool:
    """Whether the record had a list of criteria at all."""
    return any(one.id[0] in "IE" for one in criteria.criteria)


def disease_words(record: Record) -> set[str]:
    """The words that name the disease of a record, without those that say how far it has gone."""
    texts = [one.value for one in record.conditions if names_disease(one.value)] or [find_disease(record)]
    return {word for text in texts for word in re.findall(r"[a-z]{4,}", text.lower())} - _COMMON_WORDS


def _put_if(resource: Json, name: str, value: Any) -> None:
    if value:
        resource[name] = value


def _pascal(trial: str) -> str:
    """The name of a trial's library: a CQL identifier."""
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", trial) if part)
    return name if name[:1].isalpha() else f"Trial{name}"


def _outcome_type(kind: str) -> Json:
    if kind == "other":
        return {"text": "Other"}
    return {"coding": [{"system": _OBJECTIVE, "code": kind, "display": kind.title()}]}


def _outcome_extension(outcome: Outcome) -> Json:
    parts: list[Json] = [
        {"url": "name", "valueString": outcome.measure},
        {"url": "type", "valueCodeableConcept": _outcome_type(outcome.kind)},
    ]
    if outcome.description:
        parts.append({"url": "description", "valueMarkdown": outcome.description})
    if outcome.time_frame:
        parts.append({"url": EXTENSION + "time-frame", "valueString": outcome.time_frame})
    return {"url": _OUTCOME, "extension": parts}


def _documentation(remark: Remark, one: CriterionText) -> Json:
    display = f"{remark.role.value.title()} {'over' if remark in one.headings else 'to'} {one.number or one.id}"
    if remark.marker:
        display += f" (written “{remark.marker}”)"
    label = remark.number or remark.role.value.title()
    return {"type": "documentation", "label": label, "display": display, "citation": remark.text}


def _comment_text(text: str) -> str:
    return " ".join(text.replace("*/", "* /").split())


def _defines(one: CriterionText, made: Draft, defined: set[str]) -> list[str]:
    """The definitions of a criterion, with its text and what the draft says of it above them."""
    lines = [f"// {'-' * 112}"]
    lines += _comment(f"{one.id}. {' '.join(one.text.split())}")
    lines.append("//")
    lines += [line for part in made.comment.split("\n") for line in _comment(part)]
    for name, expression in made.verified_by:
        if name not in defined:
            defined.add(name)
            lines += [f'define "{name}":', f"  {expression}", ""]
    for name, text, part in made.parts:
        lines += ["", *_comment(" ".join(text.split())), *_comment(part.comment.split("\n")[0])]
        lines += [f'define "{name}":', f"  {part.expression or 'null as Boolean'}"]
    if made.parts:
        lines.append("")
    return [*lines, f'define "{one.id}":', f"  {made.expression or 'null as Boolean'}", ""]


def _comment(text: str) -> list[str]:
    return [f"// {line}" for line in textwrap.wrap(text, 114, break_long_words=False, break_on_hyphens=False)]


__all__ = ["Made", "make_trial", "plan_definition", "record_files", "record_text", "trial_criteria"]
