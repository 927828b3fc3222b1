"""Each criterion reads its fact in the ways in which charts hold it: the tables of facts/, played row by row.

A row is a criterion, a way of coding, and the outcome expected of a patient who has nothing else on record but what
stands under `chart` of its table. Whatever decides a row must not do so once it is withdrawn, somebody else's or yet
to come; and a medication counts alike wherever its code stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog

Json = dict[str, Any]

TABLES = Path(__file__).parent / "facts"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST_DOSE = date(2026, 11, 20)

SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "ICDO": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "LOINC": "http://loinc.org",
    "RXN": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ATC": "http://www.whocc.no/atc",
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "CPT": "http://www.ama-assn.org/go/cpt",
    "HCPCS": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "NCIT": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "AJCC": "http://cancerstaging.org",
    "ROUTE": "http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration",
    "FLAG": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
    "LOCAL": "https://hospital.example/codes",
    "NAME": "https://trial-match.example/fhir/CodeSystem/medication-name",
    "CLINICAL": "http://terminology.hl7.org/CodeSystem/condition-clinical",
    "VERIFICATION": "http://terminology.hl7.org/CodeSystem/condition-ver-status",
}
CONCEPT = re.compile(rf"^(?:{'|'.join(SYSTEMS)})\||^text:")

#: Where a resource of each type is coded, and what it holds where a row says nothing else.
CODED: dict[str, tuple[str, Json]] = {
    "AdverseEvent": ("event", {"actuality": "actual", "date": "2026-11-10"}),
    "AllergyIntolerance": (
        "code",
        {"verificationStatus": "VERIFICATION|confirmed", "clinicalStatus": "CLINICAL|active"},
    ),
    "Appointment": ("appointmentType", {"status": "booked", "start": "2026-12-01T09:00:00Z"}),
    "Condition": (
        "code",
        {
            "verificationStatus": "VERIFICATION|confirmed",
            "clinicalStatus": "CLINICAL|active",
            "recordedDate": "2026-10-01",
        },
    ),
    "Consent": ("scope", {"status": "active", "dateTime": "2026-11-10"}),
    "DiagnosticReport": ("code", {"status": "final", "effectiveDateTime": "2026-11-10"}),
    "FamilyMemberHistory": ("relationship", {"status": "completed", "date": "2026-10-01"}),
    "Immunization": ("vaccineCode", {"status": "completed", "occurrenceDateTime": "2026-11-10"}),
    "MedicationAdministration": (
        "medicationCodeableConcept",
        {"status": "completed", "effectiveDateTime": "2026-11-17"},
    ),
    "MedicationDispense": ("medicationCodeableConcept", {"status": "completed", "whenHandedOver": "2026-11-17"}),
    "MedicationRequest": (
        "medicationCodeableConcept",
        {"status": "active", "intent": "order", "authoredOn": "2026-11-10"},
    ),
    "MedicationStatement": (
        "medicationCodeableConcept",
        {"status": "active", "effectivePeriod": {"start": "2026-11-10"}},
    ),
    "Observation": ("code", {"status": "final", "effectiveDateTime": "2026-11-19"}),
    "Procedure": ("code", {"status": "completed", "performedDateTime": "2026-11-10"}),
    "ResearchSubject": ("study", {"status": "on-study", "period": {"start": "2026-11-01"}}),
    "ServiceRequest": ("code", {"status": "active", "intent": "order", "authoredOn": "2026-11-10"}),
}
SUBJECT = {
    "AllergyIntolerance": "patient",
    "Consent": "patient",
    "FamilyMemberHistory": "patient",
    "Immunization": "patient",
    "ResearchSubject": "individual",
}
#: How the record says that a resource of each type states no fact.
WITHDRAWN = {
    "AdverseEvent": ({"actuality": "potential"},),
    "AllergyIntolerance": (
        {"verificationStatus": "VERIFICATION|entered-in-error"},
        {"verificationStatus": "VERIFICATION|refuted"},
    ),
    "Condition": (
        {"verificationStatus": "VERIFICATION|entered-in-error"},
        {"verificationStatus": "VERIFICATION|refuted"},
    ),
    "DiagnosticReport": ({"status": "entered-in-error"}, {"status": "cancelled"}),
    "Immunization": ({"status": "entered-in-error"}, {"status": "not-done"}),
    "MedicationAdministration": ({"status": "entered-in-error"}, {"status": "not-done"}),
    "MedicationDispense": ({"status": "entered-in-error"}, {"status": "cancelled"}, {"status": "declined"}),
    "MedicationRequest": ({"status": "entered-in-error"}, {"status": "cancelled"}, {"doNotPerform": True}),
    "MedicationStatement": ({"status": "entered-in-error"}, {"status": "not-taken"}),
    "Observation": ({"status": "entered-in-error"}, {"status": "cancelled"}, {"status": "preliminary"}),
    "Procedure": ({"status": "entered-in-error"}, {"status": "not-done"}),
    "ResearchSubject": ({"status": "candidate"},),
    "ServiceRequest": ({"status": "entered-in-error"}, {"status": "revoked"}),
}
#: The elements that say when the fact of a resource of each type was, and a day to come.
TO_COME = {
    "AdverseEvent": "date",
    "Condition": "recordedDate",
    "DiagnosticReport": "effectiveDateTime",
    "Immunization": "occurrenceDateTime",
    "MedicationAdministration": "effectiveDateTime",
    "MedicationDispense": "whenHandedOver",
    "MedicationRequest": "authoredOn",
    "MedicationStatement": "effectiveDateTime",
    "Observation": "effectiveDateTime",
    "Procedure": "performedDateTime",
}
DATES = ("effective", "onset", "performed", "occurrence", "whenPrepared")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    `expected` is an outcome with its basis, such as ``met verified``; ``unknown, shown`` is an open one with evidence.
    """

    trial: str
    criterion: str
    style: str
    expected: str
    resources: tuple[Json, ...]
    patient: Json
    chart: tuple[Json, ...]

    @property
    def id(self) -> str:
        return f"{self.trial}/{self.criterion}/{self.style}"


def concept(text: str) -> Json:
    """``SCT|363354003 & ICD10CM|C53.9|Cancer`` or ``text:words`` as a CodeableConcept."""
    codings: list[Json] = []
    words: Json = {}
    for part in text.split(" & "):
        if part.startswith("text:"):
            words = {"text": part.removeprefix("text:")}
            continue
        system, code, *display = part.split("|")
        codings.append(
            {
                "system": SYSTEMS[system],
                **({"code": code} if code else {}),
                **({"display": display[0]} if display else {}),
            }
        )
    return {**({"coding": codings} if codings else {}), **words}


def expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: expanded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [expanded(one) for one in value]
    return concept(value) if isinstance(value, str) and CONCEPT.match(value) else value


def resource(line: Json, number: int) -> Json:
    """The FHIR resource of a table's line: its type stands before its code, None takes a default away."""
    fields = dict(line)
    kind = next((key for key in fields if key in CODED), None)
    if kind is None:
        return {**expanded(fields), "id": fields.get("id", f"r{number}")}
    where, defaults = CODED[kind]
    code = fields.pop(kind)
    moments = [key for key in fields if key.startswith(DATES) or key == TO_COME.get(kind)]
    held = {
        key: value
        for key, value in defaults.items()
        if not moments or not (key.startswith(DATES) or key == TO_COME.get(kind))
    }
    subject = {SUBJECT.get(kind, "subject"): {"reference": "Patient/p"}} if kind != "Appointment" else {}
    merged = {"resourceType": kind, "id": f"r{number}", **held, **subject, **({where: code} if code else {}), **fields}
    return {key: expanded(value) for key, value in merged.items() if value is not None}


def rows() -> Iterator[Row]:
    for path in sorted(TABLES.glob("*.yaml")):
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        chart = tuple(resource(line, 900 + number) for number, line in enumerate(table.get("chart", ())))
        for criterion, lines in table["criteria"].items():
            for line in lines:
                ((style, expected),) = ((key, value) for key, value in line.items() if key not in ("record", "patient"))
                yield Row(
                    trial=path.stem,
                    criterion=criterion,
                    style=style,
                    expected=expected,
                    resources=tuple(resource(one, number) for number, one in enumerate(line.get("record", ()))),
                    patient={**table["patient"], **line.get("patient", {})},
                    chart=chart,
                )


ROWS = tuple(rows())


def answer(catalog: Catalog, row: Row, resources: tuple[Json, ...]) -> str:
    """What a row's criterion answers where the record holds `resources`, as `Row.expected` writes it."""
    patient = {"resourceType": "Patient", "id": "p", **row.patient}
    everything = [patient, *row.chart, *resources]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": f"https://x.example/{one['resourceType']}/{one['id']}", "resource": one} for one in everything
        ],
    }
    record = PatientRecord.from_bundle(bundle, now=NOW)
    if row.criterion.startswith("CV"):
        logic = catalog.trials[row.trial].logic[row.criterion]
        value = evaluate_record(catalog, record, now=NOW, first_dose=FIRST_DOSE).value(logic.answer)
        return {True: "met", False: "not-met", None: "unknown"}[value]
    found = match(catalog, record, now=NOW, first_dose=FIRST_DOSE, trials={row.trial}, all_criteria=True)
    (result,) = (one for one in found.trials[0].criteria if one.criterion.id == row.criterion)
    if result.outcome == "unknown":
        shown = any(one.resource["resourceType"] != "Patient" for one in result.evidence)
        return "unknown, shown" if shown else "unknown"
    return f"{result.outcome} {result.basis}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(row: Row, catalog: Catalog) -> None:
    assert answer(catalog, row, row.resources) == row.expected


def withdrawals(one: Json) -> Iterator[Json]:
    """A resource as it stands where it states no fact of this patient: withdrawn, somebody else's, or yet to come."""
    kind = one["resourceType"]
    for status in WITHDRAWN.get(kind, ()):
        yield {**one, **{key: expanded(value) for key, value in status.items()}}
    subject = SUBJECT.get(kind, "subject")
    if subject in one:
        yield {**one, subject: {"reference": "Patient/somebody-else"}}
    if kind in TO_COME:
        yield {**{key: value for key, value in one.items() if not key.startswith(DATES)}, TO_COME[kind]: "2026-12-24"}


DECIDED = tuple(row for row in ROWS if row.resources)


@pytest.mark.parametrize("row", DECIDED, ids=lambda row: row.id)
def test_what_states_no_fact_changes_nothing(row: Row, catalog: Catalog) -> None:
    """Entered in error, refuted, not done, cancelled, preliminary, of another patient, in the future."""
    nothing = answer(catalog, row, ())
    versions = [tuple(withdrawals(one)) for one in row.resources]
    for number in range(max(map(len, versions))):
        withdrawn = tuple(ways[number % len(ways)] for ways in versions if ways)
        if len(withdrawn) == len(row.resources):
            assert answer(catalog, row, withdrawn) == nothing, withdrawn


def elsewhere(resources: tuple[Json, ...], *, contained: bool) -> tuple[Json, ...]:
    """The same resources, each medication's code moved into a Medication of its own."""
    moved: list[Json] = []
    for one in resources:
        code = one.get("medicationCodeableConcept")
        if code is None:
            moved.append(one)
            continue
        medication = {"resourceType": "Medication", "id": f"m-{one['id']}", "code": code}
        order = {key: value for key, value in one.items() if key != "medicationCodeableConcept"}
        if contained:
            moved.append({**order, "contained": [medication], "medicationReference": {"reference": f"#m-{one['id']}"}})
        else:
            moved += [{**order, "medicationReference": {"reference": f"Medication/m-{one['id']}"}}, medication]
    return tuple(moved)


MEDICATIONS = tuple(row for row in DECIDED if any("medicationCodeableConcept" in one for one in row.resources))


@pytest.mark.parametrize("row", MEDICATIONS, ids=lambda row: row.id)
@pytest.mark.parametrize("contained", [True, False], ids=["contained", "referenced"])
def test_a_medication_counts_alike_wherever_its_code_stands(row: Row, contained: bool, catalog: Catalog) -> None:
    assert answer(catalog, row, elsewhere(row.resources, contained=contained)) == row.expected


@pytest.mark.parametrize("row", DECIDED, ids=lambda row: row.id)
def test_a_copy_and_a_code_of_the_house_change_nothing(row: Row, catalog: Catalog) -> None:
    """The same resources twice, each with a further coding of a hospital's own before the others."""

    def coded(one: Json) -> Json:
        where = CODED.get(one["resourceType"], ("",))[0]
        code = one.get(where)
        if not isinstance(code, dict) or "reference" in code:
            return one
        own = {"system": SYSTEMS["LOCAL"], "code": "house"}
        return {**one, where: {**code, "coding": [own, *code.get("coding", ())]}}

    told = tuple(map(coded, row.resources))
    assert answer(catalog, row, told + told) == row.expected
