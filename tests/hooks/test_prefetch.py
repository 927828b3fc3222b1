"""What counts as searched, what is data, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cds.errors import DataUnavailableError, RequestError
from cds.fhir.server import Answer, Wanted
from cds.hooks.prefetch import Gathered, gather, key_of, templates
from cds.hooks.request import HookRequest
from cds.hooks.source import NoSource, Source

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TYPES = ("Patient", "Condition", "Immunization", "BiologicallyDerivedProduct")
PATIENT = {"resourceType": "Patient", "id": "123", "gender": "female"}
CONDITION = {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/123"}, "code": {"text": "flu"}}
VACCINE = {"resourceType": "Immunization", "id": "i1", "status": "completed", "patient": {"reference": "Patient/123"}}
FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]}


def bundle(*resources: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources], **more}


EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}


def read(prefetch: dict[str, Any], source: Source | None = None, patient_id: str = "123") -> Gathered:
    request = HookRequest.parse(
        {
            "hook": "patient-view",
            "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {"userId": "Practitioner/1", "patientId": patient_id},
            "prefetch": prefetch,
        },
        "patient-view",
    )
    return gather(
        request, types=TYPES, needed={"Patient", "Condition"}, source=source or NoSource(), now=NOW, timezone=UTC
    )


def whole(**changes: Any) -> dict[str, Any]:
    """A complete prefetch with `changes`; a change to ... takes the key away."""
    values = {"patient": PATIENT, "condition": bundle(CONDITION), "immunization": EMPTY, **changes}
    return {key: value for key, value in values.items() if value is not ...}


@pytest.mark.parametrize(
    ("value", "searched"),
    [
        (None, True),
        (EMPTY, True),
        ({"resourceType": "Bundle", "type": "searchset", "entry": []}, True),
        (bundle(VACCINE), True),
        (VACCINE, True),
        (bundle(VACCINE, total=1), True),
        (bundle({**CONDITION, "id": "c2"}), True),
        ({"resourceType": "Bundle", "entry": [{"fullUrl": "https://ehr.example/Immunization/1"}]}, True),
        ({"response": {"status": "200 OK"}, "resource": EMPTY}, True),
        ({"resource": None}, True),
        (bundle(FAILED | {"issue": [{"severity": "warning", "code": "processing"}]}), True),
        (..., False),
        (FAILED, False),
        (bundle(VACCINE, FAILED), False),
        (bundle(FAILED | {"issue": [{"severity": "warning", "code": "suppressed"}]}), False),
        (bundle(VACCINE, link=[{"relation": "next", "url": "https://ehr.example/page2"}]), False),
        (bundle(VACCINE, total=3), False),
        ({"response": {"status": "403 Forbidden"}, "resource": None}, False),
        ({"response": {"status": "404"}}, False),
        (CONDITION, False),
    ],
)
def test_what_counts_as_searched(value: Any, searched: bool) -> None:
    gathered = read(whole(immunization=value))
    assert gathered.record.is_searched("Immunization") is searched
    assert ("Immunization" in gathered.unread) is not searched


def test_what_came_is_data_even_where_its_type_was_not_searched() -> None:
    gathered = read(whole(condition=bundle(CONDITION, VACCINE), immunization=...))
    assert len(gathered.record.retrieve("Immunization")) == 1
    assert not gathered.record.is_searched("Immunization")


def test_a_key_that_was_not_asked_for_is_data_too_and_never_fails() -> None:
    gathered = read(whole(vaccines=bundle(VACCINE), odd=17, odder={"a": 1}, oddest=FAILED))
    assert len(gathered.record.retrieve("Immunization")) == 1


def test_a_type_that_nobody_can_search_by_patient_counts_as_searched() -> None:
    assert read(whole()).record.is_searched("BiologicallyDerivedProduct")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"patient": ...}, "prefetch.patient"),
        ({"patient": None}, "prefetch.patient"),
        ({"patient": FAILED}, "prefetch.patient"),
        ({"patient": EMPTY}, "prefetch.patient"),
        ({"condition": ...}, "prefetch.condition"),
        ({"condition": FAILED}, "prefetch.condition"),
        ({"condition": bundle(CONDITION, link=[{"relation": "next", "url": "x"}])}, "prefetch.condition"),
    ],
)
def test_what_is_needed_and_not_there_is_named(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(DataUnavailableError) as missing:
        read(whole(**changes))
    assert missing.value.where == key
    assert missing.value.remedy and "context.patientId" in missing.value.remedy


@pytest.mark.parametrize(
    "value", [{**PATIENT, "id": "other"}, {"resourceType": "Patient"}, bundle({**PATIENT, "id": "x"})]
)
def test_another_patient_is_refused(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        read(whole(patient=value))
    assert refused.value.where == "prefetch.patient"


def test_the_patient_may_come_inside_another_answer() -> None:
    assert read(whole(patient=..., condition=bundle(CONDITION, PATIENT))).record.reference == "Patient/123"


@pytest.mark.parametrize(
    "value",
    [
        5,
        "text",
        [CONDITION],
        {},
        {"resourceType": 5},
        {"resourceType": "Bundle", "entry": {}},
        {"resourceType": "Bundle", "entry": [5]},
        {"resourceType": "Bundle", "entry": [CONDITION]},
        {"resourceType": "Bundle", "entry": [{"resource": {"id": "1"}}]},
    ],
)
def test_what_is_no_fhir_is_refused_by_its_place(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        read(whole(condition=value))
    assert refused.value.where and refused.value.where.startswith("prefetch.condition")


class Server:
    """A source that answers what it has, and remembers what it was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[dict[str, Wanted]] = []

    def open(self, _request: HookRequest) -> Server:
        return self

    def read(self, wanted: Mapping[str, Wanted]) -> dict[str, Answer]:
        self.asked.append(dict(wanted))
        return {key: self.answers.get(key, Answer(problem="the FHIR server is closed")) for key in wanted}


def held(*resources: dict[str, Any]) -> Answer:
    return Answer([(one, None) for one in resources])


def test_a_source_is_asked_for_what_is_missing_and_nothing_else() -> None:
    server = Server(Condition=held(CONDITION))
    gathered = read(whole(condition=..., immunization=FAILED), source=server)
    assert server.asked == [
        {"Condition": Wanted("Condition", "Condition?patient=123")},
        {"Immunization": Wanted("Immunization", "Immunization?patient=123")},
    ]
    assert gathered.record.is_searched("Condition")
    assert dict(gathered.unread) == {
        "Immunization": "the EHR's search failed (an OperationOutcome came in place of data), "
        "and the FHIR server is closed"
    }


def test_a_source_is_not_asked_where_the_prefetch_is_whole() -> None:
    server = Server()
    read(whole(), source=server)
    assert server.asked == []


def test_each_type_is_searched_by_its_own_parameter() -> None:
    queries = templates(["Patient", "Appointment", "ResearchSubject", "AdverseEvent", "Medication", "ResearchStudy"])
    assert queries == {
        "patient": "Patient/{{context.patientId}}",
        "appointment": "Appointment?patient={{context.patientId}}",
        "researchSubject": "ResearchSubject?individual={{context.patientId}}",
        "adverseEvent": "AdverseEvent?subject=Patient/{{context.patientId}}",
    }


def test_keys_do_not_depend_on_the_other_types() -> None:
    assert key_of("MedicationRequest") == "medicationRequest"
