"""ActivityDefinition -> a draft request, and CQL values at paths of it (R4 ActivityDefinition, $apply)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from cds.elm.ports import Value
from cds.elm.values import Code, Concept, Date, DateTime, Interval, Quantity, Ratio, Time, Tuple
from cds.errors import EvaluationError
from cds.fhir.model import TYPES, Element, choice_key

Json = dict[str, Any]

#: For each kind of request that can be drafted, the element for the patient, and what it cannot be without (R4).
_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ServiceRequest": ("subject", ()),
    "MedicationRequest": ("subject", ("medicationCodeableConcept", "medicationReference")),
    "CommunicationRequest": ("subject", ()),
    "DeviceRequest": ("subject", ("codeCodeableConcept", "codeReference")),
    "Task": ("for", ()),
    "NutritionOrder": ("patient", ()),
}
#: What an activity says that a request of a kind says under the same or another name.
_COPIED: dict[str, dict[str, str]] = {
    "ServiceRequest": {
        "code": "code", "bodySite": "bodySite", "quantity": "quantityQuantity", "timingTiming": "occurrenceTiming",
        "timingDateTime": "occurrenceDateTime", "timingPeriod": "occurrencePeriod",
    },
    "MedicationRequest": {
        "productCodeableConcept": "medicationCodeableConcept", "productReference": "medicationReference",
        "dosage": "dosageInstruction",
    },
    "CommunicationRequest": {"timingDateTime": "occurrenceDateTime", "timingPeriod": "occurrencePeriod"},
    "DeviceRequest": {"productCodeableConcept": "codeCodeableConcept", "productReference": "codeReference"},
    "Task": {"code": "code"},
}  # fmt: skip
_AUTHORED = {"NutritionOrder": "dateTime"}
#: What says that no request may be done, in requests that can say so.
_NEGATED = ("ServiceRequest", "MedicationRequest", "CommunicationRequest")
_STEP = re.compile(r"(?P<name>[A-Za-z]\w*)(?:\[(?P<place>\d{1,3})\])?")
_CHOICE = re.compile(r"(?P<name>[A-Za-z]\w*)\.ofType\((?P<type>[A-Za-z]\w*)\)")


def draft(activity: Json, patient_id: str, now: datetime) -> Json | None:
    """The request that an activity describes, for a patient; None for a kind that is not drafted here.

    Its status is draft, its intent the activity's own or proposal: nobody has decided on it.
    """
    kind = str(activity.get("kind", ""))
    if kind not in _KINDS:
        return None
    subject, _ = _KINDS[kind]
    resource: Json = {"resourceType": kind, "status": "draft", "intent": activity.get("intent", "proposal")}
    if kind == "CommunicationRequest":
        del resource["intent"]  # it has none in R4
    url, version = activity.get("url"), activity.get("version")
    if url and kind not in ("CommunicationRequest", "Task"):
        resource["instantiatesCanonical"] = [f"{url}|{version}" if version else url]
    elif url and kind == "Task":
        resource["instantiatesCanonical"] = f"{url}|{version}" if version else url
    for name, target in _COPIED.get(kind, {}).items():
        if activity.get(name):
            resource[target] = activity[name]
    if kind == "MedicationRequest" and "code" in activity and "medicationReference" not in resource:
        resource.setdefault("medicationCodeableConcept", activity["code"])
    if kind == "CommunicationRequest" and (text := (activity.get("code") or {}).get("text")):
        resource["payload"] = [{"contentString": text}]
    if activity.get("priority") and kind != "NutritionOrder":
        resource["priority"] = activity["priority"]
    if activity.get("doNotPerform") is True and kind in _NEGATED:
        resource["doNotPerform"] = True
    resource[subject] = {"reference": f"Patient/{patient_id}"}
    resource[_AUTHORED.get(kind, "authoredOn")] = now.isoformat(timespec="seconds")
    return resource


def lacks(resource: Json) -> str | None:
    """What a request cannot be without and has not; None where nothing is missing."""
    _, required = _KINDS[resource["resourceType"]]
    return None if not required or any(name in resource for name in required) else " or ".join(required)


def put(resource: Json, path: str, value: Value) -> None:
    """Sets what a path of a resource says: ``code``, ``payload[0].content.ofType(string)``, ``dosageInstruction.text``.

    Raises EvaluationError for a path that the resource's type does not have, and for a value that does not fit it.
    """
    steps = _CHOICE.sub(lambda found: _key(found["name"], found["type"]), path.strip()).split(".")
    at, type_name = resource, str(resource["resourceType"])
    for number, step in enumerate(steps, 1):
        named = _STEP.fullmatch(step)
        kind = TYPES.get(type_name)
        if named is None or kind is None:
            raise EvaluationError(f"the path {path} cannot be followed")
        key, stated = _element(kind.elements, named["name"], path)
        many, type_name = stated.endswith("*"), stated.rstrip("*")
        if number == len(steps):
            if "|" in type_name:
                key, type_name = _chosen(key, type_name, value, path)
            at[key] = _set(at.get(key), named["place"], fitting(value, type_name), many)
        elif many:
            place = int(named["place"] or 0)
            items = at.setdefault(key, [])
            while len(items) <= place:
                items.append({})
            at = items[place]
        else:
            at = at.setdefault(key, {})


def _key(name: str, type_name: str) -> str:
    return name + type_name[:1].upper() + type_name[1:]


def _element(elements: dict[str, str], name: str, path: str) -> tuple[str, str]:
    """The JSON key of an element and its type; of a choice, the key may name the type (``medicationReference``)."""
    if name in elements:
        return name, elements[name]
    for choice, stated in elements.items():
        if "|" in stated and name.startswith(choice):
            for one in stated.rstrip("*").split("|"):
                if name == choice_key(choice, one):
                    return name, one
    raise EvaluationError(f"the path {path} is none of R4: there is no {name}")


#: The FHIR types that a CQL value may be, best first.
_FITS: tuple[tuple[type | tuple[type, ...], tuple[str, ...]], ...] = (
    (bool, ("boolean",)),
    (int, ("integer", "decimal")),
    (Decimal, ("decimal",)),
    (str, ("string", "markdown", "code", "uri")),
    ((Date, DateTime), ("dateTime", "date")),
    (Quantity, ("Quantity", "SimpleQuantity")),
    ((Code, Concept), ("CodeableConcept", "Coding")),
    (Interval, ("Period", "Range")),
    (Ratio, ("Ratio",)),
)


def _chosen(name: str, stated: str, value: Value, path: str) -> tuple[str, str]:
    """The key and the type of a choice, by the value that it is to hold."""
    fits = next((names for kinds, names in _FITS if isinstance(value, kinds)), ())
    names = (value.type.name,) if isinstance(value, Element) else fits
    for one in names:
        if one in stated.split("|"):
            return choice_key(name, one), one
    raise EvaluationError(f"the path {path} takes {stated.replace('|', ' or ')}, not {type(value).__name__}")


def _set(old: Any, place: str | None, value: Any, many: bool) -> Any:
    if not many:
        return value
    if isinstance(value, list):
        return value
    if place is None:
        return [value]
    items = list(old or ())
    while len(items) <= int(place):
        items.append({})
    items[int(place)] = value
    return items


def fitting(value: Value, type_name: str) -> Any:
    """A CQL value as the JSON of a FHIR type; a list for a list. Raises EvaluationError where it does not fit."""
    if isinstance(value, list):
        return [fitting(item, type_name) for item in value if item is not None]
    if isinstance(value, Element):
        if type_name == "CodeableConcept" and value.type.name == "Coding":
            return {"coding": [value.json]}
        return value.json
    if isinstance(value, Tuple):
        return {name: fitting(item, "") for name, item in value.items() if item is not None}
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value, type_name)
    raise EvaluationError(f"a value of {type(value).__name__} cannot stand in a resource")


def _is_text(type_name: str) -> bool:
    """Whether a type is a code, or a text of another name (R4's model has a type for each bound code)."""
    kind = TYPES.get(type_name)
    return kind is not None and kind.system == "String"


def _coding(code: Code) -> Json:
    told = {"system": code.system, "version": code.version, "code": code.code, "display": code.display}
    return {name: one for name, one in told.items() if one}


def _code(value: Code, type_name: str) -> Any:
    if _is_text(type_name):
        return value.code
    return {"coding": [_coding(value)]} if type_name == "CodeableConcept" else _coding(value)


def _concept(value: Concept, type_name: str) -> Any:
    if type_name == "Coding" or _is_text(type_name):
        return _code(value.codes[0], type_name)
    told: Json = {"coding": [_coding(code) for code in value.codes]}
    if value.display:
        told["text"] = value.display
    return told


def _quantity(value: Quantity, _type_name: str) -> Json:
    told: Json = {"value": _number(value.value)}
    if value.unit and value.unit != "1":
        told |= {"unit": value.unit, "system": "http://unitsofmeasure.org", "code": value.unit}
    return told


def _interval(value: Interval, type_name: str) -> Json:
    names = ("low", "high") if isinstance(value.low or value.high, Quantity) else ("start", "end")
    ends = zip(names, (value.low, value.high), strict=True)
    return {name: fitting(end, type_name) for name, end in ends if end is not None}


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


_WRITERS: tuple[tuple[type | tuple[type, ...], Callable[[Any, str], Any]], ...] = (
    (bool, lambda value, _: value),
    (int, lambda value, _: value),
    (str, lambda value, type_name: {"text": value} if type_name == "CodeableConcept" else value),
    (Decimal, lambda value, _: _number(value)),
    ((Date, DateTime, Time), lambda value, _: str(value)),
    (Code, _code),
    (Concept, _concept),
    (Quantity, _quantity),
    (
        Ratio,
        lambda value, _: {
            "numerator": _quantity(value.numerator, ""),
            "denominator": _quantity(value.denominator, ""),
        },
    ),
    (Interval, _interval),
)
