"""The PlanDefinition, the Library and the starter case of a draft trial."""

from __future__ import annotations

from typing import Any, Final

from cds.authoring.criteria_text import EXCLUSION, INCLUSION, CriterionText, Remark
from cds.authoring.draft_trial import DraftTrial, record_artifact
from cds.authoring.drafting import Draft
from cds.trials.catalog import CANONICAL_BASE, EXTENSION

Json = dict[str, Any]

#: The shared libraries that drafts include, with the ids of their Library resources.
SHARED: Final = {"Screening": "screening", "CommonCriteria": "common-criteria"}
#: A patient of whom nothing is known.
STARTER_CASE: Final[Json] = {
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


def plan_definition(trial: DraftTrial) -> Json:
    """The PlanDefinition: an action for each criterion, with its verbatim text."""
    extensions: list[Json] = [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/cqf-cdsHooksEndpoint",
            "valueUri": "/cds-services/trial-match",
        }
    ]
    if trial.incomplete:
        extensions.append({"url": EXTENSION + "record-incomplete", "valueBoolean": True})
    extensions += [
        {"url": EXTENSION + "erratum", "valueString": finding.text}
        for finding in trial.findings
        if finding.about is None and finding.shown
    ]
    groups = [_group(trial, kind) for kind in (INCLUSION, EXCLUSION) if trial.criteria.of(kind)]
    plan: Json = {
        "resourceType": "PlanDefinition",
        "id": trial.id,
        "extension": extensions,
        "url": f"{CANONICAL_BASE}/PlanDefinition/{trial.id}",
        "version": "0.1.0",
        "name": trial.library_name,
        "title": trial.record.title.value,
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
        "date": trial.today,
        "description": _counted(trial),
        "usage": "The planned first dose is an input (parameter First Dose); it is in no chart. Nothing here "
        "replaces the protocol or the study team.",
        "relatedArtifact": [record_artifact(trial, "derived-from")],
        "library": [f"{CANONICAL_BASE}/Library/{trial.id}"],
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


def _counted(trial: DraftTrial) -> str:
    inclusion, exclusion = len(trial.criteria.of(INCLUSION)), len(trial.criteria.of(EXCLUSION))
    drafted = sum(1 for _, made in trial.drafts if made.expression)
    text = f"A draft made from the registry record: {inclusion} inclusion and {exclusion} exclusion criteria, "
    text += f"{drafted} of them drafted."
    if trial.incomplete:
        text += " The record came without its eligibility list: ask the site for it."
    return text


def _group(trial: DraftTrial, kind: str) -> Json:
    group: Json = {"id": kind, "title": f"{kind.title()} criteria"}
    if kind == EXCLUSION:
        group["description"] = "True: the patient is excluded."
    if header := trial.criteria.header(kind):
        group["textEquivalent"] = header.text
    group["groupingBehavior"] = "logical-group"
    group["action"] = [_action(trial, one, made) for one, made in trial.drafts if one.kind == kind]
    return group


def _action(trial: DraftTrial, one: CriterionText, made: Draft) -> Json:
    extensions: list[Json] = [{"url": EXTENSION + "assessment", "valueCode": made.assessment}]
    extensions += [{"url": EXTENSION + "missing-data-policy", "valueCode": policy} for policy in made.policies]
    if one.id == trial.disease:
        extensions.append({"url": EXTENSION + "disease-criterion", "valueBoolean": True})
    extensions += [{"url": EXTENSION + "verified-by", "valueString": name} for name, _ in made.verified_by]
    extensions += [
        {"url": EXTENSION + "erratum", "valueString": finding.text}
        for finding in trial.findings
        if finding.about == one.id and finding.shown
    ]
    action: Json = {
        "id": one.id,
        "extension": extensions,
        "prefix": one.number or one.id,
        "title": made.title,
        "description": _where(one),
        "textEquivalent": one.text,
    }
    documents = [_documentation(remark, one) for remark in (*one.headings, *one.notes)]
    if documents:
        action["documentation"] = documents
    action["condition"] = [
        {"kind": "applicability", "expression": {"language": "text/cql-identifier", "expression": one.id}}
    ]
    return action


def _where(one: CriterionText) -> str:
    """Where the criterion stands in the record, with its number as it is written there."""
    if one.id[0] in "CR":
        return "From the fields of the record; its list does not say it."
    written = f", as “{one.marker}”" if one.marker else ""
    return f"Line {one.line} of the record's eligibility list{written}."


def library(trial: DraftTrial) -> Json:
    """The Library of the eligibility logic."""
    dependencies = [
        ("FHIR model information", "http://fhir.org/guides/cqf/common/Library/FHIR-ModelInfo|4.0.1"),
        ("FHIRHelpers", "http://fhir.org/guides/cqf/common/Library/FHIRHelpers|4.0.1"),
    ]
    dependencies += [(f"Library {name}", f"{CANONICAL_BASE}/Library/{id_}|1.0.0") for name, id_ in SHARED.items()]
    return {
        "resourceType": "Library",
        "id": trial.id,
        "url": f"{CANONICAL_BASE}/Library/{trial.id}",
        "version": "0.1.0",
        "name": trial.library_name,
        "title": f"Eligibility: {trial.record.title.value}",
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
        "date": trial.today,
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


def starter_case_expected(trial: DraftTrial) -> Json:
    """What a chart without a fact answers: presumed where that is the policy, else unknown."""
    outcomes = {}
    for one, made in trial.drafts:
        presumed = made.expression is not None and made.policies == ("presume-absent",)
        outcomes[one.id] = (
            {"outcome": "met", "basis": "presumed"} if presumed else {"outcome": "unknown", "basis": "none"}
        )
    status = "potentially-eligible" if trial.disease is None else "not-applicable"
    return {
        "now": f"{trial.today}T12:00:00Z",
        "firstDose": trial.today,
        "trials": {trial.id: {"status": status, "criteria": outcomes}},
    }


def _documentation(remark: Remark, one: CriterionText) -> Json:
    display = f"{remark.role.value.title()} {'over' if remark in one.headings else 'to'} {one.number or one.id}"
    if remark.marker:
        display += f" (written “{remark.marker}”)"
    label = remark.number or remark.role.value.title()
    return {"type": "documentation", "label": label, "display": display, "citation": remark.text}
