"""Operators on texts whose pattern stands in the logic: one that cannot be used is refused at load."""

from __future__ import annotations

from cds.elm.compiler import Compiler, node
from cds.elm.library import Run
from cds.elm.operators import OPERATORS
from cds.elm.patterns import pattern as regular
from cds.elm.types import Json
from cds.errors import EvaluationError


@node("Matches", "ReplaceMatches", fields=("operand",))
def _matches(compiler: Compiler, node: Json) -> Run:
    _check(compiler, node, node["operand"][1])
    return compiler.strict(node, OPERATORS[node["type"]])


@node("SplitOnMatches", fields=("stringToSplit", "separatorPattern"))
def _split_on_matches(compiler: Compiler, node: Json) -> Run:
    _check(compiler, node, node["separatorPattern"])
    return compiler.strict(node, OPERATORS["SplitOnMatches"])


def _check(compiler: Compiler, node: Json, pattern: Json) -> None:
    text = pattern.get("value") if pattern.get("type") == "Literal" else None
    if isinstance(text, str):
        try:
            regular(text)
        except EvaluationError as error:
            compiler.refuse(node, error.message, error.remedy)
