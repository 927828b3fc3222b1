"""Aggregate operators (CQL 1.5, Logical Specification, chapter 21). Nulls are left out; of nothing, most are null."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cmp_to_key, reduce
from typing import Any

from cds.elm.budget import spend
from cds.elm.operators import operator
from cds.elm.operators.arithmetic import add, aligned, divide, multiply, power, subtract
from cds.elm.operators.comparison import equal, order
from cds.elm.ports import Value
from cds.elm.values import Quantity
from cds.elm.values.primitive import CONTEXT, decimal

Path = Any


def _known(items: Sequence[Value] | None) -> list[Value]:
    if not items:
        return []
    spend(len(items))
    return [item for item in items if item is not None]


def aggregate(name: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Registers an aggregate: its list is the node's `source`."""
    return operator(name, fields=("source",))


@aggregate("AllTrue")
def all_true(items: Value) -> bool:
    """21.1 AllTrue: true of nothing."""
    return all(item is True for item in _known(items))


@aggregate("AnyTrue")
def any_true(items: Value) -> bool:
    """21.2 AnyTrue: false of nothing."""
    return any(item is True for item in _known(items))


@aggregate("Count")
def count(items: Value) -> int:
    """21.4 Count: 0 of nothing."""
    return len(_known(items))


@aggregate("Sum")
def total(items: Value) -> Value:
    """21.13 Sum."""
    known = _known(items)
    return reduce(add, known) if known else None


@aggregate("Product")
def product(items: Value) -> Value:
    """21.6 Product."""
    known = _known(items)
    return reduce(multiply, known) if known else None


@aggregate("Avg")
def average(items: Value) -> Value:
    """21.3 Avg."""
    known = _known(items)
    return divide(reduce(add, map(_exact, known)), Decimal(len(known))) if known else None


def _exact(value: Value) -> Value:
    return value if isinstance(value, Quantity) else Decimal(value)


def _best(items: Value, sign: int) -> Value:
    """The greatest (1) or least (-1); null where one that cannot be compared with it might be that instead."""
    best: Value = None
    unsure: list[Value] = []
    for item in _known(items):
        found = sign if best is None else order(item, best)
        if found is None:
            unsure.append(item)
        elif found == sign:
            best = item
    return best if all(order(best, item) in (sign, 0) for item in unsure) else None


@aggregate("Min")
def minimum(items: Value) -> Value:
    """21.9 Min."""
    return _best(items, -1)


@aggregate("Max")
def maximum(items: Value) -> Value:
    """21.7 Max."""
    return _best(items, 1)


@aggregate("Median")
def median(items: Value) -> Value:
    """21.8 Median."""
    known = sorted(map(_exact, _known(items)), key=cmp_to_key(lambda first, second: order(first, second) or 0))
    if not known:
        return None
    middle = len(known) // 2
    return known[middle] if len(known) % 2 else divide(add(known[middle - 1], known[middle]), Decimal(2))


@aggregate("Mode")
def mode(items: Value) -> Value:
    """21.10 Mode: the commonest, and of several the first."""
    counts: list[list[Any]] = []
    for item in _known(items):
        spend(len(counts))
        for entry in counts:
            if equal(entry[0], item) is True:
                entry[1] += 1
                break
        else:
            counts.append([item, 1])
    return max(counts, key=lambda entry: entry[1])[0] if counts else None


@aggregate("GeometricMean")
def geometric_mean(items: Value) -> Value:
    """21.5 GeometricMean."""
    known = _known(items)
    return power(reduce(multiply, map(Decimal, known)), divide(1, len(known))) if known else None


def _variance(items: Value, fewer: int) -> Value:
    known = _in_one_unit([_exact(item) for item in _known(items)])
    if len(known) <= fewer:
        return None
    mean = divide(reduce(add, known), Decimal(len(known)))
    squares = [_squared(subtract(item, mean)) for item in known]
    return divide(reduce(add, squares), Decimal(len(known) - fewer))


def _in_one_unit(values: list[Value]) -> list[Value]:
    """Quantities in the finest of their units: squares of several units do not add up."""
    if len({value.unit for value in values if isinstance(value, Quantity)}) < 2:
        return values
    zero = reduce(lambda zero, value: Quantity(Decimal(0), aligned(zero, value)[2]), values)
    return [Quantity(aligned(zero, value)[1], zero.unit) for value in values]


def _squared(value: Value) -> Value:
    # Of a quantity the unit is left as it is: the specification states variances in the unit of what was measured.
    if isinstance(value, Quantity):
        return Quantity(CONTEXT.multiply(value.value, value.value), value.unit)
    return CONTEXT.multiply(value, value)


def _root(value: Value) -> Value:
    if isinstance(value, Quantity):
        return Quantity(_root(value.value), value.unit)
    return None if value is None else decimal(value.sqrt(CONTEXT))


@aggregate("Variance")
def variance(items: Value) -> Value:
    """21.15 Variance, of a sample."""
    return _variance(items, 1)


@aggregate("PopulationVariance")
def population_variance(items: Value) -> Value:
    """21.11 PopulationVariance."""
    return _variance(items, 0)


@aggregate("StdDev")
def standard_deviation(items: Value) -> Value:
    """21.14 StdDev, of a sample."""
    return _root(_variance(items, 1))


@aggregate("PopulationStdDev")
def population_standard_deviation(items: Value) -> Value:
    """21.12 PopulationStdDev."""
    return _root(_variance(items, 0))
