"""Whose data a resource is: the patient's own, or someone else's (R4 compartmentdefinition-patient.html)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cds.fhir.references import Identity, Resource, contained, normal

#: The elements that name whose data a resource is, and those of the types that have one of their own.
_USUALLY_NAMING = ("subject", "patient")
_NAMING = {
    "Coverage": (*_USUALLY_NAMING, "beneficiary"),
    "ResearchSubject": (*_USUALLY_NAMING, "individual"),
    "Task": (*_USUALLY_NAMING, "for"),
}
_PATIENTS = frozenset({"Patient"})
_PERSONS = frozenset({"Patient", "RelatedPerson", "Group"})


class Compartment:
    """The data of one patient: `holds` tells it from other people's."""

    __slots__ = ("_decided", "_linked", "_patient", "identity")

    def __init__(self, patient: Resource, full_urls: Iterable[str | None] = ()) -> None:
        self.identity = Identity.of(patient, full_urls)
        self._patient = patient
        self._linked = frozenset(_links(patient))
        self._decided: dict[str, bool] = {}

    def holds(self, kind: str, resource: Resource, full_url: str | None = None) -> bool:
        """Whether a resource of type `kind` is this patient's; one that names no one counts as hers.

        An Observation may have the patient as subject and be about another all the same: its `focus`.
        """
        for name in _NAMING.get(kind, _USUALLY_NAMING):
            subject = resource.get(name)
            if subject is None:
                continue
            literal = subject.get("reference") if isinstance(subject, dict) else None
            if isinstance(literal, str) and self._decided.get(literal):
                continue
            subjects = subject if isinstance(subject, list) else (subject,)
            if subjects and not any(self._is_named(one, resource, full_url) for one in subjects):
                return False
        if kind == "Observation" and (focus := resource.get("focus")) is not None:
            return not any(self._is_other(_PERSONS, one, resource, full_url) for one in _list(focus))
        if kind in ("Appointment", "AppointmentResponse"):
            return self._attends(resource, full_url)
        return True

    def _is_named(self, subject: Any, resource: Resource, full_url: str | None) -> bool:
        """Whether a subject is this patient: so it is where it names no one, and not where it cannot be read."""
        if not isinstance(subject, dict):
            return False
        literal = _literal(subject)
        if literal is not None:
            # A business identifier that matches outweighs an address that we do not know.
            return self._is_referred(literal, resource, full_url) or bool(
                self.identity.is_identified_by(subject.get("identifier"))
            )
        if subject.get("type") not in (None, "Patient"):
            return False
        return self.identity.is_identified_by(subject.get("identifier")) is not False

    def _is_referred(self, literal: str, resource: Resource, full_url: str | None) -> bool:
        if literal.startswith("#"):
            return self._is_same_person(contained(resource, literal))
        if "?" in literal:
            return self.identity.is_sought_by(literal) is not False
        if self.identity.bases:
            return self.identity.is_named_by(literal, full_url) or normal(literal) in self._linked
        decided = self._decided.get(literal)
        if decided is None:
            decided = self.identity.is_named_by(literal) or normal(literal) in self._linked
            self._decided[literal] = decided
        return decided

    def _is_same_person(self, other: Resource | None) -> bool:
        """Whether a contained Patient may be this one: nothing that both say tells them apart."""
        if other is None or other.get("resourceType") != "Patient":
            return False
        matches = [self.identity.is_identified_by(one) for one in _list(other.get("identifier"))]
        if True in matches:
            return True
        births = other.get("birthDate"), self._patient.get("birthDate")
        return False not in matches and (None in births or births[0] == births[1])

    def _is_other(self, kinds: frozenset[str], reference: Any, resource: Resource, full_url: str | None) -> bool:
        """Whether a reference names someone of these `kinds` who is not this patient."""
        literal = _literal(reference)
        if literal is None:
            return False
        if literal.startswith("#"):
            kind = (contained(resource, literal) or {}).get("resourceType")
        else:
            kind = reference.get("type") or normal(literal).rpartition("/")[0].rpartition("/")[2]
        return isinstance(kind, str) and kind in kinds and not self._is_referred(literal, resource, full_url)

    def _attends(self, resource: Resource, full_url: str | None) -> bool:
        """Whether an appointment is the patient's: not where its only patients are others."""
        actors = [one.get("actor") for one in _list(resource.get("participant")) if isinstance(one, dict)]
        actors.append(resource.get("actor"))
        literals = [literal for one in actors if (literal := _literal(one))]
        if any(self._is_referred(literal, resource, full_url) for literal in literals):
            return True
        return not any(self._is_other(_PATIENTS, one, resource, full_url) for one in actors)


def _links(patient: Resource) -> Iterable[str]:
    """The references of the other Patient resources that are the same person (R4 Patient.link)."""
    for link in _list(patient.get("link")):
        literal = _literal(link.get("other")) if isinstance(link, dict) else None
        if literal is not None and "Patient/" in literal:
            yield normal(literal)


def _literal(reference: Any) -> str | None:
    """What a Reference says in its `reference`, None where that is not text."""
    literal = reference.get("reference") if isinstance(reference, dict) else None
    return literal if isinstance(literal, str) and literal else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
