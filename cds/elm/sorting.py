"""The order of a sorted query: by direction, by element, by expression; nulls are lowest (CQL 1.5, section 2.3.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from cds.elm.compiler import Binding, Compiler
from cds.elm.evaluation import Frame, located
from cds.elm.library import Run
from cds.elm.operators import OPERATORS
from cds.elm.ports import Structured, Value
from cds.elm.types import Json

Sorter = Callable[[Frame, list[Value]], list[Value]]

_FIELDS: dict[str, tuple[str, ...]] = {"ByDirection": (), "ByColumn": ("path",), "ByExpression": ("expression",)}

#: Types whose own order is CQL's.
_PLAIN = frozenset((int, str, Decimal))


def sorter(compiler: Compiler, by: Sequence[Json]) -> Sorter:
    """A function that sorts a list by the clauses, the first one first; equal items keep their order."""
    slot = compiler.slot()
    keys = [_key(compiler, item, slot) for item in by]
    descending = [_is_descending(compiler, item) for item in by]
    place = compiler.place(by[0])

    def sort(frame: Frame, items: list[Value]) -> list[Value]:
        frame[0].spend(len(items) * len(items).bit_length())
        try:
            for key, reverse in zip(reversed(keys), reversed(descending), strict=True):
                items = _sorted(items, _evaluated(frame, items, key, slot), reverse)
        except Exception as error:
            raise located(error, place) from None
        return items

    return sort


def _is_descending(compiler: Compiler, item: Json) -> bool:
    direction = item.get("direction") or "asc"
    if direction not in ("asc", "ascending", "desc", "descending"):
        compiler.refuse(item, f"the sort direction {direction!r}")
    return direction in ("desc", "descending")


def _key(compiler: Compiler, item: Json, slot: int) -> Run | None:
    from cds.elm.nodes.literals import property_of

    fields = _FIELDS.get(item["type"])
    if fields is None:
        compiler.refuse(item, f"the sort {item['type']}")
    compiler.check_clause(item, item, f"the sort {item['type']}", ("direction", *fields))
    if item["type"] == "ByDirection":
        return None
    this: Run = lambda frame: frame[slot]  # noqa: E731
    if item["type"] == "ByColumn":
        return property_of(compiler, item, this, item["path"])
    with compiler.naming({"$this": Binding(slot)}):
        return compiler.compile(item["expression"])


def _evaluated(frame: Frame, items: Sequence[Value], key: Run | None, slot: int) -> list[Value]:
    values = []
    for item in items:
        frame[slot] = item
        value = item if key is None else key(frame)
        # A primitive of the data model sorts by its value: FHIR.dateTime by its DateTime.
        values.append(value.get("value") if isinstance(value, Structured) else value)
    return values


def _sorted(items: Sequence[Value], keys: Sequence[Value], reverse: bool) -> list[Value]:
    kinds = {type(key) for key in keys}
    by: Callable[[int], Any]
    if len(kinds) == 1 and kinds <= _PLAIN:
        by = list(keys).__getitem__
    else:
        by = cmp_to_key(lambda first, second: _compare(keys[first], keys[second]))
    positions = sorted(range(len(items)), key=by, reverse=reverse)
    return [items[position] for position in positions]


def _compare(first: Value, second: Value) -> int:
    """-1, 0 or 1; what cannot be told apart (an uncertain comparison) counts as equal and keeps its order."""
    if first is None or second is None:
        return (first is not None) - (second is not None)
    if OPERATORS["Less"].function(first, second) is True:
        return -1
    if OPERATORS["Greater"].function(first, second) is True:
        return 1
    # Of two dates that differ in what one of them does not know, the coarser comes first.
    return getattr(first, "known", 0) - getattr(second, "known", 0)
