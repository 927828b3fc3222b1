"""Changes of a chart that change no fact in it: after each, every answer has to be what it was."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

Json = Any

#: In 28 years of the Gregorian calendar, between 1901 and 2099, every month and weekday falls on the same dates again:
#: these 10,227 days are the least shift of a chart that leaves windows in months and ages in years as they are.
YEARS = 28
_DATE = re.compile(r"(?:19|20)\d\d(?:-\d\d(?:-\d\d(?:T\d\d:\d\d.*)?)?)?")


def reordered(bundle: Json, random: Random) -> Json:
    """The entries in another order."""
    return bundle | {"entry": random.sample(bundle["entry"], len(bundle["entry"]))}


def told_twice(bundle: Json, random: Random) -> Json:
    """Every resource twice, under the same id."""
    entries = bundle["entry"]
    return bundle | {"entry": [*entries, *copy.deepcopy(_others(entries))]}


def copied(bundle: Json, random: Random) -> Json:
    """Every resource once more under an id of its own; not so orders with a dose, for two orders are two doses."""
    return bundle | {"entry": [*bundle["entry"], *copies(bundle)]}


def copies(bundle: Json) -> list[Json]:
    """The resources of a bundle but the Patient and orders with a dose, under other ids, which refer to one another."""
    chosen = [entry["resource"] for entry in _others(bundle["entry"]) if not _dosed(entry["resource"])]
    names = {
        f"{one['resourceType']}/{one['id']}": f"{one['resourceType']}/{one['id']}-copy" for one in chosen if "id" in one
    }
    found = []
    for one in copy.deepcopy(chosen):
        renamed = _referring(one, names)
        found.append({"resource": renamed | {"id": f"{one.get('id', 'one')}-copy"}})
    return found


def _referring(value: Json, names: dict[str, str]) -> Json:
    """A value whose references are to what `names` says instead."""
    if isinstance(value, dict):
        changed = {name: _referring(one, names) for name, one in value.items()}
        told = value.get("reference")
        if isinstance(told, str) and told in names:
            changed["reference"] = names[told]
        return changed
    return [_referring(one, names) for one in value] if isinstance(value, list) else value


def with_irrelevant(bundle: Json, random: Random) -> Json:
    """What every chart is full of, and no criterion asks for."""
    patient = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient")
    reference = {"reference": f"Patient/{patient['id']}"} if "id" in patient else {"reference": _full_url(bundle)}
    added = [{"resource": one} for one in _irrelevant(reference)]
    entries = [*bundle["entry"], *added]
    return bundle | {"entry": random.sample(entries, len(entries))}


def among_strangers(bundle: Json, random: Random) -> Json:
    """Every resource once more, of somebody else."""
    strangers = []
    for entry in copy.deepcopy(_others(bundle["entry"])):
        resource = entry["resource"]
        known = [name for name in ("subject", "patient", "individual") if name in resource]
        if known:
            resource |= {name: {"reference": "Patient/a-stranger"} for name in known}
            resource["id"] = f"{resource.get('id', 'one')}-of-a-stranger"
            strangers.append({"resource": resource})
    return bundle | {"entry": [*strangers, *bundle["entry"]]}


def by_uuid(bundle: Json, random: Random) -> Json:
    """References by the fullUrls of entries, which are UUIDs: as synthetic patients are written."""
    return _by_full_url(bundle, lambda name: f"urn:uuid:{uuid5(NAMESPACE_URL, name)}")


def by_absolute_url(bundle: Json, random: Random) -> Json:
    """References by absolute URLs: as servers answer."""
    return _by_full_url(bundle, lambda name: f"https://ehr.example/fhir/{name}")


def with_narrative(bundle: Json, random: Random) -> Json:
    """Resources with metadata, a narrative and an extension that nobody knows."""
    entries = []
    for entry in bundle["entry"]:
        resource = entry["resource"]
        known = list(resource.get("extension", ()))
        strange = {"url": "https://ehr.example/fhir/StructureDefinition/shelf", "valueString": "B 20"}
        entries.append(
            entry
            | {
                "resource": resource
                | {
                    "meta": {"versionId": "3", "lastUpdated": "2026-01-01T00:00:00Z"},
                    "text": {
                        "status": "generated",
                        "div": '<div xmlns="http://www.w3.org/1999/xhtml">HIV, C53.9</div>',
                    },
                    "extension": [*known, strange],
                }
            }
        )
    return bundle | {"entry": entries}


def _by_full_url(bundle: Json, url_of: Callable[[str], str]) -> Json:
    """A bundle in which references to its resources are the fullUrls of their entries."""
    names = [f"{one['resource']['resourceType']}/{one['resource'].get('id')}" for one in bundle["entry"]]
    if len(set(names)) < len(names) or any("fullUrl" in one for one in bundle["entry"]):
        return bundle
    urls = {name: url_of(name) for name in names}
    entries = [
        {"fullUrl": urls[name], "resource": _referring(one["resource"], urls)}
        for name, one in zip(names, bundle["entry"], strict=True)
    ]
    return bundle | {"entry": entries}


def twenty_eight_years_on(bundle: Json, random: Random) -> Json:
    """Every date later by as many days as 28 years have; now and the first dose have to move with them."""
    return _moved(bundle)


def later(moment: datetime) -> datetime:
    return moment.replace(year=moment.year + YEARS)


def later_day(day: date) -> date:
    return day.replace(year=day.year + YEARS)


#: The changes after which now and the first dose stay as they are.
CHANGES: dict[str, Callable[[Json, Random], Json]] = {
    "entries in another order": reordered,
    "every resource twice under one id": told_twice,
    "every resource copied under another id": copied,
    "irrelevant resources added": with_irrelevant,
    "another patient's resources added": among_strangers,
    "references by UUID": by_uuid,
    "references by absolute URL": by_absolute_url,
    "narratives and metadata added": with_narrative,
}


def _others(entries: list[Json]) -> list[Json]:
    return [entry for entry in entries if entry["resource"]["resourceType"] != "Patient"]


def _dosed(resource: Json) -> bool:
    return any("doseAndRate" in dosage for dosage in (*resource.get("dosageInstruction", ()), *_dosages(resource)))


def _dosages(resource: Json) -> Iterator[Json]:
    dosage = resource.get("dosage", ())
    yield from [{"doseAndRate": dosage}] if isinstance(dosage, dict) and "dose" in dosage else dosage


def _full_url(bundle: Json) -> str:
    return next(str(one["fullUrl"]) for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient")


def _moved(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _moved(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_moved(one) for one in value]
    if isinstance(value, str) and _DATE.fullmatch(value):
        return f"{int(value[:4]) + YEARS}{value[4:]}"
    return value


def _irrelevant(patient: Json) -> list[Json]:
    """Resources with codes of a public synthetic patient, of this year and of years ago."""

    def code(system: str, value: str, display: str) -> Json:
        return {"coding": [{"system": system, "code": value, "display": display}], "text": display}

    sct, rxnorm = "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"
    years = ("2015-06-01", "2026-10-30")
    found: list[Json] = [
        {"resourceType": "Organization", "id": "irrelevant", "name": "Practice"},
        {"resourceType": "Practitioner", "id": "irrelevant", "name": [{"family": "Nobody"}]},
    ]
    for place, day in enumerate(years):
        base = {"id": f"irrelevant-{place}", "subject": patient}
        found += [
            {
                "resourceType": "Condition",
                **base,
                "clinicalStatus": {"coding": [{"code": "resolved"}]},
                "code": code(sct, "444814009", "Viral sinusitis (disorder)"),
                "onsetDateTime": day,
                "abatementDateTime": day,
            },
            {
                "resourceType": "Observation",
                **base,
                "status": "final",
                "code": code("http://loinc.org", "8302-2", "Body Height"),
                "effectiveDateTime": day,
                "valueQuantity": {"value": 165, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"},
            },
            {
                "resourceType": "MedicationRequest",
                **base,
                "status": "completed",
                "intent": "order",
                "authoredOn": day,
                "medicationCodeableConcept": code(rxnorm, "313782", "Acetaminophen 325 MG Oral Tablet"),
            },
            {
                "resourceType": "Immunization",
                "id": f"irrelevant-{place}",
                "patient": patient,
                "status": "completed",
                "occurrenceDateTime": day,
                "vaccineCode": code("http://hl7.org/fhir/sid/cvx", "113", "Td (adult) preservative free"),
            },
            {
                "resourceType": "Procedure",
                **base,
                "status": "completed",
                "performedDateTime": day,
                "code": code(sct, "117015009", "Throat culture (procedure)"),
            },
            {"resourceType": "Encounter", **base, "status": "finished", "period": {"start": day, "end": day}},
        ]
    return found
