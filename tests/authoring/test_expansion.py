"""The codes of value sets from their definitions, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.authoring.expansion import Definitions, Expansion
from cds.errors import TerminologyError

S = "https://x.example/CodeSystem/s"
A, B, C = (f"https://x.example/ValueSet/{name}" for name in "abc")
LETTERS = [
    {"code": "a", "display": "Letter A", "concept": [{"code": "b", "concept": [{"code": "c"}]}]},
    {"code": "d", "display": "Old", "property": [{"code": "inactive", "valueBoolean": True}]},
    {"code": "e", "property": [{"code": "kind", "valueCode": "vowel"}, {"code": "parent", "valueCode": "a"}]},
]


def code_system(**more: Any) -> dict[str, Any]:
    base = {"resourceType": "CodeSystem", "url": S, "version": "2", "content": "complete", "hierarchyMeaning": "is-a"}
    return {**base, "concept": LETTERS, **more}


def value_set(url: str, *includes: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "url": url, "compose": {"include": list(includes), **more}}


def expanded(one: dict[str, Any], *others: dict[str, Any]) -> Expansion:
    resources = [(f"{place}.json", other) for place, other in enumerate((one, *others))]
    return Definitions(resources).expand(one, "0.json")


def codes(one: dict[str, Any], *others: dict[str, Any]) -> str:
    return "".join(entry["code"] for entry in expanded(one, *others).entries)


def listed(*codes: str) -> dict[str, Any]:
    return {"system": S, "concept": [{"code": code} for code in codes]}


def filtered(name: str, op: str, value: str) -> dict[str, Any]:
    return {"system": S, "filter": [{"property": name, "op": op, "value": value}]}


@pytest.mark.parametrize(
    ("name", "op", "value", "found"),
    [
        ("concept", "is-a", "a", "abce"),
        ("concept", "is-a", "b", "bc"),
        ("concept", "descendent-of", "a", "bce"),
        ("concept", "is-not-a", "a", "d"),
        ("concept", "generalizes", "c", "abc"),
        ("concept", "in", "a, d", "ad"),
        ("concept", "not-in", "a,d", "bce"),
        ("concept", "=", "e", "e"),
        ("code", "regex", "[a-c]", "abc"),
        ("display", "regex", "Letter .*", "a"),
        ("kind", "=", "vowel", "e"),
        ("kind", "exists", "true", "e"),
        ("kind", "exists", "false", "abcd"),
        ("inactive", "=", "true", "d"),
        ("parent", "=", "a", "be"),
        ("child", "=", "c", "b"),
    ],
)
def test_each_filter_of_r4(name: str, op: str, value: str, found: str) -> None:
    assert codes(value_set(A, filtered(name, op, value)), code_system()) == found


def test_filters_must_all_hold_and_a_system_alone_is_all_of_it() -> None:
    both = {
        "system": S,
        "filter": [*filtered("concept", "is-a", "a")["filter"], *filtered("code", "in", "b,d")["filter"]],
    }
    assert codes(value_set(A, both), code_system()) == "b"
    assert codes(value_set(A, {"system": S}), code_system()) == "abcde"


def test_includes_add_up_in_their_order_and_excludes_take_away() -> None:
    assert (
        codes(value_set(A, listed("d", "a"), filtered("concept", "is-a", "b"), exclude=[listed("c")]), code_system())
        == "dab"
    )


def test_retired_codes_are_told_or_left_out() -> None:
    assert "inactive" not in expanded(value_set(A, listed("d"))).entries[0]
    whole = expanded(value_set(A, {"system": S}), code_system())
    assert [one["code"] for one in whole.entries if one.get("inactive")] == ["d"]
    assert codes(value_set(A, {"system": S}, inactive=False), code_system()) == "abce"


def test_an_import_is_expanded_and_meets_the_system_beside_it() -> None:
    b = value_set(B, listed("a", "b"), {"valueSet": [C]})
    c = {"resourceType": "ValueSet", "url": C, "version": "7", "expansion": {"contains": [{"system": S, "code": "e"}]}}
    one = value_set(A, {"valueSet": [B]})
    assert codes(one, b, c) == "abe"
    assert codes(value_set(A, {"system": S, "concept": [{"code": "b"}, {"code": "d"}], "valueSet": [B]}), b, c) == "b"
    assert expanded(one, b, c).parameters == (("used-valueset", B), ("used-valueset", f"{C}|7"))


def test_what_was_used_is_recorded() -> None:
    found = expanded(value_set(A, {"system": S}), code_system())
    assert found.parameters == (("used-codesystem", f"{S}|2"),) and found.source == "definition"


@pytest.mark.parametrize(
    ("include", "others", "message"),
    [
        ({"system": S}, [], r"include\[0\]: needs the code system .*not at hand"),
        ({"system": S, "version": "9"}, [code_system()], r"\|9, which is not at hand \(held: 2\)"),
        ({"system": S}, [code_system(content="fragment")], "a part"),
        ({"system": S}, [code_system(), code_system(version="3")], "2 times.*say which version"),
        (filtered("concept", "is-a", "a"), [code_system(hierarchyMeaning="part-of")], "does not say.*is-a"),
        (filtered("concept", "is-a", "z"), [code_system()], r"filter\[0\]: .*no code z"),
        (filtered("colour", "=", "z"), [code_system()], "no property colour.*kind"),
        (filtered("kind", "like", "z"), [code_system()], "no filter operator"),
        (filtered("kind", "regex", "("), [code_system()], "no regular expression"),
        (filtered("kind", "exists", "maybe"), [code_system()], "true or false"),
        (listed("a", "z"), [code_system()], r"concept\[1\]: .*no code z"),
        ({**listed("a"), "filter": [{}]}, [], "both concept and filter"),
        ({"valueSet": [B]}, [], f"needs the value set {B}"),
        ({"valueSet": [B, C]}, [], "union and as their intersection"),
        ({}, [], "neither system nor valueSet"),
    ],
)
def test_what_cannot_be_worked_out_is_refused_by_its_place(include: Any, others: list[Any], message: str) -> None:
    with pytest.raises(TerminologyError, match=message) as caught:
        expanded(value_set(A, include), *others)
    assert str(caught.value).startswith("0.json")


def test_a_circle_of_imports_is_told_as_one() -> None:
    b, c = value_set(B, {"valueSet": [C]}), value_set(C, {"valueSet": [B]})
    with pytest.raises(TerminologyError, match=f"imports itself: {B} -> {C} -> {B}"):
        expanded(value_set(A, {"valueSet": [B]}), b, c)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12), st.integers(0, 8))
def test_is_a_and_is_not_a_part_every_code_system(edges: list[tuple[int, int]], root: int) -> None:
    """Whatever the hierarchy, circles in it included."""
    parents: dict[int, list[int]] = {code: [] for code in range(9)}
    for child, parent in edges:
        parents[child].append(parent)
    concepts = [
        {"code": str(code), "property": [{"code": "parent", "valueCode": str(one)} for one in above]}
        for code, above in parents.items()
    ]
    system = code_system(concept=concepts)
    inside, outside = (
        expanded(value_set(A, filtered("concept", op, str(root))), system).pairs for op in ("is-a", "is-not-a")
    )
    assert len(inside) + len(outside) == 9 and not inside & outside and (S, str(root)) in inside
    below = expanded(value_set(A, filtered("concept", "descendent-of", str(root))), system).pairs
    assert below | {(S, str(root))} == inside
