"""Drafts of criteria: the common phrases become CQL, and what a phrase leaves open stays open."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_translate import CACHE, node

from cds.authoring.criteria_text import CriterionText, SubItem
from cds.authoring.drafting import draft
from cds.authoring.phrases import window
from cds.authoring.translate import translate

DRAFTS = json.loads((Path(__file__).parent / "data" / "drafts.json").read_text(encoding="utf-8"))
COMMON = Path(__file__).resolve().parents[2] / "plandefinitions" / "shared" / "CommonCriteria.cql"


def criterion(text: str, kind: str, items: tuple[str, ...] = ()) -> CriterionText:
    subs = tuple(SubItem("*", None, item) for item in items)
    return CriterionText("X1", kind, "1", "1.", "\n".join((text, *items)), 1, text, subs)


@pytest.mark.parametrize("case", DRAFTS, ids=lambda case: f"{case['kind'][:2]}: {case['text'][:60]}")
def test_draft(case: dict[str, Any]) -> None:
    made = draft(criterion(case["text"], case["kind"]))
    assert (" ".join(made.expression.split()) if made.expression else None) == case["cql"]
    assert (made.assessment, list(made.policies)) == (case["assessment"], case["policies"])
    assert made.title
    assert made.comment


def test_drafts_name_what_the_shared_library_defines() -> None:
    defined = set(re.findall(r'^define (?:function )?"([^"]+)"', COMMON.read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for case in DRAFTS for name in re.findall(r'CommonCriteria\."([^"]+)"', case["cql"] or "")}
    assert named - defined == set()
    assert len(named) > 30


@node
def test_every_draft_is_cql(tmp_path: Path) -> None:
    """All drafted expressions, in one library, translate without a message."""
    shutil.copytree(COMMON.parent, tmp_path / "shared", ignore=shutil.ignore_patterns("valuesets"))
    defines = [f'define "D{index}": {case["cql"]}' for index, case in enumerate(DRAFTS) if case["cql"]]
    head = ["library Drafts", "using FHIR version '4.0.1'", "include FHIRHelpers version '4.0.1'"]
    head += ["include Screening version '1.0.0'", "include CommonCriteria version '1.0.0'", "context Patient"]
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "Drafts.cql").write_text("\n".join([*head, *defines]), encoding="utf-8")
    (result,) = translate([tmp_path / "drafts"], CACHE)
    assert [str(message) for message in result.messages] == []


def test_nothing_that_is_not_drafted_is_presumed() -> None:
    """An exclusion of which a part is open, or all, is unknown where nothing is on record: never presumed clear."""
    for case in DRAFTS:
        if case["cql"] is None or "null as Boolean" in case["cql"]:
            assert case["policies"] in (["unknown"], ["attest"])


#: Kind, introduction and items of a list; how they are joined (A, B are the items), and what is presumed.
JOINED = [
    (
        "inclusion",
        "Adequate organ function:",
        ["Hemoglobin ≥ 90 g/L", "Platelets ≥ 100 × 10^9/L"],
        "A and B",
        "unknown",
    ),
    ("inclusion", "At least one of the following:", ["ECOG 0-1", "KPS ≥ 80"], "A or B", "unknown"),
    ("inclusion", "Patients with gout must have:", ["ECOG 0-1", "Adults"], "A and B and (null as Boolean)", "unknown"),
    ("inclusion", "With gout, any of:", ["ECOG 0-1", "KPS ≥ 80"], "(A or B) and (null as Boolean)", "unknown"),
    ("inclusion", "None of these, no:", ["HIV infection", "Hepatitis C"], None, "unknown"),
    ("inclusion", "No history of:", ["HIV infection", "Hepatitis C"], "not (A or B)", "presume-absent"),
    ("inclusion", "Able to work:", ["Gout", "Asthma"], None, "unknown"),
    ("inclusion", "Performance status:", ["ECOG 0-1, or", "KPS ≥ 80"], "A or B", "unknown"),
    ("exclusion", "Any of the following:", ["HIV infection", "Gout"], "A or B", "unknown"),
    ("exclusion", "Any of the following:", ["HIV infection", "Hepatitis C"], "A or B", "presume-absent"),
    ("exclusion", "Liver metastases with:", ["ALT > 5 × ULN", "HIV infection"], None, "unknown"),
    ("exclusion", "Inadequate laboratory values:", ["ANC < 1.5 × 10^9/L", "Hemoglobin < 90 g/L"], "A or B", "unknown"),
]


@pytest.mark.parametrize(("kind", "lead", "items", "joined", "policy"), JOINED)
def test_a_list_is_joined_as_its_introduction_says(
    kind: str, lead: str, items: list[str], joined: str | None, policy: str
) -> None:
    made = draft(criterion(lead, kind, tuple(items)))
    names = joined and joined.replace("A", '"X1 1"').replace("B ", '"X1 2" ').replace("B)", '"X1 2")')
    if names and names.endswith("B"):
        names = names[:-1] + '"X1 2"'
    assert (" ".join(made.expression.split()) if made.expression else None) == names
    assert [name for name, _, _ in made.parts] == ["X1 1", "X1 2"]
    assert made.policies == (policy,)


def test_lists_inside_a_list_are_not_joined() -> None:
    items = (SubItem("a.", "a", "ECOG 0-1"), SubItem("*", None, "Adults"), SubItem("b.", "b", "KPS ≥ 80"))
    made = draft(CriterionText("I1", "inclusion", "1", "1.", "Status:", 1, "Status:", items))
    assert made.expression is None
    assert [part.expression is not None for _, _, part in made.parts] == [True, False, True]


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("within 4 weeks before the first dose", "4 weeks"),
        ("in the past two years", "2 years"),
        ("within one month prior to the first administration", "1 month"),
        ("within 28 (twenty-eight) days", "28 days"),
        ("within the last 6 months", "6 months"),
        ("within a year", "1 year"),
        ("within 48 hours", None),
        ("within 120 days after the last dose", None),
        ("in 4 weeks", None),
    ],
)
def test_window(text: str, begins: str | None) -> None:
    found = window(text)
    assert (found[0].rpartition(" - ")[2] if found else None) == begins
