"""Nullological operators (CQL 1.5, Logical Specification, chapter 14); Coalesce is lazy, and so the compiler's."""

from __future__ import annotations

from cds.elm.operators import operator
from cds.elm.ports import Value


@operator("IsNull")
def is_null(value: Value) -> bool:
    """14.4 Is Null."""
    return value is None


@operator("IsTrue")
def is_true(value: Value) -> bool:
    """14.5 Is True."""
    return value is True


@operator("IsFalse")
def is_false(value: Value) -> bool:
    """14.3 Is False."""
    return value is False
