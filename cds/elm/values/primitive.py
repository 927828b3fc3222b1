"""Long, and the limits of the numeric types (CQL 1.5, appendix B, Types)."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

INTEGER_MAX: Final = 2**31 - 1
INTEGER_MIN: Final = -(2**31)
LONG_MAX: Final = 2**63 - 1
LONG_MIN: Final = -(2**63)
#: The greatest Decimal that `maximum Decimal` names, and the bound within which results are kept.
DECIMAL_MAX: Final = Decimal("99999999999999999999.99999999")
DECIMAL_BOUND: Final = Decimal(10) ** 28
DECIMAL_MIN: Final = -DECIMAL_MAX
DECIMAL_STEP: Final = Decimal("0.00000001")

#: Wide enough that the product of two decimals of 28 digits is exact before it is rounded to scale 8.
CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Long(int):
    """A 64-bit integer, told apart from Integer by its class."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}L"


def decimal(value: Decimal) -> Decimal | None:
    """`value` as CQL keeps decimals, scale 8 at most; null beyond 28 digits before the point."""
    if not value.is_finite() or not -DECIMAL_BOUND <= value <= DECIMAL_BOUND:
        return None
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -8:
        value = value.quantize(DECIMAL_STEP, context=CONTEXT)
    return value


def integer(value: int, *, long: bool = False) -> int | None:
    """An Integer (or Long) result; null where it overflows (chapter 16)."""
    if long:
        return Long(value) if LONG_MIN <= value <= LONG_MAX else None
    return value if INTEGER_MIN <= value <= INTEGER_MAX else None
