"""A trial -> its Questionnaire (R4): what only a person can say of a patient, in the words of the protocol."""

from __future__ import annotations

from typing import Any

from cds.trials.attestation import NO, NOT_KNOWN, YES, questionnaire_url
from cds.trials.catalog import Trial
from cds.trials.eligibility import Criterion, Kind

Json = dict[str, Any]

_GROUPS = {
    Kind.INCLUSION: "Inclusion criteria: is this true of the patient?",
    Kind.EXCLUSION: "Exclusion criteria: is this true of the patient? Yes means that she or he cannot take part.",
}
_DISPLAYS = {YES: "Yes", NO: "No", NOT_KNOWN: "Don't know"}
_HELP = {
    "url": "http://hl7.org/fhir/StructureDefinition/questionnaire-itemControl",
    "valueCodeableConcept": {
        "coding": [
            {"system": "http://hl7.org/fhir/questionnaire-item-control", "code": "help", "display": "Help-Button"}
        ]
    },
}


def questionnaire(trial: Trial) -> Json | None:
    """The Questionnaire of a trial; None where it asks people nothing.

    An item for each criterion that data do not decide, or not alone: its linkId is the criterion's id, its text the
    protocol's, word for word, and its help says what to find out and from whom. A question may be left open, or be
    answered with "Don't know". What an answer comes to is said in `cds.trials.attestation`.
    """
    groups = [_group(trial, kind) for kind in _GROUPS]
    plan = trial.plan_definition
    resource: Json = {
        "resourceType": "Questionnaire",
        "id": trial.id,
        "url": questionnaire_url(plan),
        **{name: plan[name] for name in ("version", "status", "date", "publisher") if name in plan},
        "name": f"{plan.get('name', 'Trial')}Questions",
        "title": f"Questions of the trial: {trial.title}",
        "description": "What only a person can say of a patient: the criteria that data do not decide, or not alone.",
        "useContext": [_context(trial)],
        "subjectType": ["Patient"],
        "item": [group for group in groups if group["item"]],
    }
    return resource if resource["item"] else None


def _context(trial: Trial) -> Json:
    """For which trial it is. (R4's `derivedFrom` may name another Questionnaire alone.)"""
    return {
        "code": {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "program"},
        "valueReference": {"reference": f"PlanDefinition/{trial.id}", "display": trial.title},
    }


def _group(trial: Trial, kind: Kind) -> Json:
    asked = [one for one in trial.criteria if one.kind is kind and trial.logic[one.id].question]
    return {"linkId": kind.value, "text": _GROUPS[kind], "type": "group", "item": [_item(one) for one in asked]}


def _item(criterion: Criterion) -> Json:
    item: Json = {
        "linkId": criterion.id,
        "prefix": criterion.number,
        "text": criterion.text,
        "type": "choice",
        "required": False,
        "repeats": False,
        "answerOption": [
            {"valueCoding": {"system": system, "code": code, "display": display}}
            for (system, code), display in _DISPLAYS.items()
        ],
    }
    if criterion.question:
        told = {"linkId": f"{criterion.id}.help", "text": criterion.question, "type": "display", "extension": [_HELP]}
        item["item"] = [told]
    return item
