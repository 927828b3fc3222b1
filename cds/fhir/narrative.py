"""What a resource says, in the few words that a doctor reads: ``ECOG performance status: 1 (2 Nov 2026)``.

Every word of it stands in the resource: texts and displays as given, codes where there are none, dates as written.
It is plain text; whoever shows it escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

from cds.fhir.dates import in_words

Resource = dict[str, Any]

_LONGEST_NAME = 160
_LONGEST_VALUE = 240
_LONGEST_DATE = 60
_MOST_PARTS = 8


@dataclass(frozen=True, slots=True)
class _Form:
    """How resources of one type are told: ``name: value (word, states, date)``.

    `names` and `dates` are elements, the first that is present counts; a date element may be followed by ``=`` and
    what to write before it. `states` are elements whose codes are worth saying unless they are among `usual`.
    """

    word: str = ""
    names: tuple[str, ...] = ("code", "title", "type", "category", "description", "name")
    dates: tuple[str, ...] = ("date", "period", "created", "authoredOn", "recordedDate")
    states: tuple[str, ...] = ("status",)
    usual: frozenset[str] = frozenset({"completed", "final", "active", "unknown", "current", "available", "finished"})
    value: Callable[[Resource], str] | None = None
    dose: str = ""


def describe(resource: Any) -> str:
    """What a resource is, its value and its date; of what cannot be read, the name of its type.

    >>> describe({"resourceType": "Procedure", "code": {"text": "Hysterectomy"}, "performedDateTime": "2026-03"})
    'Hysterectomy (procedure, Mar 2026)'
    """
    if not isinstance(resource, dict):
        return "Resource"
    kind = resource.get("resourceType")
    title = _in_words(kind) if isinstance(kind, str) and kind.strip() else "Resource"
    if kind == "Patient":
        return _patient(resource) or title
    form = _FORMS.get(kind, _DEFAULT) if isinstance(kind, str) else _DEFAULT
    name = next((text for element in form.names if (text := _label(resource.get(element)))), "")
    value = form.value(resource) if form.value else ""
    parts = [part for part in (_word(resource, form, name), *_states(resource, form), _when(resource, form)) if part]
    told = _cut(name, _LONGEST_NAME) or title
    if name and form is _DEFAULT:
        told = f"{title}: {told}"
    told += _dose(resource, form.dose) if form.dose else ""
    told += f": {_cut(value, _LONGEST_VALUE)}" if value else ""
    return f"{told} ({', '.join(parts)})" if parts else told


def _patient(patient: Resource) -> str:
    parts = [_label(patient.get("gender")).capitalize()]
    if born := _date(patient.get("birthDate")):
        parts.append(f"born {born}")
    if died := _date(patient.get("deceasedDateTime")):
        parts.append(f"died {died}")
    elif patient.get("deceasedBoolean") is True:
        parts.append("deceased")
    told = ", ".join(part for part in parts if part)
    return told[:1].upper() + told[1:]


def _in_words(kind: str) -> str:
    """``FamilyMemberHistory`` -> ``Family member history``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _clean(kind))
    return _cut(words[:1].upper() + words[1:].lower(), _LONGEST_NAME)


def _word(resource: Resource, form: _Form, name: str) -> str:
    """What sort of thing it is, where its name alone does not say; an order may be but a plan or a proposal."""
    if not name or name.endswith(f"({form.word})"):
        return ""
    intent = resource.get("intent")
    return intent if form.word == "order" and intent in ("plan", "proposal") else form.word


def _states(resource: Resource, form: _Form) -> Iterator[str]:
    for element in form.states:
        state = resource.get(element)
        if element == "stage":
            stages = state if isinstance(state, list) else []
            summaries = [_label(stage.get("summary")) for stage in stages if isinstance(stage, dict)]
            yield from (text if "stage" in text.lower() else f"stage {text}" for text in summaries if text)
        elif (text := _cut(_status(state), _LONGEST_DATE)) and text not in form.usual:
            yield text.replace("-", " ")


def _status(value: Any) -> str:
    """The code of a status, which is plainer than its display."""
    if isinstance(value, dict) and isinstance(codings := value.get("coding"), list):
        codes = [_clean(coding.get("code")) for coding in codings if isinstance(coding, dict)]
        return next((code for code in codes if code), "") or _label(value)
    return _label(value)


def _when(resource: Resource, form: _Form) -> str:
    for entry in form.dates:
        element, _, before = entry.partition("=")
        if text := _cut(_date(_reach(resource, element)), _LONGEST_DATE):
            return f"{before} {text}" if before else text
    return ""


def _date(value: Any) -> str:
    """A date, Period, Timing or Age in words."""
    if isinstance(value, str):
        return in_words(_clean(value))
    if not isinstance(value, dict):
        return ""
    if isinstance(events := value.get("event"), list):
        told = [_date(event) for event in events if isinstance(event, str)]
        return " – ".join(dict.fromkeys((told[0], told[-1]))) if told else ""
    start, end = in_words(_clean(value.get("start"))), in_words(_clean(value.get("end")))
    if start and end:
        return start if start == end else f"{start} – {end}"
    if start or end:
        return f"since {start}" if start else f"until {end}"
    age = _quantity(value)
    return f"at {age}" if age else ""


def _dose(resource: Resource, element: str) -> str:
    """How much of a medication, as the prescriber wrote it, else as a quantity that has a unit."""
    dosages = resource.get(element)
    dosage = dosages[0] if isinstance(dosages, list) and dosages else dosages
    if not isinstance(dosage, dict):
        return ""
    if text := _label(dosage.get("text")):
        return f", {_cut(text, _LONGEST_NAME)}"
    rates = dosage.get("doseAndRate")
    rate = rates[0] if isinstance(rates, list) and rates else {}
    dose = dosage.get("dose") or (rate.get("doseQuantity") if isinstance(rate, dict) else None)
    return f" {_quantity(dose)}" if isinstance(dose, dict) and dose.get("unit") and _quantity(dose) else ""


def _observed(resource: Resource) -> str:
    """The value of an Observation, or of its components; else why there is none."""
    if value := _value(resource):
        return value
    components = resource.get("component")
    parts = [part for part in components if isinstance(part, dict)] if isinstance(components, list) else []
    told = [f"{_label(part.get('code'))} {_value(part)}".strip() for part in parts if _value(part)]
    if told:
        return ", ".join(told[:_MOST_PARTS]) + (", …" if len(told) > _MOST_PARTS else "")
    if reason := _label(resource.get("dataAbsentReason")):
        return f"no value ({reason})"
    return _label(resource.get("interpretation"))


def _value(element: Resource) -> str:
    for name, told in _VALUES.items():
        if (value := element.get(name)) is not None and (text := told(value)):
            return text
    return ""


def _quantity(value: Any) -> str:
    if not isinstance(value, dict) or not (number := _number(value.get("value"))):
        return ""
    unit = _clean(value.get("unit")) or _clean(value.get("code"))
    # A unit that is all annotation, such as {score}, and the unit 1 say nothing beside the number.
    if unit == "1" or re.fullmatch(r"\{[^}]*\}", unit):
        unit = ""
    comparator = _clean(value.get("comparator"))
    return f"{comparator}{number}{unit if unit == '%' else f' {unit}' if unit else ''}"


def _number(value: Any) -> str:
    """A number as written; digits beyond the fourth decimal are left out, visibly."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return ""
    try:
        text = str(value) if isfinite(value) else ""
    except (OverflowError, ValueError):  # too large to be a measurement
        return ""
    whole, point, decimals = text.partition(".")
    long = point and len(decimals) > 6 and decimals.isdecimal()
    return f"{whole}.{decimals[:4]}…" if long else text


def _range(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    low, high = _quantity(value.get("low")), _quantity(value.get("high"))
    if low and high:
        return f"{low} – {high}"
    return f"from {low}" if low else f"up to {high}" if high else ""


def _ratio(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    above, below = _quantity(value.get("numerator")), _quantity(value.get("denominator"))
    return f"{above} : {below}" if above and below else above


def _boolean(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else ""


def _kin(resource: Resource) -> str:
    """What a relative had."""
    conditions = resource.get("condition")
    parts = [part for part in conditions if isinstance(part, dict)] if isinstance(conditions, list) else []
    return ", ".join(text for part in parts[:_MOST_PARTS] if (text := _label(part.get("code"))))


def _label(value: Any) -> str:
    """The words for a CodeableConcept, Coding, Reference, code or text, or for the first of several that has any."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return next((text for item in value if not isinstance(item, list) and (text := _label(item))), "")
    if not isinstance(value, dict):
        return ""
    if text := _clean(value.get("text")):
        return text
    codings = value.get("coding")
    known = [coding for coding in codings if isinstance(coding, dict)] if isinstance(codings, list) else []
    known.sort(key=lambda coding: coding.get("userSelected") is not True)
    for source in (*known, value):
        if text := _clean(source.get("display")) or _clean(source.get("name")):
            return text
    return next((text for source in (*known, value) if (text := _clean(source.get("code")))), "")


def _reach(resource: Resource, path: str) -> Any:
    value: Any = resource
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _clean(value: Any) -> str:
    """Text in one line, without characters that do not show."""
    if not isinstance(value, str):
        return ""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


_VALUES: dict[str, Callable[[Any], str]] = {
    "valueQuantity": _quantity,
    "valueCodeableConcept": _label,
    "valueString": _label,
    "valueInteger": _number,
    "valueBoolean": _boolean,
    "valueRange": _range,
    "valueRatio": _ratio,
    "valueDateTime": _date,
    "valuePeriod": _date,
    "valueTime": _label,
}

_MEDICATION = ("medicationCodeableConcept", "medicationReference")
_EFFECTIVE = ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming")
_ONSET = ("onsetDateTime", "onsetPeriod", "onsetAge", "onsetString", "recordedDate=recorded")
_OCCURRENCE = ("occurrenceDateTime=for", "occurrencePeriod=for", "occurrenceTiming=for", "authoredOn")
#: States that are said whatever they are.
_ALL: frozenset[str] = frozenset({"unknown"})

_DEFAULT = _Form()
_FORMS = {
    "Observation": _Form(
        names=("code",),
        dates=(*_EFFECTIVE, "issued"),
        usual=frozenset({"final", "amended", "corrected", "unknown"}),
        value=_observed,
    ),
    "Condition": _Form(
        "condition",
        dates=_ONSET,
        states=("clinicalStatus", "verificationStatus", "stage"),
        usual=frozenset({"active", "confirmed"}),
    ),
    "AllergyIntolerance": _Form(
        "allergy",
        dates=_ONSET,
        states=("clinicalStatus", "verificationStatus"),
        usual=frozenset({"active", "confirmed"}),
    ),
    "Procedure": _Form("procedure", dates=("performedDateTime", "performedPeriod", "performedAge", "performedString")),
    "Immunization": _Form(
        "immunization", names=("vaccineCode",), dates=("occurrenceDateTime", "occurrenceString", "recorded=recorded")
    ),
    "MedicationRequest": _Form("order", _MEDICATION, ("authoredOn",), usual=_ALL, dose="dosageInstruction"),
    "MedicationStatement": _Form(
        "medication statement", _MEDICATION, (*_EFFECTIVE, "dateAsserted=stated"), usual=_ALL, dose="dosage"
    ),
    "MedicationAdministration": _Form("administration", _MEDICATION, _EFFECTIVE, dose="dosage"),
    "MedicationDispense": _Form("dispensing", _MEDICATION, ("whenHandedOver", "whenPrepared=prepared")),
    "DiagnosticReport": _Form(
        "report",
        dates=(*_EFFECTIVE, "issued"),
        usual=frozenset({"final", "amended", "corrected", "appended", "unknown"}),
        value=lambda report: _label(report.get("conclusion")) or _label(report.get("conclusionCode")),
    ),
    "ServiceRequest": _Form("order", dates=_OCCURRENCE, usual=_ALL),
    "DeviceRequest": _Form("order", ("codeCodeableConcept", "codeReference"), _OCCURRENCE, usual=_ALL),
    "Appointment": _Form(
        "appointment",
        ("serviceType", "appointmentType", "reasonCode", "specialty", "description"),
        ("start", "requestedPeriod"),
        usual=_ALL,
    ),
    "Encounter": _Form("encounter", ("type", "serviceType", "class"), ("period",)),
    "CarePlan": _Form("care plan", ("title", "category", "description"), ("period", "created"), usual=_ALL),
    "AdverseEvent": _Form(
        "adverse event", ("event", "category"), ("date", "detected=detected", "recordedDate=recorded"), ("severity",)
    ),
    "FamilyMemberHistory": _Form("family history", ("relationship",), ("date",), value=_kin),
    "ImagingStudy": _Form("imaging", ("description", "procedureCode", "modality"), ("started",)),
    "Specimen": _Form(
        "specimen", ("type",), ("collection.collectedDateTime", "collection.collectedPeriod", "receivedTime=received")
    ),
    "DocumentReference": _Form("document", ("type", "description"), ("date",)),
    "ResearchSubject": _Form("research subject", ("study",), ("period",), usual=_ALL),
    "Goal": _Form("goal", ("description",), ("startDate", "statusDate"), ("lifecycleStatus",), usual=_ALL),
    "Device": _Form("device", ("deviceName", "type"), ()),
    "DeviceUseStatement": _Form("device use", ("device",), ("timingDateTime", "timingPeriod", "recordedOn=recorded")),
    "QuestionnaireResponse": _Form(names=(), dates=("authored",)),  # its questionnaire is an address, and no name
    "ClinicalImpression": _Form(
        "impression", ("code", "description"), (*_EFFECTIVE, "date"), value=lambda one: _label(one.get("summary"))
    ),
    "RiskAssessment": _Form("risk assessment", ("code", "method"), ("occurrenceDateTime", "occurrencePeriod")),
    "Medication": _Form(names=("code",), dates=()),
    "BodyStructure": _Form("body structure", ("location", "morphology", "description"), ()),
}
