"""Retrieves with all that ELM can ask of them: codes of any shape, ids, dates, values, and what only gives advice."""

from __future__ import annotations

from typing import Any

import pytest
from small_world import Patient, compiled, define, evaluation, library, literal

from cds.errors import UnsupportedNodeError

LOINC = "http://loinc.org"
CODE_SYSTEMS = {"def": [{"name": "LOINC", "id": LOINC}]}
CODES = {"def": [{"name": "Hb", "id": "718-7", "codeSystem": {"name": "LOINC"}}]}
CONCEPTS = {"def": [{"name": "Hemoglobin", "code": [{"name": "Hb"}]}]}
VALUE_SETS = {"def": [{"name": "Hemoglobins", "id": "https://trial-match.example/fhir/ValueSet/hemoglobin"}]}

Json = dict[str, Any]


def observation(id: str, code: str, **more: Any) -> Json:
    coding = {"system": LOINC, "code": code}
    return {"resourceType": "Observation", "id": id, "status": "final", "code": {"coding": [coding]}, **more}


def date_time(year: int, month: int, day: int) -> Json:
    parts = {"year": year, "month": month, "day": day}
    return {"type": "DateTime", **{name: literal(value) for name, value in parts.items()}}


DAY = [{"url": "http://example.org/day", "valueDate": "2026-10-05"}]
OCTOBER = {"type": "Interval", "low": date_time(2026, 10, 1), "high": date_time(2026, 10, 31)}
DAYS = {
    "type": "Interval",
    "low": {"type": "DateFrom", "operand": date_time(2026, 10, 1)},
    "high": {"type": "DateFrom", "operand": date_time(2026, 11, 1)},
}
PATIENT = Patient(
    observation("hb", "718-7", effectiveDateTime="2026-10-02", valueInteger=9),
    observation("old", "718-7", effectiveDateTime="2020-10-02", valueInteger=12, extension=DAY),
    observation("wbc", "6690-2", effectivePeriod={"start": "2026-10-01", "end": "2026-10-03"}),
    {
        "resourceType": "Observation",
        "id": "none",
        "status": "cancelled",
        "identifier": [{"value": "https://trial-match.example/fhir/ValueSet/hemoglobin"}],
        "effectiveInstant": "2026-10-20T10:00:00Z",
    },
)


def found(**fields: Any) -> list[str]:
    """The ids of what a retrieve of observations finds."""
    node = {"type": "Retrieve", "dataType": "{http://hl7.org/fhir}Observation", **fields}
    sections = {"codeSystems": CODE_SYSTEMS, "codes": CODES, "concepts": CONCEPTS, "valueSets": VALUE_SETS}
    libraries = compiled(library(define("A", node), **sections))
    return [item.json["id"] for item in evaluation(libraries, PATIENT).evaluate("Made", "A")]


HB = {"type": "CodeRef", "name": "Hb"}
CONCEPT = {"type": "ConceptRef", "name": "Hemoglobin"}
VALUE_SET = {"type": "ValueSetRef", "name": "Hemoglobins"}


@pytest.mark.parametrize(
    "codes",
    [
        {"type": "ToList", "operand": HB},
        {"type": "List", "element": [HB, {"type": "Null"}]},
        HB,
        CONCEPT,
        {"type": "ToList", "operand": CONCEPT},
        {"type": "Property", "path": "codes", "source": CONCEPT},
        VALUE_SET,
        {**VALUE_SET, "preserve": True},
        {"type": "ToList", "operand": VALUE_SET},
        {"type": "ExpandValueSet", "operand": {**VALUE_SET, "preserve": True}},
        {"type": "As", "asType": "{urn:hl7-org:elm-types:r1}ValueSet", "operand": {**VALUE_SET, "preserve": True}},
        {"type": "CodeSystemRef", "name": "LOINC"},
    ],
)
@pytest.mark.parametrize("comparator", [None, "in", "=", "~"])
def test_codes_of_any_shape_find_the_same(codes: Json, comparator: str | None) -> None:
    assert found(codeProperty="code", codes=codes, codeComparator=comparator) == ["hb", "old"]
    narrow = {"property": "code", "comparator": comparator, "value": codes}
    assert found(codeFilter=[narrow]) == ["hb", "old"]


def test_null_codes_find_nothing() -> None:
    assert found(codeProperty="code", codes={"type": "Null"}) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"codes": VALUE_SET, "codeProperty": "code", "valueSetProperty": "identifier.value"}, ["hb", "old", "none"]),
        ({"codes": VALUE_SET, "codeProperty": "code.coding[0]"}, ["hb", "old"]),
        ({"codes": HB, "codeProperty": "code.coding[1]"}, []),
        ({"codes": {"type": "List", "element": [literal("final")]}, "codeProperty": "status"}, ["hb", "old", "wbc"]),
        ({"codes": literal("cancelled"), "codeProperty": "status"}, ["none"]),
        ({"codes": {"type": "ToList", "operand": literal("6690-2")}, "codeProperty": "code"}, ["wbc"]),
        ({"id": literal("wbc")}, ["wbc"]),
        ({"id": literal("718-7"), "idProperty": "code.coding[0].code"}, ["hb", "old"]),
        ({"id": {"type": "Null"}}, []),
        ({"dateProperty": "effective", "dateRange": OCTOBER}, ["hb", "wbc", "none"]),
        ({"dateProperty": "effective", "dateRange": date_time(2026, 10, 2)}, ["hb"]),
        ({"dateProperty": "effective", "dateRange": {"type": "Null"}}, []),
        (
            {"dateLowProperty": "effective.start", "dateHighProperty": "effective.end", "dateRange": OCTOBER},
            ["wbc"],
        ),
        ({"dateFilter": [{"property": "effective", "value": OCTOBER}]}, ["hb", "wbc", "none"]),
        ({"dateFilter": [{"property": "effective", "value": DAYS}]}, ["hb", "wbc", "none"]),
        ({"dateFilter": [{"property": "extension.value", "value": OCTOBER}]}, ["old"]),
        (
            {"dateFilter": [{"property": "effective", "value": {"type": "Quantity", "value": 40, "unit": "days"}}]},
            ["none"],
        ),
        ({"otherFilter": [{"property": "status", "comparator": "=", "value": literal("cancelled")}]}, ["none"]),
        ({"otherFilter": [{"property": "value", "comparator": ">=", "value": literal(10)}]}, ["old"]),
        (
            {
                "codeFilter": [{"property": "code", "comparator": "~", "value": HB}],
                "otherFilter": [{"property": "value", "comparator": "<", "value": literal(10)}],
            },
            ["hb"],
        ),
        (
            {
                "otherFilter": [
                    {"property": "status", "comparator": "in", "value": {"type": "List", "element": [literal("final")]}}
                ]
            },
            ["hb", "old", "wbc"],
        ),
        (
            {"templateId": "http://x", "includedIn": "7", "include": [{"includeFrom": "8"}]},
            ["hb", "old", "wbc", "none"],
        ),
    ],
)
def test_filters(fields: Json, expected: list[str]) -> None:
    assert found(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"codes": HB}, "names no element"),
        ({"codes": HB, "codeProperty": "code", "codeComparator": "like"}, "'like'"),
        ({"codes": HB, "codeProperty": "code['x']", "codeComparator": "in"}, "path"),
        ({"dateRange": OCTOBER}, "names no element"),
        ({"dateRange": OCTOBER, "dateProperty": "effective", "dateLowProperty": "issued"}, "names it twice"),
        ({"otherFilter": [{"property": "status", "value": literal("x")}]}, "None"),
        ({"codeFilter": [{"property": "code", "value": HB, "search": "code"}]}, "'search' of a codeFilter"),
        ({"include": [{"relatedDataType": "{http://hl7.org/fhir}Patient"}]}, "include"),
    ],
)
def test_what_has_no_meaning_is_refused(fields: Json, message: str) -> None:
    with pytest.raises(UnsupportedNodeError, match=message):
        found(**fields)
