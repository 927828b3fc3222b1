"""Tuple: named elements (CQL 1.5, Logical Specification, 2.1)."""

from __future__ import annotations

from typing import Any


class Tuple(dict[str, Any]):
    """A tuple by the names of its elements; it is never changed once made. An element that is absent is null."""

    # A dict, since queries make and read more tuples than anything else of their own.
    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))

    def __repr__(self) -> str:
        return f"Tuple({super().__repr__()})"
