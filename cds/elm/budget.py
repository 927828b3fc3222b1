"""What an evaluation may spend, so that logic that would never end, or would fill the memory, ends with a named error.

A step is about a microsecond of work: a row of a query, an item that an operator looks at, or some characters of a
text. Loops over rows spend steps of their evaluation; operators, which know no evaluation, spend those of the one that
is running in their thread. Outside of one (constants computed at load, tests) an operator spends nothing, unless
`spending_at_most` bounds it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from cds.errors import EvaluationError

#: Lists up to this length cost nothing by themselves: the row or the call that looks at them is counted.
FREE: Final = 32
#: No bound.
UNLIMITED: Final = 2**62
#: Texts up to this length cost nothing by themselves; of longer ones, so many characters are a step.
_FREE_TEXT: Final = 128
_CHARACTERS: Final = 32


class Spender(Protocol):
    """What counts steps; raises EvaluationError once they are used up."""

    def spend(self, steps: int) -> None: ...


class _Running(threading.local):
    spender: Spender | None = None


RUNNING: Final = _Running()


def spend(steps: int) -> None:
    """Counts `steps` of the running evaluation. Raises EvaluationError once its budget is used up."""
    spender = RUNNING.spender
    if spender is not None:
        spender.spend(steps)


def spend_on_text(text: str) -> None:
    """Counts the characters of a text, where it is long."""
    if len(text) > _FREE_TEXT:
        spend(len(text) // _CHARACTERS)


class Allowance:
    """Steps that are spent and not refilled."""

    __slots__ = ("remaining",)

    def __init__(self, steps: int) -> None:
        self.remaining = steps

    def spend(self, steps: int) -> None:
        """Counts `steps`. Raises EvaluationError once all are used up."""
        self.remaining -= steps
        if self.remaining < 0:
            raise EvaluationError(EXHAUSTED, remedy=REMEDY)


EXHAUSTED: Final = "the definition needs more steps than its budget allows"
REMEDY: Final = "look for a query over rows of rows, or a list or text that grows with each step"


@contextmanager
def spending_at_most(steps: int) -> Iterator[None]:
    """While open, operators of this thread may spend `steps`."""
    outer, RUNNING.spender = RUNNING.spender, Allowance(steps)
    try:
        yield
    finally:
        RUNNING.spender = outer
