"""Request -> PatientRecord: prefetch first, then the FHIR server; what counts as searched (CDS Hooks 2.0.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Any

from cds.errors import DataUnavailableError, RecordError, RequestError
from cds.fhir.compartment import Compartment
from cds.fhir.record import PatientRecord
from cds.fhir.searches import of_patient
from cds.fhir.searchset import Page
from cds.fhir.server import MEDICATED, Answer, Wanted
from cds.hooks.request import HookRequest
from cds.hooks.source import Reader, Source

Json = dict[str, Any]

PATIENT_ID = "{{context.patientId}}"

#: A reference to a Medication, relative or with its server's base before it, versioned or not.
_MEDICATION = re.compile(r"(?:(?P<base>https?://.+)/)?Medication/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")
#: How many Medications are read one by one.
_MOST_MEDICATIONS = 64


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
        if (query := of_patient(kind, PATIENT_ID)) is not None:
            queries[key_of(kind)] = query
    return queries


@dataclass(frozen=True, slots=True)
class Gathered:
    """A patient's record, and for each resource type that was not searched, why."""

    record: PatientRecord
    unread: Mapping[str, str]


@dataclass(slots=True)
class _Pile:
    """What came so far: resources with their fullUrls, the types searched, why others were not, and where pages go on.

    `begun` holds, for types whose search was sent in part, the ids that came and the link to the next page.
    """

    resources: list[Json] = field(default_factory=list)
    full_urls: list[str | None] = field(default_factory=list)
    searched: set[str] = field(default_factory=set)
    unread: dict[str, str] = field(default_factory=dict)
    begun: dict[str, tuple[frozenset[str], str]] = field(default_factory=dict)

    def add(self, resource: Json, full_url: str | None = None) -> None:
        self.resources.append(resource)
        self.full_urls.append(full_url)

    def settle(self, kind: str, problem: str | None) -> None:
        """Notes whether all of a type is here."""
        if problem:
            self.unread[kind] = problem
        else:
            self.searched.add(kind)
            self.unread.pop(kind, None)

    def of(self, patient_id: str) -> _Pile:
        """What is of one patient, or of none (a Medication)."""
        patient = self.patient(patient_id)
        compartment = Compartment(patient or {})
        hers = [
            (one, url)
            for one, url in zip(self.resources, self.full_urls, strict=True)
            if one is patient or (one["resourceType"] != "Patient" and compartment.holds(one["resourceType"], one, url))
        ]
        return _Pile([one for one, _ in hers], [url for _, url in hers], self.searched, self.unread)

    def patient(self, patient_id: str) -> Json | None:
        return next(
            (one for one in self.resources if one["resourceType"] == "Patient" and one.get("id") == patient_id), None
        )


def gather(
    request: HookRequest,
    *,
    types: Iterable[str],
    needed: Collection[str],
    source: Source,
    now: datetime,
    timezone: tzinfo,
    deciding: Collection[str] = (),
    concerns: Callable[[PatientRecord], bool] = lambda _record: True,
    hygiene: bool = True,
) -> Gathered:
    """The patient's record from the prefetch, then from `source`.

    Of each type, null and a complete Bundle (an empty one, too) count as searched; an absent key, an OperationOutcome
    and an unread next page do not, until `source` has read them. Types that cannot be searched by patient come only
    inside other answers, and count as searched.

    `source` is asked for the `needed` and the `deciding` types first; for the others only where the record, as far as
    it goes then, `concerns` any trial. What is not asked for so is neither searched nor told as unread.

    Without `hygiene` the record holds her resources as they came, for logic that looks at their states itself; those
    of other patients are left out in any case.

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
    reader = source.open(request)

    def record() -> PatientRecord:
        return _record(request, pile, now=now, timezone=timezone, hygiene=hygiene)

    _check_patient(request, pile)
    if reader is None:
        _check_needed(pile, types, needed, queries)
        return Gathered(record(), MappingProxyType(dict(pile.unread)))
    first = [kind for kind in pile.unread if kind in needed or kind in deciding]
    _read_from(reader, request, pile, first)
    _check_patient(request, pile)
    _check_needed(pile, types, needed, queries)
    gathered = record()
    rest = [kind for kind in pile.unread if kind not in first]
    if rest or _medications(request, pile):
        if concerns(gathered):
            _read_from(reader, request, pile, rest)
            _read_medications(reader, request, pile)
            gathered = record()
        else:
            for kind in rest:
                del pile.unread[kind]
    return Gathered(gathered, MappingProxyType(dict(pile.unread)))


def _check_patient(request: HookRequest, pile: _Pile) -> None:
    """Notes whether the Patient is here, wherever she came. RequestError for another one in her place."""
    if pile.patient(request.patient_id):
        pile.settle("Patient", None)
    elif "Patient" in pile.searched and any(one["resourceType"] == "Patient" for one in pile.resources):
        # More data would not mend this: the request contradicts itself, about whom it concerns.
        raise RequestError(
            "is not the patient of the context",
            where="prefetch.patient",
            remedy="send the Patient whose id is context.patientId",
        )
    else:
        pile.unread.setdefault("Patient", "no Patient was sent")


def _check_needed(pile: _Pile, types: Iterable[str], needed: Collection[str], queries: Mapping[str, str]) -> None:
    """DataUnavailableError that names all that is missing without which nothing can be said, and why it is."""
    missing = {
        kind: pile.unread[kind] for kind in types if (kind in needed or kind == "Patient") and kind in pile.unread
    }
    if missing:
        causes = "; ".join(f"{kind}: {cause}" for kind, cause in missing.items())
        raise DataUnavailableError(
            f"the trials cannot be judged without {_and(missing)}: {causes}",
            where=", ".join(f"prefetch.{key_of(kind)}" for kind in missing),
            remedy=f"send {_and(queries[key_of(kind)] for kind in missing)}, as the discovery says",
        )


def _read_from(reader: Reader, request: HookRequest, pile: _Pile, kinds: Collection[str]) -> None:
    """Reads types that are not here, or only in part."""
    if not kinds:
        return
    filled = {
        kind: query.replace(PATIENT_ID, request.patient_id) for kind in kinds for query in templates([kind]).values()
    }
    wanted = {}
    for kind, query in filled.items():
        held, link = pile.begun.get(kind, (frozenset(), None))
        wanted[kind] = Wanted(kind, query, link, held)
    answers = reader.read(wanted)
    for answer in answers.values():
        for resource, full_url in answer.resources:
            pile.add(resource, full_url)
    patient = pile.patient(request.patient_id)
    for kind, answer in answers.items():
        problem = answer.problem
        if not problem and patient is not None and _is_of_others(kind, answer, patient):
            problem = "the FHIR server sent another patient's data"
        pile.settle(kind, f"{pile.unread[kind]}, and {problem}" if problem else None)


def _is_of_others(kind: str, answer: Answer, patient: Json) -> bool:
    """Whether a search by patient brought what is someone else's: then nobody knows what it left out.

    An Observation about another (its `focus`) may stand in her chart by right; it is left out later.
    """
    compartment = Compartment(patient)
    return any(
        not compartment.holds(kind, {name: value for name, value in one.items() if name != "focus"}, url)
        for one, url in answer.resources
        if one["resourceType"] == kind != "Patient"
    )


def _medications(request: HookRequest, pile: _Pile) -> dict[str, Wanted]:
    """The Medications on the request's server that are referred to, and are not here, by their ids."""
    here = {one.get("id") for one in pile.resources if one["resourceType"] == "Medication"}
    server = (request.fhir_server or "").rstrip("/")
    wanted = {}
    for one in pile.resources:
        reference = one.get("medicationReference") if one["resourceType"] in MEDICATED else None
        literal = reference.get("reference") if isinstance(reference, dict) else None
        named = _MEDICATION.fullmatch(literal) if isinstance(literal, str) else None
        if named and named["base"] in (None, server) and named["id"] not in here:
            wanted[named["id"]] = Wanted("Medication", f"Medication/{named['id']}")
    return wanted


def _read_medications(reader: Reader, request: HookRequest, pile: _Pile) -> None:
    """Reads Medications one by one. One that cannot be had keeps the criteria open that ask about medications."""
    wanted = _medications(request, pile)
    some = dict(list(wanted.items())[:_MOST_MEDICATIONS])
    problems = [f"there are more than {_MOST_MEDICATIONS}"] if len(some) < len(wanted) else []
    for answer in reader.read(some).values() if some else ():
        for resource, full_url in answer.resources:
            pile.add(resource, full_url)
        if answer.problem:
            problems.append(answer.problem)
    if problems:
        pile.unread["Medication"] = f"medications known by reference alone: {problems[0]}"


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
    if kind is not None:
        pile.settle(kind, problem)


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
    try:
        page = Page.of(bundle, kind)
    except RecordError as error:
        raise RequestError(error.message, where=f"{where}.{error.where}", remedy=error.remedy) from None
    for resource, full_url in page.resources:
        pile.add(resource, full_url)
    if page.more:
        if kind is not None and page.next:
            pile.begun[kind] = frozenset(_ids(page, kind)), page.next
        return "only the first page was sent (its link 'next' is unread)"
    if page.withheld:
        return "the EHR's search failed in part (an OperationOutcome is among the results)"
    if page.total is not None and page.total > page.found and kind is not None:
        return f"the Bundle holds {page.found} of {page.total} results"
    return "the Bundle holds no Patient" if kind == "Patient" and not page.found else None


def _ids(page: Page, kind: str) -> Iterable[str]:
    return (one["id"] for one, _ in page.resources if one["resourceType"] == kind and isinstance(one.get("id"), str))


def _record(request: HookRequest, pile: _Pile, *, now: datetime, timezone: tzinfo, hygiene: bool) -> PatientRecord:
    if not hygiene:
        pile = pile.of(request.patient_id)
    try:
        return PatientRecord.from_resources(
            pile.resources,
            patient_id=request.patient_id,
            now=now,
            timezone=timezone,
            searched=pile.searched,
            full_urls=pile.full_urls,
            hygiene=hygiene,
        )
    except RecordError as error:
        raise RequestError(error.message, where="prefetch", remedy=error.remedy) from error


def _and(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
