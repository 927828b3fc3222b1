"""Three-valued logic: True, False, and None for what nobody knows."""

from __future__ import annotations

from collections.abc import Iterable

Known = bool | None


def some(values: Iterable[Known]) -> Known:
    """Whether any of the values holds; None where none does and one is unknown."""
    seen = set(values)
    return True if True in seen else None if None in seen else False


def every(values: Iterable[Known]) -> Known:
    """Whether all of the values hold; None where none fails and one is unknown."""
    seen = set(values)
    return False if False in seen else None if None in seen else True


def negated(value: Known) -> Known:
    """The contrary of a value; what is unknown stays so."""
    return None if value is None else not value
