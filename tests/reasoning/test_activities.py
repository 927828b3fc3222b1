"""Drafts of requests from activities, and CQL values at paths of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from cds.elm.ports import Value
from cds.elm.values import Code, Concept, Date, Interval, Quantity, Ratio, Tuple
from cds.errors import EvaluationError
from cds.fhir.model import Element
from cds.reasoning.activities import draft, lacks, put

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
CODE = Code(code="a", system="https://x.example", display="A")
CODING = {"system": "https://x.example", "code": "a", "display": "A"}


@pytest.mark.parametrize(
    ("kind", "path", "value", "found"),
    [
        ("ServiceRequest", "code", CODE, {"code": {"coding": [CODING]}}),
        ("ServiceRequest", "code", Concept((CODE,), "words"), {"code": {"coding": [CODING], "text": "words"}}),
        ("ServiceRequest", "code", Element("Coding", CODING), {"code": {"coding": [CODING]}}),
        ("ServiceRequest", "code", "words", {"code": {"text": "words"}}),
        ("ServiceRequest", "orderDetail", CODE, {"orderDetail": [{"coding": [CODING]}]}),
        ("ServiceRequest", "orderDetail", [CODE, None], {"orderDetail": [{"coding": [CODING]}]}),
        ("ServiceRequest", "priority", CODE, {"priority": "a"}),
        ("ServiceRequest", "occurrence.ofType(dateTime)", Date(2026, 12, 1), {"occurrenceDateTime": "2026-12-01"}),
        (
            "ServiceRequest",
            "occurrencePeriod",
            Interval(Date(2026, 12, 1), None),
            {"occurrencePeriod": {"start": "2026-12-01"}},
        ),
        ("ServiceRequest", "occurrence", Date(2026, 12, 1), {"occurrenceDateTime": "2026-12-01"}),
        ("ServiceRequest", "quantity", Quantity(Decimal(2), "1"), {"quantityQuantity": {"value": 2}}),
        ("ServiceRequest", "note[0].text", "x", {"note": [{"text": "x"}]}),
        ("CommunicationRequest", "payload[1].content.ofType(string)", "x", {"payload": [{}, {"contentString": "x"}]}),
        (
            "MedicationRequest",
            "dosageInstruction.doseAndRate.doseQuantity",
            Quantity(Decimal("2.5"), "mg"),
            {
                "dosageInstruction": [
                    {
                        "doseAndRate": [
                            {
                                "doseQuantity": {
                                    "value": 2.5,
                                    "unit": "mg",
                                    "system": "http://unitsofmeasure.org",
                                    "code": "mg",
                                }
                            }
                        ]
                    }
                ]
            },
        ),
        (
            "MedicationRequest",
            "dispenseRequest.numberOfRepeatsAllowed",
            3,
            {"dispenseRequest": {"numberOfRepeatsAllowed": 3}},
        ),
        (
            "MedicationRequest",
            "dosageInstruction.maxDosePerPeriod",
            Ratio(Quantity(Decimal(2), "mg"), Quantity(Decimal(1), "1")),
            {
                "dosageInstruction": [
                    {
                        "maxDosePerPeriod": {
                            "numerator": {
                                "value": 2,
                                "unit": "mg",
                                "system": "http://unitsofmeasure.org",
                                "code": "mg",
                            },
                            "denominator": {"value": 1},
                        }
                    }
                ]
            },
        ),
        ("ServiceRequest", "note", [Tuple(text="x")], {"note": [{"text": "x"}]}),
        ("ServiceRequest", "doNotPerform", True, {"doNotPerform": True}),
    ],
)
def test_a_value_stands_where_its_path_says(kind: str, path: str, value: Value, found: Any) -> None:
    resource = {"resourceType": kind}
    put(resource, path, value)
    assert resource == {"resourceType": kind, **found}


@pytest.mark.parametrize("path", ["colour", "code.nothing", "code[", "payload[0].x()", "", "extension('x').value"])
def test_a_path_that_r4_does_not_have_is_refused(path: str) -> None:
    with pytest.raises(EvaluationError, match="path"):
        put({"resourceType": "ServiceRequest"}, path, "x")


def test_a_choice_takes_no_value_of_another_type() -> None:
    with pytest.raises(EvaluationError, match="takes dateTime or Period or Timing, not Quantity"):
        put({"resourceType": "ServiceRequest"}, "occurrence", Quantity(Decimal(2), "mg"))


@pytest.mark.parametrize(
    "kind", ["ServiceRequest", "MedicationRequest", "CommunicationRequest", "DeviceRequest", "Task", "NutritionOrder"]
)
def test_each_kind_of_draft_is_valid(kind: str) -> None:
    activity = {
        "kind": kind,
        "url": "https://x.example/ActivityDefinition/a",
        "version": "1",
        "priority": "urgent",
        "code": {"text": "it"},
        "productCodeableConcept": {"text": "it"},
        "timingDateTime": "2026-12-01",
        "bodySite": [{"text": "there"}],
    }
    resource = draft(activity, "p", NOW)
    assert resource is not None and lacks(resource) is None
    get_fhir_model_class(kind).model_validate(resource)


def test_what_cannot_be_drafted_is_none_and_what_lacks_a_part_says_so() -> None:
    assert draft({"kind": "Appointment"}, "p", NOW) is None
    empty = draft({"kind": "MedicationRequest"}, "p", NOW)
    assert empty is not None and lacks(empty) == "medicationCodeableConcept or medicationReference"
