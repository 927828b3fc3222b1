"""Coverage: what each node gave is noted, the values are the plain ones, and what a node cannot give is known."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from small_world import DATA, Patient, compiled, define, elm, evaluation, library

from cds.elm import Evaluation
from cds.elm.covering import FAILED, FALSE, NULL, OTHER, TRUE, CoveredNode, covering
from cds.errors import EvaluationError
from tests.elm.test_trace import ANN, LOW

OPERATORS = orjson.loads((DATA.parent / "operators" / "Operators.elm.json").read_bytes())


def outcome(running: Evaluation, name: str, of: str) -> Any:
    try:
        return repr(running.evaluate(of, name))
    except EvaluationError as error:
        return "failed", str(error)


def covered(expression: dict[str, Any], *others: dict[str, Any]) -> list[CoveredNode]:
    """The nodes of one expression after one evaluation; the outermost is the first."""
    libraries = compiled(library(define("X", expression), *others))
    found, nodes = covering(libraries, libraries)
    outcome(evaluation(found), "X", "Made")
    return [node for node in nodes if node.owner.name == "X"]


def test_the_values_are_the_plain_ones() -> None:
    for libraries in (compiled(OPERATORS), compiled(*map(elm, ("Logic", "Queries", "Shared", "Trial")))):
        copy, nodes = covering(libraries, libraries)
        plain, noting = evaluation(libraries, Patient(ANN, LOW)), evaluation(copy, Patient(ANN, LOW))
        for one in libraries:
            for name in one.definitions:
                assert outcome(noting, name, one.id) == outcome(plain, name, one.id)
        assert {node.seen for node in nodes} >= {TRUE, FALSE, NULL, OTHER}


@pytest.mark.parametrize(
    ("operands", "seen"),
    [((True, False), FALSE), ((True, True), TRUE), ((True, None), NULL)],
)
def test_what_a_node_gave_is_noted(operands: tuple[bool, bool | None], seen: int) -> None:
    refs = [{"type": "ExpressionRef", "name": name} for name in "AB"]
    others = [define(name, boolean(value)) for name, value in zip("AB", operands, strict=True)]
    (whole, *parts) = covered({"type": "And", "operand": refs}, *others)
    assert whole.seen == seen and parts[0].seen == TRUE


def test_what_is_not_reached_gave_nothing() -> None:
    refs = [{"type": "ExpressionRef", "name": name} for name in "AB"]
    (_, first, second) = covered(
        {"type": "And", "operand": refs}, define("A", boolean(False)), define("B", boolean(True))
    )
    assert (first.seen, second.seen) == (FALSE, 0)


def test_a_failure_is_noted() -> None:
    many = {"type": "List", "element": [ref("A"), ref("A")]}
    (whole, *_) = covered({"type": "SingletonFrom", "operand": many}, define("A", boolean(True)))
    assert whole.seen == FAILED


BOOLEAN = "{urn:hl7-org:elm-types:r1}Boolean"


def boolean(value: bool | None) -> dict[str, Any]:
    """A Boolean literal, or a null of that type, which are known at load."""
    if value is None:
        return {"type": "As", "asType": BOOLEAN, "operand": {"type": "Null"}, "resultTypeName": BOOLEAN}
    told = "true" if value else "false"
    return {"type": "Literal", "valueType": BOOLEAN, "value": told, "resultTypeName": BOOLEAN}


def ref(name: str) -> dict[str, Any]:
    return {"type": "ExpressionRef", "name": name, "resultTypeName": BOOLEAN}


def chosen(then: bool | None, otherwise: bool | None) -> dict[str, Any]:
    return {
        "type": "If",
        "condition": {"type": "Exists", "operand": {"type": "List", "element": []}, "resultTypeName": BOOLEAN},
        "then": boolean(then),
        "else": boolean(otherwise),
        "resultTypeName": BOOLEAN,
    }


@pytest.mark.parametrize(
    ("expression", "possible"),
    [
        (chosen(True, None), TRUE | NULL),
        (chosen(False, None), FALSE | NULL),
        ({"type": "Not", "operand": chosen(False, None), "resultTypeName": BOOLEAN}, TRUE | NULL),
        ({"type": "IsNull", "operand": ref("Open"), "resultTypeName": BOOLEAN}, TRUE | FALSE),
        (ref("Open"), TRUE | NULL),
        ({"type": "And", "operand": [ref("Open"), ref("Open")], "resultTypeName": BOOLEAN}, TRUE | FALSE | NULL),
        (
            {
                "type": "Case",
                "caseItem": [{"when": ref("Open"), "then": boolean(False)}],
                "else": ref("Open"),
                "resultTypeName": BOOLEAN,
            },
            TRUE | FALSE | NULL,
        ),
    ],
)
def test_what_a_condition_can_be_as_it_is_written(expression: dict[str, Any], possible: int) -> None:
    whole = covered(expression, define("Open", chosen(True, None)))[0]
    assert whole.boolean and whole.possible == possible
