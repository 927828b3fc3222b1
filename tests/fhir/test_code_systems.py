"""Codes are found by the name that FHIR gives their system, whatever the chart calls it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cds.elm.ports import Pair
from cds.fhir.code_systems import as_written
from cds.fhir.record import PatientRecord
from cds.fhir.valuesets import ValueSets

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
ICD_10, ICD_10_CM = "http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-10-cm"


def found(written: Pair, sought: Pair) -> bool:
    system, code = written
    condition = {"resourceType": "Condition", "id": "c", "code": {"coding": [{"system": system, "code": code}]}}
    record = PatientRecord.from_resources([{"resourceType": "Patient", "id": "p"}, condition], now=NOW)
    indexed = bool(record.retrieve("Condition", "code", as_written({sought})))
    (element,) = record.retrieve("Condition")
    concept = element.get("code")
    assert indexed is not as_written({sought}).isdisjoint(concept.codings())  # type: ignore[union-attr]
    return indexed


@pytest.mark.parametrize(
    ("written", "sought"),
    [
        (("urn:oid:2.16.840.1.113883.6.96", "109841003"), (SNOMED, "109841003")),
        (("urn:oid:2.16.840.1.113883.6.1", "89247-1"), (LOINC, "89247-1")),
        (("urn:oid:2.16.840.1.113883.6.90", "C53.9"), (ICD_10_CM, "C53.9")),
        (("urn:oid:2.16.840.1.113883.6.3", "C53.9"), (ICD_10, "C53.9")),
        ((ICD_10, "B20"), (ICD_10_CM, "B20")),
        ((ICD_10, "C53.900"), (ICD_10, "C53.9")),
        ((ICD_10, "C53.900x001"), (ICD_10_CM, "C53.9")),
        ((ICD_10, "C53.900"), (ICD_10, "C53.900")),
        (("urn:oid:2.16.156.10011.2.3.3.11", "B24.x01"), (ICD_10, "B24")),
    ],
)
def test_a_code_is_known_by_the_name_of_its_system(written: Pair, sought: Pair) -> None:
    assert found(written, sought)


@pytest.mark.parametrize(
    ("written", "sought"),
    [
        ((ICD_10_CM, "C50.911"), (ICD_10_CM, "C50.9")),
        ((ICD_10_CM, "C53.9"), (ICD_10, "C53.9")),
        (("urn:oid:1.2.3", "109841003"), (SNOMED, "109841003")),
        (("http://hospital.example/codes", "C53.900"), (ICD_10, "C53.9")),
    ],
)
def test_and_by_no_other(written: Pair, sought: Pair) -> None:
    assert not found(written, sought)


def test_a_value_set_holds_what_it_says_unless_charts_are_asked() -> None:
    """CQL's membership is exact; who screens charts asks for the ways in which they write the codes."""
    url = "https://one.example/ValueSet/hiv"
    resource = {
        "resourceType": "ValueSet",
        "url": url,
        "expansion": {"contains": [{"system": ICD_10_CM, "code": "B20"}]},
    }
    assert ValueSets([("here", resource)]).value_set(url) == {(ICD_10_CM, "B20")}
    assert (ICD_10, "B20") in ValueSets([("here", resource)], written=True).value_set(url)
