"""The types of CQL as Python values: frozen, hashable, known to no one else."""

from __future__ import annotations

from cds.elm.values.code import Code, CodeSystemRef, Concept, ValueSetRef
from cds.elm.values.date_time import Date, DateTime, Time
from cds.elm.values.interval import Interval
from cds.elm.values.primitive import Long
from cds.elm.values.quantity import Quantity, Ratio
from cds.elm.values.tuple import Tuple
from cds.elm.values.uncertainty import Uncertainty

__all__ = [
    "Code",
    "CodeSystemRef",
    "Concept",
    "Date",
    "DateTime",
    "Interval",
    "Long",
    "Quantity",
    "Ratio",
    "Time",
    "Tuple",
    "Uncertainty",
    "ValueSetRef",
]
