"""Tuple: named elements (CQL 1.5, Logical Specification, 2.1)."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any


class Tuple:
    """An immutable tuple; the dict that it is made of becomes its own. An element that is absent is null."""

    __slots__ = ("_elements",)

    def __init__(self, elements: dict[str, Any]) -> None:
        self._elements = elements

    def __getitem__(self, name: str) -> Any:
        return self._elements[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The element `name`; null where there is none."""
        return self._elements.get(name, default)

    def keys(self) -> KeysView[str]:
        """The names of the elements, in order."""
        return self._elements.keys()

    def values(self) -> ValuesView[Any]:
        """The values of the elements, in order."""
        return self._elements.values()

    def items(self) -> ItemsView[str, Any]:
        """The elements, in order."""
        return self._elements.items()

    def __contains__(self, name: object) -> bool:
        return name in self._elements

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
