"""What a token allows, by its scopes."""

from __future__ import annotations

import pytest

from cds.fhir.scopes import Allowed, Scopes

ALL, SOME, NONE = Allowed.ALL, Allowed.SOME, Allowed.NONE


@pytest.mark.parametrize(
    ("text", "searches", "reads"),
    [
        (None, ALL, ALL),
        ("", ALL, ALL),
        ("openid fhirUser launch/patient offline_access", ALL, ALL),
        ("https://vendor.example/scope Observation.Search", ALL, ALL),
        ("patient/Observation.read", ALL, ALL),
        ("patient/*.read", ALL, ALL),
        ("patient/*.*", ALL, ALL),
        ("user/Observation.rs", ALL, ALL),
        ("system/*.cruds", ALL, ALL),
        ("patient/Observation.s", ALL, NONE),
        ("patient/Observation.r", NONE, ALL),
        ("patient/Observation.write", NONE, NONE),
        ("patient/Observation.cud", NONE, NONE),
        ("patient/Condition.read", NONE, NONE),
        ("patient/Observation.rs?category=laboratory", SOME, SOME),
        ("patient/Observation.rs?category=laboratory user/*.rs", ALL, ALL),
        ("patient/Observation.s?category=laboratory patient/Observation.r", SOME, ALL),
        ("openid patient/Patient.read", NONE, NONE),
        ("patient/observation.read", NONE, NONE),
        ("patient/Observation.", NONE, NONE),
        ("patient/Observation.readx", ALL, ALL),  # none that we know: the server decides
    ],
)
def test_scopes_of_both_versions(text: str | None, searches: Allowed, reads: Allowed) -> None:
    scopes = Scopes.of(text)
    assert scopes.allow("Observation") is searches
    assert scopes.allow("Observation", search=False) is reads


@pytest.mark.parametrize(
    ("text", "allowed"),
    [(None, NONE), ("openid", NONE), ("patient/*.read", NONE), ("user/*.read", ALL), ("system/Observation.rs", ALL)],
)
def test_a_token_for_another_patient_allows_what_is_not_about_patients_alone(
    text: str | None, allowed: Allowed
) -> None:
    assert Scopes.of(text, patients=False).allow("Observation") is allowed
