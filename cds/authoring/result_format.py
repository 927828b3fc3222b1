"""CQL values as JSON and back: the format in which engines are compared, and in which parameters are given.

null, true, 5, 1.25 and "text" stand for themselves; a list is a list; every other value is an object with one key:
``@datetime``, ``@date``, ``@time`` (text), ``@long`` (text), ``@quantity`` [value, unit], ``@ratio`` [quantity,
quantity], ``@code`` [system, code], ``@concept`` [[system, code] ...], ``@interval`` [low, high, low closed, high
closed], ``@tuple`` {name: value}, ``@uncertainty`` [low, high], ``@valueset`` and ``@codesystem`` (URL), ``@resource``
("Type/id"), ``@fhir`` [type, JSON].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from cds.elm.ports import Value
from cds.elm.values import (
    Code,
    CodeSystemRef,
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
    ValueSetRef,
)
from cds.errors import CdsError
from cds.fhir.model import TYPES, Element

#: How a resource is cited, such as ``Observation/1``.
Cite = Callable[[dict[str, Any]], str]


def _cited(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource.get('id')}"


def to_json(value: Value, cite: Cite = _cited) -> Any:
    """A CQL value in this format, for `dumps` to write. TypeError for what is no CQL value."""
    kind = type(value)
    if value is None or kind in _AS_THEY_ARE:
        return value
    if kind is list:
        return [to_json(item, cite) for item in value]
    if kind is Element:
        return _of_fhir(value, cite)
    write = _WRITERS.get(kind)
    if write is None:
        raise TypeError(f"{kind.__name__} is no CQL value")
    return write(value, cite)


_AS_THEY_ARE: Final = frozenset({bool, int, str, Decimal})


def dumps(content: Any) -> bytes:
    """The JSON text of values in this format, decimals with all their digits. Raises orjson.JSONEncodeError."""
    return orjson.dumps(content, default=_number)


def _number(value: Any) -> orjson.Fragment:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is no JSON")
    return orjson.Fragment(format(value, "f"))


def _of_fhir(element: Element, cite: Cite) -> dict[str, Any]:
    if element.type.is_resource:
        return {"@resource": cite(element.json)}
    return {"@fhir": [element.type.name, element.json]}


def _quantity(value: Quantity, _: Cite) -> dict[str, Any]:
    return {"@quantity": [value.value, value.unit]}


def _interval(value: Interval, cite: Cite) -> dict[str, Any]:
    return {"@interval": [to_json(value.low, cite), to_json(value.high, cite), value.low_closed, value.high_closed]}


_WRITERS: dict[type, Callable[[Any, Cite], Any]] = {
    Long: lambda value, _: {"@long": str(int(value))},
    Date: lambda value, _: {"@date": str(value)},
    DateTime: lambda value, _: {"@datetime": str(value)},
    Time: lambda value, _: {"@time": str(value)},
    Quantity: _quantity,
    Ratio: lambda value, cite: {"@ratio": [_quantity(value.numerator, cite), _quantity(value.denominator, cite)]},
    Code: lambda value, _: {"@code": [value.system, value.code]},
    Concept: lambda value, _: {"@concept": [[code.system, code.code] for code in value.codes]},
    Interval: _interval,
    Tuple: lambda value, cite: {"@tuple": {name: to_json(item, cite) for name, item in value.items()}},
    Uncertainty: lambda value, cite: {"@uncertainty": [to_json(value.low, cite), to_json(value.high, cite)]},
    ValueSetRef: lambda value, _: {"@valueset": value.id},
    CodeSystemRef: lambda value, _: {"@codesystem": value.id},
}


def from_json(json: Any) -> Value:
    """The CQL value that JSON in this format stands for; numbers with a point are to be read as Decimal.

    Raises CdsError, which quotes what it cannot read.
    """
    if isinstance(json, list):
        return [from_json(item) for item in json]
    if isinstance(json, float):
        return Decimal(repr(json))
    if not isinstance(json, Mapping):
        return json
    if len(json) != 1:
        raise _unreadable(json)
    ((tag, content),) = json.items()
    read = _READERS.get(tag)
    if read is None:
        raise _unreadable(json)
    try:
        value = read(content)
    except (TypeError, ValueError, ArithmeticError, KeyError, AttributeError):
        value = None
    if value is None:
        raise _unreadable(json)
    return value


def _unreadable(json: Any) -> CdsError:
    return CdsError(
        f"cannot read {str(json)[:80]}",
        remedy='write a value as in results, such as {"@date": "2026-11-20"} or {"@quantity": [5, "mg"]}',
    )


def _read_quantity(content: Any) -> Quantity:
    if isinstance(content, Mapping):
        content = content["@quantity"]
    number, unit = content
    if isinstance(number, bool) or not isinstance(unit, str | None):
        raise TypeError
    return Quantity(Decimal(repr(number) if isinstance(number, float) else number), unit or "1")


def _read_code(content: Any) -> Code:
    system, code = content
    if not isinstance(system, str | None) or not isinstance(code, str):
        raise TypeError
    return Code(code=code, system=system)


def _read_interval(content: Any) -> Interval:
    low, high, low_closed, high_closed = content
    if not isinstance(low_closed, bool) or not isinstance(high_closed, bool):
        raise TypeError
    return Interval(from_json(low), from_json(high), low_closed, high_closed)


def _read_text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError
    return content


def _read_ratio(content: Any) -> Ratio:
    numerator, denominator = map(_read_quantity, content)
    return Ratio(numerator, denominator)


_READERS: dict[str, Callable[[Any], Value]] = {
    "@date": lambda content: Date.parse(_read_text(content)),
    "@datetime": lambda content: DateTime.parse(_read_text(content)),
    "@time": lambda content: Time.parse(_read_text(content)),
    "@long": Long,
    "@quantity": _read_quantity,
    "@ratio": _read_ratio,
    "@code": _read_code,
    "@concept": lambda content: Concept(tuple(map(_read_code, content))),
    "@interval": _read_interval,
    "@tuple": lambda content: Tuple({name: from_json(item) for name, item in content.items()}),
    "@valueset": lambda content: ValueSetRef(_read_text(content)),
    "@codesystem": lambda content: CodeSystemRef(_read_text(content)),
    "@fhir": lambda content: Element(TYPES[content[0]], content[1]),
}
