"""The operators of ELM, one file per chapter of the CQL specification (appendix B), registered by node name.

An operator here is *strict*: its operands are evaluated first and handed in as values (None is null). What is
lazy, scoped or needs the tree (And, If, Query, Retrieve, references) is compiled in `cds.elm.compiler`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cds.elm.ports import Value

Function = TypeVar("Function", bound=Callable[..., Value])


@dataclass(frozen=True, slots=True)
class Operator:
    """How a node is evaluated: `function(*operands, **settings)`.

    `fields` names the node's operand fields in order; empty means its `operand` (one or a list). An absent field is
    handed in as None. `settings` are plain attributes of the node (such as ``precision``), handed in by keyword,
    None where absent. Where `context` is set, the running `Evaluation` comes first. An operator whose `spread` is
    false gets its list of operands (`operand` is a list) as one argument.
    """

    function: Callable[..., Value]
    fields: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    context: bool = False
    spread: bool = True


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str,
    fields: tuple[str, ...] = (),
    settings: tuple[str, ...] = (),
    context: bool = False,
    spread: bool = True,
) -> Callable[[Function], Function]:
    """Registers a function as the meaning of the ELM nodes `names`."""

    def register(function: Function) -> Function:
        for name in names:
            OPERATORS[name] = Operator(function, fields, settings, context, spread)
        return function

    return register
