"""Value sets: their expansions by URL, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.errors import TerminologyError
from cds.fhir import ValueSets

A = "https://x.example/ValueSet/a"
SYSTEM = "https://x.example/CodeSystem/s"


def expanded(*codes: str, **more: Any) -> dict[str, Any]:
    contains = [{"system": SYSTEM, "code": code} for code in codes]
    return {"resourceType": "ValueSet", "url": A, "title": "Letters", "expansion": {"contains": contains}, **more}


def held(*resources: Any) -> ValueSets:
    return ValueSets((f"file-{place}.json", resource) for place, resource in enumerate(resources, 1))


def pairs(*codes: str) -> frozenset[tuple[str, str]]:
    return frozenset((SYSTEM, code) for code in codes)


def write(folder: Path, name: str, content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def test_value_sets_are_loaded_from_all_valuesets_folders_below(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "valuesets", "a.json", expanded("1"))
    write(tmp_path / "trial" / "valuesets" / "deep", "b.json", expanded("2", url="https://x.example/ValueSet/b"))
    write(tmp_path / "trial", "plan-definition.json", "{ not read")
    sets = ValueSets.load([tmp_path])
    assert sets.value_set(A) == pairs("1")
    assert dict(sets.titles) == {A: "Letters", "https://x.example/ValueSet/b": "Letters"}


def test_a_folder_without_such_folders_stands_for_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.json", expanded("1"))
    write(tmp_path, "list.json", [1])
    assert ValueSets.load([tmp_path]).value_set(A) == pairs("1")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.json", "{")
    with pytest.raises(TerminologyError, match=r"a\.json: .*JSON"):
        ValueSets.load([tmp_path])
    with pytest.raises(TerminologyError, match="no such folder"):
        ValueSets.load([tmp_path / "absent"])


def test_an_unknown_url_is_named() -> None:
    with pytest.raises(TerminologyError, match=r"no value set https://x\.example/ValueSet/none"):
        held(expanded("1")).value_set("https://x.example/ValueSet/none|1")


def test_a_version_is_found_in_the_url_or_beside_it_and_the_latest_by_default() -> None:
    sets = held(expanded("1", version="1.9.0"), expanded("2", version="1.10.0"))
    assert sets.value_set(A) == pairs("2")
    assert sets.value_set(f"{A}|1.9.0") == sets.value_set(A, "1.9.0") == pairs("1")
    with pytest.raises(TerminologyError, match=r"no version 3 .*held: 1.10.0, 1.9.0"):
        sets.value_set(A, "3")


def test_the_same_value_set_twice_is_one_and_told_differently_an_error() -> None:
    assert held(expanded("1", "2"), expanded("2", "1", title="Again")).value_set(A) == pairs("1", "2")
    with pytest.raises(TerminologyError, match=r"file-2.json: .*also in file-1.json"):
        held(expanded("1"), expanded("2"))


def test_groups_of_an_expansion_are_opened_and_are_no_codes() -> None:
    inner = [{"system": SYSTEM, "code": "b", "contains": [{"system": SYSTEM, "code": "c"}]}]
    tree = [{"abstract": True, "display": "group", "contains": inner}]
    assert held(expanded(expansion={"contains": tree, "total": 3})).value_set(A) == pairs("b", "c")


def test_an_empty_expansion_is_an_empty_set() -> None:
    assert held(expanded(expansion={"total": 0})).value_set(A) == frozenset()


def test_a_definition_that_lists_every_code_needs_no_expansion() -> None:
    compose = {"include": [{"system": SYSTEM, "concept": [{"code": "1"}, {"code": "2"}]}]}
    assert held({"resourceType": "ValueSet", "url": A, "compose": compose}).value_set(A) == pairs("1", "2")


LISTED = {"system": SYSTEM, "concept": [{"code": "1"}]}


@pytest.mark.parametrize(
    "compose",
    [
        None,
        {"include": [{"system": SYSTEM}]},
        {"include": [{"system": SYSTEM, "filter": [{"property": "concept", "op": "is-a", "value": "1"}]}]},
        {"include": [LISTED, {"valueSet": ["https://x.example/ValueSet/b"]}]},
        {"include": [LISTED], "exclude": [LISTED]},
        {"include": 3},
    ],
)
def test_a_rule_without_expansion_is_refused(compose: Any) -> None:
    with pytest.raises(TerminologyError, match=r"file-1.json: .*Letters has no expansion"):
        held({"resourceType": "ValueSet", "url": A, "title": "Letters", "compose": compose})


@pytest.mark.parametrize(
    ("value_set", "message"),
    [
        (expanded("1", expansion={"total": 3, "contains": [{"system": SYSTEM, "code": "1"}]}), "not whole: 1 of 3"),
        (expanded(compose={"include": [LISTED]}), "not whole: 0 of 1"),
        (expanded(expansion={"contains": [{"code": "1"}]}), "lacks its system"),
        (expanded(expansion={"contains": [{"system": SYSTEM}]}), "lacks its system"),
        (expanded("1", url=None), "no url"),
    ],
)
def test_what_cannot_be_relied_on_is_refused(value_set: dict[str, Any], message: str) -> None:
    with pytest.raises(TerminologyError, match=f"file-1.json: .*{message}"):
        held(value_set)


def code_system(**more: Any) -> dict[str, Any]:
    concept = [{"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}]}, {"code": "d"}]
    return {"resourceType": "CodeSystem", "url": SYSTEM, "content": "complete", "concept": concept, **more}


def test_a_code_system_gives_its_codes() -> None:
    assert held(code_system()).code_system(SYSTEM) == frozenset("abcd")
    with pytest.raises(TerminologyError, match="in part only"):
        held(code_system(content="fragment")).code_system(SYSTEM)
    with pytest.raises(TerminologyError, match="no code system"):
        held(code_system(content="supplement")).code_system(SYSTEM)


@pytest.mark.parametrize(
    ("system", "above", "below", "answer"),
    [
        (code_system(hierarchyMeaning="is-a"), "a", "c", True),
        (code_system(hierarchyMeaning="is-a"), "a", "a", True),
        (code_system(hierarchyMeaning="is-a"), "c", "a", False),
        (code_system(hierarchyMeaning="is-a"), "d", "c", False),
        (code_system(hierarchyMeaning="is-a"), "a", "unheard", None),
        (code_system(hierarchyMeaning="is-a", content="fragment"), "a", "c", True),
        (code_system(hierarchyMeaning="is-a", content="fragment"), "d", "c", None),
        (code_system(hierarchyMeaning="part-of"), "a", "c", None),
        (code_system(), "a", "c", None),
    ],
)
def test_one_code_is_above_another_where_a_hierarchy_says(
    system: dict[str, Any], above: str, below: str, answer: bool | None
) -> None:
    assert held(system).subsumes((SYSTEM, above), (SYSTEM, below)) is answer


def test_a_hierarchy_may_be_told_by_parents_even_in_a_ring() -> None:
    def concept(code: str, parent: str) -> dict[str, Any]:
        return {"code": code, "property": [{"code": "parent", "valueCode": parent}]}

    sets = held(code_system(hierarchyMeaning="is-a", concept=[concept("a", "b"), concept("b", "a"), concept("c", "b")]))
    assert sets.subsumes((SYSTEM, "a"), (SYSTEM, "c")) is True
    assert sets.subsumes((SYSTEM, "c"), (SYSTEM, "a")) is False
    assert sets.subsumes((SYSTEM, "a"), ("https://other.example", "c")) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["system", "code", "contains", "include", "concept", "property", "filter", "total"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(
    kind=st.sampled_from(["ValueSet", "CodeSystem"]),
    body=st.dictionaries(
        st.sampled_from(["url", "version", "title", "expansion", "compose", "content", "concept", "hierarchyMeaning"]),
        _JSON,
    ),
)
def test_content_of_any_shape_is_held_or_refused(kind: str, body: dict[str, Any]) -> None:
    try:
        held({**body, "resourceType": kind})
    except TerminologyError as error:
        assert error.where == "file-1.json"
