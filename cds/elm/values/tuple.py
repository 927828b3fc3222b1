"""Tuple: named elements (CQL 1.5, Logical Specification, 2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Tuple(Mapping[str, Any]):
    """An immutable tuple. An element that is absent is null."""

    __slots__ = ("_elements",)

    def __init__(self, elements: Mapping[str, Any]) -> None:
        self._elements = dict(elements)

    def __getitem__(self, name: str) -> Any:
        return self._elements[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The element `name`; null where there is none."""
        return self._elements.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._elements)

    def __len__(self) -> int:
        return len(self._elements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tuple) and self._elements == other._elements

    def __hash__(self) -> int:
        return hash(frozenset(self._elements))

    def __repr__(self) -> str:
        return f"Tuple({self._elements!r})"
