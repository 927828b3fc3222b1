# ruff: noqa: E501 (nodes read best in one line)
"""Any ELM at all is compiled or refused by name, and any definition gives a value, a null or a named error.

Seeded, so that each run does the same. CDS_FUZZ multiplies how much is tried: ``CDS_FUZZ=100 pytest tests/elm/test_fuzz.py``.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from small_world import NOW, Patient, define, library

from cds.elm import Evaluation, Libraries
from cds.elm.compiler import NODES, _load_rules
from cds.elm.operators import OPERATORS
from cds.errors import CdsError, ElmError, EvaluationError
from cds.fhir.model import FHIRModel

Json = dict[str, Any]
ROUNDS = int(os.environ.get("CDS_FUZZ", "1"))
ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "{urn:hl7-org:elm-types:r1}"
FHIR = "{http://hl7.org/fhir}"

_load_rules()
KINDS = sorted({*NODES, *OPERATORS})
_COMMON = {"type", "localId", "locator", "annotation", "resultTypeName", "resultTypeSpecifier", "signature"}

LITERALS = [
    ("Integer", ["0", "1", "-1", "7", "2147483647", "-2147483648", "99999999999", "x"]),
    ("Long", ["0", "9223372036854775807", "-5L"]),
    ("Decimal", ["0.0", "1.5", "-0.00000001", "99999999999999999999.99999999", "1e400", "NaN"]),
    (
        "String",
        ["", "a", "Small  CELL", "2026-02-29", "1 'mg'", "(a|b)*c", "(a+)+", "\u0000", "5 '10*999999999'", "$1\\"],
    ),
    ("Boolean", ["true", "false", "maybe"]),
]
UNITS = [
    "mg",
    "g",
    "1",
    "day",
    "years",
    "mo",
    "cm2",
    "10*9999999",
    "m999999",
    "[IU]",
    "furlong",
    "",
    "((((",
    "{a}",
    "Cel",
]
PRECISIONS = ["Year", "Month", "Week", "Day", "Hour", "Minute", "Second", "Millisecond", "Century", None, 5]
NAMES = ["A", "B", "X", "Y", "$this", "Absent", "Patient"]
TYPES = [SYSTEM + name for name in ("Integer", "String", "Date", "DateTime", "Quantity", "Any", "Nothing")] + [
    FHIR + "Observation",
    FHIR + "Patient",
    FHIR + "Nothing",
    "",
]
JUNK: list[Any] = [None, 5, -1, "text", True, [], {}, [None], [[]], {"type": 5}, {"type": None}, [5, "x"], 1e308, 2**70]
RESOURCES: list[Json] = [
    {"resourceType": "Patient", "id": "p", "birthDate": "1970-02"},
    {
        "resourceType": "Observation",
        "id": "o",
        "valueQuantity": {"value": 5, "unit": "mg"},
        "effectiveDateTime": "2026",
    },
    {"resourceType": "Condition", "code": {"coding": [{"system": "s", "code": "c"}]}, "onsetPeriod": {"start": "x"}},
]


class Writer:
    """Writes random expressions; the more `wild`, the more of them make no sense."""

    def __init__(self, seed: int, wild: float) -> None:
        self.random = random.Random(seed)
        self.wild = wild

    def expression(self, depth: int) -> Any:
        choose = self.random
        if choose.random() < self.wild / 8:
            return copy.deepcopy(choose.choice(JUNK))
        if depth <= 0 or choose.random() < 0.1:
            return self.leaf()
        kind = choose.choice(KINDS)
        node: Any = {"type": kind}
        for name in self.fields(kind):
            if choose.random() > self.wild / 4:
                node[name] = self.field(kind, name, depth - 1)
        if choose.random() < 0.3:
            node["resultTypeName"] = choose.choice(TYPES)
        if choose.random() < self.wild / 10:
            node[choose.choice(["extra", "operand", "source"])] = copy.deepcopy(choose.choice(JUNK))
        return node

    def fields(self, kind: str) -> list[str]:
        if kind in NODES:
            return sorted(NODES[kind].fields - _COMMON)
        operator = OPERATORS[kind]
        return [*(operator.fields or ("operand",)), *operator.settings]

    def field(self, kind: str, name: str, depth: int) -> Any:
        choose, more = self.random, lambda: self.expression(depth)
        if choose.random() < self.wild / 8:
            return copy.deepcopy(choose.choice(JUNK))
        if name == "operand":
            count = choose.choice([0, 1, 2, 2, 2, 3])
            return more() if kind in NODES and choose.random() < 0.3 else [more() for _ in range(count)]
        plain = {
            "precision": PRECISIONS if kind != "Round" else [None],
            "name": NAMES,
            "scope": ["X", "Y", "$this", None],
            "alias": ["X", "Y"],
            "path": ["value", "a", "code.coding", "a.b", "x[0]", ""],
            "unit": UNITS,
            "libraryName": [None, None, None, "FHIRHelpers", "Absent"],
            "valueType": TYPES,
            "dataType": TYPES,
            "classType": TYPES,
            **dict.fromkeys(("isType", "asType", "toType"), TYPES),
            "lowClosed": [True, False, None],
            "highClosed": [True, False, None],
            "value": ["1", "x", 5, -2.5, 1e300, None],
            "strict": [True, False],
            "direction": ["asc", "desc", "up"],
            "codeProperty": ["code", "value", "x.y"],
            "orderBy": ["a", None],
        }
        if name in plain and not (kind != "Literal" and name == "value" and kind not in ("Quantity", "Literal")):
            return choose.choice(plain[name])
        written = {
            "source": lambda: [{"alias": a, "expression": more()} for a in choose.sample("XY", choose.randint(1, 2))],
            "relationship": lambda: [{"type": choose.choice(["With", "Without"]), "alias": "Y", "expression": more(), "suchThat": more()}][: choose.randint(0, 1)],
            "let": lambda: [{"identifier": "Z", "expression": more()}][: choose.randint(0, 1)],
            "return": lambda: {"expression": more(), "distinct": choose.choice([True, False])},
            "aggregate": lambda: {"identifier": "A", "expression": more(), "starting": more()},
            "sort": lambda: {"by": [self.by(depth)]},
            "by": lambda: [self.by(depth) for _ in range(choose.randint(0, 2))],
            "caseItem": lambda: [{"when": more(), "then": more()} for _ in range(2)],
            "element": lambda: [{"name": "a", "value": more()}] if kind in ("Tuple", "Instance") else [more() for _ in range(choose.randint(0, 4))],
            "signature": list,
        }  # fmt: skip
        if (
            name in written
            and not (name == "source" and kind != "Query")
            and not (name == "element" and kind in ("ForEach", "Repeat"))
        ):
            if kind != "Query" or name not in ("aggregate", "sort", "return", "let") or choose.random() < 0.5:
                return written[name]()
            return None
        return more()

    def by(self, depth: int) -> Json:
        kind = self.random.choice(["ByDirection", "ByColumn", "ByExpression"])
        return {"type": kind, "direction": self.random.choice(["asc", "desc"]), **(
            {"path": "value"} if kind == "ByColumn" else {"expression": self.expression(depth)} if kind == "ByExpression" else {}
        )}  # fmt: skip

    def leaf(self) -> Json:
        choose = self.random
        kind, texts = choose.choice(LITERALS)
        number = {
            "type": "Literal",
            "valueType": SYSTEM + "Integer",
            "value": str(choose.choice([0, 1, 2, 12, 2026, 9999])),
        }
        return choose.choice([
            {"type": "Literal", "valueType": SYSTEM + kind, "value": choose.choice(texts)},
            {"type": "Literal", "valueType": SYSTEM + kind, "value": texts[0]},
            {"type": "Null"},
            {"type": "Null", "resultTypeName": choose.choice(TYPES)},
            {"type": "Quantity", "value": choose.choice([0, 1, -2.5, 1e27]), "unit": choose.choice(UNITS)},
            {"type": choose.choice(["Date", "DateTime"]), "year": number, "month": number},
            {"type": "Time", "hour": number},
            {"type": choose.choice(["Now", "Today", "TimeOfDay"])},
            {"type": choose.choice(["AliasRef", "OperandRef", "ExpressionRef", "IdentifierRef"]), "name": choose.choice(NAMES)},
            {"type": "Retrieve", "dataType": FHIR + choose.choice(["Patient", "Observation", "Condition"])},
            {"type": "MaxValue", "valueType": choose.choice(TYPES)},
        ])  # fmt: skip


def tried(*elms: Any, lenient: bool = False) -> None:
    """Loads libraries and evaluates all their definitions; only named errors may come out."""
    libraries = Libraries(FHIRModel(), lenient=lenient)
    try:
        for elm in elms:
            libraries.add(elm)
        libraries.compile()
    except ElmError:
        return
    patient = Patient(*RESOURCES)
    running = Evaluation(libraries, patient, patient, NOW, budget=2000)
    for made in libraries:
        for definition in made.definitions.values():
            try:
                running.value(definition)
            except EvaluationError as error:
                assert error.where is not None


def failing(seed: object, error: BaseException, elm: Any) -> str:
    return f"seed {seed}: {type(error).__name__}: {error}\n{orjson.dumps(elm, default=str)[:3000].decode()}"


@pytest.mark.parametrize("wild", [0.0, 0.5, 1.0])
def test_any_expression(wild: float) -> None:
    for seed in range(1500 * ROUNDS):
        write = Writer(seed, wild)
        definitions = [define(name, write.expression(4)) for name in ("A", "B", "C")]
        made = library(*definitions, parameters={"def": [{"name": "P", "default": write.expression(1)}]})
        try:
            tried(made, lenient=seed % 2 == 0)
        except Exception as error:
            pytest.fail(failing(seed, error, made))


def test_every_operator_with_every_kind_of_operand() -> None:
    for seed in range(3 * ROUNDS):
        write = Writer(seed, 0.0)
        for kind in KINDS:
            for _ in range(5):
                node = {"type": kind, **{name: write.field(kind, name, 2) for name in write.fields(kind)}}
                try:
                    tried(library(define("A", node)))
                except Exception as error:
                    pytest.fail(failing((seed, kind), error, node))


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a piece of JSON with each of its keys or places."""
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list):
            for key in item if isinstance(item, dict) else range(len(item)):
                yield item, key
            waiting += item.values() if isinstance(item, dict) else item


def mutated(source: Any, choose: random.Random) -> Any:
    """A copy with up to four changes: something left out, put elsewhere, or replaced by junk."""
    made = orjson.loads(source)
    for _ in range(choose.randint(1, 4)):
        spots = list(places(made))
        if not spots:
            break
        container, key = choose.choice(spots)
        change = choose.random()
        if change < 0.4:
            container[key] = copy.deepcopy(choose.choice(JUNK))
        elif change < 0.6 and isinstance(container, dict):
            del container[key]
        elif change < 0.9:
            other, place = choose.choice(spots)
            container[key] = copy.deepcopy(other[place])
        elif isinstance(container, dict):
            container[choose.choice(["type", "operand", "name", "source", "extra"])] = copy.deepcopy(
                choose.choice(JUNK)
            )
    return made


@pytest.mark.parametrize("name", ["data/Logic", "data/Queries", "operators/Operators"])
def test_real_elm_with_something_changed(name: str) -> None:
    elm = orjson.loads((Path(__file__).parent / f"{name}.elm.json").read_bytes())
    definitions = elm["library"]["statements"]["def"]
    choose = random.Random(name)
    for number in range((60 if len(definitions) > 200 else 250) * ROUNDS):
        some = {**elm["library"], "statements": {"def": choose.sample(definitions, min(8, len(definitions)))}}
        made = mutated(orjson.dumps({"library": some}), choose)
        try:
            tried(made, lenient=number % 2 == 0)
        except Exception as error:
            pytest.fail(failing((name, number), error, made))


def test_real_trials_with_something_changed() -> None:
    paths = sorted((ROOT / "plandefinitions").rglob("*.elm.json"))
    sources = {path: path.read_bytes() for path in paths}
    choose = random.Random(5)
    for number in range(10 * ROUNDS):
        changed = choose.choice(paths)
        made = [
            mutated(source, choose) if path == changed else orjson.loads(source) for path, source in sources.items()
        ]
        try:
            tried(*made, lenient=True)
        except CdsError:
            raise
        except Exception as error:
            pytest.fail(f"{changed} {number}: {type(error).__name__}: {error}")
