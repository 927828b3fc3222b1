"""FHIR R4 as the engine sees it: paths, choices, primitives, malformed data, and FHIRHelpers function by function."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.elm.values import Code, Concept, Date, DateTime, Interval, Quantity, Ratio, Time
from cds.errors import EvaluationError
from cds.fhir.model import TYPES, Element, FHIRModel, resource

FHIR = "{http://hl7.org/fhir}"
MODEL = FHIRModel()
Json = dict[str, Any]


def convert(function: str, value: object) -> Any:
    native = MODEL.native("FHIRHelpers", function)
    assert native is not None
    return native(value)


def observation(**elements: Any) -> Element:
    return Element("Observation", {"resourceType": "Observation", "id": "o", **elements})


def quantity(**elements: Any) -> Element:
    found = observation(valueQuantity=elements).get("value")
    assert isinstance(found, Element)
    return found


# Paths


@pytest.mark.parametrize(
    ("key", "value", "kind", "function", "converted"),
    [
        ("valueString", "text", "string", "ToString", "text"),
        ("valueBoolean", False, "boolean", "ToBoolean", False),
        ("valueInteger", 0, "integer", "ToInteger", 0),
        ("valueTime", "08:30:00", "time", "ToTime", Time(8, 30, 0)),
        ("valueDateTime", "2026-11", "dateTime", "ToDateTime", DateTime(2026, 11)),
        (
            "effectiveInstant",
            "2026-11-20T08:30:00Z",
            "instant",
            "ToDateTime",
            DateTime(2026, 11, 20, 8, 30, 0, None, 0),
        ),
    ],
)
def test_a_choice_is_had_by_its_base_name(key: str, value: object, kind: str, function: str, converted: object) -> None:
    path = "effective" if key.startswith("effective") else "value"
    found = observation(**{key: value}).get(path)
    assert found.type_name == FHIR + kind
    assert found.get("value") == converted
    assert convert(function, found) == converted


def test_a_choice_keeps_its_type_and_that_of_its_ancestors() -> None:
    age = Element("Condition", {"onsetAge": {"value": 61, "unit": "a", "code": "a"}}).get("onset")
    assert MODEL.tester(FHIR + "Age")(age)
    assert MODEL.tester(FHIR + "Quantity")(age)
    assert not MODEL.tester(FHIR + "Duration")(age)
    assert convert("ToQuantity", age) == Quantity(Decimal(61), "year")
    dose = Element("Dosage.DoseAndRate", {"doseQuantity": {"value": 5, "code": "mg"}}).get("dose")
    assert MODEL.tester(FHIR + "SimpleQuantity")(dose)
    assert convert("ToQuantity", dose) == Quantity(Decimal(5), "mg")


def test_lists_absence_and_unknown_paths() -> None:
    patient = Element("Patient", {"name": [{"given": ["Ann"]}, {"family": "Poe"}]})
    assert [name.type_name for name in patient.get("name")] == [FHIR + "HumanName"] * 2
    assert patient.get("address") is None
    assert patient.get("birthDate") is None
    assert patient.get("noSuchElement") is None


def test_what_is_asked_for_twice_is_the_same_element() -> None:
    item = observation(code={"text": "x"})
    assert item.get("code") is item.get("code")


def test_primitives_have_ids_and_extensions() -> None:
    absent = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    json = {
        "_birthDate": {"id": "b", "extension": absent},
        "name": [{"given": ["Ann", None], "_given": [None, {"id": "g"}]}],
    }
    patient = Element("Patient", json)
    born = patient.get("birthDate")
    assert born.get("value") is None
    assert convert("ToDate", born) is None
    assert born.get("id") == "b"
    (extension,) = born.get("extension")
    assert extension.get("value").get("value") == "unknown"
    given = patient.get("name")[0].get("given")
    assert [(name.get("value"), name.get("id")) for name in given] == [("Ann", None), (None, "g")]


def test_contained_resources_have_their_own_type() -> None:
    contained = [{"resourceType": "Medication", "id": "m"}, {"resourceType": "Unheard"}, "text"]
    (medication,) = observation(contained=contained).get("contained")
    assert medication.type_name == FHIR + "Medication"


def test_resources_come_by_their_resource_type() -> None:
    found = resource({"resourceType": "Condition"})
    assert found is not None
    assert found.type_name == FHIR + "Condition"
    for broken in (None, [], "Condition", {}, {"resourceType": "Age"}, {"resourceType": ["Condition"]}):
        assert resource(broken) is None


def test_children_are_in_the_order_of_the_model_with_lists_spread() -> None:
    patient = Element("Patient", {"name": [{"family": "Poe"}, {"family": "Lee"}], "gender": "female", "id": "p"})
    assert [child.type.name for child in patient.children()] == ["id", "HumanName", "HumanName", "AdministrativeGender"]


def test_elements_are_equal_by_type_and_content() -> None:
    first, second = observation(valueInteger=1), observation(valueInteger=1)
    assert first == second
    assert hash(first) == hash(second)
    assert first != observation(valueInteger=2)
    assert Element("string", "a") == Element("string", "a", {})
    assert Element("string", "a") != Element("code", "a")
    assert Element("string", "a") != "a"


# Primitives


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=5))
def test_decimals_are_exact(number: Decimal) -> None:
    """JSON numbers come as floats; a lab value of 0.1 is 0.1."""
    assert convert("ToQuantity", quantity(value=float(number), code="mg")) == Quantity(number, "mg")


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.5, "1", True, None, [], {}])
def test_what_is_no_integer_is_null(value: object) -> None:
    assert convert("ToInteger", observation(valueInteger=value).get("value")) is None


@pytest.mark.parametrize("text", ["", "2026-13-01", "2026-02-30", "yesterday", "2026-1-1", "20261120", 20261120, None])
def test_what_is_no_date_is_null(text: object) -> None:
    patient = Element("Patient", {"birthDate": text, "deceasedDateTime": text})
    assert convert("ToDate", patient.get("birthDate")) is None
    assert convert("ToDateTime", patient.get("deceased")) is None


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("2026-11-20")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        "code",
        "coding",
        "value",
        "valueQuantity",
        "unit",
        "system",
        "comparator",
        "effectivePeriod",
        "start",
        "end",
        "low",
        "valueRange",
        "valueRatio",
        "numerator",
        "component",
        "_value",
        "extension",
        "valueString",
        "contained",
        "name",
        "birthDate",
        "deceasedBoolean",
        "given",
        "text",
        "id",
        "resourceType",
        "url",
        "_given",
        "onsetAge",
        "effectiveDateTime",
    ]
)
RESOURCE = st.recursive(
    JSON, lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=5), st.lists(inner, max_size=3)), max_leaves=12
)


@given(st.dictionaries(KEYS, RESOURCE, max_size=6), st.sampled_from(["Observation", "Patient", "Condition"]))
def test_no_json_makes_it_raise(json: Json, kind: str) -> None:
    """Whatever stands where: elements, their parts and their conversions are values or null."""
    waiting: list[Any] = [Element(kind, json)]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, Element):
            continue
        assert item == item  # noqa: PLR0124 (comparing must not raise either)
        hash(item)
        waiting.extend(item.children())
        for name in ("ToQuantity", "ToInterval", "ToRatio", "ToValue"):
            try:
                convert(name, item)
            except EvaluationError as error:  # FHIRHelpers refuses comparators and foreign units
                assert "Quantity" in error.message
        for name in ("ToString", "ToCode", "ToConcept", "ToDate", "ToDateTime", "ToTime", "ToInteger", "ToDecimal"):
            convert(name, item)


# FHIRHelpers


FUNCTIONS = [
    "ToBoolean",
    "ToCalendarUnit",
    "ToCode",
    "ToConcept",
    "ToDate",
    "ToDateTime",
    "ToDecimal",
    "ToInteger",
    "ToInterval",
    "ToQuantity",
    "ToQuantityIgnoringComparator",
    "ToRatio",
    "ToString",
    "ToTime",
    "ToValue",
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_null_is_null(function: str) -> None:
    assert convert(function, None) is None


def test_only_fhir_helpers_is_native() -> None:
    assert MODEL.native("FHIRHelpers", "ToFrequency") is None
    assert MODEL.native("Screening", "ToString") is None


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"value": 5, "code": "mg", "unit": "milligram"}, Quantity(Decimal(5), "mg")),
        ({"value": 5, "unit": "mg"}, Quantity(Decimal(5), "mg")),
        ({"value": 5}, Quantity(Decimal(5), "1")),
        ({"value": 5, "code": "d", "system": "http://unitsofmeasure.org"}, Quantity(Decimal(5), "day")),
        ({"value": 5, "code": 7, "unit": None}, Quantity(Decimal(5), "1")),
        ({"value": "5", "code": "mg"}, None),
        ({"value": True, "code": "mg"}, None),
        ({"value": float("nan"), "code": "mg"}, None),
        ({"unit": "mg", "comparator": "<"}, None),
        ({}, None),
    ],
)
def test_to_quantity(elements: Json, expected: Quantity | None) -> None:
    assert convert("ToQuantity", quantity(**elements)) == expected


@pytest.mark.parametrize(
    "elements", [{"value": 5, "comparator": "<"}, {"value": 5, "system": "http://snomed.info/sct"}]
)
def test_to_quantity_refuses_what_is_no_exact_ucum_value(elements: Json) -> None:
    for _ in range(2):
        with pytest.raises(EvaluationError, match="FHIR Quantity"):
            convert("ToQuantity", quantity(**elements))


FIVE = Quantity(Decimal(5), "mg")


@pytest.mark.parametrize(
    ("comparator", "expected"),
    [
        (None, Interval(FIVE, FIVE)),
        ("<", Interval(None, FIVE, True, False)),
        ("<=", Interval(None, FIVE)),
        (">=", Interval(FIVE, None)),
        (">", Interval(FIVE, None, False, True)),
        ("ad", None),
    ],
)
def test_a_comparator_makes_an_interval_one_sided(comparator: str | None, expected: Interval | None) -> None:
    assert convert("ToInterval", quantity(value=5, code="mg", comparator=comparator)) == expected


def period(**elements: str) -> Any:
    return convert("ToInterval", observation(effectivePeriod=elements).get("effective"))


def test_a_period_without_an_end_goes_on_and_one_without_a_start_began_somewhen() -> None:
    start, end = DateTime(2026, 1, 2), DateTime(2026, 3)
    assert period(start="2026-01-02", end="2026-03") == Interval(start, end)
    assert period(start="2026-01-02") == Interval(start, None, True, True)
    assert period(end="2026-03") == Interval(None, end, False, True)
    assert period() is None
    assert period(start="someday") is None


def test_a_period_that_ends_before_it_starts_is_unknown() -> None:
    assert period(start="2026-03-01", end="2026-01-01") is None


def test_ranges_and_ratios() -> None:
    low, high = ({"value": value, "code": "mg"} for value in (1, 5))
    found = convert("ToInterval", observation(valueRange={"low": low, "high": high}).get("value"))
    assert found == Interval(Quantity(Decimal(1), "mg"), FIVE)
    ratio = observation(valueRatio={"numerator": high, "denominator": low}).get("value")
    assert convert("ToRatio", ratio) == Ratio(FIVE, Quantity(Decimal(1), "mg"))
    assert convert("ToRatio", observation(valueRatio={"numerator": high}).get("value")) is None


def test_codes_and_concepts() -> None:
    coding = {"system": "http://loinc.org", "version": "2.77", "code": "718-7", "display": "Hemoglobin"}
    code = Code("718-7", "http://loinc.org", "2.77", "Hemoglobin")
    concept = observation(code={"coding": [coding, {"code": ["broken"]}], "text": "Hb"}).get("code")
    assert convert("ToConcept", concept) == Concept((code, Code()), "Hb")
    assert convert("ToCode", concept.get("coding")[0]) == code
    assert convert("ToConcept", observation(code={"text": "Hb"}).get("code")) == Concept((), "Hb")
    assert convert("ToValue", concept) == convert("ToConcept", concept)


def test_system_values_need_no_conversion() -> None:
    assert convert("ToQuantity", FIVE) is FIVE
    assert convert("ToString", "text") == "text"
    assert convert("ToDateTime", DateTime(2026)) == DateTime(2026)


# Instances


def test_instances_are_read_like_data() -> None:
    value = MODEL.instance(FHIR + "decimal", {"value": Decimal("2.50")})
    made = MODEL.instance(FHIR + "Quantity", {"value": value, "unit": Element("string", "mg"), "code": None})
    item = MODEL.instance(
        FHIR + "Observation", {"value": made, "category": [Element("CodeableConcept", {"text": "lab"})]}
    )
    assert item.json["resourceType"] == "Observation"
    assert convert("ToQuantity", item.get("value")) == Quantity(Decimal("2.50"), "mg")
    assert [category.json["text"] for category in item.get("category")] == ["lab"]
    born = MODEL.instance(FHIR + "date", {"value": Date(1965, 4)})
    assert MODEL.instance(FHIR + "Patient", {"birthDate": born}).get("birthDate").get("value") == Date(1965, 4)
    with pytest.raises(EvaluationError, match="Unheard"):
        MODEL.instance(FHIR + "Unheard", {})


# Types


def test_only_resources_can_be_cited() -> None:
    assert MODEL.is_resource_type(FHIR + "Observation")
    for name in (FHIR + "Quantity", FHIR + "Unheard", "{urn:hl7-org:elm-types:r1}Any", "Observation"):
        assert not MODEL.is_resource_type(name)


def test_every_path_of_every_type_can_be_asked_for() -> None:
    for kind in TYPES.values():
        empty = Element(kind, None if kind.system else {})
        assert empty.children() == []
