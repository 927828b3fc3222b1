"""Comparison operators (CQL 1.5, Logical Specification, chapter 12): Equal, Equivalent, Less ..."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from cds.elm.budget import spend, spend_on_text
from cds.elm.operators import operator
from cds.elm.ports import Value
from cds.elm.values import (
    Code,
    Concept,
    Date,
    DateTime,
    Interval,
    Long,
    Quantity,
    Ratio,
    Time,
    Tuple,
    Uncertainty,
)
from cds.elm.values.date_time import compare
from cds.elm.values.moving import MovingDate
from cds.elm.values.primitive import CONTEXT
from cds.elm.values.quantity import interchangeable, on_scale, scaled
from cds.elm.values.quantity import order as order_of_quantities
from cds.errors import EvaluationError

Truth = bool | None
_TEMPORAL = (Date, DateTime, Time)
_SPACE = re.compile(r"\s")


def order(first: Value, second: Value, precision: str | None = None) -> int | None:
    """-1, 0 or 1 as `first` is less than, equal to or greater than `second`; None where null or uncertain.

    Quantities are compared in the unit of the first; those that cannot be converted give None.
    Raises EvaluationError for values that have no order.
    """
    if first is None or second is None:
        return None
    if isinstance(first, _TEMPORAL) and isinstance(second, _TEMPORAL):
        return compare(first, second, precision)
    if isinstance(first, Quantity) and isinstance(second, Quantity):
        return order_of_quantities(first, second)
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        return _order_of_uncertain(first, second)
    try:
        return int(first > second) - int(first < second)
    except TypeError as error:
        raise EvaluationError(f"{_kind(first)} and {_kind(second)} have no order") from error


def _kind(value: Value) -> str:
    return type(value).__name__


def bounds(value: Value) -> tuple[Any, Any]:
    """The least and the greatest that a number may be."""
    return (value.low, value.high) if isinstance(value, Uncertainty) else (value, value)


def _order_of_uncertain(first: Value, second: Value) -> int | None:
    (low, high), (least, most) = bounds(first), bounds(second)
    if order(high, least) == -1:
        return -1
    if order(low, most) == 1:
        return 1
    return 0 if order(low, most) == order(high, least) == 0 else None


@operator("Less")
def less(first: Value, second: Value) -> Truth:
    """12.5 Less."""
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        return greater(second, first)
    found = order(first, second)
    return None if found is None else found < 0


@operator("Greater")
def greater(first: Value, second: Value) -> Truth:
    """12.3 Greater."""
    if first is None or second is None:
        return None
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        (low, high), (least, most) = bounds(first), bounds(second)
        return True if greater(low, most) else False if greater(high, least) is False else None
    found = order(first, second)
    return None if found is None else found > 0


@operator("LessOrEqual")
def less_or_equal(first: Value, second: Value) -> Truth:
    """12.6 Less Or Equal."""
    found = greater(first, second)
    return None if found is None else not found


@operator("GreaterOrEqual")
def greater_or_equal(first: Value, second: Value) -> Truth:
    """12.4 Greater Or Equal."""
    found = less(first, second)
    return None if found is None else not found


@operator("Equal")
def equal(first: Value, second: Value) -> Truth:
    """12.1 Equal: null where either is; of structures, false where any part differs, else null where any is open."""
    if first is None or second is None:
        return None
    kind = type(first)
    if kind is type(second) and kind in _SIMPLE:
        return bool(first == second)
    if isinstance(first, Uncertainty) or isinstance(second, Uncertainty):
        return _uncertain_equal(first, second)
    alike = _EQUALITIES.get(kind)
    if alike is not None and isinstance(second, alike[0]):
        return alike[1](first, second)
    # To Python, true is 1.
    return bool(first == second) and isinstance(first, bool) is isinstance(second, bool)


def _in_order(first: Value, second: Value) -> Truth:
    found = order(first, second)
    return None if found is None else found == 0


def _uncertain_equal(first: Value, second: Value) -> Truth:
    if isinstance(first, Interval) or isinstance(second, Interval):
        return _edges(first) == _edges(second)
    found = _order_of_uncertain(first, second)
    return None if found is None else found == 0


def _lists_equal(first: Value, second: Value) -> Truth:
    if len(first) != len(second):
        return False
    spend(len(first))
    return every(equal_parts(one, other) for one, other in zip(first, second, strict=True))


def _tuples_equal(first: Tuple, second: Tuple) -> Truth:
    spend(len(first))
    return every(equal_parts(first.get(name), second.get(name)) for name in {**first, **second})


def _parts_equal(*names: str) -> Callable[[Value, Value], Truth]:
    def compared(first: Value, second: Value) -> Truth:
        return every(equal_parts(getattr(first, name), getattr(second, name)) for name in names)

    return compared


def _edges(value: Value) -> tuple[Any, Any]:
    """An uncertainty and the interval that writes it down have the same bounds."""
    return (value.low, value.high)


def equal_parts(one: Value, other: Value) -> Truth:
    """Equality of two elements of structures: two nulls are the same, one null leaves it open."""
    return True if one is None and other is None else equal(one, other)


def every(answers: Any) -> Truth:
    """False if any answer is false; else null if any is open; else true."""
    found: Truth = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            found = None
    return found


def _intervals_equal(first: Interval, second: Interval) -> Truth:
    from cds.elm.operators.interval import end, start

    lows = _edges_equal(start(first), start(second), first.low_closed and second.low_closed)
    return every((lows, _edges_equal(end(first), end(second), first.high_closed and second.high_closed)))


def _edges_equal(one: Value, other: Value, closed: bool) -> Truth:
    """Two nulls that are closed are the limit of the same type; open ones are unknown."""
    return equal_parts(one, other) if closed else equal(one, other)


#: Types whose own equality is CQL's.
_SIMPLE = frozenset((str, int, bool, Decimal, Long))
#: By the type of the first value: what the second may be, and how the two are compared.
_EQUALITIES: dict[type, tuple[Any, Callable[[Any, Any], Truth]]] = {
    **dict.fromkeys((*_TEMPORAL, MovingDate), (_TEMPORAL, _in_order)),
    Quantity: (Quantity, _in_order),
    Code: (Code, _parts_equal("code", "system", "version", "display")),
    Concept: (Concept, _parts_equal("codes", "display")),
    **dict.fromkeys((list, tuple), ((list, tuple), _lists_equal)),
    Interval: (Interval, _intervals_equal),
    Tuple: (Tuple, _tuples_equal),
    Ratio: (Ratio, _parts_equal("numerator", "denominator")),
}


@operator("NotEqual")
def not_equal(first: Value, second: Value) -> Truth:
    """12.7 Not Equal."""
    found = equal(first, second)
    return None if found is None else not found


@operator("Equivalent")
def equivalent(first: Value, second: Value) -> bool:
    """12.2 Equivalent: never null.

    Text is compared without regard to case, any white space being like any other; decimals as rounded to the coarser
    of the two; quantities in the finer of their units; codes by code and system, exactly; concepts by any code that
    they share.
    """
    if first is None or second is None:
        return first is second
    alike = _EQUIVALENCES.get(type(first))
    if alike is not None and isinstance(second, alike[0]):
        return alike[1](first, second)
    if isinstance(first, Concept | Code) and isinstance(second, Concept | Code):
        return _share_a_code(first, second)
    if isinstance(first, int | Decimal) and isinstance(second, int | Decimal):
        return _numbers_equivalent(first, second)
    return equal(first, second) is True


def _texts_equivalent(first: str, second: str) -> bool:
    spend_on_text(first)
    spend_on_text(second)
    return _folded(first) == _folded(second)


def _codes_equivalent(first: Code, second: Code) -> bool:
    return first.code == second.code and first.system == second.system


def _dates_equivalent(first: Any, second: Any) -> bool:
    return compare(first, second) == 0


def _quantities_equivalent(first: Quantity, second: Quantity) -> bool:
    by = interchangeable(second.unit, first.unit)
    if by is None:
        same = on_scale(second, first.unit)
        return same is not None and _numbers_equivalent(first.value, same)
    if by < 1:
        return _numbers_equivalent(scaled(first.value, 1 / by), second.value)
    return _numbers_equivalent(first.value, scaled(second.value, by))


def _lists_equivalent(first: Any, second: Any) -> bool:
    if len(first) != len(second):
        return False
    spend(len(first))
    return all(map(equivalent, first, second))


def _tuples_equivalent(first: Tuple, second: Tuple) -> bool:
    spend(len(first))
    return all(equivalent(first.get(name), second.get(name)) for name in {**first, **second})


def _intervals_equivalent(first: Interval, second: Interval) -> bool:
    from cds.elm.operators.interval import end, start

    return equivalent(start(first), start(second)) and equivalent(end(first), end(second))


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).casefold()


def _share_a_code(first: Value, second: Value) -> bool:
    one = first.codes if isinstance(first, Concept) else (first,)
    other = second.codes if isinstance(second, Concept) else (second,)
    known = {(code.code, code.system) for code in other}
    return any((code.code, code.system) in known for code in one)


def _numbers_equivalent(first: Value, second: Value) -> bool:
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    one, other = Decimal(first), Decimal(second)
    step = Decimal(1).scaleb(-min(_places(one), _places(other)))
    return one.quantize(step, ROUND_HALF_UP, CONTEXT) == other.quantize(step, ROUND_HALF_UP, CONTEXT)


def _places(value: Decimal) -> int:
    exponent = value.normalize(CONTEXT).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _ratios_equivalent(first: Ratio, second: Ratio) -> bool:
    from cds.elm.operators.arithmetic import multiply

    return equivalent(multiply(first.numerator, second.denominator), multiply(second.numerator, first.denominator))


_EQUIVALENCES: dict[type, tuple[Any, Callable[[Any, Any], bool]]] = {
    str: (str, _texts_equivalent),
    Code: (Code, _codes_equivalent),
    **dict.fromkeys((*_TEMPORAL, MovingDate), (_TEMPORAL, _dates_equivalent)),
    Quantity: (Quantity, _quantities_equivalent),
    **dict.fromkeys((list, tuple), ((list, tuple), _lists_equivalent)),
    Tuple: (Tuple, _tuples_equivalent),
    Interval: (Interval, _intervals_equivalent),
    Ratio: (Ratio, _ratios_equivalent),
}
