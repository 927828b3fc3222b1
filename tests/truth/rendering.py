"""Facts as FHIR R4, in the ways in which charts write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

from .concepts import codeable
from .dates import When
from .facts import (
    Diagnosis,
    Drug,
    Ecog,
    Fact,
    FigoStage,
    HivTest,
    Identified,
    Karnofsky,
    Nodes,
    Operation,
    Patient,
    Person,
    TumourSize,
    Vaccination,
    Void,
)

Resource = dict[str, Any]
T = TypeVar("T")

_UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_ME, _SOMEBODY_ELSE = "Patient/woman", "Patient/somebody-else"


@dataclass(frozen=True, slots=True)
class Style:
    """How facts are written: a seed each for the codes, the elements, the units, and where a drug is named.

    What says the same in one style and another must have the same outcome.
    """

    codes: int
    elements: int
    units: int
    medications: int

    def choice(self, aspect: str, key: int, choices: Sequence[T]) -> T:
        """One of several ways to write the fact of a key."""
        return Random(f"{getattr(self, aspect)} {aspect} {key}").choice(choices)


def bundle(patient: Patient, style: Style) -> Resource:
    """The patient's Bundle."""
    resources = [one for fact in patient.facts for one in _RENDERERS[type(fact)](fact, style)]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def _person(fact: Person, style: Style) -> list[Resource]:
    resource: Resource = {"resourceType": "Patient", "id": "woman"}
    if fact.sex:
        resource["gender"] = fact.sex
    if fact.birth:
        resource["birthDate"] = fact.birth.text
    return [resource]


def _subject(fact: Fact) -> Resource:
    return {"reference": _SOMEBODY_ELSE if fact.void is Void.OTHER_PATIENT else _ME}


def _diagnosis(fact: Diagnosis, style: Style) -> list[Resource]:
    code = codeable(style.choice("codes", fact.key, fact.what.codes))
    if fact.void is Void.FAMILY:
        return [_family_history(code, fact)]
    verification = "confirmed" if fact.certain else style.choice("elements", fact.key, ("provisional", "differential"))
    if fact.void is Void.ENTERED_IN_ERROR:
        verification = "entered-in-error"
    elif fact.void is Void.NEVER_HAPPENED:
        verification = "refuted"
    resource: Resource = {
        "resourceType": "Condition",
        "id": f"condition-{fact.key}",
        "subject": _subject(fact),
        "code": code,
        "verificationStatus": {"coding": [{"system": f"{_TERMINOLOGY}/condition-ver-status", "code": verification}]},
    }
    if fact.void is not Void.ENTERED_IN_ERROR:  # the constraint con-5 of Condition
        clinical = {"system": f"{_TERMINOLOGY}/condition-clinical", "code": fact.course}
        resource["clinicalStatus"] = {"coding": [clinical]}
    for name, when in (
        ("onsetDateTime", fact.onset),
        ("recordedDate", fact.recorded),
        ("abatementDateTime", fact.abated),
    ):
        if when:
            resource[name] = when.text
    return [resource]


def _family_history(code: Resource, fact: Fact) -> Resource:
    return {
        "resourceType": "FamilyMemberHistory",
        "id": f"family-{fact.key}",
        "status": "completed",
        "patient": {"reference": _ME},
        "relationship": {"coding": [{"system": f"{_TERMINOLOGY}/v3-RoleCode", "code": "MTH"}]},
        "condition": [{"code": code}],
    }


def _event_status(fact: Fact, *, so: str, never: str) -> str:
    if fact.void is Void.ENTERED_IN_ERROR:
        return "entered-in-error"
    return never if fact.void is Void.NEVER_HAPPENED else so


def _operation(fact: Operation, style: Style) -> list[Resource]:
    resource: Resource = {
        "resourceType": "Procedure",
        "id": f"procedure-{fact.key}",
        "status": _event_status(fact, so="completed", never="not-done"),
        "subject": _subject(fact),
        "code": codeable(style.choice("codes", fact.key, fact.what.codes)),
    }
    _put_time(resource, "performed", fact.when, fact.end, style.choice("elements", fact.key, ("DateTime", "Period")))
    return [resource]


def _put_time(resource: Resource, name: str, start: When | None, end: When | None, form: str) -> None:
    """A moment as a dateTime or as a Period that begins and ends in it; what lasted is a Period."""
    if start is None:
        return
    if end is None and form == "DateTime":
        resource[f"{name}DateTime"] = start.text
    else:
        resource[f"{name}Period"] = {"start": start.text, "end": (end or start).text}


def _vaccination(fact: Vaccination, style: Style) -> list[Resource]:
    resource: Resource = {
        "resourceType": "Immunization",
        "id": f"immunization-{fact.key}",
        "status": _event_status(fact, so="completed", never="not-done"),
        "patient": _subject(fact),
        "vaccineCode": codeable(style.choice("codes", fact.key, fact.what.codes)),
    }
    if fact.when:
        resource["occurrenceDateTime"] = fact.when.text
    else:
        resource["occurrenceString"] = "not remembered"
    return [resource]


_NEVER_TAKEN = {
    "MedicationRequest": "cancelled",
    "MedicationAdministration": "not-done",
    "MedicationStatement": "not-taken",
    "MedicationDispense": "cancelled",
}


def _drug(fact: Drug, style: Style) -> list[Resource]:
    running = {
        "MedicationRequest": "active",
        "MedicationStatement": "active",
        "MedicationAdministration": "in-progress",
    }
    so = "completed" if fact.end else running.get(fact.charted, "completed")
    resource: Resource = {
        "resourceType": fact.charted,
        "id": f"medication-{fact.key}",
        "status": _event_status(fact, so=so, never=_NEVER_TAKEN[fact.charted]),
        "subject": _subject(fact),
    }
    period = {"start": fact.start.text} | ({"end": fact.end.text} if fact.end else {})
    if fact.charted == "MedicationRequest":
        resource |= {"intent": "order", "authoredOn": fact.start.text}
        resource["dosageInstruction"] = [{"timing": {"repeat": {"boundsPeriod": period}}}]
    elif fact.charted == "MedicationDispense":
        resource["whenHandedOver"] = fact.start.text
    else:
        resource["effectivePeriod"] = period
    return _with_medication(resource, fact, style)


def _with_medication(resource: Resource, fact: Drug, style: Style) -> list[Resource]:
    """A drug named in place, in a contained Medication, or in one of its own."""
    if fact.identified is Identified.NOT:
        return [resource | {"medicationReference": {"reference": "Medication/nowhere"}}]
    if fact.identified is Identified.IN_A_SENTENCE:
        return [resource | {"medicationCodeableConcept": {"text": f"was given {fact.what.name} in another hospital"}}]
    code = codeable(style.choice("codes", fact.key, fact.what.codes))
    where = style.choice("medications", fact.key, ("in place", "contained", "apart"))
    if where == "in place":
        return [resource | {"medicationCodeableConcept": code}]
    medication = {"resourceType": "Medication", "id": f"drug-{fact.key}", "code": code}
    if where == "contained":
        reference = {"reference": f"#drug-{fact.key}"}
        return [resource | {"contained": [medication], "medicationReference": reference}]
    return [resource | {"medicationReference": {"reference": f"Medication/drug-{fact.key}"}}, medication]


def _observation(fact: Fact, code: str, when: When | None, **elements: Any) -> list[Resource]:
    resource: Resource = {
        "resourceType": "Observation",
        "id": f"observation-{fact.key}",
        "status": _event_status(fact, so="final", never="cancelled"),
        "subject": _subject(fact),
        "code": codeable(code),
        **elements,
    }
    if when:
        resource["effectiveDateTime"] = when.text
    return [resource]


def _quantity(value: Decimal | int, unit: str | None) -> Resource:
    quantity: Resource = {"value": int(value) if value == int(value) else float(value)}
    return quantity if unit is None else quantity | {"unit": unit, "system": _UCUM, "code": unit}


_ECOG_ANSWERS = ("LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8", "LA9627-6")
_ECOG_FINDINGS = ("425389002", "422512005", "422894000")


def _ecog(fact: Ecog, style: Style) -> list[Resource]:
    answer = codeable(f"loinc:{_ECOG_ANSWERS[fact.grade]}")
    values: list[Resource] = [
        {"valueInteger": fact.grade},
        {"valueQuantity": _quantity(fact.grade, "{score}")},
        {"valueCodeableConcept": answer},
        {"valueInteger": fact.grade, "interpretation": [answer]},
    ]
    if fact.grade < len(_ECOG_FINDINGS):
        values.append({"valueCodeableConcept": codeable(f"sct:{_ECOG_FINDINGS[fact.grade]}")})
    return _observation(fact, "loinc:89247-1", fact.when, **style.choice("elements", fact.key, values))


def _karnofsky(fact: Karnofsky, style: Style) -> list[Resource]:
    return _observation(fact, "loinc:89243-0", fact.when, valueInteger=fact.score)


def _tumour_size(fact: TumourSize, style: Style) -> list[Resource]:
    unit = style.choice("units", fact.key, ("cm", "mm"))
    value = fact.centimetres * (10 if unit == "mm" else 1)
    quantity = _quantity(value, unit if fact.unit_said else None)
    form = style.choice("elements", fact.key, ("size", "dimension", "component"))
    if form == "component":
        component = [{"code": codeable("loinc:33728-7"), "valueQuantity": quantity}]
        return _observation(fact, "loinc:21889-1", fact.when, component=component)
    code = "loinc:21889-1" if form == "size" else "loinc:33728-7"
    return _observation(fact, code, fact.when, valueQuantity=quantity)


def _nodes(fact: Nodes, style: Style) -> list[Resource]:
    clinical, pathological = (
        ("sct:1229973008", "sct:1229951001") if fact.positive else ("sct:1229967007", "sct:1229947003")
    )
    code, value = style.choice("codes", fact.key, (("loinc:21906-3", clinical), ("loinc:21900-6", pathological)))
    return _observation(fact, code, fact.when, valueCodeableConcept=codeable(value))


_FIGO = {
    "IB": "C96248",
    "IIA": "C96253",
    "IIB": "C96254",
    "IIIA": "C96256",
    "IIIB": "C96257",
    "IIIC": "C96258",
    "IIIC1": "C96259",
    "IIIC2": "C96260",
    "IV": "C96261",
    "IVA": "C96262",
    "IVB": "C96263",
}
FIGO_STAGES = tuple(_FIGO)


def _figo_stage(fact: FigoStage, style: Style) -> list[Resource]:
    code = style.choice("codes", fact.key, ("loinc:21908-9", "sct:385361009", "sct:385367008"))
    return _observation(fact, code, fact.when, valueCodeableConcept=codeable(f"ncit:{_FIGO[fact.stage]}"))


def _hiv_test(fact: HivTest, style: Style) -> list[Resource]:
    code = style.choice("codes", fact.key, ("loinc:31201-7", "loinc:7918-6", "loinc:56888-1", "loinc:62469-2"))
    return _observation(fact, code, fact.when, valueCodeableConcept=_presence(fact, fact.reactive, style))


def _presence(fact: Fact, positive: bool, style: Style) -> Resource:
    """Positive or negative, as a finding is coded."""
    codes = ("sct:10828004", "loinc:LA6576-8") if positive else ("sct:260385009", "loinc:LA6577-6")
    return codeable(style.choice("elements", fact.key, codes))


_RENDERERS: dict[type[Fact], Callable[[Any, Style], list[Resource]]] = {
    Person: _person,
    Diagnosis: _diagnosis,
    Operation: _operation,
    Vaccination: _vaccination,
    Drug: _drug,
    Ecog: _ecog,
    Karnofsky: _karnofsky,
    TumourSize: _tumour_size,
    Nodes: _nodes,
    FigoStage: _figo_stage,
    HivTest: _hiv_test,
}
