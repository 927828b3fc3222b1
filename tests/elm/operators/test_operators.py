"""Our own table of operators, so that a clean clone tests each of them: every define of Operators.cql is true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.elm import Evaluation, Libraries
from cds.elm.operators import OPERATORS
from cds.elm.values import Date, Interval, Quantity, Tuple
from cds.errors import EvaluationError

ELM = orjson.loads((Path(__file__).parent / "Operators.elm.json").read_bytes())


class Nothing:
    """No patient data, and no value sets."""

    def retrieve(self, *_: Any) -> list[Any]:
        return []


def load() -> Libraries:
    libraries = Libraries()
    libraries.add(ELM)
    libraries.compile()
    return libraries


LIBRARIES = load()


@pytest.mark.parametrize("name", list(LIBRARIES["Operators"].definitions))
def test_operator(name: str) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    evaluation = Evaluation(LIBRARIES, Nothing(), Nothing(), now)  # type: ignore[arg-type]
    assert evaluation.evaluate("Operators", name) is True


#: What the translator writes for no text of ours: it has other nodes for them, such as Not(Equal).
UNWRITTEN = {"NotEqual", "ProperContains", "ProperIn", "Times", "TimezoneFrom", "ToChars", "ToList"}


def test_the_table_leaves_no_operator_out() -> None:
    assert set(OPERATORS) - set(kinds(ELM)) - UNWRITTEN == set()


def kinds(node: Any) -> Iterator[str]:
    """The types of all nodes in a piece of ELM."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node["type"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from kinds(part)


def test_what_the_translator_writes_for_no_text_of_ours() -> None:
    assert OPERATORS["NotEqual"].function(1, 2) is True
    assert OPERATORS["NotEqual"].function(1, None) is None
    assert OPERATORS["ProperContains"].function([1, 2], 1, precision=None) is True
    assert OPERATORS["ProperIn"].function(1, Interval(1, 5), precision=None) is False
    assert OPERATORS["ToChars"].function("ab") == ["a", "b"]
    assert OPERATORS["ToList"].function(None) == []
    pairs = OPERATORS["Times"].function([Tuple({"a": 1})], [Tuple({"b": 2}), Tuple({"b": 3})])
    assert pairs == [Tuple({"a": 1, "b": 2}), Tuple({"a": 1, "b": 3})]


def test_expand_is_whole_or_refused() -> None:
    """A list cut off would be a wrong answer; what has no end is told, not counted to the end of the integers."""
    expand = OPERATORS["Expand"].function
    one = Quantity(Decimal(1))
    assert len(expand([Interval(1, 100_000)], one)) == 100_000
    for unbounded in ([Interval(1, 100_001)], [Interval(1, None)], Interval(Date(1, 1, 1), Date(9999, 1, 1))):
        with pytest.raises(EvaluationError, match="more than 100000 intervals"):
            expand(unbounded, Quantity(Decimal(1), "day") if isinstance(unbounded, Interval) else one)
