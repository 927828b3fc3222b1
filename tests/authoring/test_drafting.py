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


def test_a_list_is_joined_as_its_introduction_says() -> None:
    every = draft(
        criterion("Adequate organ function:", "inclusion", ("Hemoglobin ≥ 90 g/L", "Platelets ≥ 100 × 10^9/L"))
    )
    assert every.expression is not None
    assert every.expression.split() == ['"X1', '1"', "and", '"X1', '2"']
    either = draft(criterion("At least one of the following:", "inclusion", ("ECOG 0-1", "KPS ≥ 80")))
    assert either.expression is not None
    assert " or " in " ".join(either.expression.split())
    out = draft(criterion("Any of the following:", "exclusion", ("HIV infection", "Gout")))
    assert out.expression is not None
    assert (out.policies, out.assessment) == (("unknown",), "partial")
    assert [part.expression is None for _, _, part in out.parts] == [False, True]


def test_what_an_introduction_adds_is_open() -> None:
    made = draft(criterion("Patients with gout must have:", "inclusion", ("Hemoglobin ≥ 90 g/L",)))
    assert made.expression is not None
    assert made.expression.endswith("and (null as Boolean)")


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
