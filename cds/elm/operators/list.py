"""List operators (CQL 1.5, Logical Specification, chapter 20), and those that lists share with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from cds.elm.budget import FREE, spend
from cds.elm.operators import interval as intervals
from cds.elm.operators import operator
from cds.elm.operators.comparison import Truth, equal, every
from cds.elm.ports import Structured, Value
from cds.elm.values import Code, Concept, Date, DateTime, Interval, Long, Quantity, Time, Tuple
from cds.elm.values.moving import MovingDate
from cds.errors import EvaluationError


def same(first: Value, second: Value) -> bool:
    """Whether two elements count as one: equal, or both null (CQL 1.5, appendix B, List Operators)."""
    return (first is None and second is None) or equal(first, second) is True


#: Simple types of which equal values have equal hashes; true is apart, for to Python it is 1.
_HASHED = frozenset((str, int, Decimal, Long))


class ElementSet:
    """Elements by what equal ones have in common, so that few are compared: CQL's equality has no hash.

    A *loose* element may equal one with another key (a quantity in another unit, a time without an offset): it is
    compared with all of its kind.
    """

    __slots__ = ("_kept", "_loose", "_of_kind", "_unit")

    def __init__(self, items: Iterable[Value] = ()) -> None:
        self._kept: dict[Any, list[Value]] = {}
        self._loose: dict[Any, list[Value]] = {}
        self._of_kind: dict[Any, list[Value]] = {}
        self._unit: str | None = None
        for item in items:
            self._keep(item)

    def holds(self, element: Value) -> bool:
        """Whether an element that counts as the same is in it."""
        key = self._key(element)
        if key is _LOOSE:
            return _is_among(element, self._of_kind.get(_kind(element), ()))
        loose = self._loose.get(_kind(element), ()) if self._loose else ()
        return _is_among(element, self._kept.get(key, ())) or _is_among(element, loose)

    def add(self, element: Value) -> bool:
        """Adds what is not there yet; whether it was added."""
        if self.holds(element):
            return False
        self._keep(element)
        return True

    def _keep(self, element: Value) -> None:
        key = self._key(element)
        if key is _LOOSE:
            self._loose.setdefault(_kind(element), []).append(element)
        else:
            self._kept.setdefault(key, []).append(element)
        if key is _LOOSE or type(element) in _MAY_BE_LOOSE:
            self._of_kind.setdefault(_kind(element), []).append(element)

    def _key(self, element: Value) -> Any:
        if type(element) is Quantity:
            if self._unit is None:
                self._unit = element.unit
            return (Quantity, element.value) if element.unit == self._unit else _LOOSE
        return _key(element)


def _is_among(element: Value, items: Sequence[Value]) -> bool:
    if len(items) > 1:
        spend(len(items))
    return any(same(item, element) for item in items)


#: In place of the key of an element that has none.
_LOOSE: Final = object()
_MAY_BE_LOOSE = frozenset((Quantity, Date, DateTime, Interval, list, tuple))


def _kind(value: Value) -> Any:
    kind = type(value)
    return "date" if kind in (Date, DateTime, MovingDate) else "list" if kind in (list, tuple) else kind


def _key(value: Value) -> Any:
    """What is equal for any two values that are: the same text, resource, code or moment, or merely the same kind."""
    kind = type(value)
    if kind in _HASHED:
        return value
    if isinstance(value, Structured):
        return kind, hash(value)
    find = _KEYS.get(kind)
    return kind if find is None else find(value)


def _key_of_date(value: Date | DateTime | Time) -> Any:
    """The known components, in UTC where there is an hour; seconds without milliseconds are whole."""
    if isinstance(value, DateTime) and value.hour is not None:
        if value.offset is None:
            return _LOOSE
        value = value.at_offset(0)
        if value.offset != 0:  # beyond the first or last year
            return _LOOSE
    known = value.parts[: value.known]
    if not isinstance(value, Date) and value.millisecond is None and value.second is not None:
        known = (*known, 0)
    return "time" if isinstance(value, Time) else "date", known


def _key_of_interval(value: Interval) -> Any:
    try:
        key = _key_within(intervals.start(value))
    except EvaluationError:
        return _LOOSE
    return key if key is _LOOSE else (Interval, key)


def _key_of_list(value: Sequence[Value]) -> Any:
    key = _key_within(value[0]) if value else None
    return key if key is _LOOSE else ("list", len(value), key)


def _key_within(value: Value) -> Any:
    """The key of a part; of quantities none is known, for each may be in its own unit."""
    return _LOOSE if type(value) is Quantity else _key(value)


_KEYS: dict[type, Callable[[Any], Any]] = {
    Code: lambda value: (Code, value.code),
    Concept: lambda value: (Concept, tuple(code.code for code in value.codes)),
    Tuple: lambda value: (Tuple, frozenset((name, part) for name, part in value.items() if type(part) in _HASHED)),
    **dict.fromkeys((Date, DateTime, Time), _key_of_date),
    MovingDate: lambda value: _LOOSE,
    Interval: _key_of_interval,
    **dict.fromkeys((list, tuple), _key_of_list),
}


@operator("Exists")
def exists(items: Value) -> bool:
    """20.8 Exists: whether there is an element that is not null; never null."""
    if not items:
        return False
    if items[0] is not None:
        return True
    spend(len(items))
    return any(item is not None for item in items)


@operator("Distinct")
def distinct(items: Value) -> Value:
    """20.4 Distinct: the first of each; nulls are one."""
    if items is None:
        return None
    if len(items) < 2:
        return list(items)
    spend(len(items))
    if _HASHED.issuperset(map(type, items)):
        return list(dict.fromkeys(items))
    found = ElementSet()
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
    found = list(items[start or 0 : end])
    spend(len(found))
    return found


@operator("IndexOf", fields=("source", "element"))
def index_of(items: Value, element: Value) -> Value:
    """20.16 IndexOf: -1 where it is not found."""
    if items is None or element is None:
        return None
    spend(len(items))
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
    found: list[Value] = []
    for item in items:
        if isinstance(item, list):
            found += item
        elif item is not None:
            found.append(item)
    if len(found) > FREE:
        spend(len(found))
    return found


@operator("ToList")
def to_list(value: Value) -> Value:
    """ELM ToList: the value alone in a list; of null, an empty one."""
    return [] if value is None else [value]


@operator("Times")
def times(left: Value, right: Value) -> Value:
    """ELM Times: the Cartesian product of two lists of tuples."""
    if left is None or right is None:
        return None
    spend(len(left) * sum(map(len, right)) + sum(map(len, left)) * len(right))
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
    if len(items) > FREE:
        spend(len(items))
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
    spend(len(items))
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
        spend(len(outer) + len(inner))
        return all(map(ElementSet(outer).holds, inner))
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
    return distinct([item for operand in operands if operand is not None for item in operand])


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
            spend(len(other) + len(found))
            found = distinct(list(filter(ElementSet(other).holds, found)))
    return found


@operator("Except")
def except_(first_: Value, second: Value) -> Value:
    """20.7 and 19.10 Except."""
    if isinstance(first_, Interval):
        return None if second is None else intervals.except_(first_, second)
    if first_ is None:
        return None
    spend(len(second or ()) + len(first_))
    taken = ElementSet(second or ())
    return distinct([item for item in first_ if not taken.holds(item)])
