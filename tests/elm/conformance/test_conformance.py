"""The public CQL conformance suite (cqframework/cql-tests), as translated cases.

The cases are looked for in the folder that CQL_CONFORMANCE names, else in ``shared/cql/conformance`` beside the
repository; where there are none, the test says so and is skipped. A case on skip-list.txt must still fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.elm import Evaluation, Libraries
from cds.elm.operators import OPERATORS
from cds.errors import CdsError

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("CQL_CONFORMANCE") or HERE.parents[3] / "shared" / "cql" / "conformance")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class NoData:
    """A patient without data, and a terminology without value sets."""

    def retrieve(self, *_: Any) -> list[Any]:
        return []


def cases() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The valid cases that translate, by name."""
    for path in sorted(FOLDER.glob("*.json")):
        for case in orjson.loads(path.read_bytes()):
            if case.get("elm") and (case["translates"] or case["invalid"] not in (False, "false")):
                yield f"{path.stem}.{case['group']}.{case['name']}", case


@cache
def skipped() -> dict[str, str]:
    """The cases that are known not to pass, with the reason."""
    lines = (HERE / "skip-list.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if line.strip() and not line.startswith("#"))


def passes(case: Mapping[str, Any]) -> bool:
    """Whether what the case asks for is what comes out; an invalid case passes where it is refused."""
    if case["invalid"] in (True, "true", "syntax", "semantic", "execution"):
        return not evaluates(case)
    libraries = Libraries()
    libraries.add(case["elm"])
    libraries.compile()
    names = libraries[case["elm"]["library"]["identifier"]["id"]].definitions
    evaluation = Evaluation(libraries, NoData(), NoData(), NOW)  # type: ignore[arg-type]
    value = {name: evaluation.value(names[name]) for name in ("actual", "expected") if name in names}
    if value["actual"] is None or value.get("expected") is None:
        return value["actual"] is None and value.get("expected") is None
    if "equal" not in names:
        return OPERATORS["Equal"].function(value["actual"], value["expected"]) is True
    equal = evaluation.value(names["equal"])
    if equal is None and "equivalent" in names:
        return evaluation.value(names["equivalent"]) is True
    return equal is True


def evaluates(case: Mapping[str, Any]) -> bool:
    try:
        libraries = Libraries()
        library = libraries.add(case["elm"])
        libraries.compile()
        Evaluation(libraries, NoData(), NoData(), NOW).value(library.definitions["actual"])  # type: ignore[arg-type]
    except CdsError:
        return False
    return True


CASES = list(cases()) if FOLDER.is_dir() else []


@pytest.mark.skipif(not CASES, reason="the public conformance cases are not here: set CQL_CONFORMANCE to their folder")
@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_case(name: str, case: Mapping[str, Any]) -> None:
    try:
        passed = passes(case)
    except CdsError as error:
        if name in skipped():
            return
        pytest.fail(f"{case['expression']}: {error}")
    if name in skipped():
        assert not passed, "it passes now: take it from skip-list.txt"
    else:
        assert passed, case["expression"]
