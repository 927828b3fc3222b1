"""Quantity and Ratio, and the conversion of UCUM units (CQL 1.5, appendix B, Types)."""

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

#: Calendar durations and the UCUM units of definite length that CQL takes for the same: equal below a month, only
#: equivalent from there on.
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
#: Calendar years and months have no definite length: they compare with one another alone, and are equivalent to this
#: many days.
_INDEFINITE: Final = {"year": 365, "years": 365, "month": 30, "months": 30}
#: Scales of temperature (UCUM, section 4.5, special units): the size of a degree in kelvin, and zero in kelvin.
_TEMPERATURES: Final = {
    "K": (Fraction(1), Fraction(0)),
    "Cel": (Fraction(1), Fraction(27315, 100)),
    "[degF]": (Fraction(5, 9), Fraction(45967, 100) * Fraction(5, 9)),
    "[degRe]": (Fraction(5, 4), Fraction(27315, 100)),
}
#: An annotation, and whether it stands alone as a term (``{cells}/uL``) or after a unit (``mg{total}``).
_ONE: Final = Fraction(1)
#: No unit of a laboratory is longer; a power such as ``10*99999999`` would take minutes to compute.
_LONGEST: Final = 200
_HUGE_POWER = re.compile(r"[^\d./(][+-]?\d{3}")
_ANNOTATION = re.compile(r"(?P<alone>^|(?<=[./(]))?\{[^{}]*\}")


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
    """The UCUM unit of `unit`: calendar words by their unit, annotations left out (alone they are 1), none is 1."""
    if not unit:
        return "1"
    unit = CALENDAR_UNITS.get(unit, unit)
    if "{" in unit:
        unit = _ANNOTATION.sub(lambda found: "" if found["alone"] is None else "1", unit)
    return "1" + unit if unit.startswith("/") else unit


@lru_cache(maxsize=4096)
def factor(source: str, target: str) -> Fraction | None:
    """By how much a number of `source` is multiplied to be one of `target`; None where the dimensions differ.

    Raises UnitError, naming it, for a unit that is not of UCUM, and for those with an offset (Cel to K).
    """
    source, target = ucum(source), ucum(target)
    if source == target:
        return _ONE
    first, second = _base(source), _base(target)
    if first[1] != second[1]:
        return None
    return first[0] / second[0]


@lru_cache(maxsize=4096)
def convertible(source: str, target: str) -> Fraction | None:
    """As `factor`, but None too where a unit is unknown: what cannot be read cannot be compared."""
    if source == target:
        return _ONE
    try:
        return factor(source, target)
    except UnitError:
        return None


@lru_cache(maxsize=4096)
def comparable(source: str, target: str) -> Fraction | None:
    """As `convertible`, but None too between a calendar year or month and what has a definite length.

    A calendar year is 12 calendar months; whether it is 365 days is not known (CQL 1.5, Equal).
    """
    return convertible(source, target) if (source in _INDEFINITE) is (target in _INDEFINITE) else None


@lru_cache(maxsize=4096)
def interchangeable(source: str, target: str) -> Fraction | None:
    """As `convertible`, for equivalence: a calendar year is 12 months and 365 days, a month 30 days (Equivalent)."""
    if source in CALENDAR_UNITS and target in CALENDAR_UNITS and (source in _INDEFINITE) is not (target in _INDEFINITE):
        whole, part = convertible(_day_of(source), "day"), convertible(_day_of(target), "day")
        if whole is None or part is None:
            return None
        return whole * _INDEFINITE.get(source, 1) / (part * _INDEFINITE.get(target, 1))
    return convertible(source, target)


def _day_of(unit: str) -> str:
    return "day" if unit in _INDEFINITE else unit


def order(first: Quantity, second: Quantity) -> int | None:
    """-1, 0 or 1 as `first` is less than, equal to or greater than `second`, exactly; None where units differ."""
    if first.unit == second.unit:
        return (first.value > second.value) - (first.value < second.value)
    by = comparable(second.unit, first.unit)
    if by is None:
        same = on_scale(second, first.unit)
        return None if same is None else (first.value > same) - (first.value < same)
    one = CONTEXT.multiply(first.value, Decimal(by.denominator))
    other = CONTEXT.multiply(second.value, Decimal(by.numerator))
    return (one > other) - (one < other)


def on_scale(quantity: Quantity, unit: str) -> Decimal | None:
    """A temperature on another scale, whose zero lies elsewhere; None where one of the units is no temperature."""
    given, wanted = _TEMPERATURES.get(quantity.unit), _TEMPERATURES.get(unit)
    if given is None or wanted is None:
        return None
    found = (Fraction(quantity.value) * given[0] + given[1] - wanted[1]) / wanted[0]
    return _trimmed(CONTEXT.divide(Decimal(found.numerator), Decimal(found.denominator)))


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
    if len(unit) > _LONGEST or _HUGE_POWER.search(unit):
        raise UnitError("a unit that is too long, or of too high a power, to be converted")
    try:
        quantity = _registry().from_ucum(unit)
        reference = _registry().Quantity(_ONE, quantity.units).to_base_units()
        if _registry().Quantity(Fraction(0), quantity.units).to_base_units().magnitude != 0:
            raise ValueError("its zero is not the base unit's")
        size = Fraction(quantity.magnitude) * Fraction(reference.magnitude)
    except Exception as error:
        raise UnitError(f"{unit!r} is no unit of UCUM that can be converted") from error
    angle = str(reference.units) if not quantity.dimensionality else ""
    return size, (quantity.dimensionality, angle, _arbitrary(quantity))


def _arbitrary(quantity: Any) -> frozenset[tuple[str, Any]]:
    """The arbitrary units in a unit, with their powers: ``[IU]`` is no number, and compares with ``[IU]`` alone."""
    registry = _registry()
    found: dict[str, Any] = {}
    for name, power in quantity.unit_items():
        plain = registry.parse_unit_name(name)[0][1]
        reference = registry.Quantity(_ONE, plain).to_base_units()
        if reference.units == registry.dimensionless and reference.magnitude == 1:
            found[plain] = found.get(plain, 0) + power
    return frozenset((name, power) for name, power in found.items() if power)
