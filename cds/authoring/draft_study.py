"""The ResearchStudy of a draft trial: what the record says, and nothing invented."""

from __future__ import annotations

import re
from typing import Any, Final

from cds.authoring.draft_trial import DraftTrial, record_artifact
from cds.authoring.record_findings import find_disease, names_disease
from cds.authoring.registry_record import Arm, Outcome
from cds.trials.catalog import CANONICAL_BASE, EXTENSION

Json = dict[str, Any]

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


def research_study(trial: DraftTrial) -> Json:
    """The ResearchStudy."""
    record = trial.record
    study: Json = {"resourceType": "ResearchStudy", "id": trial.id}
    extensions = [{"url": _SUMMARY, "valueMarkdown": record.summary.value}] if record.summary else []
    extensions += [_outcome_extension(one) for one in record.outcomes]
    _put_if(study, "extension", extensions)
    study["identifier"] = _identifiers(trial)
    study["title"] = record.title.value
    study["protocol"] = [{"reference": f"PlanDefinition/{trial.id}"}]
    status = _STATUS.get(record.status or "")
    if status:
        study["status"] = status
    else:
        study["_status"] = {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
    _put_if(study, "phase", _phase(trial))
    _put_if(study, "category", [{"text": record.study_type}] if record.study_type else [])
    _put_if(study, "focus", [{"text": one.name} for one in record.interventions])
    conditions = [one for one in record.conditions if names_disease(one.value)]
    _put_if(study, "condition", [{"text": one.value} for one in conditions] or _derived_condition(trial))
    study["relatedArtifact"] = [record_artifact(trial, "documentation")]
    keywords = [one for one in record.conditions if one not in conditions] + list(record.keywords)
    _put_if(study, "keyword", [{"text": one.value} for one in keywords])
    _put_if(study, "description", _description(trial))
    period = {
        name: value
        for name, value in (("start", record.start), ("end", record.completion))
        if value and _DATE.fullmatch(value)
    }
    _put_if(study, "period", period)
    if record.sponsor:
        study["sponsor"] = {"display": record.sponsor}
    _put_if(study, "site", [{"display": one.verbatim} for one in record.sites if one.verbatim])
    study["note"] = [{"text": text} for text in _notes(trial)]
    _put_if(study, "arm", [_arm(one) for one in record.arms])
    _put_if(study, "objective", [{"name": one.measure, "type": _outcome_type(one.kind)} for one in record.outcomes])
    return study


def _description(trial: DraftTrial) -> str:
    """The detailed description; in the registry's text form the list of criteria is a part of it."""
    parts = [trial.record.description]
    if trial.record.form == "text":
        parts.append(trial.record.eligibility)
    return "\n\n".join(part.value for part in parts if part)


def _identifiers(trial: DraftTrial) -> list[Json]:
    record = trial.record
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


def _phase(trial: DraftTrial) -> Json | None:
    if trial.record.phases:
        text = ", ".join(trial.record.phases)
        known = _PHASES.get(tuple(trial.record.phases))
    else:
        words = {found[0]: found for one in trial.record.texts for found in _PHASE_WORDS.finditer(one.value)}
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


def _derived_condition(trial: DraftTrial) -> list[Json]:
    """The disease as the title or the summary names it, where no condition does."""
    text = find_disease(trial.record)
    return [{"text": text}] if names_disease(text) else []


def _arm(arm: Arm) -> Json:
    found: Json = {"name": arm.label}
    if arm.type:
        found["type"] = {"text": arm.type}
    parts = [part for part in (arm.description, ", ".join(arm.interventions)) if part]
    if parts:
        found["description"] = "\n\n".join(parts)
    return found


def _notes(trial: DraftTrial) -> list[str]:
    record = trial.record
    notes = ["Made from the registry record; a draft that nobody has reviewed."]
    if record.official_title:
        notes.append(f"Official title: {record.official_title.value}")
    if record.status:
        notes.append(f"Recruitment status in the registry: {record.status}")
    if record.collaborators:
        notes.append(f"Collaborators: {'; '.join(record.collaborators)}")
    if record.enrollment is not None:
        notes.append(f"Enrolment in the registry: {record.enrollment}")
    return notes + [str(finding) for finding in trial.findings]


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


def _put_if(resource: Json, name: str, value: Any) -> None:
    if value:
        resource[name] = value
