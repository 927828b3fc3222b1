"""The Child-Pugh score from its parts: decided where all completions of what is known agree, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.fhir.record import PatientRecord
from cds.trials.apply import judge_set
from cds.trials.catalog import Catalog

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOCAL = "https://trial-match.example/fhir/CodeSystem/observation"
UCUM = "http://unitsofmeasure.org"

#: Of each measured part: its code, unit and values from well below its first limit to well above its second.
MEASURED: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "bilirubin": ("1975-2", "mg/dL", (0.2, 1.9, 2.0, 2.1, 2.9, 3.0, 3.1, 12.0)),
    "albumin": ("1751-7", "g/dL", (1.5, 2.7, 2.8, 2.9, 3.4, 3.5, 3.6, 4.9)),
    "INR": ("6301-6", "1", (0.8, 1.69, 1.7, 1.71, 2.29, 2.3, 2.31, 6.0)),
}
GRADED = {"ascites": "child-pugh-ascites", "encephalopathy": "child-pugh-encephalopathy"}

#: What the table of the score says (see the definitions).
POINTS: dict[str, Callable[[float], int]] = {
    "bilirubin": lambda value: 1 if value < 2 else 2 if value <= 3 else 3,
    "albumin": lambda value: 1 if value > 3.5 else 2 if value >= 2.8 else 3,
    "INR": lambda value: 1 if value < 1.7 else 2 if value <= 2.3 else 3,
}
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def measured(part: str, comparator: str, value: float) -> dict[str, Any]:
    code, unit, _ = MEASURED[part]
    quantity: dict[str, Any] = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    if comparator:
        quantity["comparator"] = comparator
    return observation(part, {"system": "http://loinc.org", "code": code}, valueQuantity=quantity)


def observation(part: str, code: dict[str, str], **value: Any) -> dict[str, Any]:
    head = {"resourceType": "Observation", "id": part, "status": "final", "effectiveDateTime": "2026-11-10"}
    return {**head, "code": {"coding": [code]}, **value}


def allowed(part: str, comparator: str, bound: float) -> set[int]:
    """The points of all values that a result allows; between the limits and the bound something always lies."""
    fine = sorted({round(value + shift, 3) for value in MEASURED[part][2] for shift in (-0.005, 0, 0.005)})
    return {POINTS[part](value) for value in fine if COMPARE[comparator](value, bound)}


def outcome(catalog: Catalog, *resources: dict[str, Any]) -> str:
    record = PatientRecord.from_resources([{"resourceType": "Patient", "id": "p"}, *resources], now=NOW)
    (answer,) = judge_set(catalog, record, "conversion", now=NOW).trials
    return answer.criteria[0].outcome.value


def below_seven(points: list[set[int]]) -> str:
    """What all completions say of a score below 7."""
    answers = {sum(completion) < 7 for completion in product(*points)}
    return "unknown" if len(answers) > 1 else "met" if True in answers else "not-met"


@st.composite
def charts(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[set[int]]]:
    """Some parts of the score, and the points that each of the five may have."""
    resources, points = [], []
    for part, (_, _, values) in MEASURED.items():
        if draw(st.integers(0, 5)):
            comparator, value = draw(st.sampled_from(("", "", "", *COMPARE))), draw(st.sampled_from(values))
            resources.append(measured(part, comparator, value))
            points.append(allowed(part, comparator, value))
        else:
            points.append({1, 2, 3})
    for part, code in GRADED.items():
        grade = draw(st.sampled_from((None, 1, 1, 1, 2, 3)))
        if grade is not None:
            resources.append(observation(part, {"system": LOCAL, "code": code}, valueInteger=grade))
        points.append({1, 2, 3} if grade is None else {grade})
    return resources, points


@settings(max_examples=150, deadline=None)
@given(chart=charts())
def test_unknown_only_where_the_bounds_do_not_decide(
    catalog: Catalog, chart: tuple[list[dict[str, Any]], list[set[int]]]
) -> None:
    resources, points = chart
    assert outcome(catalog, *resources) == below_seven(points)


FINE = [
    measured("bilirubin", "<", 0.3),
    measured("albumin", "", 4.2),
    measured("INR", "", 1.0),
]
ASCITES = {"system": "http://snomed.info/sct", "code": "389026000"}
ENCEPHALOPATHY = {"system": "http://snomed.info/sct", "code": "13920009"}


@pytest.mark.parametrize(
    ("found", "points"),
    [
        ({"valueBoolean": False}, {1}),
        ({"valueBoolean": True}, {2, 3}),
        ({"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "260385009"}]}}, {1}),
        ({"valueInteger": 0}, {1}),
        ({"valueInteger": 1}, {1, 2}),
        ({"valueInteger": 2}, {2, 3}),
        ({"valueInteger": 3}, {3}),
        ({"valueString": "moderate"}, {1, 2, 3}),
    ],
)
@pytest.mark.parametrize("others", [4, 5])
def test_a_finding_of_ascites_has_the_points_that_it_may_have(
    catalog: Catalog, found: dict[str, Any], points: set[int], others: int
) -> None:
    """A number beside it may be its points or a grade of its own; words decide nothing."""
    encephalopathy = observation("e", {"system": LOCAL, "code": "child-pugh-encephalopathy"}, valueInteger=others - 3)
    got = outcome(catalog, *FINE, encephalopathy, observation("ascites", ASCITES, **found))
    assert got == below_seven([{others}, points])


@pytest.mark.parametrize(("grade", "points"), [(0, {1}), (1, {1, 2}), (2, {2}), (3, {3}), (4, {3})])
@pytest.mark.parametrize("others", [4, 5])
def test_west_haven_grades_of_encephalopathy(catalog: Catalog, grade: int, points: set[int], others: int) -> None:
    ascites = observation("a", {"system": LOCAL, "code": "child-pugh-ascites"}, valueInteger=others - 3)
    got = outcome(catalog, *FINE, ascites, observation("encephalopathy", ENCEPHALOPATHY, valueInteger=grade))
    assert got == below_seven([{others}, points])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("A", "met"),
        ("Class A", "met"),
        ("Child-Pugh A6", "met"),
        ("b7", "not-met"),
        ("C", "not-met"),
        ("A7", "unknown"),
    ],
)
def test_a_class_in_a_letter(catalog: Catalog, said: str, expected: str) -> None:
    score = observation("score", {"system": "http://loinc.org", "code": "98153-0"}, valueString=said)
    assert outcome(catalog, score) == expected
