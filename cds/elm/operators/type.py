"""Type operators (CQL 1.5, Logical Specification, chapter 22): the conversions. What is no such value is null."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from cds.elm.budget import spend
from cds.elm.operators import operator
from cds.elm.ports import Structured, Value
from cds.elm.values import Code, Concept, Date, DateTime, Interval, Long, Quantity, Ratio, Time
from cds.elm.values.date_time import rebuilt_at
from cds.elm.values.primitive import INTEGER_MAX, INTEGER_MIN, LONG_MAX, LONG_MIN, decimal
from cds.elm.values.quantity import CALENDAR_UNITS, convertible, on_scale, scaled
from cds.elm.values.uncertainty import Uncertainty, uncertain

if TYPE_CHECKING:
    from cds.elm.evaluation import Evaluation

_TRUE = frozenset(("true", "t", "yes", "y", "1"))
_FALSE = frozenset(("false", "f", "no", "n", "0"))
_INTEGER = re.compile(r"[+-]?0{0,99}\d{1,19}", re.ASCII)
_LONG = re.compile(r"[+-]?0{0,99}\d{1,19}L?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_ZONE = re.compile(r"(?:Z|[+-]\d\d:\d\d)$", re.ASCII)
#: Two quantities; a unit may hold a colon.
_RATIO = re.compile(r"([^':]*(?:'[^']*'\s*)?):([^':]*(?:'[^']*'\s*)?)")
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:'([^']*)'|([a-z]+))?", re.ASCII)


def _plain(value: Value) -> Value:
    """A data model's primitive as its System value, so that ELM without conversions works as well."""
    return value.get("value") if isinstance(value, Structured) else value


@operator("ToBoolean")
def to_boolean(value: Value) -> Value:
    """22.19 ToBoolean."""
    value = _plain(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        folded = value.lower()
        return True if folded in _TRUE else False if folded in _FALSE else None
    return True if value == 1 else False if value == 0 else None


@operator("ToInteger")
def to_integer(value: Value) -> Value:
    """22.25 ToInteger."""
    value = _plain(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        value = int(value) if _INTEGER.fullmatch(value) else None
    return int(value) if value is not None and INTEGER_MIN <= value <= INTEGER_MAX else None


def _of_bounds(convert: Callable[[Value], Value], value: Uncertainty) -> Value:
    """What is known of a number that lies between two others, in another type."""
    low, high = convert(value.low), convert(value.high)
    return None if low is None or high is None else uncertain(low, high)


@operator("ToLong")
def to_long(value: Value) -> Value:
    """22.27 ToLong."""
    value = _plain(value)
    if isinstance(value, Uncertainty):
        return _of_bounds(to_long, value)
    if isinstance(value, str):
        value = int(value.rstrip("L")) if _LONG.fullmatch(value) else None
    return Long(value) if value is not None and LONG_MIN <= value <= LONG_MAX else None


@operator("ToDecimal")
def to_decimal(value: Value) -> Value:
    """22.24 ToDecimal."""
    value = _plain(value)
    if isinstance(value, Uncertainty):
        return _of_bounds(to_decimal, value)
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return None
    try:
        return None if value is None else decimal(Decimal(int(value) if isinstance(value, bool) else value))
    except InvalidOperation:
        return None


@operator("ToDate")
def to_date(value: Value) -> Value:
    """22.22 ToDate: of a text that names a time too, its date."""
    value = _plain(value)
    if isinstance(value, str):
        value = Date.parse(value) or DateTime.parse(value)
    return value.date if isinstance(value, DateTime) else value


@operator("ToDateTime", context=True)
def to_date_time(evaluation: Evaluation, value: Value) -> Value:
    """22.23 ToDateTime: of a Date, its time is unknown; text without an offset is read in the evaluation's zone."""
    value = _plain(value)
    if isinstance(value, Date):
        return DateTime(value.year, value.month, value.day, offset=evaluation.timezone_offset)
    if not isinstance(value, str):
        return value
    found = DateTime.parse(value)
    if found is not None and found.offset is None:
        return rebuilt_at(found, evaluation.timezone_offset)
    return found


@operator("ToTime")
def to_time(value: Value) -> Value:
    """22.31 ToTime: a time zone in the text is left out."""
    value = _plain(value)
    if isinstance(value, DateTime):
        return None if value.hour is None else Time(*value.parts[3:])  # type: ignore[arg-type]
    return Time.parse(_ZONE.sub("", value)) if isinstance(value, str) else value


@operator("ToQuantity")
def to_quantity(value: Value) -> Value:
    """22.28 ToQuantity: of text such as ``5.5 'mg'`` or ``3 days``; of a number, without a unit."""
    if isinstance(value, str):
        found = _QUANTITY.fullmatch(value.strip())
        number = to_decimal(found[1]) if found else None
        if found is None or number is None or (found[3] and found[3] not in CALENDAR_UNITS):
            return None
        return Quantity(number, found[2] or found[3] or "1")
    if isinstance(value, Ratio):
        from cds.elm.operators.arithmetic import divide

        return divide(value.numerator, value.denominator)
    if isinstance(value, Uncertainty):
        return _of_bounds(to_quantity, value)
    if value is None or isinstance(value, Quantity):
        return value
    number = to_decimal(value)
    return None if number is None else Quantity(number)


@operator("ToRatio")
def to_ratio(value: Value) -> Value:
    """22.29 ToRatio: of text such as ``1 'mg':2 'mL'``."""
    if not isinstance(value, str):
        return value
    found = _RATIO.fullmatch(value)
    parts: list[Any] = [to_quantity(part) for part in found.groups()] if found else [None]
    return None if None in parts else Ratio(*parts)


@operator("ToConcept")
def to_concept(value: Value) -> Value:
    """22.21 ToConcept."""
    if isinstance(value, Code):
        return Concept((value,), value.display)
    if not isinstance(value, list):
        return value
    spend(len(value))
    return Concept(tuple(value))


@operator("ToChars")
def to_chars(value: Value) -> Value:
    """ELM ToChars: a list of single characters."""
    if value is None:
        return None
    spend(len(value))
    return list(value)


@operator("ToString")
def to_string(value: Value) -> Value:
    """22.30 ToString."""
    value = _plain(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Quantity):
        return f"{format(value.value, 'f')} '{value.unit}'"
    if isinstance(value, Ratio):
        return f"{to_string(value.numerator)}:{to_string(value.denominator)}"
    if isinstance(value, Interval):
        low, high = to_string(value.low) or "null", to_string(value.high) or "null"
        return f"{'[' if value.low_closed else '('}{low}, {high}{']' if value.high_closed else ')'}"
    # The offset is written out, also where it is none (CQL 1.5, ToString: hh:mm).
    return f"{text[:-1]}+00:00" if (text := str(value)).endswith("Z") and isinstance(value, DateTime) else text


def _converts(*names: str) -> None:
    for name in names:
        _register_convertible(name)


def _register_convertible(name: str) -> None:
    from cds.elm.operators import OPERATORS

    conversion = OPERATORS[f"To{name}"]

    def converts(*arguments: Value) -> Value:
        if arguments[-1] is None:
            return None
        try:
            return conversion.function(*arguments) is not None
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            return False

    operator(f"ConvertsTo{name}", context=conversion.context)(converts)


_converts("Boolean", "Integer", "Long", "Decimal", "Date", "DateTime", "Time", "Quantity", "Ratio", "String")


@operator("ConvertQuantity")
def convert_quantity(value: Value, unit: Value) -> Value:
    """22.6 convert Quantity to a unit: null where it cannot be."""
    if value is None or unit is None:
        return None
    by = convertible(value.unit, unit)
    found = on_scale(value, unit) if by is None else scaled(value.value, by)
    return None if found is None else Quantity(found, unit)


@operator("CanConvertQuantity")
def can_convert_quantity(value: Value, unit: Value) -> Value:
    """ELM CanConvertQuantity."""
    return None if value is None or unit is None else convert_quantity(value, unit) is not None
