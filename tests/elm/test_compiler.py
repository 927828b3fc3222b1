"""From ELM to closures: logic no further than needed, conditionals, casts, selectors; what is refused, and where."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import compiled, define, elm, evaluation, library, literal

from cds.elm import Evaluation
from cds.elm.values import Date
from cds.errors import CdsError, ElmError, EvaluationError, UnsupportedNodeError

Json = dict[str, Any]
TRUTH = st.sampled_from([True, False, None])


@pytest.fixture(scope="module")
def logic() -> Evaluation:
    return evaluation(compiled(elm("Logic")), parameters={"Limit": 7})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("False and error", False),
        ("True or error", True),
        ("False implies error", True),
        ("Null and false", False),
        ("Null or true", True),
        ("Null or false", None),
        ("Chain of and", None),
        ("Chain of or", True),
        ("Null xor true", None),
        ("Null implies true", True),
        ("Null implies false", None),
        ("Not null", None),
        ("If null", "no"),
        ("Case of", 2),
        ("Case when", 2),
        ("Coalesced", 5),
        ("Is integer", True),
        ("Null is integer", False),
        ("As string", None),
        ("Widened", 6),
        ("Name of person", "Ann"),
        ("Low of interval", 1),
        ("Overlong", Decimal("270.0")),
        ("Twice seven", 14),
    ],
)
def test_answers(logic: Evaluation, name: str, value: object) -> None:
    assert logic.evaluate("Logic", name) == value


@pytest.mark.parametrize("name", ["Fails", "Fails through a reference", "Null and error", "Error case"])
def test_an_error_that_is_reached_is_the_definitions(logic: Evaluation, name: str) -> None:
    with pytest.raises(EvaluationError, match="the logic says no") as raised:
        logic.evaluate("Logic", name)
    assert raised.value.where == "Logic.Fails @ 6:17-6:71"


def test_a_strict_cast_that_fails_is_named(logic: Evaluation) -> None:
    with pytest.raises(EvaluationError, match="type String"):
        logic.evaluate("Logic", "Cast fails")


@given(st.lists(TRUTH, min_size=2, max_size=6))
def test_a_chain_answers_what_its_pairs_answer(values: list[bool | None]) -> None:
    """Three-valued logic is associative: however a chain is nested, it is read the same."""
    for kind, deciding in (("And", False), ("Or", True)):
        nested = _boolean(values[0])
        for value in values[1:]:
            nested = {"type": kind, "operand": [nested, _boolean(value)]}
        expected = deciding if deciding in values else None if None in values else not deciding
        assert _answer(nested) is expected


@given(TRUTH, TRUTH)
def test_implies_and_xor_are_made_of_the_others(first: bool | None, second: bool | None) -> None:
    left, right = _boolean(first), _boolean(second)
    implies = {"type": "Implies", "operand": [left, right]}
    assert _answer(implies) is _answer({"type": "Or", "operand": [{"type": "Not", "operand": left}, right]})
    expected = None if first is None or second is None else first != second
    assert _answer({"type": "Xor", "operand": [left, right]}) is expected


def _boolean(value: bool | None) -> Json:
    return {"type": "Null"} if value is None else literal(value)


def _answer(expression: Json) -> object:
    return evaluation(compiled(library(define("Answer", expression)))).evaluate("Made", "Answer")


def test_an_unknown_node_is_refused_by_name_and_locator() -> None:
    node = {"type": "Not", "operand": {"type": "Guess", "locator": "9:4-9:8"}}
    with pytest.raises(UnsupportedNodeError, match="Guess") as refused:
        compiled(library(define("Answer", node)))
    assert refused.value.where == "Made.Answer @ 9:4-9:8"


def test_an_unknown_field_that_says_something_is_refused() -> None:
    empty = {**literal(True), "annotation": [], "resultTypeSpecifier": None, "future": []}
    assert _answer(empty) is True
    with pytest.raises(UnsupportedNodeError, match="'future'"):
        _answer({**literal(True), "future": "something"})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"type": "ExpressionRef", "name": "Absent"}, "Absent"),
        ({"type": "ParameterRef", "name": "Absent"}, "Absent"),
        ({"type": "AliasRef", "name": "O"}, "not in scope"),
        ({"type": "FunctionRef", "name": "Absent", "operand": []}, "Absent"),
        ({"type": "ValueSetRef", "name": "Absent"}, "Absent"),
        ({"type": "CodeRef", "name": "Absent"}, "Absent"),
        ({"type": "ExpressionRef", "name": "X", "libraryName": "Elsewhere"}, "Elsewhere"),
        ({"type": "Property", "path": "a['x']", "source": {"type": "Null"}}, "path"),
        ({"type": "Convert", "operand": {"type": "Null"}, "toType": "{http://x}Thing"}, "Thing"),
        ({"type": "Current"}, "outside"),
        ({}, "None"),
    ],
)
def test_what_cannot_be_resolved_is_refused_at_load(expression: Json, message: str) -> None:
    with pytest.raises(UnsupportedNodeError, match=message) as refused:
        _answer(expression)
    assert refused.value.where == "Made.Answer @ 7:1-7:20"


@pytest.mark.parametrize(
    "expression",
    [{"type": "And"}, {"type": "If"}, {"type": "Query", "source": [{}]}, {"type": "Literal"}, {"type": "Property"}],
)
def test_malformed_elm_is_a_named_error(expression: Json) -> None:
    with pytest.raises(ElmError, match=r"Made\.Answer"):
        _answer(expression)


def test_the_least_integer_is_written_as_a_negation() -> None:
    beyond = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Integer", "value": "2147483648"}
    assert _answer({"type": "Negate", "operand": beyond}) == -2147483648
    long = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Long", "value": "9223372036854775808"}
    assert _answer({"type": "Negate", "operand": long}) == -9223372036854775808
    for literal_ in (beyond, long):
        with pytest.raises(UnsupportedNodeError, match=r"is no (Integer|Long)"):
            _answer(literal_)


def test_nesting_too_deep_to_compile_is_a_named_error() -> None:
    node: Json = literal(True)
    for _ in range(20_000):
        node = {"type": "Not", "operand": node}
    with pytest.raises(UnsupportedNodeError, match=r"Made\.Answer.*nested too deeply"):
        _answer(node)


@pytest.mark.parametrize("wrap", ["operand", "operands", "list", "tuple", "if", "query"])
def test_how_deep_an_expression_may_be_does_not_hang_on_who_compiles_it(wrap: str) -> None:
    def around(node: Json) -> Json:
        return {
            "operand": {"type": "IsNull", "operand": node},
            "operands": {"type": "Equal", "operand": [node, node if node["type"] == "Null" else literal(1)]},
            "list": {"type": "List", "element": [node]},
            "tuple": {"type": "Tuple", "element": [{"name": "a", "value": node}]},
            "if": {"type": "If", "condition": {"type": "Null"}, "then": literal(1), "else": node},
            "query": {"type": "Query", "source": [{"alias": "A", "expression": node}], "relationship": []},
        }[wrap]

    node: Json = {"type": "Null"}
    for _ in range(249):
        node = around(node)
    _answer(node)
    with pytest.raises(UnsupportedNodeError, match="more than 250 nodes within one another"):
        _answer(around(node))


def test_json_nested_however_deep_is_a_named_error() -> None:
    specifier: Json = {"type": "NamedTypeSpecifier", "name": "{urn:hl7-org:elm-types:r1}Integer"}
    for _ in range(50_000):
        specifier = {"type": "ListTypeSpecifier", "elementType": specifier}
    for node in ({**literal(1), "resultTypeSpecifier": specifier}, {"type": "Null", "valueType": specifier}):
        try:
            _answer(node)
        except CdsError as error:
            assert "nested too deeply" in str(error)


def test_a_long_chain_is_not_deep() -> None:
    node: Json = literal(True)
    for _ in range(20_000):
        node = {"type": "And", "operand": [node, literal(True)]}
    assert _answer(node) is True


def _chain(length: int, first: Json, *, call: bool = False) -> list[Json]:
    definitions = [define("D0", first)]
    identity = {"type": "FunctionDef", "name": "Same", "operand": [{"name": "x"}]}
    definitions.append({**identity, "expression": {"type": "OperandRef", "name": "x"}})
    for number in range(1, length):
        reference: Json = {"type": "ExpressionRef", "name": f"D{number - 1}"}
        if call:
            reference = {"type": "FunctionRef", "name": "Same", "operand": [reference]}
        definitions.append(define(f"D{number}", {"type": "Not", "operand": reference}))
    return definitions


@pytest.mark.parametrize("call", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_chain_of_definitions_may_be_longer_than_the_stack(call: bool, upside_down: bool) -> None:
    definitions = _chain(3000, literal(True), call=call)
    libraries = compiled(library(*(reversed(definitions) if upside_down else definitions)))
    assert evaluation(libraries).evaluate("Made", "D2999") is False
    assert evaluation(libraries).evaluate("Made", "D1500") is True


def test_a_failure_at_the_end_of_a_long_chain_is_that_definitions() -> None:
    bad = {
        "type": "Message",
        "source": literal(True),
        "severity": literal("Error"),
        "condition": literal(True),
        "message": literal("no"),
    }
    running = evaluation(compiled(library(*_chain(1000, bad))))
    with pytest.raises(EvaluationError, match=r"Made\.D0.*no"):
        running.evaluate("Made", "D999")


def test_what_is_nested_too_deeply_to_be_evaluated_is_a_named_error() -> None:
    """A function that goes down through others has no result to keep."""
    functions: list[Json] = [{"type": "FunctionDef", "name": "F0", "expression": literal(True)}]
    for number in range(1, 2000):
        call = {"type": "FunctionRef", "name": f"F{number - 1}", "operand": []}
        functions.append({"type": "FunctionDef", "name": f"F{number}", "expression": {"type": "Not", "operand": call}})
    top = define("Top", {"type": "FunctionRef", "name": "F1999", "operand": []})
    with pytest.raises(EvaluationError, match="nested too deeply"):
        evaluation(compiled(library(*functions, top))).evaluate("Made", "Top")


def test_constants_are_computed_at_load_and_their_errors_kept_for_whoever_asks() -> None:
    bad = {"type": "Add", "operand": [literal(1), literal("a")]}
    libraries = compiled(library(define("Bad", bad), define("Good", literal(True))))
    running = evaluation(libraries)
    assert running.evaluate("Made", "Good") is True
    with pytest.raises(CdsError, match=r"Made\.Bad"):
        running.evaluate("Made", "Bad")


def test_is_as_and_convert_take_a_specifier_or_a_name() -> None:
    integer = {"type": "NamedTypeSpecifier", "name": "{urn:hl7-org:elm-types:r1}Integer"}
    integers = {"type": "ListTypeSpecifier", "elementType": integer}
    numbers = {"type": "List", "element": [literal(1), {"type": "Null"}]}
    assert _answer({"type": "Is", "operand": numbers, "isTypeSpecifier": integers}) is True
    choice = {"type": "ChoiceTypeSpecifier", "choice": [integers, integer]}
    assert _answer({"type": "As", "operand": numbers, "asTypeSpecifier": choice}) == [1, None]
    older = {"type": [integers, integer]}  # the choices as a second "type" key, the last of which stays
    assert _answer({"type": "As", "operand": numbers, "asTypeSpecifier": older}) == [1, None]
    assert _answer({"type": "Convert", "operand": literal("12"), "toType": integer["name"]}) == 12
    date = {"type": "Convert", "operand": literal("2026-11"), "toType": "{urn:hl7-org:elm-types:r1}Date"}
    assert _answer(date) == Date(2026, 11)
    can = {"type": "CanConvert", "operand": literal("x"), "toTypeSpecifier": integer}
    assert _answer(can) is False


def test_iteration_outside_of_queries() -> None:
    numbers = {"type": "List", "element": [literal(5), literal(6), literal(7)]}
    plus = {"type": "Add", "operand": [{"type": "Current"}, {"type": "Iteration"}]}
    assert _answer({"type": "ForEach", "source": numbers, "element": plus}) == [5, 7, 9]
    above = {"type": "Greater", "operand": [{"type": "Current", "scope": "N"}, literal(5)]}
    assert _answer({"type": "Filter", "source": numbers, "scope": "N", "condition": above}) == [6, 7]
    total = {"type": "Add", "operand": [{"type": "Total"}, {"type": "Current"}]}
    assert _answer({"type": "Aggregate", "source": numbers, "iteration": total, "initialValue": literal(1)}) == 19
    less = {"type": "Greater", "operand": [{"type": "Current"}, literal(0)]}
    down = {"type": "Subtract", "operand": [{"type": "Current"}, literal(3)]}
    step = {"type": "If", "condition": less, "then": down, "else": {"type": "Null"}}
    assert _answer({"type": "Repeat", "source": numbers, "element": step}) == [2, 3, 4, -1, 0, 1, -2]
    assert _answer({"type": "ForEach", "source": {"type": "Null"}, "element": plus}) is None


def test_children_and_descendents() -> None:
    inner = {"type": "Tuple", "element": [{"name": "b", "value": literal(2)}]}
    outer = {"type": "Tuple", "element": [{"name": "a", "value": literal(1)}, {"name": "c", "value": inner}]}
    children = _answer({"type": "Children", "source": outer})
    assert isinstance(children, list)
    assert children[0] == 1
    assert _answer({"type": "Descendents", "source": outer}) == [1, children[1], 2]


def test_a_message_never_shows_a_computed_text() -> None:
    secret = {"type": "Concatenate", "operand": [{"type": "ExpressionRef", "name": "Name"}, literal("!")]}
    message = {
        "type": "Message",
        "source": literal(1),
        "condition": literal(True),
        "code": literal("E7"),
        "severity": literal("Error"),
        "message": secret,
    }
    running = evaluation(compiled(library(define("Name", literal("Ann")), define("Answer", message))))
    with pytest.raises(EvaluationError, match="E7") as raised:
        running.evaluate("Made", "Answer")
    assert "Ann" not in str(raised.value)


def test_a_path_may_pick_items_of_lists() -> None:
    inner = {"type": "Tuple", "element": [{"name": "given", "value": {"type": "List", "element": [literal("Ann")]}}]}
    names = {"type": "List", "element": [inner, {"type": "Null"}]}
    person = {"type": "Tuple", "element": [{"name": "name", "value": names}]}

    def at(path: str) -> object:
        return _answer({"type": "Property", "source": person, "path": path})

    assert at("name[0].given[0]") == "Ann"
    assert at("name[0].given") == ["Ann"]
    assert at("name[1].given[0]") is None
    assert at("name[7]") is None
    query = {
        "type": "Query",
        "source": [{"alias": "P", "expression": person}],
        "return": {"expression": {"type": "Property", "scope": "P", "path": "name[0].given[0]"}},
    }
    assert _answer(query) == "Ann"


def _people(*ages: int | None) -> Json:
    items = [
        {"type": "Tuple", "element": [{"name": "age", "value": {"type": "Null"} if age is None else literal(age)}]}
        for age in ages
    ]
    return {"type": "List", "element": items}


def test_aggregates_and_ends_may_name_an_element() -> None:
    people = _people(61, 45, None, 50)
    assert _answer({"type": "Max", "source": people, "path": "age"}) == 61
    assert _answer({"type": "Count", "source": people, "path": "age"}) == 3
    assert _answer({"type": "Sum", "source": {"type": "Null"}, "path": "age"}) is None
    youngest = {"type": "First", "source": _people(61, 45, 50), "orderBy": "age"}
    assert _answer({"type": "Property", "path": "age", "source": youngest}) == 45
    assert _answer({"type": "Property", "path": "age", "source": {**youngest, "type": "Last"}}) == 61


@pytest.mark.parametrize(
    ("direction", "ages"),
    [(None, [45, 61]), ("asc", [45, 61]), ("ascending", [45, 61]), ("desc", [61, 45]), ("descending", [61, 45])],
)
def test_directions_have_two_spellings(direction: str | None, ages: list[int]) -> None:
    for by in ({"type": "ByColumn", "path": "age"}, {"type": "ByExpression", "expression": _AGE}):
        node = {"type": "Sort", "source": _people(61, 45), "by": [{**by, "direction": direction}]}
        found = _answer(node)
        assert isinstance(found, list)
        assert [person.get("age") for person in found] == ages


_AGE = {"type": "IdentifierRef", "name": "age"}
_ROWS = {"alias": "X", "expression": {"type": "List", "element": [literal(1)]}}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"source": [{**_ROWS, "future": 1}]}, "'future' of a source"),
        ({"source": [_ROWS], "let": [{"identifier": "L", "expression": literal(1), "future": 1}]}, "of a let"),
        ({"source": [_ROWS], "relationship": [{**_ROWS, "type": "With", "future": 1}]}, "of a With"),
        ({"source": [_ROWS], "return": {"expression": literal(1), "future": 1}}, "of a return"),
        ({"source": [_ROWS], "aggregate": {"identifier": "T", "expression": literal(1), "future": 1}}, "aggregate"),
        ({"source": [_ROWS], "sort": {"by": [{"type": "ByDirection", "nulls": "first"}]}}, "'nulls' of the sort"),
        ({"source": [_ROWS], "sort": {"by": [{"type": "ByDirection", "direction": "up"}]}}, "direction 'up'"),
        ({"source": [_ROWS], "sort": {"by": [{"type": "ByMagic"}]}}, "ByMagic"),
        ({"source": [_ROWS], "sort": {"by": [], "future": 1}}, "of a sort"),
    ],
)
def test_a_clause_that_says_more_is_refused(node: Json, message: str) -> None:
    with pytest.raises(UnsupportedNodeError, match=message):
        _answer({"type": "Query", **node})


def test_older_and_newer_spellings() -> None:
    pair = {"type": "List", "element": [literal(1)]}
    assert _answer({"type": "Descendants", "source": pair}) == [1]
    moment = {"type": "ToDateTime", "operand": literal("2026-11-20T10:00:00+02:00")}
    assert _answer({"type": "TimezoneFrom", "operand": moment}) == Decimal(2)


def test_operands_and_parameters_are_typed_by_either_field() -> None:
    name = "{urn:hl7-org:elm-types:r1}Integer"
    specifier = {"type": "NamedTypeSpecifier", "name": name}
    for operand in ({"operandType": name}, {"operandTypeSpecifier": specifier}, {"resultTypeName": name}):
        function = {"type": "FunctionDef", "name": "F", "operand": [{"name": "x", **operand}]}
        made = compiled(library({**function, "expression": {"type": "OperandRef", "name": "x"}}))
        assert str(made["Made"].functions["F"][0].operands[0][1]) == "Integer"
    for kind in ({"parameterType": name}, {"parameterTypeSpecifier": specifier}):
        assert str(compiled(library(parameters={"def": [{"name": "P", **kind}]})).parameters["P"]) == "Integer"
