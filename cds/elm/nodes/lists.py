"""Operators whose static type decides what null means: a null list has no elements, a null text no known length."""

from __future__ import annotations

from cds.elm.compiler import Compiler, Constant, node
from cds.elm.evaluation import Frame
from cds.elm.library import Run
from cds.elm.operators import OPERATORS
from cds.elm.ports import Value
from cds.elm.types import Json, ListOf


@node("Length", fields=("operand",))
def _length(compiler: Compiler, node: Json) -> Run:
    """Of a null list 0 (CQL 1.5, appendix B, List Operators, Length)."""
    run = compiler.strict(node, OPERATORS["Length"])
    return _without_null(run, 0) if isinstance(compiler.result_type(node["operand"]), ListOf) else run


@node("Union", fields=("operand",))
def _union(compiler: Compiler, node: Json) -> Run:
    """Of two null lists the empty one; of null intervals null (CQL 1.5, appendix B, List Operators, Union)."""
    run = compiler.strict(node, OPERATORS["Union"])
    return _without_null(run, []) if isinstance(compiler.result_type(node), ListOf) else run


def _without_null(run: Run, instead: Value) -> Run:
    if isinstance(run, Constant):
        return run if run.value is not None else Constant(instead)

    def answer(frame: Frame) -> Value:
        value = run(frame)
        return instead if value is None else value

    return answer
