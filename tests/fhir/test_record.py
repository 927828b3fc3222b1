"""A patient's record: whose data it is, what is a fact, each once, and found by code. Cases stand in data/*.json."""

from __future__ import annotations

import copy
import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.errors import RecordError
from cds.fhir import PatientRecord

HERE = Path(__file__).parent
PATIENTS = sorted((HERE.parent.parent / "examples" / "patients").glob("*.json.gz"))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "birthDate": "1980-05-03",
    "identifier": [{"system": "urn:mrn", "value": "77"}],
    "link": [{"type": "replaces", "other": {"reference": "Patient/old"}}],
}
FACTS = json.loads((HERE / "data" / "facts.json").read_text(encoding="utf-8"))
SUBJECTS = json.loads((HERE / "data" / "subjects.json").read_text(encoding="utf-8"))
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
PREDNISONE = {"coding": [{"system": RXNORM, "code": "8640", "display": "prednisone"}]}


def bundle(*resources: Any, kind: str = "collection") -> dict[str, Any]:
    """A Bundle of the patient and the resources; a resource may be given with its fullUrl."""
    entries = []
    for item in (PATIENT, *resources):
        resource, url = item if isinstance(item, tuple) else (item, None)
        entries.append({"resource": resource} | ({"fullUrl": url} if url else {}))
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def record(*resources: Any, **options: Any) -> PatientRecord:
    return PatientRecord.from_bundle(bundle(*resources), **{"now": NOW, **options})


def ids(found: Any) -> list[str]:
    return [element.json["id"] for element in found]


def observation(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": name, "status": "final", "valueInteger": 1, **more}


# What is a fact


@pytest.mark.parametrize("case", FACTS["cases"], ids=lambda case: case["why"])
def test_what_states_no_fact_is_left_out_and_counted(case: dict[str, Any]) -> None:
    made = record(case["resource"], now=datetime.fromisoformat(FACTS["now"]))
    kept = made.retrieve(case["resource"]["resourceType"])
    reason = case.get("reason")
    assert [element.json for element in kept] == ([] if reason else [case["resource"]])
    assert dict(made.excluded) == ({reason: 1} if reason else {})


@pytest.mark.parametrize(
    ("zone", "written", "kept"),
    [
        ("UTC", "2026-11-20T12:30:00", False),
        ("Europe/Berlin", "2026-11-20T12:30:00", True),
        ("America/New_York", "2026-11-20T08:00:00", False),
        ("Asia/Shanghai", "2026-11-21", False),
    ],
)
def test_a_date_without_offset_is_read_in_the_timezone(zone: str, written: str, kept: bool) -> None:
    made = record(observation("o", effectiveDateTime=written), timezone=ZoneInfo(zone))
    assert bool(made.retrieve("Observation")) is kept


def test_where_it_is_tomorrow_already_a_fact_of_tomorrow_counts() -> None:
    late = datetime(2026, 11, 20, 18, tzinfo=UTC)
    made = record(observation("o", effectiveDateTime="2026-11-21"), now=late, timezone=ZoneInfo("Asia/Shanghai"))
    assert ids(made.retrieve("Observation")) == ["o"]


@given(
    moment=st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)),
    offset=st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_a_moment_counts_exactly_until_now(moment: datetime, offset: int) -> None:
    there = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    made = record(observation("o", effectiveDateTime=there.isoformat()))
    assert bool(made.retrieve("Observation")) is (there <= NOW)


def test_raw_leaves_everything_as_it_came() -> None:
    wrong = observation("o", status="entered-in-error", subject={"reference": "Patient/2"})
    order = {"resourceType": "MedicationRequest", "id": "m", "medicationReference": {"reference": "Medication/p"}}
    pills = {"resourceType": "Medication", "id": "p", "code": PREDNISONE}
    made = record(wrong, wrong, order, pills, hygiene=False)
    assert ids(made.retrieve("Observation")) == ["o", "o"]
    assert made.retrieve("MedicationRequest")[0].json is order
    assert dict(made.excluded) == {}


# Whose data it is


@pytest.mark.parametrize("case", SUBJECTS["cases"], ids=lambda case: case["why"])
def test_other_peoples_data_is_left_out(case: dict[str, Any]) -> None:
    kind = case.get("type", "Observation")
    resource = {"resourceType": kind, "id": "o", **case["resource"]}
    data = bundle((resource, case.get("url")))
    if "patientUrl" in case:
        data["entry"][0]["fullUrl"] = case["patientUrl"]
    made = PatientRecord.from_bundle(data, now=NOW)
    assert bool(made.retrieve(kind)) is case["hers"]
    assert dict(made.excluded) == ({} if case["hers"] else {"another-subject": 1})


def test_with_the_patient_named_others_are_other_people() -> None:
    child = {"resourceType": "Patient", "id": "child"}
    resources = [child, PATIENT, observation("c", subject={"reference": "Patient/child"}), observation("m")]
    made = PatientRecord.from_resources(resources, patient_id="1", now=NOW)
    assert made.reference == "Patient/1"
    assert ids(made.retrieve("Patient")) == ["1"]
    assert ids(made.retrieve("Observation")) == ["m"]
    assert dict(made.excluded) == {"another-subject": 2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "not a FHIR Bundle"),
        ([], "not a FHIR Bundle"),
        (PATIENT, "not a FHIR Bundle"),
        ({"resourceType": "Bundle"}, "no Patient"),
        ({"resourceType": "Bundle", "entry": {"resource": PATIENT}}, "no Patient"),
        (bundle({"resourceType": "Patient", "id": "2"}), "2 different Patients"),
        (bundle(({"resourceType": "Patient", "id": "1"}, "urn:uuid:x"), {"resourceType": "Patient"}), "2 different"),
    ],
)
def test_a_bundle_without_exactly_one_patient_is_an_error(data: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        PatientRecord.from_bundle(data, now=NOW)


def test_the_same_patient_on_two_servers_is_two() -> None:
    resources = [PATIENT, PATIENT]
    urls = ["https://a.example/Patient/1", "https://b.example/Patient/1"]
    with pytest.raises(RecordError, match="2 different"):
        PatientRecord.from_resources(resources, full_urls=urls, now=NOW)


def test_a_patient_asked_for_and_not_there_is_an_error() -> None:
    with pytest.raises(RecordError, match="not in the data"):
        PatientRecord.from_resources([PATIENT], patient_id="2", now=NOW)


def test_the_same_patient_twice_is_one() -> None:
    newer = {**PATIENT, "meta": {"lastUpdated": "2026-01-01T00:00:00Z"}, "gender": "female"}
    made = record((newer, "urn:uuid:x"), observation("o", subject={"reference": "urn:uuid:x"}))
    assert made.patient["gender"] == "female"
    assert ids(made.retrieve("Observation")) == ["o"]
    assert len(made.retrieve("Patient")) == 1


# Bundles of any kind


@pytest.mark.parametrize("kind", ["collection", "searchset", "transaction", "batch", "document", "history", None])
def test_a_bundle_of_any_type_is_read(kind: str | None) -> None:
    data = bundle(observation("o"), kind=kind)  # type: ignore[arg-type]
    assert ids(PatientRecord.from_bundle(data, now=NOW).retrieve("Observation")) == ["o"]


def test_bundles_in_bundles_are_opened_in_order() -> None:
    inner = {"resourceType": "Bundle", "entry": [{"resource": observation("b")}, {"resource": observation("c")}]}
    outer = {"resourceType": "Bundle", "entry": [{"resource": inner}]}
    assert ids(record(observation("a"), outer, observation("d")).retrieve("Observation")) == ["a", "b", "c", "d"]


def test_a_search_result_with_outcomes_and_includes_is_read() -> None:
    data = bundle(observation("o"))
    data["entry"] += [
        {"search": {"mode": "outcome"}, "resource": {"resourceType": "OperationOutcome", "issue": []}},
        {"response": {"status": "204"}},
        {"search": {"mode": "include"}, "resource": {"resourceType": "Practitioner", "id": "d"}},
    ]
    made = PatientRecord.from_bundle(data, now=NOW)
    assert made.skipped == ()
    assert ids(made.retrieve("Practitioner")) == ["d"]
    assert made.retrieve("OperationOutcome") == []


def test_what_cannot_be_read_is_skipped_and_told() -> None:
    data = bundle(observation("o"))
    data["entry"] += [7, {"resource": "x"}, {"resource": {}}, {"resource": {"resourceType": "Spaceship"}}]
    data["entry"].append({"resource": {"resourceType": "Bundle", "entry": {"resource": 1}}})
    made = PatientRecord.from_bundle(data, now=NOW)
    assert made.skipped == (
        "an entry is no object",
        "a resource is no object",
        "a resource has no resourceType of FHIR R4",
        "a resource has no resourceType of FHIR R4",
        "the entry element of a Bundle is no list",
    )
    assert ids(made.retrieve("Observation")) == ["o"]


def test_resources_and_bundles_that_came_apart_make_one_record() -> None:
    page = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": observation("b")}]}
    made = PatientRecord.from_resources([PATIENT, observation("a"), page], patient_id="1", now=NOW)
    assert ids(made.retrieve("Observation")) == ["a", "b"]


# Each once


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({}, {}, "first"),
        (
            {"meta": {"lastUpdated": "2026-01-01T00:00:00Z"}},
            {"meta": {"lastUpdated": "2026-01-02T00:00:00Z"}},
            "second",
        ),
        (
            {"meta": {"lastUpdated": "2026-01-01T23:00:00-05:00"}},
            {"meta": {"lastUpdated": "2026-01-02T00:00:00Z"}},
            "first",
        ),
        ({"meta": {"versionId": "9"}}, {"meta": {"versionId": "10"}}, "second"),
        ({"meta": {"versionId": "2"}}, {"meta": {"versionId": "1"}}, "first"),
        ({"meta": "x"}, {"meta": {"lastUpdated": 3, "versionId": []}}, "first"),
    ],
)
def test_of_two_copies_the_later_version_stays(first: Any, second: Any, winner: str) -> None:
    made = record(
        observation("o", note=[{"text": "first"}], **first),
        observation("p"),
        observation("o", note=[{"text": "second"}], **second),
    )
    kept = made.retrieve("Observation")
    assert ids(kept) == ["o", "p"]
    assert kept[0].json["note"] == [{"text": winner}]
    assert dict(made.excluded) == {"duplicate": 1}


def test_a_later_version_entered_in_error_takes_the_earlier_one_away() -> None:
    later = observation("o", status="entered-in-error", meta={"versionId": "2"})
    made = record(observation("o", meta={"versionId": "1"}), later)
    assert made.retrieve("Observation") == []
    assert dict(made.excluded) == {"duplicate": 1, "entered-in-error": 1}


def test_copies_are_known_by_full_url_and_by_content() -> None:
    nameless = {"resourceType": "Observation", "valueInteger": 1}
    other = {"resourceType": "Observation", "valueInteger": 2}
    made = record((nameless, "urn:uuid:a"), (other, "urn:uuid:a"), nameless, dict(reversed(nameless.items())), other)
    assert [element.json["valueInteger"] for element in made.retrieve("Observation")] == [1, 1, 2]


def test_the_same_id_on_two_servers_is_two_resources() -> None:
    made = record(
        (observation("o"), "https://a.example/Observation/o"), (observation("o"), "https://b.example/Observation/o")
    )
    assert ids(made.retrieve("Observation")) == ["o", "o"]


def test_the_same_id_of_two_types_is_two_resources() -> None:
    made = record(observation("x"), {"resourceType": "Condition", "id": "x"})
    assert len(made.retrieve("Observation")) == len(made.retrieve("Condition")) == 1


# How a resource is cited


def test_a_resource_is_cited_by_id_else_by_full_url_else_by_its_place() -> None:
    nameless = {"resourceType": "Observation", "valueInteger": 1}
    lost = {"resourceType": "Observation", "valueInteger": 2}
    made = record(observation("o"), (nameless, "urn:uuid:n"), lost)
    cited = [made.reference_of(element.json) for element in made.retrieve("Observation")]
    assert cited == ["Observation/o", "urn:uuid:n", "Observation (entry 4)"]


def test_a_patient_without_id_goes_by_full_url() -> None:
    data = {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:p", "resource": {"resourceType": "Patient"}}]}
    data["entry"].append({"resource": observation("o", subject={"reference": "urn:uuid:p"})})  # type: ignore[attr-defined]
    made = PatientRecord.from_bundle(data, now=NOW)
    assert made.reference == "urn:uuid:p"
    assert ids(made.retrieve("Observation")) == ["o"]


# Medications


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ({"reference": "Medication/p"}, None),
        ({"reference": "Medication/p/_history/1"}, None),
        ({"reference": "urn:uuid:aaaa"}, "urn:uuid:AAAA"),
        ({"reference": "https://ehr.example/fhir/Medication/p"}, "https://ehr.example/fhir/Medication/p"),
        ({"reference": "https://ehr.example/fhir/Medication/p"}, None),
        ({"reference": "Medication?identifier=urn:pharmacy|P20"}, None),
        ({"identifier": {"system": "urn:pharmacy", "value": "P20"}}, None),
    ],
)
def test_the_code_of_a_referenced_medication_takes_the_place_of_the_reference(reference: Any, url: str | None) -> None:
    pills = {
        "resourceType": "Medication",
        "id": "p",
        "code": PREDNISONE,
        "identifier": [{"system": "urn:pharmacy", "value": "P20"}],
    }
    order = {"resourceType": "MedicationRequest", "id": "m", "medicationReference": reference, "status": "active"}
    data = bundle((pills, url), order)
    before = copy.deepcopy(data)
    made = PatientRecord.from_bundle(data, now=NOW)
    (seen,) = made.retrieve("MedicationRequest", "medication", {(RXNORM, "8640")})
    assert seen.json["medicationCodeableConcept"] == PREDNISONE
    assert "medicationReference" not in seen.json
    assert data == before


def test_a_contained_medication_is_seen_too() -> None:
    statement = {
        "resourceType": "MedicationStatement",
        "id": "m",
        "contained": [{"resourceType": "Medication", "id": "p", "code": PREDNISONE}],
        "medicationReference": {"reference": "#p"},
    }
    assert ids(record(statement).retrieve("MedicationStatement", "medication", {(RXNORM, "8640")})) == ["m"]


def test_a_contained_medication_entered_in_error_is_not() -> None:
    pills = {"resourceType": "Medication", "id": "p", "status": "entered-in-error", "code": PREDNISONE}
    order = {"resourceType": "MedicationRequest", "contained": [pills], "medicationReference": {"reference": "#p"}}
    assert record(order).retrieve("MedicationRequest")[0].json is order


@pytest.mark.parametrize(
    "medication",
    [
        {"resourceType": "Medication", "id": "other", "code": PREDNISONE},
        {"resourceType": "Medication", "id": "p"},
        {"resourceType": "Medication", "id": "p", "status": "entered-in-error", "code": PREDNISONE},
        {"resourceType": "Substance", "id": "p", "code": PREDNISONE},
    ],
)
def test_a_medication_that_is_not_known_keeps_its_reference(medication: dict[str, Any]) -> None:
    order = {"resourceType": "MedicationRequest", "id": "m", "medicationReference": {"reference": "Medication/p"}}
    made = record(medication, order)
    assert [element.json for element in made.retrieve("MedicationRequest")] == [order]
    assert made.retrieve("MedicationRequest", "medication", {(RXNORM, "8640")}) == []


def test_a_medication_of_another_server_is_not_taken_for_it() -> None:
    pills = {"resourceType": "Medication", "id": "p", "code": PREDNISONE}
    order = {"resourceType": "MedicationRequest", "id": "m", "medicationReference": {"reference": "Medication/p"}}
    made = record((pills, "https://a.example/Medication/p"), (order, "https://b.example/MedicationRequest/m"))
    assert made.retrieve("MedicationRequest")[0].json is order


# Found by code


def coded(name: str, *codes: str, **more: Any) -> dict[str, Any]:
    return observation(name, code={"coding": [{"system": LOINC, "code": code} for code in codes]}, **more)


def test_resources_are_found_by_any_coding_in_order_and_once() -> None:
    made = record(coded("a", "1"), coded("b", "2", "1"), coded("c", "3"), coded("d", "2"))
    one = frozenset({(LOINC, "1"), (LOINC, "2"), *((LOINC, str(number)) for number in range(50, 90))})
    assert ids(made.retrieve("Observation", "code", one)) == ["a", "b", "d"]
    assert ids(made.retrieve("Observation", "code", [(LOINC, "3")])) == ["c"]
    assert ids(made.retrieve("Observation", None, {(LOINC, "3")})) == ["c"]
    assert made.retrieve("Observation", "code", {("http://other", "1")}) == []
    assert made.retrieve("Observation", "code", frozenset()) == []
    assert ids(made.retrieve("Observation")) == ["a", "b", "c", "d"]
    assert made.retrieve("Condition", "code", one) == []


@pytest.mark.parametrize(
    ("kind", "path", "element"),
    [
        ("Immunization", "vaccineCode", {"vaccineCode": {"coding": [{"system": "s", "code": "c"}]}}),
        ("MedicationRequest", "medication", {"medicationCodeableConcept": {"coding": [{"system": "s", "code": "c"}]}}),
        ("Encounter", "type", {"type": [{"text": "x"}, {"coding": [{"system": "s", "code": "c"}]}]}),
        ("Encounter", "class", {"class": {"system": "s", "code": "c"}}),
        ("Observation", "value", {"valueCodeableConcept": {"coding": [{"system": "s", "code": "c"}]}}),
        ("Observation", "component.code", {"component": [{}, {"code": {"coding": [{"system": "s", "code": "c"}]}}]}),
        ("Procedure", "status", {"status": "c"}),
    ],
)
def test_a_code_path_may_be_of_any_coded_type(kind: str, path: str, element: dict[str, Any]) -> None:
    made = record({"resourceType": kind, "id": "x", **element}, {"resourceType": kind, "id": "y"})
    assert ids(made.retrieve(kind, path, {("s", "c")})) == ["x"]
    assert made.retrieve(kind, path, {("s", "d")}) == []


@pytest.mark.parametrize(
    "code", ["x", 3, [], {"coding": "x"}, {"coding": ["x", {"code": 3}]}, {"coding": [{"code": "1"}]}]
)
def test_a_code_that_cannot_be_read_is_not_found(code: Any) -> None:
    made = record(observation("o", code=code))
    assert made.retrieve("Observation", "code", {(LOINC, "1")}) == []
    assert ids(made.retrieve("Observation")) == ["o"]


@given(
    data=st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=12),
    wanted=st.sets(st.integers(0, 30), max_size=20),
)
def test_the_index_finds_what_a_walk_finds(data: list[list[int]], wanted: set[int]) -> None:
    made = record(*(coded(f"o{place}", *map(str, codes)) for place, codes in enumerate(data)))
    found = ids(made.retrieve("Observation", "code", {(LOINC, str(code)) for code in wanted}))
    assert found == [f"o{place}" for place, codes in enumerate(data) if wanted & set(codes)]


# Searched, and death


def test_searched_is_everything_unless_named() -> None:
    assert record().is_searched("Condition")
    named = record(searched=["Condition"])
    assert named.searched == frozenset({"Condition"})
    assert [named.is_searched(kind) for kind in ("Condition", "Procedure", "Patient")] == [True, False, True]


@pytest.mark.parametrize(
    ("told", "dead"),
    [
        ({}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({"deceasedDateTime": "2012-03-01T10:00:00Z"}, True),
        ({"deceasedDateTime": "2026-11-20"}, True),
        ({"deceasedDateTime": "2026-11"}, True),
        ({"deceasedDateTime": "2026-11-20T12:00:01Z"}, False),
        ({"deceasedDateTime": "2027"}, False),
        ({"deceasedDateTime": "in spring"}, True),
        ({"deceasedDateTime": 2012}, False),
    ],
)
def test_a_patient_is_dead_unless_the_whole_date_lies_ahead(told: dict[str, Any], dead: bool) -> None:
    made = PatientRecord.from_resources([{**PATIENT, **told}], now=NOW)
    assert made.deceased(NOW) is dead


# Data that nobody here wrote


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.name.partition("_")[0])
def test_a_real_bundle_is_read_whole_and_left_as_it_was(path: Path) -> None:
    data = orjson.loads(gzip.decompress(path.read_bytes()))
    before = copy.deepcopy(data)
    made = PatientRecord.from_bundle(data, now=NOW)
    kinds = {entry["resource"]["resourceType"] for entry in data["entry"]}
    assert sum(len(made.retrieve(kind)) for kind in kinds) == len(data["entry"])
    assert (dict(made.excluded), made.skipped, data) == ({}, (), before)


_WORDS = st.sampled_from(
    [
        *("Bundle", "Patient", "Observation", "Condition", "MedicationRequest", "Medication", "Appointment"),
        *("Patient/1", "#p", "urn:uuid:1", "Patient?identifier=x|1", "http://x/Patient/1", "final", "registered"),
        *("2026-11-21", "2026", "9999-12-31T23:59:59-14:00", "1"),
    ]
)
_KEYS = st.sampled_from(
    [
        *(
            "resourceType",
            "entry",
            "resource",
            "fullUrl",
            "id",
            "meta",
            "lastUpdated",
            "versionId",
            "status",
            "subject",
        ),
        *("reference", "identifier", "system", "value", "code", "coding", "text", "contained", "medicationReference"),
        *("verificationStatus", "effectiveDateTime", "effectivePeriod", "authoredOn", "participant", "actor", "focus"),
        *("link", "other", "deceasedDateTime", "type", "event", "start", "component", "medicationCodeableConcept"),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=6),
    max_leaves=40,
)


def _use(made: PatientRecord) -> None:
    for kind in ("Patient", "Observation", "Condition", "MedicationRequest", "Medication", "Appointment"):
        for path in ("code", "medication", "status", "component.code", "type"):
            for element in made.retrieve(kind, path, {("1", "1"), (LOINC, "final")}):
                assert made.reference_of(element.json)
    assert all(count > 0 for count in made.excluded.values())
    assert made.deceased(NOW) in (True, False)


@given(_JSON)
def test_json_of_any_shape_is_a_record_or_a_record_error(data: Any) -> None:
    try:
        made = PatientRecord.from_bundle(data, now=NOW)
    except RecordError:
        return
    _use(made)


@given(st.lists(st.tuples(_WORDS, st.dictionaries(_KEYS, _JSON, max_size=6), _JSON), max_size=5), _JSON)
def test_resources_of_any_shape_beside_a_patient_make_a_record(rows: list[Any], more: Any) -> None:
    entries = [{"resource": {**body, "resourceType": kind}, "fullUrl": url} for kind, body, url in rows]
    others = [entry for entry in entries if entry["resource"]["resourceType"] != "Patient"]
    patient = {**(more if isinstance(more, dict) else {}), "resourceType": "Patient", "id": "1"}
    data = {"resourceType": "Bundle", "entry": [{"resource": patient}, *others]}
    _use(PatientRecord.from_bundle(data, now=NOW))


def test_a_reference_by_full_url_is_told_by_type_and_id() -> None:
    """Logic compares references with ids: what goes by a fullUrl that does not end with its id is named by the id."""
    arthritis = {"resourceType": "Condition", "id": "ra", "subject": {"reference": "Patient/1"}}
    statement = {
        "resourceType": "MedicationStatement",
        "id": "m",
        "status": "active",
        "subject": {"reference": "Patient/1"},
        "medicationCodeableConcept": PREDNISONE,
        "reasonReference": [{"reference": "urn:uuid:B5", "display": "arthritis"}, {"reference": "Condition/other"}],
    }
    before = copy.deepcopy(statement)
    made = record((arthritis, "urn:uuid:b5"), (statement, "https://ehr.example/fhir/MedicationStatement/m"))
    (element,) = made.retrieve("MedicationStatement")
    assert element.json["reasonReference"] == [
        {"reference": "Condition/ra", "display": "arthritis"},
        {"reference": "Condition/other"},
    ]
    assert statement == before
    assert made.reference_of(element.json) == "MedicationStatement/m"


def test_references_stand_as_they_came_where_nothing_is_cleaned() -> None:
    """Without hygiene a record is what came."""
    observed = observation("o", focus=[{"reference": "urn:uuid:b5"}])
    made = record(({"resourceType": "Condition", "id": "ra"}, "urn:uuid:b5"), observed, hygiene=False)
    (element,) = made.retrieve("Observation")
    assert element.json is observed
