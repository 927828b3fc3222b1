"""One patient's evaluation: what is kept, what fails and where, the moment, parameters, data and terminology."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from small_world import Patient, compiled, define, elm, evaluation, library, literal

from cds.elm import Libraries
from cds.elm.values import Date, DateTime, Quantity, Time
from cds.errors import EvaluationError


def hemoglobin(value: float, day: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": day,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "effectiveDateTime": day,
        "valueQuantity": {"value": value, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
        **more,
    }


CANCER: dict[str, Any] = {
    "resourceType": "Condition",
    "id": "cancer",
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "363406005"}]},
    "onsetDateTime": "2026-01",
    "verificationStatus": {"coding": [{"code": "confirmed"}]},
}
ANN: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "ann",
    "gender": "female",
    "birthDate": "1965-04-30",
    "name": [{"given": ["Ann", "Lee"]}, {"family": "Poe"}],
}


@pytest.fixture(scope="module")
def libraries() -> Libraries:
    return compiled(elm("Trial"), elm("Shared"))


@pytest.fixture
def ann() -> Patient:
    return Patient(ANN, hemoglobin(8.1, "2026-05-01"), hemoglobin(9.4, "2026-10-02T08:00:00Z"), CANCER)


def test_a_criterion_is_answered_through_libraries_functions_and_units(libraries: Libraries, ann: Patient) -> None:
    running = evaluation(libraries, ann)
    assert running.evaluate("Trial", "Latest hemoglobin").json["id"] == "2026-10-02T08:00:00Z"
    assert running.evaluate("Trial", "I1") is True


def test_without_data_the_answer_is_unknown(libraries: Libraries) -> None:
    running = evaluation(libraries, Patient(ANN))
    assert running.evaluate("Trial", "I1") is None
    assert running.evaluate("Trial", "Latest hemoglobin") is None
    assert evaluation(libraries, Patient()).evaluate("Trial", "Is female") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("In value set", True),
        ("In code system", True),
        ("Codes of set", 1),
        ("Any in value set", []),
        ("Birthday", Date(1965, 4, 30)),
        ("Made mass", True),
        ("Medications", []),
        ("Problems", []),
    ],
)
def test_answers(libraries: Libraries, ann: Patient, name: str, value: object) -> None:
    assert evaluation(libraries, ann).evaluate("Trial", name) == value


def test_primitives_are_elements_and_lists_are_flattened(libraries: Libraries, ann: Patient) -> None:
    names = evaluation(libraries, ann).evaluate("Trial", "Given names")
    assert [name.get("value") for name in names] == ["Ann", "Lee"]


def test_tuples_carry_the_resource(libraries: Libraries, ann: Patient) -> None:
    (found,) = evaluation(libraries, ann).evaluate("Trial", "Cancers with dates")
    assert found.get("condition").json is CANCER
    assert found.get("onset").get("value") == DateTime(2026, 1)


def test_retrieves_by_code_find_what_retrieves_by_value_set_find(libraries: Libraries, ann: Patient) -> None:
    running = evaluation(libraries, ann)
    for name in ("By code", "By concept", "By codes"):
        assert len(running.evaluate("Trial", name)) == 2


def test_a_definition_is_answered_once(libraries: Libraries, ann: Patient) -> None:
    running = evaluation(libraries, ann)
    for _ in range(3):
        running.evaluate("Trial", "I1")
    assert sorted(ann.asked) == ["Observation", "Patient"]


def test_a_failure_is_kept_too() -> None:
    libraries = compiled(elm("Logic"))
    running = evaluation(libraries)
    failures = []
    for name in ("Fails", "Fails", "Fails through a reference"):
        with pytest.raises(EvaluationError) as raised:
            running.evaluate("Logic", name)
        failures.append(raised.value)
    assert failures[0] is failures[1] is failures[2]


class Broken(Patient):
    """Patient data that cannot be had."""

    def retrieve(self, *_: Any) -> Any:
        raise ZeroDivisionError("the name is Ann Poe")


def test_any_exception_is_the_definitions_error_and_shows_no_data(libraries: Libraries) -> None:
    running = evaluation(libraries, Broken())
    with pytest.raises(EvaluationError, match="ZeroDivisionError") as raised:
        running.evaluate("Trial", "Is female")
    assert "Ann" not in str(raised.value)
    assert raised.value.where is not None
    assert raised.value.where.startswith("Trial.Patient")
    assert running.evaluate("Trial", "In code system") is True


def test_a_value_set_that_is_absent_is_named(libraries: Libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("small_world.SETS", {})
    with pytest.raises(EvaluationError, match=r"no value set .*cancer") as raised:
        evaluation(libraries, Patient(CANCER)).evaluate("Trial", "Cancers")
    assert raised.value.where is not None
    assert raised.value.where.startswith("Trial.Cancers")


def test_an_unknown_definition_is_an_error() -> None:
    with pytest.raises(EvaluationError.__mro__[1], match="'Nothing'"):
        evaluation(compiled(elm("Logic"))).evaluate("Logic", "Nothing")


def test_a_comparator_is_no_exact_value(libraries: Libraries) -> None:
    patient = Patient(hemoglobin(9, "2026-10-02"))
    patient.resources[0]["valueQuantity"]["comparator"] = "<"
    with pytest.raises(EvaluationError, match="comparator") as raised:
        evaluation(libraries, patient).evaluate("Trial", "Hemoglobin high enough")
    assert raised.value.where is not None
    assert raised.value.where.startswith("Trial.Hemoglobin high enough")


def test_the_moment_is_given_and_has_a_time_zone() -> None:
    libraries = compiled(elm("Logic"))
    running = evaluation(libraries, now=datetime(2026, 11, 20, 23, 5, tzinfo=timezone(timedelta(hours=-5))))
    assert running.evaluate("Logic", "Moment") == DateTime(2026, 11, 20, 23, 5, 0, 0, -300)
    assert running.evaluate("Logic", "Day") == Date(2026, 11, 20)
    assert running.evaluate("Logic", "Hour") == Time(23, 5, 0, 0)
    assert running.timezone_offset == -300
    naive = evaluation(libraries, now=datetime(2026, 11, 20, 12, tzinfo=UTC).replace(tzinfo=None))
    assert naive.evaluate("Logic", "Moment") == DateTime(2026, 11, 20, 12, 0, 0, 0, 0)
    moment = DateTime(2020, 1, 2, 3, 4, 5, 6, 60)
    assert evaluation(libraries, now=moment).evaluate("Logic", "Moment") is moment


def test_parameters_are_given_by_name_or_have_their_default() -> None:
    libraries = compiled(elm("Logic"), elm("Trial"), elm("Shared"))
    assert evaluation(libraries).evaluate("Logic", "First dose") == Date(2026, 11, 20)
    assert evaluation(libraries).evaluate("Logic", "Limit given") is None
    given = evaluation(libraries, parameters={"First Dose": date(2027, 1, 2), "Limit": 3, "Nobody's": 1})
    assert given.evaluate("Logic", "First dose") == Date(2027, 1, 2)
    assert given.evaluate("Logic", "Limit given") == 3
    assert evaluation(libraries, parameters={"First Dose": None}).evaluate("Logic", "First dose") is None


def test_two_patients_share_nothing_but_the_libraries(libraries: Libraries, ann: Patient) -> None:
    other = Patient({"resourceType": "Patient", "gender": "male"})
    first, second = evaluation(libraries, ann), evaluation(libraries, other)
    assert (first.evaluate("Trial", "Is female"), second.evaluate("Trial", "Is female")) == (True, False)


def test_a_retrieve_can_be_narrowed_by_dates() -> None:
    day = "{urn:hl7-org:elm-types:r1}Integer"

    def date_of(*parts: int) -> dict[str, Any]:
        fields = {name: literal(part) for name, part in zip(("year", "month", "day"), parts, strict=True)}
        return {"type": "ToDateTime", "operand": {"type": "Date", **fields}, "resultTypeName": day}

    period = {"type": "Interval", "low": date_of(2026, 9, 1), "high": date_of(2026, 12, 1)}
    retrieve = {
        "type": "Retrieve",
        "dataType": "{http://hl7.org/fhir}Observation",
        "dateProperty": "effective",
        "dateRange": period,
    }
    made = library(define("Recent", retrieve))
    long_ago = hemoglobin(8, "2020-01-01", id="old")
    ongoing = {**hemoglobin(8, "x"), "id": "ongoing", "effectivePeriod": {"start": "2026-08-01"}}
    within = {**ongoing, "id": "within", "effectivePeriod": {"start": "2026-10-01", "end": "2026-10-02"}}
    for item in (ongoing, within):
        del item["effectiveDateTime"]
    undated = {"resourceType": "Observation", "id": "undated"}
    patient = Patient(hemoglobin(9, "2026-10-02", id="new"), long_ago, ongoing, within, undated)
    found = evaluation(compiled(made), patient).evaluate("Made", "Recent")
    assert [item.json["id"] for item in found] == ["new", "within"]


def test_a_code_is_above_itself_and_nothing_is_known_of_others() -> None:
    def subsumes(kind: str, first: str, second: str) -> dict[str, Any]:
        operands = [{"type": "CodeRef", "name": name} for name in (first, second)]
        return {"type": kind, "operand": operands}

    made = library(
        define("Itself", subsumes("Subsumes", "A", "A")),
        define("Other", subsumes("SubsumedBy", "A", "B")),
        codeSystems={"def": [{"name": "S", "id": "http://s"}]},
        codes={"def": [{"name": name, "id": name, "codeSystem": {"name": "S"}} for name in "AB"]},
    )
    running = evaluation(compiled(made))
    assert running.evaluate("Made", "Itself") is True
    assert running.evaluate("Made", "Other") is None


def test_a_made_element_is_read_like_any_other(libraries: Libraries) -> None:
    made = evaluation(libraries).evaluate("Trial", "Made")
    assert made.get("value").get("value") == Decimal("2.5")
    assert libraries.model is not None
    convert = libraries.model.native("FHIRHelpers", "ToQuantity")
    assert convert is not None
    assert convert(made) == Quantity(Decimal("2.5"), "mg")
