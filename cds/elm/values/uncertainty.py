"""Uncertainty: a number known to lie between two bounds (CQL 1.5, Language Semantics, Uncertainty)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Any value from `low` to `high`, both included."""

    low: Any
    high: Any


def uncertain(low: Any, high: Any) -> Any:
    """The uncertainty from `low` to `high`; the value itself where they are the same."""
    return low if low == high else Uncertainty(low, high)
