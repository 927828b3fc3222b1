"""PatientRecord: one patient's resources, cleaned, indexed by type and by code. The engine's Retriever."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, KeysView, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from operator import is_
from types import MappingProxyType
from typing import Any, Protocol

from cds.elm.ports import Pair
from cds.errors import RecordError
from cds.fhir.bundle import Entry, flatten, once
from cds.fhir.code_systems import pairs
from cds.fhir.compartment import Compartment
from cds.fhir.dates import Horizon
from cds.fhir.hygiene import no_fact_because
from cds.fhir.model import TYPES, Element
from cds.fhir.references import Identity, Resource, contained, normal, resource_id, tail

#: The reason of what is told twice.
DUPLICATE = "duplicate"
#: The reason of what is someone else's.
NOT_THE_PATIENT = "another-subject"

#: The types whose medication may stand in another resource.
_MEDICATED = frozenset({"MedicationRequest", "MedicationAdministration", "MedicationStatement", "MedicationDispense"})
#: How a coded element is spelt in JSON: as it is, or as one of a choice (``medication[x]``).
_CODED = ("", "CodeableConcept", "Coding", "Code")


class _Codes:
    """Where in a list of resources each code stands: with its system, or bare where the element is a plain code."""

    __slots__ = ("bare", "coded")

    def __init__(self) -> None:
        self.coded: defaultdict[Pair, list[int]] = defaultdict(list)
        self.bare: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, place: int, coded: Any) -> None:
        """Enters a CodeableConcept, Coding or code, or a list of them."""
        for one in coded if isinstance(coded, list) else (coded,):
            if isinstance(one, dict):
                codings = one.get("coding", (one,))
                for coding in codings if isinstance(codings, (list, tuple)) else ():
                    if isinstance(coding, dict):
                        system, code = coding.get("system"), coding.get("code")
                        if isinstance(system, str) and isinstance(code, str):
                            for pair in pairs(system, code):
                                self.coded[pair].append(place)
            elif isinstance(one, str):
                self.bare[one].append(place)

    def places(self, codes: Collection[Pair]) -> list[int]:
        """The places of any of `codes`, each once, in order. Walks the smaller of the two sides."""
        wanted = codes if isinstance(codes, (frozenset, set)) else frozenset(codes)
        coded = self.coded
        hits = (
            [coded[pair] for pair in wanted if pair in coded]
            if len(wanted) <= len(coded)
            else [places for pair, places in coded.items() if pair in wanted]
        )
        if self.bare:
            plain = {code for _, code in wanted}
            hits += [places for code, places in self.bare.items() if code in plain]
        return _once(hits)

    def places_of(self, asked: AskedCodes) -> list[int]:
        """The places of the codes that `asked` says yes to, each once, in order."""
        hits = [self.coded[pair] for pair in asked.among(self.coded.keys())]
        if self.bare:
            hits += [self.bare[code] for code in asked.bare_among(self.bare.keys())]
        return _once(hits)


def _once(hits: Sequence[list[int]]) -> list[int]:
    if len(hits) == 1:
        return sorted(set(hits[0]))
    return sorted({place for places in hits for place in places})


class AskedCodes(Protocol):
    """Codes too many to list: they are asked which of a patient's codes are among them."""

    def among(self, pairs: KeysView[Pair]) -> Iterable[Pair]: ...

    def bare_among(self, codes: KeysView[str]) -> Iterable[str]: ...


#: No chart holds more; what does is no one patient's, or a mistake.
MOST_RESOURCES = 100_000


class PatientRecord:
    """One patient's data as of `now`: what is hers, what is a fact, each once.

    Built from any Bundle; a type is cleaned when it is first asked for, and indexed by code when a code is. With
    `hygiene=False` the resources stand as they came: nothing is left out and no medication is looked up.
    The JSON that came is never changed.
    """

    def __init__(
        self,
        entries: Iterable[tuple[Resource, str | None]],
        *,
        now: datetime,
        timezone: tzinfo = UTC,
        searched: Collection[str] | None = None,
        patient_id: str | None = None,
        hygiene: bool = True,
        skipped: Sequence[str] = (),
    ) -> None:
        self.horizon = Horizon(now, timezone)
        self.searched = None if searched is None else frozenset(searched)
        self._hygiene = hygiene
        by_type: defaultdict[str, list[tuple[Resource, str | None, int]]] = defaultdict(list)
        for place, (resource, full_url) in enumerate(entries, 1):
            by_type[resource["resourceType"]].append((resource, full_url, place))
        self._by_type = dict(by_type)
        if sum(map(len, by_type.values())) > MOST_RESOURCES:
            raise RecordError(
                f"there are more than {MOST_RESOURCES} resources in the data",
                where="Bundle.entry",
                remedy="send what is the patient's, and of the types that discovery names",
            )
        self.skipped = tuple(skipped)
        self._elements: dict[str, list[Element]] = {}
        self._indexes: dict[tuple[str, str], _Codes] = {}
        self._nameless: dict[int, str] = {}
        self._left_out: Counter[str] = Counter()
        patient, urls = self._only_patient(patient_id)
        self.patient = self._cited(patient)
        self._compartment = Compartment(self.patient, urls)
        self._elements["Patient"] = [Element("Patient", self.patient)]

    @classmethod
    def from_bundle(
        cls,
        bundle: Any,
        *,
        now: datetime,
        timezone: tzinfo = UTC,
        searched: Collection[str] | None = None,
        hygiene: bool = True,
    ) -> PatientRecord:
        """The record in a Bundle of any type, bundles in it included. RecordError unless it holds exactly one Patient.

        Dates without an offset are read in `timezone`. `searched` names the resource types whose absence means
        something; None stands for all.
        """
        if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
            raise RecordError(
                "this is not a FHIR Bundle", where="resourceType", remedy="send a Bundle with one Patient"
            )
        skipped: list[str] = []
        entries = flatten([(bundle, None)], skipped)
        return cls(entries, now=now, timezone=timezone, searched=searched, hygiene=hygiene, skipped=skipped)

    @classmethod
    def from_resources(
        cls,
        resources: Iterable[Any],
        *,
        now: datetime,
        patient_id: str | None = None,
        timezone: tzinfo = UTC,
        searched: Collection[str] | None = None,
        full_urls: Iterable[str | None] = (),
        hygiene: bool = True,
    ) -> PatientRecord:
        """The record in resources that came apart, Bundles of them included.

        Where `patient_id` says who is meant, other Patients are other people; else there must be exactly one.
        `full_urls` are those of the resources, in their order, as far as they are known.
        """
        skipped: list[str] = []
        urls = iter(full_urls)
        entries = flatten([(resource, next(urls, None)) for resource in resources], skipped)
        return cls(
            entries,
            now=now,
            timezone=timezone,
            searched=searched,
            patient_id=patient_id,
            hygiene=hygiene,
            skipped=skipped,
        )

    @property
    def reference(self) -> str:
        """How the patient is cited: ``Patient/123``."""
        return self.reference_of(self.patient)

    @property
    def excluded(self) -> Mapping[str, int]:
        """How many resources were left out, by reason (``entered-in-error``, ``future``, ``duplicate`` ...)."""
        for kind in self._by_type:
            self._facts(kind)
        return MappingProxyType(dict(self._left_out))

    def is_searched(self, resource_type: str) -> bool:
        """Whether it means something that no resource of the type is here."""
        return self.searched is None or resource_type in self.searched or resource_type == "Patient"

    def deceased(self, now: datetime) -> bool:
        """Whether the patient is dead at `now`: said to be, or dated so that it is not wholly after `now`."""
        if self.patient.get("deceasedBoolean") is True:
            return True
        died = self.patient.get("deceasedDateTime")
        return isinstance(died, str) and not Horizon(now, self.horizon.timezone).lies_ahead(died)

    def reference_of(self, resource: Resource) -> str:
        """How a resource is cited: ``Type/id``; without an id by its entry's fullUrl, else by its place."""
        kind = str(resource.get("resourceType"))
        identifier = resource_id(resource)
        return f"{kind}/{identifier}" if identifier else self._nameless.get(id(resource), kind)

    def retrieve(
        self, type_name: str, code_path: str | None = None, codes: Collection[Pair] | None = None
    ) -> Sequence[Element]:
        """The resources of a type in the order of the record; of those, the ones with one of `codes` at `code_path`."""
        elements = self._facts(type_name)
        if codes is None or not elements:
            return elements
        if not codes:
            return []
        return [elements[place] for place in self._index(type_name, code_path or "code").places(codes)]

    def retrieve_asked(self, type_name: str, code_path: str | None, asked: AskedCodes) -> Sequence[Element]:
        """`retrieve` by codes that are asked: the cost is that of the patient's codes."""
        elements = self._facts(type_name)
        if not elements:
            return elements
        return [elements[place] for place in self._index(type_name, code_path or "code").places_of(asked)]

    def _only_patient(self, patient_id: str | None) -> tuple[Entry, list[str | None]]:
        """The entry of the one Patient, and every fullUrl that it goes by."""
        everyone = self._entries("Patient")
        entries = [one for one in everyone if patient_id is None or resource_id(one.resource) == patient_id]
        patients = once(entries)
        if not patients:
            message = (
                "there is no Patient in the data" if patient_id is None else "the Patient asked for is not in the data"
            )
            raise RecordError(message, where="Bundle.entry", remedy="send exactly one Patient with its resources")
        if len(patients) > 1:
            raise RecordError(
                f"there are {len(patients)} different Patients in the data",
                where="Bundle.entry",
                remedy="send one patient's data at a time",
            )
        self._leave_out(DUPLICATE, len(entries) - 1)
        self._leave_out(NOT_THE_PATIENT, len(everyone) - len(entries))
        return patients[0], [entry.full_url for entry in entries]

    def _entries(self, kind: str) -> list[Entry]:
        return [Entry(*entry) for entry in self._by_type.get(kind, ())]

    def _facts(self, kind: str) -> list[Element]:
        """The resources of a type that are the patient's and state a fact, each once."""
        elements = self._elements.get(kind)
        if elements is None:
            entries = self._entries(kind)
            if not entries:
                return []
            kept = self._cleaned(kind, entries) if self._hygiene else entries
            elements = self._elements[kind] = [Element(TYPES[kind], self._cited(entry)) for entry in kept]
        return elements

    def _cleaned(self, kind: str, entries: list[Entry]) -> Iterator[Entry]:
        different = once(entries)
        self._leave_out(DUPLICATE, len(entries) - len(different))
        for entry in different:
            if not self._compartment.holds(kind, entry.resource, entry.full_url):
                self._leave_out(NOT_THE_PATIENT)
            elif reason := no_fact_because(kind, entry.resource, self.horizon):
                self._leave_out(reason)
            else:
                told = self._with_medication(entry) if kind in _MEDICATED else entry
                yield self._with_ids(told) if self._known_by_url else told

    def _leave_out(self, reason: str, count: int = 1) -> None:
        if count:
            self._left_out[reason] += count

    def _cited(self, entry: Entry) -> Resource:
        """The resource of an entry, once it is known how to cite it."""
        if resource_id(entry.resource) is None:
            kind = entry.resource["resourceType"]
            self._nameless[id(entry.resource)] = entry.full_url or f"{kind} (entry {entry.place})"
        return entry.resource

    @cached_property
    def _known_by_url(self) -> dict[str, str]:
        """``Type/id`` of the resources whose fullUrl does not end with their id, by that (normal) fullUrl."""
        return {
            normal(url): f"{kind}/{identifier}"
            for kind, entries in self._by_type.items()
            for resource, url, _ in entries
            if url and (identifier := resource_id(resource)) and not url.endswith(identifier)
        }

    def _with_ids(self, entry: Entry) -> Entry:
        """The entry, in whose references ``Type/id`` stands for a fullUrl: logic compares references with ids."""
        told = _renamed(entry.resource, self._known_by_url)
        return entry if told is entry.resource else Entry(told, entry.full_url, entry.place)

    def _with_medication(self, entry: Entry) -> Entry:
        """The entry with the code of the medication that it refers to in place of a reference that resolves."""
        resource = entry.resource
        reference = resource.get("medicationReference")
        if not isinstance(reference, dict) or resource.get("medicationCodeableConcept") is not None:
            return entry
        medication = self._medication(reference, entry)
        if medication is None or no_fact_because("Medication", medication, self.horizon):
            return entry
        code = medication.get("code")
        if not isinstance(code, dict) or not code:
            return entry
        told = {
            "medicationCodeableConcept" if name == "medicationReference" else name: value
            for name, value in (resource | {"medicationReference": code}).items()
        }
        return Entry(told, entry.full_url, entry.place)

    def _medication(self, reference: Resource, entry: Entry) -> Resource | None:
        """The Medication that a reference in `entry` resolves to; None where none here does."""
        literal = reference.get("reference")
        if not isinstance(literal, str) or not literal:
            identifier = reference.get("identifier")
            return next((found for name, found in self._medications if name.is_identified_by(identifier)), None)
        if literal.startswith("#"):
            found = contained(entry.resource, literal)
            return found if found and found.get("resourceType") == "Medication" else None
        if "?" in literal:
            return next((found for name, found in self._medications if name.is_sought_by(literal)), None)
        named = self._medications_by_tail.get(tail(normal(literal)).lower(), ())
        return next((found for name, found in named if name.is_named_by(literal, entry.full_url)), None)

    @cached_property
    def _medications(self) -> list[tuple[Identity, Resource]]:
        return [
            (Identity.of(entry.resource, (entry.full_url,)), entry.resource)
            for entry in once(self._entries("Medication"))
        ]

    @cached_property
    def _medications_by_tail(self) -> dict[str, list[tuple[Identity, Resource]]]:
        by_tail: dict[str, list[tuple[Identity, Resource]]] = {}
        for identity, medication in self._medications:
            for key in {identity.id or "", *(tail(url) for url in identity.urls)}:
                by_tail.setdefault(key.lower(), []).append((identity, medication))
        return by_tail

    def _index(self, kind: str, path: str) -> _Codes:
        index = self._indexes.get((kind, path))
        if index is None:
            index = self._indexes[kind, path] = _Codes()
            *steps, last = path.split(".")
            simple = not steps and "|" not in TYPES[kind].elements.get(path, "|")
            names = [last] if simple else [last + suffix for suffix in _CODED]
            for place, element in enumerate(self._facts(kind)):
                for value in _at(element.json, steps):
                    for name in names:
                        if (coded := value.get(name)) is not None:
                            index.add(place, coded)
        return index


def _at(resource: Resource, steps: Sequence[str]) -> Iterable[Resource]:
    """The elements at a path, through lists; the resource itself at the end of none."""
    found = [resource]
    for step in steps:
        values = [value.get(step) for value in found]
        inner = [one for value in values for one in (value if isinstance(value, list) else (value,))]
        found = [one for one in inner if isinstance(one, dict)]
    return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A JSON value whose references are what `names` says of them; itself where it holds none of these."""
    if isinstance(value, list):
        items = [_renamed(one, names) for one in value]
        return value if all(map(is_, items, value)) else items
    if not isinstance(value, dict):
        return value
    changed = {name: _renamed(one, names) for name, one in value.items()}
    literal = value.get("reference")
    if isinstance(literal, str) and (name := names.get(normal(literal))) is not None:
        changed["reference"] = name
    return value if all(changed[name] is one for name, one in value.items()) else changed
