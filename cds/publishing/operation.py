"""PlanDefinition/$apply for a patient who is given in the request: Parameters in, a CarePlan out (R4).

The operation: http://hl7.org/fhir/R4/operation-plandefinition-apply.html, with the parameters `data` and `parameters`
of FHIR R5 and the CPG guide, since R4 has none for a patient's data. The answer holds a RequestGroup whose actions are,
for a trial, all its criteria, each with its outcome: what is not known is not left out as if it did not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from cds.errors import EvaluationError, RequestError
from cds.fhir.record import PatientRecord
from cds.reasoning.apply import AppliedAction, Undecided, apply, evaluation
from cds.reasoning.knowledge import Knowledge, Plan
from cds.trials.apply import match
from cds.trials.catalog import EXTENSION, Catalog, Trial
from cds.trials.eligibility import CriterionResult, Eligibility, Kind

Json = dict[str, Any]

#: What R4, R5 and the CPG guide let a caller say that changes nothing of these answers.
_WITHOUT_EFFECT = frozenset(
    [
        "encounter",
        "practitioner",
        "organization",
        "userType",
        "userLanguage",
        "userTaskContext",
        "setting",
        "settingContext",
        "mergeNestedCarePlans",
    ]
)
_UNSUPPORTED = ("planDefinition", "url", "dataEndpoint", "contentEndpoint", "terminologyEndpoint", "prefetchData")
_REMEDY = "send Parameters with subject and data (a Bundle of the patient's resources), or that Bundle alone"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a plan is to be applied to: a Bundle with one patient, and what else the caller said of her.

    `searched` are the resource types that the Bundle is complete in; None says: all.
    """

    data: Json
    subject: str | None = None
    first_dose: date | None = None
    searched: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, body: Any) -> Asked:
        """What a request's body asks for: a Parameters resource, or a Bundle alone.

        Raises RequestError that names the parameter.
        """
        kind = body.get("resourceType") if isinstance(body, dict) else None
        if kind == "Bundle":
            return cls(body)
        if kind != "Parameters":
            raise RequestError("is neither Parameters nor a Bundle", where="body", remedy=_REMEDY)
        given = list(_parameters(body))
        for name, _ in given:
            if name in _UNSUPPORTED:
                raise RequestError("is not supported", where=name, remedy=_REMEDY)
            if name not in _WITHOUT_EFFECT | {"subject", "data", "parameters", "useServerData", "searched"}:
                raise RequestError("is no parameter of $apply", where=name[:64], remedy=_REMEDY)
        data = _one(given, "data")
        if not isinstance(data, dict) or data.get("resourceType") != "Bundle":
            raise RequestError(
                "is no Bundle, and no patient's data is kept here", where="data", remedy="send it as a resource"
            )
        if _one(given, "useServerData") is True:
            raise RequestError("is true, and no patient's data is kept here", where="useServerData", remedy=_REMEDY)
        searched = tuple(str(value) for name, value in given if name == "searched")
        return cls(data, _subject(given), _first_dose(_one(given, "parameters")), searched or None)

    def record(self, now: datetime, *, hygiene: bool = True) -> PatientRecord:
        """The patient's record. Raises RecordError where the Bundle does not hold that patient, or several."""
        return PatientRecord.from_resources(
            [self.data],
            now=now,
            timezone=now.tzinfo or UTC,
            searched=self.searched,
            patient_id=self.subject.removeprefix("Patient/") if self.subject else None,
            hygiene=hygiene,
        )


def apply_to(
    plan_id: str, catalog: Catalog, knowledge: Iterable[Knowledge], asked: Asked, now: datetime
) -> Json | None:
    """The CarePlan of a plan for a patient; None where there is no plan of that id, or it cannot be applied."""
    if trial := catalog.trials.get(plan_id):
        record = asked.record(now)
        first_dose = asked.first_dose or now.date()
        found = match(catalog, record, now=now, first_dose=first_dose, trials=(plan_id,), all_criteria=True)
        if not found.trials:
            raise EvaluationError("the trial could not be evaluated", where=plan_id)
        return _of_trial(trial, found.trials[0], record, now, first_dose)
    for known in knowledge:
        for plan in known.plans.values():
            if plan.id == plan_id and plan.url not in known.refused:
                return _of_plan(plan, known, asked.record(now, hygiene=False), now)
    return None


def _parameters(resource: Json) -> Iterator[tuple[str, Any]]:
    """Names and values of a Parameters resource; RequestError for what is none."""
    items = resource.get("parameter")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RequestError("is no list of parameters", where="parameter", remedy=_REMEDY)
    for item in items:
        name = item.get("name")
        if not isinstance(name, str):
            raise RequestError("has no name", where="parameter", remedy=_REMEDY)
        values = [value for key, value in item.items() if key == "resource" or key.startswith("value")]
        yield name, values[0] if values else None


def _one(given: Iterable[tuple[str, Any]], name: str) -> Any:
    values = [value for known, value in given if known == name]
    if len(values) > 1:
        raise RequestError("stands twice", where=name, remedy="send one")
    return values[0] if values else None


def _subject(given: Iterable[tuple[str, Any]]) -> str | None:
    """The patient's reference, ``Patient/id``: R4 sends a string, others a Reference; a server before it is cut off."""
    value = _one(given, "subject")
    reference = value.get("reference") if isinstance(value, dict) else value
    if reference is None:
        return None
    parts = reference.split("/") if isinstance(reference, str) else []
    if len(parts) == 1 and parts[0]:
        parts = ["Patient", *parts]
    if len(parts) < 2 or parts[-2] != "Patient" or not parts[-1]:
        raise RequestError("is no reference to a patient", where="subject", remedy="send Patient/<id>")
    return "/".join(parts[-2:])


def _first_dose(parameters: Any) -> date | None:
    """The CQL parameter "First Dose" in the parameters for the libraries."""
    if parameters is None:
        return None
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise RequestError("is no Parameters resource", where="parameters", remedy="send it as a resource")
    given = list(_parameters(parameters))
    for name, _ in given:
        if name != "First Dose":
            raise RequestError("is no parameter of the trials' CQL", where="parameters", remedy="there is: First Dose")
    text = _one(given, "First Dose")
    try:
        return None if text is None else date.fromisoformat(text)
    except (TypeError, ValueError):
        raise RequestError("is no day", where="parameters", remedy="send First Dose as a valueDate") from None


def _of_trial(trial: Trial, answer: Eligibility, record: PatientRecord, now: datetime, first_dose: date) -> Json:
    branches = [
        {
            "id": kind.value,
            "title": f"{kind.value.capitalize()} criteria",
            "action": [_criterion(result) for result in answer.criteria if result.criterion.kind is kind],
        }
        for kind in Kind
    ]
    plan = _care_plan(trial.plan_definition, record, now, [branch for branch in branches if branch["action"]])
    plan["extension"] = [_trial_outcome(answer, first_dose)]
    plan["description"] = f"{trial.title}: {answer.status.value}"
    if evidence := list(dict.fromkeys(item.reference for one in answer.criteria for item in one.evidence)):
        plan["supportingInfo"] = [{"reference": reference} for reference in evidence]
    return plan


def _trial_outcome(answer: Eligibility, first_dose: date) -> Json:
    told = {
        "status": ("Code", answer.status.value),
        "firstDose": ("Date", first_dose.isoformat()),
        "eligibleFrom": ("Date", answer.eligible_from.isoformat() if answer.eligible_from else None),
        "recordIncomplete": ("Boolean", answer.record_incomplete),
    }
    return _extension("trial-outcome", [_part(name, *value) for name, value in told.items() if value[1] is not None])


def _criterion(result: CriterionResult) -> Json:
    """A criterion as an action: what it asks, and its outcome as an extension and in words."""
    criterion = result.criterion
    parts = [
        _part("outcome", "Code", result.outcome.value),
        _part("basis", "Code", result.basis.value),
        _part("assessment", "Code", criterion.assessment.value),
    ]
    if result.reason:
        parts.append(_part("reason", "String", result.reason))
    if result.clears_on:
        parts.append(_part("clearsOn", "Date", result.clears_on.isoformat()))
    parts += [_part("evidence", "Reference", {"reference": item.reference}) for item in result.evidence]
    parts += [
        _part("missing", "DataRequirement", _requirement(one.type, one.value_set, one.title)) for one in result.missing
    ]
    words = result.outcome.value + (f" ({result.basis.value})" if result.basis.value != "none" else "")
    return {
        "id": criterion.id,
        "extension": [_extension("criterion-outcome", parts)],
        "prefix": criterion.number,
        "title": criterion.title,
        "description": f"{words}: {result.reason}" if result.reason else words,
        "textEquivalent": criterion.text,
    }


def _requirement(kind: str, value_set: str | None, title: str) -> Json:
    required: Json = {"type": kind, "extension": [_extension_value("title", "String", title)]}
    if value_set:
        required["codeFilter"] = [{"path": "code", "valueSet": value_set}]
    return required


def _of_plan(plan: Plan, knowledge: Knowledge, record: PatientRecord, now: datetime) -> Json:
    patient_id = record.reference.removeprefix("Patient/")
    applied = apply(plan, knowledge, evaluation(knowledge, record, now), patient_id=patient_id, now=now)
    contained: list[Json] = []
    actions = [_action(one, contained) for one in applied.actions]
    care_plan = _care_plan(plan.definition, record, now, actions, contained)
    if applied.undecided:
        care_plan["extension"] = [_undecided(one) for one in applied.undecided]
    return care_plan


def _action(one: AppliedAction, contained: list[Json]) -> Json:
    """An action that applies, with its request (contained) and its own actions."""
    kept = ("id", "prefix", "title", "description", "textEquivalent", "priority", "documentation", "type")
    behaviors = [name for name in one.action if name.endswith("Behavior")]
    action: Json = {name: one.action[name] for name in (*kept, *behaviors) if name in one.action}
    if one.resource is not None:
        held = one.resource | {"id": f"request-{len(contained) + 1}"}
        contained.append(held)
        action["resource"] = {"reference": f"#{held['id']}", "type": held["resourceType"]}
    elif one.questionnaire:
        action["resource"] = {"reference": one.questionnaire.partition("|")[0], "type": "Questionnaire"}
    if one.actions:
        action["action"] = [_action(child, contained) for child in one.actions]
    return action


def _undecided(one: Undecided) -> Json:
    parts = (("action", one.action), ("expression", one.expression), ("reason", one.reason))
    return _extension("undecided-action", [_part(name, "String", text) for name, text in parts])


def _care_plan(
    definition: Mapping[str, Any],
    record: PatientRecord,
    now: datetime,
    actions: list[Json],
    contained: Iterable[Json] = (),
) -> Json:
    """A proposal for the patient: the CarePlan with its RequestGroup in it. Nobody has decided on either."""
    url, version = str(definition.get("url", "")), definition.get("version")
    moment = now.isoformat(timespec="seconds")
    common: Json = {
        "instantiatesCanonical": [f"{url}|{version}" if version else url],
        "status": "draft",
        "intent": "proposal",
        "subject": {"reference": record.reference},
    }
    group: Json = {"resourceType": "RequestGroup", "id": "actions"} | common | {"authoredOn": moment}
    if actions:
        group["action"] = actions
    return {
        "resourceType": "CarePlan",
        "id": str(uuid4()),
        "contained": [group, *contained],
        **common,
        "title": str(definition.get("title") or definition.get("name") or definition.get("id")),
        "created": moment,
        "activity": [{"reference": {"reference": "#actions", "type": "RequestGroup"}}],
    }


def _extension(name: str, parts: list[Json]) -> Json:
    return {"url": EXTENSION + name, "extension": parts}


def _extension_value(name: str, kind: str, value: Any) -> Json:
    return {"url": EXTENSION + name, f"value{kind}": value}


def _part(name: str, kind: str, value: Any) -> Json:
    return {"url": name, f"value{kind}": value}
