"""What of a request is checked, and what is let pass."""

from __future__ import annotations

from typing import Any

import pytest

from cds.errors import RequestError
from cds.hooks.request import HookRequest


def body(**changes: Any) -> dict[str, Any]:
    """A complete request with `changes`; a change to ... takes the field away."""
    whole = {
        "hook": "patient-view",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/1", "patientId": "123"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def parse(**changes: Any) -> HookRequest:
    return HookRequest.parse(body(**changes), "patient-view")


def context(**changes: Any) -> dict[str, Any]:
    whole = {"userId": "Practitioner/1", "patientId": "123", **changes}
    return {name: value for name, value in whole.items() if value is not ...}


AUTHORIZATION = {
    "access_token": "secret-token",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "s",
    "subject": "c",
}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hook": ...}, "hook"),
        ({"hook": None}, "hook"),
        ({"hook": 5}, "hook"),
        ({"hook": "order-sign"}, "hook"),
        ({"hookInstance": ...}, "hookInstance"),
        ({"hookInstance": "1"}, "hookInstance"),
        ({"hookInstance": "d1577c69dfbe44adba6d3e05e953b2ea"}, "hookInstance"),
        ({"context": ...}, "context"),
        ({"context": []}, "context"),
        ({"context": context(userId=...)}, "context.userId"),
        ({"context": context(userId="someone")}, "context.userId"),
        ({"context": context(patientId=...)}, "context.patientId"),
        ({"context": context(patientId=17)}, "context.patientId"),
        ({"context": context(patientId="")}, "context.patientId"),
        ({"context": context(patientId="../1")}, "context.patientId"),
        ({"context": context(patientId="Group/1")}, "context.patientId"),
        ({"context": context(patientId="1\u0000")}, "context.patientId"),
        ({"context": context(patientId="1\n")}, "context.patientId"),
        ({"context": context(patientId="x" * 65)}, "context.patientId"),
        ({"prefetch": []}, "prefetch"),
        ({"fhirServer": "ftp://ehr.example"}, "fhirServer"),
        ({"fhirServer": "https://[bad"}, "fhirServer"),
        ({"fhirAuthorization": AUTHORIZATION}, "fhirServer"),
        ({"fhirServer": "https://ehr.example", "fhirAuthorization": "token"}, "fhirAuthorization"),
        (
            {"fhirServer": "https://ehr.example", "fhirAuthorization": AUTHORIZATION | {"token_type": "MAC"}},
            "fhirAuthorization.token_type",
        ),
        (
            {"fhirServer": "https://ehr.example", "fhirAuthorization": AUTHORIZATION | {"expires_in": "soon"}},
            "fhirAuthorization.expires_in",
        ),
    ],
)
def test_what_is_refused_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(**changes)
    assert refused.value.where == field
    assert refused.value.remedy


@pytest.mark.parametrize("value", [None, 5, "text", [], [{}]])
def test_a_body_that_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(RequestError):
        HookRequest.parse(value, "patient-view")


@pytest.mark.parametrize("user", ["Practitioner/1", "PractitionerRole/a.b", "Patient/123", "RelatedPerson/x-1"])
def test_users_of_the_hook_are_accepted(user: str) -> None:
    assert parse(context=context(userId=user)).user_id == user


def test_one_patient_prefix_is_stripped() -> None:
    assert parse(context=context(patientId="Patient/123")).patient_id == "123"
    with pytest.raises(RequestError):
        parse(context=context(patientId="Patient/Patient/123"))


def test_unknown_fields_are_ignored() -> None:
    request = parse(extension={"a": 1}, more=[1], context=context(encounterId="e", extension={}), prefetch=None)
    assert request.patient_id == "123" and request.prefetch == {}


def test_a_token_is_read_and_never_shown() -> None:
    request = parse(fhirServer="https://ehr.example/fhir", fhirAuthorization=AUTHORIZATION | {"token_type": "bearer"})
    assert request.fhir_authorization and request.fhir_authorization["access_token"] == "secret-token"
    assert "secret-token" not in repr(request)
