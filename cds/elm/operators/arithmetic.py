"""Arithmetic operators (CQL 1.5, Logical Specification, chapter 16). What overflows, or cannot be computed, is null."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any

from cds.elm.operators import operator
from cds.elm.operators.comparison import bounds
from cds.elm.ports import Value
from cds.elm.values import Date, DateTime, Long, Quantity, Time, Uncertainty
from cds.elm.values.date_time import highest, lowest, rebuilt
from cds.elm.values.primitive import (
    CONTEXT,
    DECIMAL_MAX,
    DECIMAL_MIN,
    DECIMAL_STEP,
    INTEGER_MAX,
    INTEGER_MIN,
    LONG_MAX,
    LONG_MIN,
    decimal,
    integer,
)
from cds.elm.values.quantity import comparable, scaled, ucum
from cds.elm.values.uncertainty import uncertain
from cds.errors import EvaluationError, UnitError

_TEMPORAL = (Date, DateTime, Time)


def _number(value: Any, like: tuple[Value, ...]) -> Value:
    """A result in the type of the operands: Decimal if any is one, Long if any is, else Integer."""
    if isinstance(value, Decimal):
        return decimal(value)
    return integer(value, long=any(isinstance(operand, Long) for operand in like))


def _both(first: Value, second: Value, compute: Callable[[Any, Any], Any]) -> Value:
    """`compute` on two numbers, or on the corners of uncertain ones."""
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        corners = [compute(one, other) for one in bounds(first) for other in bounds(second)]
        return None if None in corners else uncertain(min(corners), max(corners))
    if isinstance(first, Decimal) or isinstance(second, Decimal):
        first, second = Decimal(first), Decimal(second)
    return _number(compute(first, second), (first, second))


def _plus(one: Any, other: Any) -> Any:
    return CONTEXT.add(one, other) if isinstance(one, Decimal) else one + other


def _minus(one: Any, other: Any) -> Any:
    return CONTEXT.subtract(one, other) if isinstance(one, Decimal) else one - other


def _times(one: Any, other: Any) -> Any:
    return CONTEXT.multiply(one, other) if isinstance(one, Decimal) else one * other


def aligned(first: Quantity, second: Quantity) -> tuple[Decimal, Decimal, str]:
    """The values of two quantities in the finer of their units, and that unit. Raises UnitError where they differ."""
    if first.unit == second.unit:
        return first.value, second.value, first.unit
    by = comparable(second.unit, first.unit)
    if by is None:
        raise UnitError(f"{second.unit!r} cannot be converted to {first.unit!r}")
    if by < 1:
        return scaled(first.value, 1 / by), second.value, second.unit
    return first.value, scaled(second.value, by), first.unit


def _quantity(value: Decimal | None, unit: str) -> Quantity | None:
    rounded = None if value is None else decimal(value)
    return None if rounded is None else Quantity(rounded, unit)


@operator("Add")
def add(first: Value, second: Value) -> Value:
    """16.2 Add; of dates and durations, section 18.1."""
    if first is None or second is None:
        return None
    if isinstance(first, Quantity) and isinstance(second, Quantity):
        one, other, unit = aligned(first, second)
        return _quantity(CONTEXT.add(one, other), unit)
    if isinstance(first, str):
        return first + second
    if isinstance(first, _TEMPORAL):
        from cds.elm.operators.date_time import moved

        return moved(first, second, 1)
    return _both(first, second, _plus)


@operator("Subtract")
def subtract(first: Value, second: Value) -> Value:
    """16.20 Subtract; of dates and durations, section 18.17."""
    if first is None or second is None:
        return None
    if isinstance(first, Quantity) and isinstance(second, Quantity):
        one, other, unit = aligned(first, second)
        return _quantity(CONTEXT.subtract(one, other), unit)
    if isinstance(first, _TEMPORAL):
        from cds.elm.operators.date_time import moved

        return moved(first, second, -1)
    return _both(first, second, _minus)


@operator("Multiply")
def multiply(first: Value, second: Value) -> Value:
    """16.14 Multiply."""
    if first is None or second is None:
        return None
    if isinstance(first, Quantity) or isinstance(second, Quantity):
        one, other = _as_quantity(first), _as_quantity(second)
        return _quantity(CONTEXT.multiply(one.value, other.value), _product(one.unit, other.unit))
    return _both(first, second, _times)


def _product(first: str, second: str) -> str:
    """The unit of a product; times a number, the unit (and a calendar duration) stays what it is."""
    one, other = ucum(first), ucum(second)
    if one == "1" or other == "1":
        return first if other == "1" else second
    return f"{one}2" if one == other and one.isalpha() else f"{one}.{other}"


def _as_quantity(value: Value) -> Quantity:
    return value if isinstance(value, Quantity) else Quantity(Decimal(value))


@operator("Divide")
def divide(first: Value, second: Value) -> Value:
    """16.4 Divide: a Decimal; null by zero."""
    if first is None or second is None:
        return None
    if isinstance(first, Quantity) or isinstance(second, Quantity):
        return _divided(_as_quantity(first), _as_quantity(second))
    if isinstance(second, Uncertainty) and second.low <= 0 <= second.high:
        return None
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        return _both(first, second, divide)
    one, other = Decimal(first), Decimal(second)
    return None if other == 0 else decimal(CONTEXT.divide(one, other))


def _divided(first: Quantity, second: Quantity) -> Quantity | None:
    if second.value == 0:
        return None
    one, other = ucum(first.unit), ucum(second.unit)
    if other == "1":
        return _quantity(CONTEXT.divide(first.value, second.value), first.unit)
    if comparable(second.unit, first.unit) is not None:
        dividend, divisor, _ = aligned(first, second)
        return _quantity(CONTEXT.divide(dividend, divisor), "1")
    return _quantity(CONTEXT.divide(first.value, second.value), _quotient(one, other))


#: A unit that is one symbol, perhaps to a power, such as ``cm2``.
_POWER = re.compile(r"([A-Za-z%]*(?:\[[^\[\]]*\])?)(\d*)")


def _quotient(one: str, other: str) -> str:
    """The unit of a quotient: powers of one symbol cancel, so that ``cm2`` by ``cm`` is ``cm`` (CQL 1.5, Divide)."""
    dividend, divisor = _POWER.fullmatch(one), _POWER.fullmatch(other)
    if dividend and divisor and dividend[1] == divisor[1]:
        power = int(dividend[2] or 1) - int(divisor[2] or 1)
        return dividend[1] if power == 1 else f"{dividend[1]}{power}"
    return f"{one}/({other})" if "/" in other or "." in other else f"{one}/{other}"


@operator("TruncatedDivide")
def truncated_divide(first: Value, second: Value) -> Value:
    """16.23 Truncated Divide: towards zero; null by zero."""
    if isinstance(first, Quantity) and isinstance(second, Quantity):
        quotient = _divided(first, second)
        # Of like quantities the whole number of times keeps the dividend's unit, as the public suite has it.
        unit = first.unit if quotient is not None and quotient.unit == "1" else ""
        return None if quotient is None else _quantity(_whole(quotient.value), unit or quotient.unit)
    if first is None or second is None or second == 0:
        return None
    if isinstance(first, Decimal) or isinstance(second, Decimal):
        return decimal(_whole(CONTEXT.divide(Decimal(first), Decimal(second))))
    quotient = abs(first) // abs(second)
    return _number(quotient if (first < 0) == (second < 0) else -quotient, (first, second))


def _whole(value: Decimal) -> Decimal:
    return value.to_integral_value(ROUND_DOWN)


@operator("Modulo")
def modulo(first: Value, second: Value) -> Value:
    """16.13 Modulo: the remainder of truncated division."""
    if isinstance(first, Quantity) and isinstance(second, Quantity):
        one, other, unit = aligned(first, second)
        return _quantity(modulo(one, other), unit)
    if first is None or second is None or second == 0:
        return None
    if isinstance(first, Decimal) or isinstance(second, Decimal):
        one, other = Decimal(first), Decimal(second)
        return decimal(CONTEXT.subtract(one, CONTEXT.multiply(_whole(CONTEXT.divide(one, other)), other)))
    return _number(int(math.fmod(first, second)) if abs(first) < 2**53 else _remainder(first, second), (first, second))


def _remainder(first: int, second: int) -> int:
    remainder = abs(first) % abs(second)
    return -remainder if first < 0 else remainder


@operator("Negate")
def negate(value: Value) -> Value:
    """16.15 Negate."""
    if isinstance(value, Quantity):
        return Quantity(value.value.copy_negate(), value.unit)
    if isinstance(value, Decimal):
        return value.copy_negate()
    return None if value is None else _number(-value, (value,))


@operator("Abs")
def absolute(value: Value) -> Value:
    """16.1 Abs."""
    if isinstance(value, Quantity):
        return Quantity(value.value.copy_abs(), value.unit)
    if isinstance(value, Decimal):
        return value.copy_abs()
    return None if value is None else _number(abs(value), (value,))


@operator("Ceiling")
def ceiling(value: Value) -> Value:
    """16.3 Ceiling: an Integer."""
    return None if value is None else integer(int(Decimal(value).to_integral_value(ROUND_CEILING)))


@operator("Floor")
def floor(value: Value) -> Value:
    """16.6 Floor: an Integer."""
    return None if value is None else integer(int(Decimal(value).to_integral_value(ROUND_FLOOR)))


@operator("Truncate")
def truncate(value: Value) -> Value:
    """16.22 Truncate: an Integer."""
    return None if value is None else integer(int(_whole(Decimal(value))))


@operator("Round", fields=("operand", "precision"))
def round_(value: Value, precision: Value) -> Value:
    """16.19 Round: half a step goes away from zero (0.5 to 1, -0.5 to -1)."""
    if value is None:
        return None
    step = Decimal(1).scaleb(-(precision or 0))
    return decimal(Decimal(value).quantize(step, ROUND_HALF_UP, context=CONTEXT))


def _real(compute: Callable[[Decimal], Decimal], value: Value) -> Value:
    if value is None:
        return None
    with localcontext() as context:
        context.prec = 40
        try:
            return decimal(compute(Decimal(value)))
        except (InvalidOperation, ArithmeticError):
            return None


@operator("Exp")
def exp(value: Value) -> Value:
    """16.5 Exp."""
    if value is not None and Decimal(value) > 47:
        raise EvaluationError("Exp: the result is beyond the largest Decimal")
    return _real(lambda number: number.exp(), value)


@operator("Ln")
def ln(value: Value) -> Value:
    """16.10 Ln: null of zero and of what is negative."""
    if value is not None and Decimal(value) == 0:
        raise EvaluationError("Ln: zero has no logarithm")
    return None if value is None or value < 0 else _real(lambda number: number.ln(), value)


@operator("Log")
def log(value: Value, base: Value) -> Value:
    """16.8 Log."""
    if value is None or base is None or value <= 0 or base <= 0 or base == 1:
        return None
    return _real(lambda number: number.ln() / Decimal(base).ln(), value)


@operator("Power")
def power(base: Value, exponent: Value) -> Value:
    """16.16 Power: an Integer of Integers where the exponent is not negative."""
    if base is None or exponent is None:
        return None
    whole = not isinstance(base, Decimal) and not isinstance(exponent, Decimal)
    if whole and exponent >= 0:
        if abs(base) > 1 and exponent > 64:
            return None
        return _number(base**exponent, (base, exponent))
    return _real(lambda number: number ** Decimal(exponent), base)


_LIMITS: dict[str, tuple[Value, Value]] = {
    "Integer": (INTEGER_MIN, INTEGER_MAX),
    "Long": (Long(LONG_MIN), Long(LONG_MAX)),
    "Decimal": (DECIMAL_MIN, DECIMAL_MAX),
    "Date": (Date(1, 1, 1), Date(9999, 12, 31)),
    "DateTime": (DateTime(1, 1, 1, 0, 0, 0, 0), DateTime(9999, 12, 31, 23, 59, 59, 999)),
    "Time": (Time(0, 0, 0, 0), Time(23, 59, 59, 999)),
    "Quantity": (Quantity(DECIMAL_MIN), Quantity(DECIMAL_MAX)),
}


def _limit(kind: str, which: int) -> Value:
    try:
        return _LIMITS[kind.rpartition("}")[2]][which]
    except KeyError:
        raise EvaluationError(f"the type {kind.rpartition('}')[2]} has no limits") from None


@operator("MinValue", settings=("valueType",))
def min_value(*, valueType: str) -> Value:  # noqa: N803 (the name of ELM)
    """16.12 Minimum."""
    return _limit(valueType, 0)


@operator("MaxValue", settings=("valueType",))
def max_value(*, valueType: str) -> Value:  # noqa: N803 (the name of ELM)
    """16.11 Maximum."""
    return _limit(valueType, 1)


def limit_like(value: Value, which: int) -> Value:
    """The least (0) or greatest (1) value of the type of `value`."""
    if isinstance(value, Quantity):
        return Quantity((DECIMAL_MIN, DECIMAL_MAX)[which], value.unit)
    if isinstance(value, DateTime):
        low = (DateTime(1, 1, 1, 0, 0, 0, 0, value.offset), DateTime(9999, 12, 31, 23, 59, 59, 999, value.offset))
        return low[which]
    kind = "Long" if isinstance(value, Long) else "Integer" if isinstance(value, int) else type(value).__name__
    return _limit(kind, which)


def step(value: Value, direction: int) -> Value:
    """The next value after (1) or before (-1) `value`. Raises EvaluationError beyond the type's limit."""
    if isinstance(value, Uncertainty):
        return Uncertainty(step(value.low, direction), step(value.high, direction))
    if isinstance(value, Quantity):
        return Quantity(step(value.value, direction), value.unit)
    if isinstance(value, _TEMPORAL):
        return _temporal_step(value, direction)
    found: Value
    if isinstance(value, Decimal):
        found = decimal(CONTEXT.add(value, direction * DECIMAL_STEP))
    elif isinstance(value, int) and not isinstance(value, bool):
        found = integer(value + direction, long=isinstance(value, Long))
    else:
        raise EvaluationError(f"{type(value).__name__} has no successor or predecessor")
    if found is None:
        raise EvaluationError("there is no value beyond the type's limit")
    return found


def _temporal_step(value: Any, direction: int) -> Any:
    from cds.elm.operators.date_time import moved

    found = moved(value, Quantity(Decimal(1), value.precision), direction)
    if found is None or found == value or (isinstance(value, Time) and (found.parts < value.parts) == (direction > 0)):
        raise EvaluationError("there is no value beyond the type's limit")
    return found


@operator("Successor")
def successor(value: Value) -> Value:
    """16.21 Successor: by one step of the type, of a date by one of its precision."""
    return None if value is None else step(value, 1)


@operator("Predecessor")
def predecessor(value: Value) -> Value:
    """16.18 Predecessor."""
    return None if value is None else step(value, -1)


@operator("Precision")
def precision(value: Value) -> Value:
    """16.17 Precision: digits after the point of a Decimal, digits of a date (4, 6, 8, 10 ...)."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0
    if isinstance(value, Time):
        return (2, 4, 6, 9)[value.known - 1]
    if isinstance(value, Date | DateTime):
        return (4, 6, 8, 10, 12, 14, 17)[value.known - 1]
    return 0


_DIGITS_OF_DATE = {4: 1, 6: 2, 8: 3, 10: 4, 12: 5, 14: 6, 17: 7}
_DIGITS_OF_TIME = {2: 1, 4: 2, 6: 3, 9: 4}


def _boundary(value: Value, digits: Value, top: bool) -> Value:
    if value is None:
        return None
    if isinstance(value, int):
        value = Decimal(value)
    if isinstance(value, Quantity):
        bound = _boundary(value.value, digits, top)
        return None if bound is None else Quantity(bound, value.unit)
    if isinstance(value, Decimal):
        return _decimal_boundary(value, 8 if digits is None else digits, top)
    known = _DIGITS_OF_TIME if isinstance(value, Time) else _DIGITS_OF_DATE
    count = len(value.parts) if digits is None else known.get(digits)
    if count is None or count > len(value.parts):
        return None
    full = highest(value) if top else lowest(value)
    return rebuilt(value, (*full.parts[:count], *([None] * (len(value.parts) - count))))


def _decimal_boundary(value: Decimal, digits: int, top: bool) -> Decimal | None:
    if not 0 <= digits <= 8:
        return None
    exponent = value.as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    unit = Decimal(1).scaleb(-digits)
    if digits <= places:
        return value.quantize(unit, ROUND_CEILING if top and digits < places else ROUND_FLOOR)
    span = Decimal(1).scaleb(-places) - unit
    return (value + span if top else value).quantize(unit)


@operator("LowBoundary")
def low_boundary(value: Value, digits: Value = None) -> Value:
    """16.9 LowBoundary: the least that the value may be, to a precision."""
    return _boundary(value, digits, False)


@operator("HighBoundary")
def high_boundary(value: Value, digits: Value = None) -> Value:
    """16.7 HighBoundary: the greatest that the value may be, to a precision."""
    return _boundary(value, digits, True)
