"""Interval: two points, each in it or not, either of them unknown (CQL 1.5, Logical Specification, 19.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`. A null that is closed is the type's limit, a null that is open is unknown.

    `like` is some point of the type, whose limits are meant where both ends are null; None where the type is not known.
    """

    low: Any = None
    high: Any = None
    low_closed: bool = True
    high_closed: bool = True
    like: Any = field(default=None, repr=False, compare=False)
