"""Quantity and Ratio, and the conversion of UCUM units (CQL 1.5, section B.1.8)."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Final

from cds.elm.values.primitive import CONTEXT
from cds.errors import UnitError

#: Calendar durations and the UCUM units of definite length that CQL takes for the same (section 5.6; below a month
#: they are equal, a calendar year or month is only equivalent to the UCUM unit).
CALENDAR_UNITS: Final = {
    **dict.fromkeys(("year", "years"), "a"),
    **dict.fromkeys(("month", "months"), "mo"),
    **dict.fromkeys(("week", "weeks"), "wk"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("hour", "hours"), "h"),
    **dict.fromkeys(("minute", "minutes"), "min"),
    **dict.fromkeys(("second", "seconds"), "s"),
    **dict.fromkeys(("millisecond", "milliseconds"), "ms"),
}
_ANNOTATION = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a UCUM unit, or a calendar duration (``years`` ... ``milliseconds``); ``1`` has no dimension."""

    value: Decimal
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One quantity to another (``1:128``)."""

    numerator: Quantity
    denominator: Quantity


def ucum(unit: str | None) -> str:
    """The UCUM unit of `unit`: calendar words by their unit, annotations left out, none is 1."""
    if not unit:
        return "1"
    unit = CALENDAR_UNITS.get(unit, unit)
    if "{" in unit:
        unit = _ANNOTATION.sub("", unit).strip(".") or "1"
        if unit.startswith("/"):
            unit = "1" + unit
    return unit


@lru_cache(maxsize=4096)
def factor(source: str, target: str) -> Fraction | None:
    """By how much a number of `source` is multiplied to be one of `target`; None where the dimensions differ.

    Raises UnitError, naming it, for a unit that is not of UCUM, and for those with an offset (Cel to K).
    """
    source, target = ucum(source), ucum(target)
    if source == target:
        return Fraction(1)
    first, second = _base(source), _base(target)
    if first[1] != second[1]:
        return None
    return first[0] / second[0]


def convertible(source: str, target: str) -> Fraction | None:
    """As `factor`, but None too where a unit is unknown: what cannot be read cannot be compared."""
    if source == target:
        return Fraction(1)
    try:
        return factor(source, target)
    except UnitError:
        return None


def scaled(value: Decimal, by: Fraction) -> Decimal:
    """`value` times a factor, in the precision of CQL's decimals."""
    if by == 1:
        return value
    product = CONTEXT.multiply(value, Decimal(by.numerator))
    return _trimmed(CONTEXT.divide(product, Decimal(by.denominator)))


def _trimmed(value: Decimal) -> Decimal:
    """Without the digits that only a repeating fraction brings: twelve decimals are beyond any laboratory."""
    rounded = value.quantize(Decimal("1e-12"), context=CONTEXT).normalize(CONTEXT)
    exponent = rounded.as_tuple().exponent
    return rounded.quantize(Decimal(1), context=CONTEXT) if isinstance(exponent, int) and exponent > 0 else rounded


@cache
def _registry() -> Any:
    """The unit library with UCUM's units; half a second to load, so only when two units first differ."""
    from ucumvert import PintUcumRegistry

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PintUcumRegistry(non_int_type=Fraction)


def load_units() -> None:
    """Loads the unit library now: half a second that the first patient of a service should not wait."""
    factor("mm", "cm")


@lru_cache(maxsize=4096)
def _base(unit: str) -> tuple[Fraction, Any]:
    """A UCUM unit in base units: its size and its dimension."""
    try:
        quantity = _registry().from_ucum(unit)
        reference = _registry().Quantity(Fraction(1), quantity.units).to_base_units()
        if _registry().Quantity(Fraction(0), quantity.units).to_base_units().magnitude != 0:
            raise ValueError("its zero is not the base unit's")
        size = Fraction(quantity.magnitude) * Fraction(reference.magnitude)
    except Exception as error:
        raise UnitError(f"{unit!r} is no unit of UCUM that can be converted") from error
    return size, (quantity.dimensionality, str(reference.units) if not quantity.dimensionality else "")
