"""Shapes: definitions that differ in names and value sets alone have one, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from small_world import compiled, define, library, literal

from cds.elm import Definition
from cds.elm.shape import Shape, Shapes

Json = dict[str, Any]

SNOMED = "http://snomed.info/sct"
CONDITIONS: Json = {"type": "Retrieve", "dataType": "{http://hl7.org/fhir}Condition"}


def named(name: str) -> Json:
    return {"type": "ValueSetRef", "name": name, "preserve": True}


def by_set(name: str) -> Json:
    return {**CONDITIONS, "codeProperty": "code", "codes": named(name)}


def some(operand: Json) -> Json:
    return {"type": "Exists", "operand": operand}


def both(*operands: Json) -> Json:
    return {"type": "And", "operand": list(operands)}


def ref(name: str) -> Json:
    return {"type": "ExpressionRef", "name": name}


def made(id: str, *definitions: Mapping[str, Any], urls: Mapping[str, str] | None = None, **sections: Any) -> Json:
    """A library with the value sets A and B (`urls`: by other URLs)."""
    sets = {"A": f"https://{id}/A", "B": f"https://{id}/B"} | dict(urls or {})
    return library(
        *definitions,
        id=id,
        valueSets={"def": [{"name": name, "id": url} for name, url in sets.items()]},
        codeSystems={"def": [{"name": "SNOMED", "id": SNOMED}, {"name": "Other", "id": "http://other"}]},
        **sections,
    )


def shapes_of(*elms: Json) -> list[Shape | None]:
    """The shapes of the definition ``Answer`` of each library."""
    libraries, shapes = compiled(*elms), Shapes()
    return [shapes.of([libraries[elm["library"]["identifier"]["id"]].definitions["Answer"]]) for elm in elms]


def test_names_and_value_sets_make_no_difference() -> None:
    first, second = shapes_of(
        made("First", define("Disease", by_set("A")), define("Answer", some(ref("Disease")))),
        made("Second", define("Illness", by_set("B"), "1:1"), define("Answer", some(ref("Illness")), "2:2")),
    )
    assert first is not None and second is not None
    assert first.form == second.form
    assert (first.value_sets, second.value_sets) == ((("https://First/A", None),), (("https://Second/B", None),))


EXPRESSIONS: dict[str, Json] = {
    "one set": some(by_set("A")),
    "one set twice": both(some(by_set("A")), some(by_set("A"))),
    "two sets": both(some(by_set("A")), some(by_set("B"))),
    "whole type": some(CONDITIONS),
    "another element": some({**by_set("A"), "codeProperty": "bodySite"}),
    "another type": some({**by_set("A"), "dataType": "{http://hl7.org/fhir}Observation"}),
    "true": literal(True),
    "1": {"type": "Equal", "operand": [literal(1), literal(1)]},
    "2": {"type": "Equal", "operand": [literal(1), literal(2)]},
    "quantity 1": {"type": "Equal", "operand": [{"type": "Quantity", "value": 1}, literal(1)]},
    "quantity 1.0": {"type": "Equal", "operand": [{"type": "Quantity", "value": 1.0}, literal(1)]},
    "code": {"type": "IsNull", "operand": {"type": "Code", "code": "1", "system": {"name": "SNOMED"}}},
    "code of another system": {"type": "IsNull", "operand": {"type": "Code", "code": "1", "system": {"name": "Other"}}},
    "membership": {"type": "InValueSet", "code": {"type": "Code", "code": "1"}, "valueset": {"name": "A"}},
    "now": {"type": "IsNull", "operand": {"type": "Now"}},
}


def test_what_computes_something_else_has_another_shape() -> None:
    found = shapes_of(*(made(f"L{number}", define("Answer", one)) for number, one in enumerate(EXPRESSIONS.values())))
    forms = [shape.form for shape in found if shape is not None]
    assert len(set(forms)) == len(EXPRESSIONS)


def test_codes_and_systems_by_name_are_what_they_stand_for() -> None:
    def code(id: str, value: str, name: str) -> Json:
        codes = {"def": [{"name": name, "id": value, "codeSystem": {"name": "SNOMED"}}]}
        return made(id, define("Answer", {"type": "IsNull", "operand": {"type": "CodeRef", "name": name}}), codes=codes)

    first, same, other = shapes_of(code("First", "1", "Own"), code("Second", "1", "Own"), code("Third", "2", "Own"))
    assert first is not None and same is not None and other is not None
    assert first.form == same.form != other.form


def test_one_value_set_by_two_names_is_one() -> None:
    (shape,) = shapes_of(
        made("First", define("Answer", EXPRESSIONS["two sets"]), urls={"A": "https://same", "B": "https://same"})
    )
    assert shape is not None and shape.value_sets == (("https://same", None),)


def test_functions_and_parameters_are_followed() -> None:
    def using(id: str, body: Json, parameter: str = "Day", default: int = 1) -> Json:
        function = {"type": "FunctionDef", "name": "F", "operand": [{"name": "x"}], "expression": body}
        call = {"type": "FunctionRef", "name": "F", "operand": [{"type": "ParameterRef", "name": parameter}]}
        parameters = {"def": [{"name": parameter, "default": literal(default)}]}
        return made(id, define("Answer", call), function, parameters=parameters)

    plain, same, body, name, default = shapes_of(
        using("A1", some(by_set("A"))),
        using("A2", some(by_set("A"))),
        using("A3", some(CONDITIONS)),
        using("A4", some(by_set("A")), parameter="Other"),
        using("A5", some(by_set("A")), default=2),
    )
    assert None not in (plain, same, body, name, default)
    assert plain is not None and same is not None and plain.form == same.form
    assert len({one.form for one in (plain, body, name, default) if one}) == 4


UNSHAPELY: dict[str, Json] = {
    "listed": some({"type": "ValueSetRef", "name": "A"}),
    "expanded": some({"type": "ExpandValueSet", "operand": named("A")}),
    "its URL": {"type": "IsNull", "operand": {"type": "Property", "path": "id", "source": named("A")}},
    "a text in it": {
        "type": "InValueSet",
        "code": {**literal("1"), "resultTypeName": "{urn:hl7-org:elm-types:r1}String"},
        "valueset": {"name": "A"},
    },
    "chosen": {
        "type": "InValueSet",
        "code": {"type": "Code", "code": "1"},
        "valuesetExpression": {"type": "If", "condition": literal(True), "then": named("A"), "else": named("B")},
    },
    "made": {
        "type": "IsNull",
        "operand": {
            "type": "Instance",
            "classType": "{urn:hl7-org:elm-types:r1}ValueSet",
            "element": [{"name": "id", "value": literal("https://made")}],
        },
    },
    "named by the data": some({**by_set("A"), "valueSetProperty": "code.extension"}),
}


@pytest.mark.parametrize("expression", UNSHAPELY.values(), ids=UNSHAPELY)
def test_what_asks_more_of_a_value_set_than_members_has_none(expression: Json) -> None:
    inner = made("First", define("Inner", expression), define("Answer", both(ref("Inner"), literal(True))))
    assert shapes_of(inner) == [None]


def test_several_definitions_and_what_is_beside_them_have_one_shape() -> None:
    libraries = compiled(made("First", define("Answer", some(by_set("A"))), define("Other", some(by_set("B")))))
    definitions = libraries["First"].definitions
    answer, other = definitions["Answer"], definitions["Other"]

    def form(*of: Definition, beside: str = "") -> int:
        shape = shapes.of(of, beside)
        assert shape is not None
        return shape.form

    shapes = Shapes()
    assert form(answer) == form(other)
    assert form(answer, other) == form(other, answer) != form(answer, answer)
    assert form(answer, beside="inclusion") != form(answer, beside="exclusion")
