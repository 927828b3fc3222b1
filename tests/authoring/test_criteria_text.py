"""Lists of criteria as registries have them, told apart as a reader would; and nothing of them is dropped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.authoring.criteria_text import CriteriaText, first_header, split_criteria
from cds.authoring.record_reading import read_record

ROOT = Path(__file__).resolve().parent.parent.parent
LISTS = json.loads((Path(__file__).parent / "data" / "lists.json").read_text(encoding="utf-8"))
RECORDS = sorted((ROOT / "plandefinitions").glob("*/record.txt"))


def signs(text: str) -> str:
    """A text without its spaces."""
    return re.sub(r"\s", "", text)


def told(split: CriteriaText) -> dict[str, Any]:
    """A split as `lists.json` writes it: criteria by id, with what belongs to them."""
    found: dict[str, Any] = {}
    for one in split.criteria:
        found[one.id] = one.lead if not (one.sub_items or one.headings or one.notes) else {"text": one.lead}
        if one.sub_items:
            found[one.id]["items"] = [item.text for item in one.sub_items]
        if one.headings:
            found[one.id]["headings"] = [remark.text for remark in one.headings]
        if one.notes:
            found[one.id]["notes"] = [remark.text for remark in one.notes]
    return found


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case["name"])
def test_list(case: dict[str, Any]) -> None:
    split = split_criteria("\n".join(case["text"]))
    assert told(split) == case["criteria"]
    assert [odd.rule for odd in split.oddities] == case.get("oddities", [])


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case["name"])
def test_nothing_of_a_list_is_dropped(case: dict[str, Any]) -> None:
    text = "\n".join(case["text"])
    assert signs(split_criteria(text).verbatim()) == signs(text)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.name)
def test_nothing_of_a_record_is_dropped(path: Path) -> None:
    record = read_record(path)
    if record.eligibility is None:
        assert path.parent.name != "cadonilimab-cervical-locally-advanced"
        return
    split = split_criteria(record.eligibility.value)
    assert signs(split.verbatim()) == signs(record.eligibility.value)
    assert len(split.criteria) == 37


SAMPLES = [sign for case in LISTS for line in case["text"] for sign in line.split()]
SAMPLES += [
    "Inclusion Criteria:",
    "Exclusion Criteria:",
    "Note: x",
    "Adequate organ function:",
    "; 2. Next",
    "(",
    ")",
    "；",
]
WORDS = st.sampled_from(SAMPLES)
MARKERS = ["1.", "2.", "3)", "(1)", "（2）", "a.", "b)", "*", "-", "•", "1.1", "i.", "5、", "10.", "①"]
LINES = st.builds(
    lambda indent, marker, words: " " * indent + " ".join([*marker, *words]),
    st.integers(0, 4),
    st.lists(
        st.sampled_from(MARKERS),
        max_size=2,
    ),
    st.lists(WORDS, max_size=8),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=14).map("\n".join))
def test_nothing_of_any_list_is_dropped(text: str) -> None:
    split = split_criteria(text)
    for kind in ("inclusion", "exclusion"):
        assert all(one.kind == kind for one in split.of(kind))
    assert signs(split.verbatim()) == signs(text)
    ids = [one.id for one in split.criteria]
    assert len(ids) == len(set(ids))
    assert all(one.text.strip() or one.marker for one in split.criteria)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_split(text: str) -> None:
    assert signs(split_criteria(text).verbatim()) == signs(text)


def test_a_list_begins_at_its_first_header() -> None:
    assert first_header("A study.\n\nInclusion Criteria:\n\n1. Adults") == 10
    assert first_header("Patients meeting the inclusion criteria: are enrolled.") is None
    assert first_header("no list") is None
