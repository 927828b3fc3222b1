"""What a doctor reads of a resource. Cases stand in data/narratives.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.fhir import describe
from cds.fhir.narrative import _FORMS

CASES = json.loads((Path(__file__).parent / "data" / "narratives.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.get("why", case["told"]))
def test_a_resource_is_told_in_its_own_words(case: dict[str, Any]) -> None:
    assert describe(case["resource"]) == case["told"]


def test_a_long_text_is_cut_visibly() -> None:
    told = describe({"resourceType": "Observation", "code": {"text": "a" * 500}, "valueString": "b " * 500})
    assert len(told) < 410
    assert told.count("…") == 2


_ELEMENTS = sorted({name.partition("=")[0] for form in _FORMS.values() for name in (*form.names, *form.dates)})
_KEYS = st.sampled_from(
    [*_ELEMENTS, "valueQuantity", "value", "unit", "coding", "code", "text", "display", "start", "event"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(kind=st.sampled_from([*_FORMS, "Patient", "Basic"]), body=st.dictionaries(_KEYS, _JSON, max_size=8))
def test_a_resource_of_any_shape_is_one_line_of_text(kind: str, body: dict[str, Any]) -> None:
    told = describe({**body, "resourceType": kind})
    assert told
    assert told == " ".join(told.split())
    assert told.isprintable()
