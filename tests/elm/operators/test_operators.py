"""Our own table of operators, so that a clean clone tests each of them: every define of Operators.cql is true."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.elm import Evaluation, Libraries

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
