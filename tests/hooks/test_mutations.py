"""A valid request, damaged anywhere in any way, is answered; and never with a failure of ours."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent.parent
REQUESTS = [path.read_bytes() for path in sorted((ROOT / "hooks/trial-match/requests").glob("[!e]*.json"))]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        ["2026-13-45", "9999-12-31", "0000", "urn:uuid:", "#", "Patient/", "http://[", "{{", "-1", "1e400"]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.none(), min_size=1, max_size=2),
    st.just([[]]),
    st.just({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]}),
    st.just({"coding": [{"system": 5, "code": None}]}),
    st.just({"value": 1e308, "unit": "\x00"}),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a JSON value."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        found += places(item, (*at, name))
    return found


def damage(body: Any, at: tuple[Any, ...], how: str, value: Any) -> None:
    value = deepcopy(value)  # hypothesis draws the same object again
    holder = body
    for step in at[:-1]:
        holder = holder[step]
    last = at[-1]
    if how == "replace":
        holder[last] = value
    elif how == "wrap":
        holder[last] = [holder[last]]
    elif how == "remove":
        del holder[last]
    elif isinstance(holder, list):
        holder.append(value)
    else:
        holder[str(value)[:8]] = holder[last]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_requests_are_answered(app: Flask, data: st.DataObject) -> None:
    body = orjson.loads(data.draw(st.sampled_from(REQUESTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(body)))
        damage(body, at, data.draw(st.sampled_from(["replace", "wrap", "remove", "add"])), data.draw(VALUES))
        if not isinstance(body, dict) or not places(body):
            break
    response = app.test_client().post(
        "/cds-services/trial-match", data=orjson.dumps(body), content_type="application/json"
    )
    assert response.status_code in (200, 400, 412)
    answer = orjson.loads(response.data)
    assert "notEvaluated" not in str(answer.get("extension", ""))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_answered(app: Flask, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(REQUESTS))
    at = data.draw(st.integers(0, len(whole) - 1))
    part = data.draw(st.binary(max_size=4))
    response = app.test_client().post(
        "/cds-services/trial-match", data=whole[:at] + part + whole[at + len(part) :], content_type="application/json"
    )
    assert response.status_code in (200, 400, 412)
