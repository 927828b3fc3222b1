"""Request -> PatientRecord: what was prefetched, and what of it counts as searched (CDS Hooks 2.0.1, Prefetch)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Any, Protocol

from cds.errors import DataUnavailableError, RecordError, RequestError
from cds.fhir.record import PatientRecord
from cds.hooks.request import HookRequest

Json = dict[str, Any]

PATIENT_ID = "{{context.patientId}}"

#: R4 resource types that have the search parameter `patient` (FHIR 4.0.1, search parameter registry).
_BY_PATIENT = frozenset(
    """
    Account AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic BodyStructure CarePlan CareTeam
    ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition Consent
    Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceRequest
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter EnrollmentRequest EpisodeOfCare
    ExplanationOfBenefit FamilyMemberHistory Flag Goal GuidanceResponse ImagingStudy Immunization
    ImmunizationEvaluation ImmunizationRecommendation Invoice List MeasureReport Media MedicationAdministration
    MedicationDispense MedicationRequest MedicationStatement MolecularSequence NutritionOrder Observation Person
    Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup RiskAssessment ServiceRequest Specimen
    SupplyDelivery Task VisionPrescription
    """.split()  # noqa: SIM905 - a page of quotation marks reads worse
)
#: The other parameters by which R4 finds a patient's resources. Where a parameter may name several types, the type
#: is written out, since a bare id would be ambiguous (FHIR 4.0.1, 3.1.1.4.13).
_OTHERWISE = {
    "AdverseEvent": f"subject=Patient/{PATIENT_ID}",
    "Group": f"member=Patient/{PATIENT_ID}",
    "ResearchSubject": f"individual={PATIENT_ID}",
    "Schedule": f"actor=Patient/{PATIENT_ID}",
    "SupplyRequest": f"subject=Patient/{PATIENT_ID}",
}
#: Issues of an OperationOutcome among search results that say that some were held back (http://hl7.org/fhir/issue-type).
_WITHHELD = frozenset(
    ("suppressed", "security", "login", "expired", "forbidden", "throttled", "timeout", "too-costly", "incomplete")
)


def key_of(resource_type: str) -> str:
    """The prefetch key of a resource type, the same whatever else is asked for: ``medicationRequest``."""
    return resource_type[:1].lower() + resource_type[1:]


def templates(types: Iterable[str]) -> dict[str, str]:
    """The prefetch templates for resource types: one plain query each, in the order given.

    A type that R4 has no way to search by patient (Medication, ResearchStudy) has no template.

    >>> templates(["Patient", "Condition", "ResearchSubject", "Medication"])["researchSubject"]
    'ResearchSubject?individual={{context.patientId}}'
    """
    queries = {}
    for kind in types:
        if kind == "Patient":
            queries[key_of(kind)] = f"Patient/{PATIENT_ID}"
        elif kind in _BY_PATIENT:
            queries[key_of(kind)] = f"{kind}?patient={PATIENT_ID}"
        elif kind in _OTHERWISE:
            queries[key_of(kind)] = f"{kind}?{_OTHERWISE[kind]}"
    return queries


class Source(Protocol):
    """Where data can be read that a request came without."""

    def read(self, request: HookRequest, queries: Mapping[str, str]) -> Mapping[str, Any]:
        """The answers to `queries` (prefetch key -> FHIR query), in the shape of a prefetch.

        A key that could not be read is left out.
        """
        ...


class NoSource:
    """A Source that has nothing: what was not prefetched is missing."""

    def read(self, request: HookRequest, queries: Mapping[str, str]) -> Mapping[str, Any]:
        """Nothing."""
        return {}


@dataclass(frozen=True, slots=True)
class Gathered:
    """A patient's record, and for each resource type that was not searched, why."""

    record: PatientRecord
    unread: Mapping[str, str]


@dataclass(slots=True)
class _Pile:
    """What prefetch values hold: resources with their fullUrls, the types searched, and why others were not."""

    resources: list[Json] = field(default_factory=list)
    full_urls: list[str | None] = field(default_factory=list)
    searched: set[str] = field(default_factory=set)
    unread: dict[str, str] = field(default_factory=dict)

    def add(self, resource: Json, full_url: str | None = None) -> None:
        self.resources.append(resource)
        self.full_urls.append(full_url)


def gather(
    request: HookRequest,
    *,
    types: Iterable[str],
    needed: Collection[str],
    source: Source,
    now: datetime,
    timezone: tzinfo,
) -> Gathered:
    """The patient's record from the prefetch, then from `source`.

    Of each type, null and a complete Bundle (an empty one, too) count as searched; an absent key, an OperationOutcome
    and an unread next page do not, until `source` has read them. Types that cannot be searched by patient come only
    inside other answers, and count as searched.

    Raises RequestError for values that are no FHIR and for another patient's Patient, DataUnavailableError where the
    Patient or one of the `needed` types cannot be had.
    """
    types = tuple(types)
    queries = templates(types)
    kinds = {key_of(kind): kind for kind in types if key_of(kind) in queries}
    pile = _Pile(searched={kind for kind in types if kind not in kinds.values()})
    for key, kind in kinds.items():
        if key not in request.prefetch:
            pile.unread[kind] = f'the prefetch has no key "{key}"'
    for key, value in request.prefetch.items():
        _read(pile, kinds.get(key), value, f"prefetch.{key}" if key in kinds else "prefetch")
    if pile.unread:
        filled = {key_of(kind): queries[key_of(kind)].replace(PATIENT_ID, request.patient_id) for kind in pile.unread}
        for key, value in source.read(request, filled).items():
            if key in filled:
                _read(pile, kinds[key], value, f"fhirServer.{key}")
    record = _record(request, pile, queries, now=now, timezone=timezone)
    missing = {kind: pile.unread[kind] for kind in types if kind in needed and kind in pile.unread}
    if missing:
        raise DataUnavailableError(
            f"the trials cannot be judged without {_and(missing)}: {'; '.join(missing.values())}",
            where=", ".join(f"prefetch.{key_of(kind)}" for kind in missing),
            remedy=f"send {_and(queries[key_of(kind)] for kind in missing)}, as the discovery says",
        )
    return Gathered(record, MappingProxyType(dict(pile.unread)))


def _read(pile: _Pile, kind: str | None, value: Any, where: str) -> None:
    """Adds one prefetch value. `kind` is what its key asks for; None for a key that we did not ask for."""
    value = _unwrapped(value)
    if value is None:
        problem = "the Patient is null" if kind == "Patient" else None
    elif not isinstance(value, dict):
        if kind is None:
            return
        raise RequestError("is neither null nor a FHIR resource", where=where, remedy="send a Bundle or a resource")
    elif value.get("resourceType") == "OperationOutcome":
        problem = "the EHR's search failed (an OperationOutcome came in place of data)"
    elif value.get("resourceType") == "Bundle":
        problem = _read_bundle(pile, kind, value, where)
    elif isinstance(value.get("resourceType"), str):
        pile.add(value)
        problem = None if value["resourceType"] == kind else f"another resource than {kind} was sent"
    elif kind is None:
        return
    else:
        raise RequestError("has no resourceType", where=where, remedy="send a Bundle or a resource, as FHIR JSON")
    if kind is None:
        return
    if problem:
        pile.unread[kind] = problem
    else:
        pile.searched.add(kind)
        pile.unread.pop(kind, None)


def _unwrapped(value: Any) -> Any:
    """The value without the wrapping ``{"response", "resource"}`` of clients older than CDS Hooks 1.0.

    A wrapping that tells of another status than success is a failed search, whatever it holds.
    """
    if not isinstance(value, dict) or "resourceType" in value or not {"resource", "response"} & value.keys():
        return value
    response = value.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    failed = status is not None and not str(status).startswith("2")
    return {"resourceType": "OperationOutcome"} if failed else value.get("resource", value)


def _read_bundle(pile: _Pile, kind: str | None, bundle: Json, where: str) -> str | None:
    """Adds the resources of a Bundle; why it is no complete answer, or None."""
    entries = bundle.get("entry")
    if entries is None:
        entries = []
    if not isinstance(entries, list):
        raise RequestError("is not a list", where=f"{where}.entry", remedy="send a FHIR Bundle")
    problem = "only the first page was sent (its link 'next' is unread)" if _has_next(bundle) else None
    found = 0
    for place, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and resource is None and "resourceType" not in entry:
            continue
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise RequestError(
                "holds no FHIR resource", where=f"{where}.entry[{place}]", remedy="put it under entry.resource"
            )
        if resource["resourceType"] == "OperationOutcome":
            problem = problem or _withheld(resource)
            continue
        found += resource["resourceType"] == kind
        full_url = entry.get("fullUrl")
        pile.add(resource, full_url if isinstance(full_url, str) else None)
    total = bundle.get("total")
    if not problem and isinstance(total, int) and total > found and kind is not None:
        problem = f"the Bundle holds {found} of {total} results"
    if not problem and kind == "Patient" and not found:
        problem = "the Bundle holds no Patient"
    return problem


def _has_next(bundle: Json) -> bool:
    links = bundle.get("link")
    return isinstance(links, list) and any(isinstance(link, dict) and link.get("relation") == "next" for link in links)


def _withheld(outcome: Json) -> str | None:
    """Whether an OperationOutcome among results says that the search failed, or that results were held back.

    Mere warnings are common beside complete results ("a parameter was ignored"), and lose nothing.
    """
    issues = outcome.get("issue")
    for issue in issues if isinstance(issues, list) else ():
        if not isinstance(issue, dict):
            continue
        if issue.get("severity") in ("error", "fatal") or issue.get("code") in _WITHHELD:
            return "the EHR's search failed in part (an OperationOutcome is among the results)"
    return None


def _record(
    request: HookRequest, pile: _Pile, queries: Mapping[str, str], *, now: datetime, timezone: tzinfo
) -> PatientRecord:
    patients = [one for one in pile.resources if one["resourceType"] == "Patient"]
    if not any(one.get("id") == request.patient_id for one in patients):
        if patients and "Patient" in pile.searched:
            # More data would not mend this: the request contradicts itself, about whom it concerns.
            raise RequestError(
                "is not the patient of the context",
                where="prefetch.patient",
                remedy="send the Patient whose id is context.patientId",
            )
        raise DataUnavailableError(
            f"the Patient is not there: {pile.unread.get('Patient', 'no Patient was sent')}",
            where="prefetch.patient",
            remedy=f"send {queries.get('patient', 'Patient')}, as the discovery says",
        )
    pile.unread.pop("Patient", None)
    try:
        return PatientRecord.from_resources(
            pile.resources,
            patient_id=request.patient_id,
            now=now,
            timezone=timezone,
            searched=pile.searched | {"Patient"},
            full_urls=pile.full_urls,
        )
    except RecordError as error:
        raise RequestError(error.message, where="prefetch", remedy=error.remedy) from error


def _and(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
