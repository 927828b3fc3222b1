"""List operators (CQL 1.5, Logical Specification, chapter 20), and those that lists share with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from cds.elm.operators import LARGEST, bounded, operator
from cds.elm.operators import interval as intervals
from cds.elm.operators.comparison import Truth, equal, every
from cds.elm.ports import Structured, Value
from cds.elm.values import Code, Date, DateTime, Interval, Long, Tuple
from cds.errors import EvaluationError


def same(first: Value, second: Value) -> bool:
    """Whether two elements count as one: equal, or both null (CQL 1.5, appendix B, List Operators)."""
    return (first is None and second is None) or equal(first, second) is True


#: Simple types of which equal values have equal hashes; true is apart, for to Python it is 1.
_HASHED = frozenset((str, int, Decimal, Long))


#: How many comparisons one operator may make of elements that nothing tells apart but comparing.
_COMPARISONS = 1_000_000


class Elements:
    """Elements by what equal ones have in common, so that few are compared: CQL's equality has no hash.

    Raises EvaluationError where too many have to be compared all the same: that is the square of a long list.
    """

    __slots__ = ("_kept", "_left")

    def __init__(self, items: Iterable[Value] = ()) -> None:
        self._kept: dict[Any, list[Value]] = {}
        self._left = _COMPARISONS
        for item in items:
            self._kept.setdefault(_key(item), []).append(item)

    def holds(self, element: Value) -> bool:
        """Whether an element that counts as this one is there."""
        return self._is_among(self._kept.get(_key(element), ()), element)

    def add(self, element: Value) -> bool:
        """Adds what is not there yet; whether it was added."""
        kept = self._kept.setdefault(_key(element), [])
        if self._is_among(kept, element):
            return False
        kept.append(element)
        return True

    def _is_among(self, kept: Sequence[Value], element: Value) -> bool:
        self._left -= len(kept)
        if self._left < 0:
            raise EvaluationError(f"a list is too long to be compared with itself ({_COMPARISONS} comparisons)")
        return any(same(item, element) for item in kept)


def _key(value: Value) -> Any:
    """What is equal for any two values that are: the same text, resource or code, or merely the same kind."""
    kind = type(value)
    if kind in _HASHED:
        return value
    if isinstance(value, Structured):
        return kind, hash(value)
    if kind is Code:
        return kind, value.code
    if kind is Tuple:
        return frozenset((name, _key(part)) for name, part in value.items() if part is not None)
    if kind is Interval:
        return kind, _key(intervals.start(value)), _key(intervals.end(value))
    if kind is Date:
        return "date", value.parts
    return _moment(value) if kind is DateTime else kind


def _moment(value: DateTime) -> Any:
    """A DateTime without hours equals the Date; any other the same moment, with or without milliseconds that are 0."""
    if value.hour is None:
        return "date", value.parts[:3]
    whole = value if value.offset in (None, 0) else value.at_offset(0)
    return whole.parts[:6], whole.parts[6] or 0


@operator("Exists")
def exists(items: Value) -> bool:
    """20.8 Exists: whether there is an element that is not null; never null."""
    return items is not None and any(item is not None for item in items)


@operator("Distinct")
def distinct(items: Value) -> Value:
    """20.4 Distinct: the first of each; nulls are one."""
    if items is None:
        return None
    if _HASHED.issuperset(map(type, items)):
        return list(dict.fromkeys(items))
    found = Elements()
    return [item for item in items if found.add(item)]


@operator("First", fields=("source",))
def first(items: Value) -> Value:
    """20.10 First."""
    return items[0] if items else None


@operator("Last", fields=("source",))
def last(items: Value) -> Value:
    """20.20 Last."""
    return items[-1] if items else None


@operator("Slice", fields=("source", "startIndex", "endIndex"))
def slice_(items: Value, start: Value, end: Value) -> Value:
    """20.28 Slice (Skip, Take, Tail)."""
    if items is None:
        return None
    if (start or 0) < 0 or (end is not None and end <= 0):
        return []
    return list(items[start or 0 : end])


@operator("IndexOf", fields=("source", "element"))
def index_of(items: Value, element: Value) -> Value:
    """20.16 IndexOf: -1 where it is not found."""
    if items is None or element is None:
        return None
    return next((place for place, item in enumerate(items) if equal(item, element) is True), -1)


@operator("SingletonFrom")
def singleton_from(items: Value) -> Value:
    """20.27 Singleton From. Raises EvaluationError for more than one element."""
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError("singleton from a list of more than one element")
    return items[0]


@operator("Flatten")
def flatten(items: Value) -> Value:
    """20.11 Flatten: one level; an element that is null holds nothing."""
    if items is None:
        return None
    return bounded(
        [member for item in items if item is not None for member in (item if isinstance(item, list) else (item,))]
    )


@operator("ToList")
def to_list(value: Value) -> Value:
    """ELM ToList: the value alone in a list; of null, an empty one."""
    return [] if value is None else [value]


@operator("Times")
def times(left: Value, right: Value) -> Value:
    """ELM Times: the Cartesian product of two lists of tuples."""
    if left is None or right is None:
        return None
    if len(left) * len(right) > LARGEST:
        raise EvaluationError(f"the product of two lists has more than {LARGEST} rows")
    return [Tuple({**one, **other}) for one in left for other in right]


def _precision(name: str | None) -> Any:
    return None if name is None else name.lower()


@operator("In", settings=("precision",))
def in_(element: Value, items: Value, *, precision: str | None = None) -> Truth:
    """20.13 and 19.12 In: of a null list or interval, false; an open null bound leaves it open."""
    if items is None:
        return False
    if isinstance(items, Interval):
        return intervals.holds(items, element, _precision(precision))
    if element is None:
        return any(item is None for item in items)
    return any(equal(item, element) is True for item in items)


@operator("Contains", settings=("precision",))
def contains(items: Value, element: Value, *, precision: str | None = None) -> Truth:
    """20.2 and 19.5 Contains."""
    return in_(element, items, precision=precision)


@operator("ProperContains", settings=("precision",))
def proper_contains(items: Value, element: Value, *, precision: str | None = None) -> Truth:
    """20.22 and 19.24 Proper Contains: null beside the element leaves it open whether there is another."""
    if items is None:
        return None if isinstance(element, list) else False
    if isinstance(items, Interval):
        return intervals.properly_holds(items, element, _precision(precision))
    if element is None:
        return any(item is None for item in items) and len(distinct(items)) > 1
    other = [None if item is None else not same(item, element) for item in items]
    return every((in_(element, items), True if True in other else None if None in other else False))


@operator("ProperIn", settings=("precision",))
def proper_in(element: Value, items: Value, *, precision: str | None = None) -> Truth:
    """20.23 and 19.25 Proper In."""
    return proper_contains(items, element, precision=precision)


@operator("Includes", settings=("precision",))
def includes(outer: Value, inner: Value, *, precision: str | None = None) -> Truth:
    """20.14 and 19.13 Includes (ELM uses it for a point, too)."""
    if isinstance(outer, Interval) and isinstance(inner, Interval):
        return intervals.includes(outer, inner, _precision(precision))
    if isinstance(inner, list):
        if outer is None:
            return None
        return all(map(Elements(outer).holds, inner))
    if outer is None or inner is None:
        return None
    return in_(inner, outer, precision=precision)


@operator("IncludedIn", settings=("precision",))
def included_in(inner: Value, outer: Value, *, precision: str | None = None) -> Truth:
    """20.15 and 19.14 Included In."""
    return includes(outer, inner, precision=precision)


@operator("ProperIncludes", settings=("precision",))
def proper_includes(outer: Value, inner: Value, *, precision: str | None = None) -> Truth:
    """20.24 and 19.26 Proper Includes."""
    if isinstance(outer, Interval) and isinstance(inner, Interval):
        return intervals.properly_includes(outer, inner, _precision(precision))
    if outer is None or inner is None:
        return None
    if not isinstance(inner, list):
        return proper_contains(outer, inner, precision=precision)
    return includes(outer, inner) is True and len(distinct(outer)) > len(distinct(inner))


@operator("ProperIncludedIn", settings=("precision",))
def proper_included_in(inner: Value, outer: Value, *, precision: str | None = None) -> Truth:
    """20.25 and 19.27 Proper Included In."""
    return proper_includes(outer, inner, precision=precision)


@operator("Union")
def union(*operands: Value) -> Value:
    """20.31 and 19.31 Union: of lists each element once; a null list holds nothing."""
    if any(isinstance(operand, Interval) for operand in operands):
        first_, second = operands
        return None if first_ is None or second is None else intervals.union(first_, second)
    if all(operand is None for operand in operands):
        return None
    return distinct(bounded([item for operand in operands if operand is not None for item in operand]))


@operator("Intersect")
def intersect(*operands: Value) -> Value:
    """20.17 and 19.15 Intersect."""
    found = operands[0]
    for other in operands[1:]:
        if found is None or other is None:
            return None
        if isinstance(found, Interval):
            found = intervals.intersect(found, other)
        else:
            found = distinct(list(filter(Elements(other).holds, found)))
    return found


@operator("Except")
def except_(first_: Value, second: Value) -> Value:
    """20.7 and 19.10 Except."""
    if isinstance(first_, Interval):
        return None if second is None else intervals.except_(first_, second)
    if first_ is None:
        return None
    taken = Elements(second or ())
    return distinct([item for item in first_ if not taken.holds(item)])
