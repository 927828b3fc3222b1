"""Which resources state no fact: what never happened, was withdrawn or is not yet (R4 status value sets).

A resource left out here counts neither for nor against the patient; `Rule` says why per type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cds.fhir.dates import Horizon

Resource = dict[str, Any]

#: The reason of a fact dated after now.
FUTURE = "future"
#: The reason of a request that forbids what it names.
DO_NOT_PERFORM = "do-not-perform"
#: The reason of a result that is announced and not there.
NO_RESULT = "no-result-yet"


@dataclass(frozen=True, slots=True)
class Rule:
    """When a resource of one type states no fact.

    `void` are the codes of `status` that void it. `dates` are the elements that say when the fact was observed, the
    clinical one first: the first that is present decides whether the fact lies ahead. Requests and appointments
    have none: they may. `results` are the elements without which a resource that is merely ``registered`` is empty.
    """

    void: frozenset[str]
    dates: tuple[str, ...] = ()
    status: str = "status"
    results: tuple[str, ...] = ()


def _rule(void: str = "", dates: str = "", status: str = "status", results: str = "") -> Rule:
    return Rule(frozenset((*void.split(), "entered-in-error")), tuple(dates.split()), status, tuple(results.split()))


# EventStatus: `preparation` has not started; `not-done` ended before it started. `on-hold` and `stopped` did start.
_EVENT = "preparation not-done"
# RequestStatus: a `draft` is not yet in force, a `revoked` one no longer is.
_REQUEST = "draft revoked"
_FINANCIAL = "cancelled draft"

_DEFAULT = _rule()
#: What an element without content looks like; false and 0 are content.
_ABSENT: tuple[Any, ...] = (None, "", [], {})

_RULES = {
    "AdverseEvent": _rule("potential", "date detected recordedDate", status="actuality"),
    "AllergyIntolerance": _rule("refuted", "onsetDateTime onsetPeriod recordedDate", status="verificationStatus"),
    "Appointment": _rule("cancelled noshow"),
    "AppointmentResponse": _rule("declined", status="participantStatus"),
    "CarePlan": _rule(_REQUEST),
    "ChargeItem": _rule("planned aborted", "occurrenceDateTime occurrencePeriod occurrenceTiming"),
    "Claim": _rule(_FINANCIAL),
    "ClaimResponse": _rule(_FINANCIAL),
    "ClinicalImpression": _rule("", "effectiveDateTime effectivePeriod date"),
    "Communication": _rule(_EVENT, "sent received"),
    "CommunicationRequest": _rule(_REQUEST),
    "Composition": _rule("", "date"),
    "Condition": _rule("refuted", "onsetDateTime onsetPeriod recordedDate", status="verificationStatus"),
    "Consent": _rule("draft proposed", "dateTime"),
    "Coverage": _rule(_FINANCIAL),
    "DetectedIssue": _rule("registered cancelled", "identifiedDateTime identifiedPeriod"),
    "DeviceRequest": _rule(_REQUEST),
    "DeviceUseStatement": _rule("intended", "timingDateTime timingPeriod timingTiming recordedOn"),
    "DiagnosticReport": _rule(
        "cancelled",
        "effectiveDateTime effectivePeriod issued",
        results="result conclusion conclusionCode presentedForm media imagingStudy",
    ),
    "DocumentManifest": _rule("superseded", "created"),
    "DocumentReference": _rule("superseded", "date"),
    "Encounter": _rule("planned cancelled", "period"),
    "EpisodeOfCare": _rule("planned waitlist cancelled", "period"),
    "ExplanationOfBenefit": _rule(_FINANCIAL),
    "FamilyMemberHistory": _rule("", "date"),
    "Flag": _rule("", "period"),
    "Goal": _rule("rejected cancelled", status="lifecycleStatus"),
    "ImagingStudy": _rule("registered cancelled", "started"),
    "Immunization": _rule("not-done", "occurrenceDateTime recorded"),
    "ImmunizationEvaluation": _rule("", "date"),
    "List": _rule("", "date"),
    "Media": _rule(_EVENT, "createdDateTime createdPeriod issued"),
    # MedicationRequest is dated by its writing: an order written after now is none yet.
    "MedicationRequest": _rule("cancelled draft", "authoredOn"),
    "MedicationStatement": _rule("intended not-taken", "effectiveDateTime effectivePeriod dateAsserted"),
    "MedicationAdministration": _rule("not-done", "effectiveDateTime effectivePeriod"),
    "MedicationDispense": _rule("preparation cancelled declined", "whenHandedOver whenPrepared"),
    "NutritionOrder": _rule(_REQUEST),
    "Observation": _rule(
        "cancelled",
        "effectiveDateTime effectivePeriod effectiveInstant effectiveTiming issued",
        results="valueQuantity valueCodeableConcept valueString valueBoolean valueInteger valueRange valueRatio "
        "valueSampledData valueTime valueDateTime valuePeriod component hasMember",
    ),
    "Procedure": _rule(_EVENT, "performedDateTime performedPeriod"),
    "QuestionnaireResponse": _rule("", "authored"),
    "RequestGroup": _rule(_REQUEST),
    "ResearchSubject": _rule("", "period"),
    "RiskAssessment": _rule("registered cancelled", "occurrenceDateTime occurrencePeriod"),
    "ServiceRequest": _rule(_REQUEST),
    "Specimen": _rule("", "collection receivedTime"),
    "SupplyDelivery": _rule("abandoned", "occurrenceDateTime occurrencePeriod occurrenceTiming"),
    "SupplyRequest": _rule("draft cancelled"),
    "Task": _rule("draft rejected cancelled failed"),
    "VisionPrescription": _rule(_FINANCIAL),
}


def no_fact_because(kind: str, resource: Resource, horizon: Horizon) -> str | None:
    """Why a resource of type `kind` states no fact as of the horizon: a status code or a word; None where it does."""
    rule = _RULES.get(kind, _DEFAULT)
    status = resource.get(rule.status)
    if status is not None:
        for code in _codes(status):
            if code in rule.void:
                return code
            if code == "registered" and rule.results and all(resource.get(name) in _ABSENT for name in rule.results):
                return NO_RESULT
    if resource.get("doNotPerform") is True:
        return DO_NOT_PERFORM
    for name in rule.dates:
        if (value := resource.get(name)) is not None:
            moment = value if isinstance(value, str) else _start(value)
            return FUTURE if moment is not None and horizon.lies_ahead(moment) else None
    return None


def _codes(status: Any) -> tuple[str, ...]:
    """The codes of a status, whether a code or a CodeableConcept; its text (``Entered in error``) counts as one."""
    if isinstance(status, str):
        return (status.lower(),)
    if not isinstance(status, dict):
        return ()
    codings = status.get("coding")
    codes = [coding.get("code") for coding in codings if isinstance(coding, dict)] if isinstance(codings, list) else []
    if isinstance(text := status.get("text"), str):
        codes.append("-".join(text.split()))
    return tuple(code.lower() for code in codes if isinstance(code, str))


def _start(value: Any) -> str | None:
    """When a Period, a Timing or a specimen's collection begins; None where that is not written."""
    if not isinstance(value, dict):
        return None
    start = value.get("start") or value.get("collectedDateTime") or value.get("collectedPeriod") or value.get("event")
    if start is None and isinstance(repeat := value.get("repeat"), dict):
        start = repeat.get("boundsPeriod")
    if isinstance(start, dict):
        start = start.get("start")
    if isinstance(start, list):
        start = min((event for event in start if isinstance(event, str)), default=None)
    return start if isinstance(start, str) else None
