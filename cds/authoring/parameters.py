"""Parameters of CQL libraries from a file: values by name in the format of results, or a FHIR Parameters resource.

::

    {"First Dose": "2026-11-20", "Screening.Window": {"@interval": ["2026-01-01", null, true, true]}}
    {"resourceType": "Parameters", "parameter": [{"name": "First Dose", "valueDate": "2026-11-20"}]}

A name alone is meant for every library that declares it, ``Library.Name`` for that library. A value is made to fit
the declared type: a text becomes the Date, DateTime or Time that it writes, an Integer a Long, Decimal or Quantity, a
Date a DateTime, a Code a Concept. A parameter that a Parameters resource repeats is a list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from cds.authoring.result_format import from_json
from cds.elm import Libraries, types
from cds.elm.library import Parameter
from cds.elm.ports import Value
from cds.elm.types import SYSTEM, Type
from cds.elm.values import Code, Concept, Date, DateTime, Interval, Long, Quantity, Time, Tuple
from cds.elm.values.primitive import INTEGER_MAX, INTEGER_MIN
from cds.errors import CdsError, ContentError
from cds.fhir.model import TYPES, URI, Element, FHIRModel, to_value

_FHIR = "{" + URI + "}"
_MODEL = FHIRModel()


class _MisfitError(Exception):
    """A value that is not of the declared type."""


def read_parameters(path: Path, libraries: Libraries, offset: int) -> dict[Parameter, Value]:
    """The value of each parameter that the file names; `offset` (minutes) is that of moments written without one.

    Raises ContentError, with the file, for a name that no library declares, and for a value that is not of its type.
    """
    try:
        content = json.loads(path.read_bytes(), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise ContentError(f"is no JSON: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise ContentError("is no JSON object of parameters", where=str(path))
    given = _of_resource(content, path) if content.get("resourceType") == "Parameters" else content
    found: dict[Parameter, Value] = {}
    for name, stated in given.items():
        for parameter in _declared(name, libraries, path):
            try:
                value = stated if isinstance(stated, _Stated) else from_json(stated)
                found[parameter] = _fitted(value, parameter.result_type, offset)
            except _MisfitError as error:
                raise ContentError(
                    f"the parameter {name} cannot be {error}",
                    where=str(path),
                    remedy=f"{parameter.library.id} declares it as {_declaration(parameter.result_type)}",
                ) from None
            except CdsError as error:
                raise ContentError(f"the parameter {name}: {error}", where=str(path)) from error
    return found


def _declared(name: str, libraries: Libraries, path: Path) -> list[Parameter]:
    """The parameters that a name means: of every library that declares it, or of the one that it is qualified by."""
    if found := [library.parameters[name] for library in libraries if name in library.parameters]:
        return found
    for place, sign in enumerate(name):
        owner, local = name[:place], name[place + 1 :]
        if sign == "." and owner in libraries and local in libraries[owner].parameters:
            return [libraries[owner].parameters[local]]
    known = sorted({f"{library.id}.{own}" for library in libraries for own in library.parameters})
    raise ContentError(
        f"no library declares the parameter {name}", where=str(path), remedy=f"there are: {', '.join(known) or 'none'}"
    )


class _Stated(list[Element]):
    """What a Parameters resource states of one name: a FHIR value each time."""

    def value(self, wanted_as_list: bool) -> Value:
        """The list where one is wanted or the name is repeated; else the one value, or null."""
        return list(self) if wanted_as_list or len(self) > 1 else next(iter(self), None)


def _of_resource(resource: Mapping[str, Any], path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in resource.get("parameter") or ():
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            raise ContentError("a parameter without a name", where=str(path))
        found.setdefault(name, _Stated()).extend(_elements(item, path))
    return found


def _elements(item: Mapping[str, Any], path: Path) -> Iterator[Element]:
    """The FHIR value or resource of an entry of Parameters; none for one that states no value (null)."""
    for key, content in item.items():
        suffix = key.removeprefix("value")
        kind = TYPES.get(suffix) or TYPES.get(suffix[:1].lower() + suffix[1:])
        if key == "resource" and isinstance(content, dict) and content.get("resourceType") in TYPES:
            yield Element(TYPES[content["resourceType"]], content)
        elif key.startswith("value") and kind is not None:
            yield Element(kind, content)
        elif key not in ("name", "extension", "id"):
            raise ContentError(f"the parameter {item['name']} has a {key}, which is not read", where=str(path))


def _fitted(value: Value, kind: Type | None, offset: int) -> Value:
    """The value as one of the type: by CQL's implicit conversions, and from the text of dates. Else _MisfitError."""
    if isinstance(value, _Stated):
        value = value.value(isinstance(kind, types.ListOf))
    if value is None:
        return None
    match kind:
        case None:
            return to_value(value)
        case types.ListOf(element) if isinstance(value, list):
            return [_fitted(item, element, offset) for item in value]
        case types.IntervalOf(point) if isinstance(found := to_value(value), Interval):
            low, high = (_fitted(bound, point, offset) for bound in (found.low, found.high))
            return Interval(low, high, found.low_closed, found.high_closed)
        case types.TupleOf(elements) if isinstance(value, Tuple) and value.keys() <= dict(elements).keys():
            return Tuple({name: _fitted(value.get(name), inner, offset) for name, inner in elements})
        case types.ChoiceOf(choices):
            return _first_fitting(value, choices, offset)
        case types.Named(name) if name.startswith(SYSTEM):
            return _system(to_value(value), name.removeprefix(SYSTEM), offset)
        case types.Named(name):
            return _fhir(value, name)
    raise _MisfitError(_said(value))


def _first_fitting(value: Value, choices: tuple[Type, ...], offset: int) -> Value:
    """The value as the first of the types that it is already, else as the first that it can be made into."""
    for choice in choices:
        if types.tester(choice, _MODEL)(value):
            return value
    for choice in choices:
        try:
            return _fitted(value, choice, offset)
        except _MisfitError:
            continue
    raise _MisfitError(_said(value))


def _fhir(value: Value, name: str) -> Element:
    if isinstance(value, Element) and name in value.type.lineage:
        return value
    kind = TYPES.get(name.removeprefix(_FHIR))
    if kind is not None and kind.system is not None and isinstance(value, bool | int | Decimal | str):
        element = Element(kind, value)
        if element.get("value") is not None:
            return element
    raise _MisfitError(_said(value))


def _system(value: Value, name: str, offset: int) -> Value:
    """A System value as one of the named System type."""
    if types.tester(types.Named(SYSTEM + name), None)(value):
        if name == "Integer" and not INTEGER_MIN <= value <= INTEGER_MAX:
            raise _MisfitError(_said(value))
        return _zoned(value, offset)
    match name, value:
        case "Date", str():
            found: Value = Date.parse(value)
        case "DateTime", str():
            found = DateTime.parse(value)
        case "DateTime", Date():
            found = DateTime(value.year, value.month, value.day)
        case "Time", str():
            found = Time.parse(value)
        case "Long", int() if not isinstance(value, bool):
            found = Long(value)
        case "Decimal", int() if not isinstance(value, bool):
            found = Decimal(value)
        case "Quantity", int() | Decimal() if not isinstance(value, bool):
            found = Quantity(Decimal(value))
        case "Concept", Code():
            found = Concept((value,))
        case _:
            found = None
    if found is None:
        raise _MisfitError(_said(value))
    return _zoned(found, offset)


def _zoned(value: Value, offset: int) -> Value:
    """A DateTime without an offset is one of the evaluation's time zone (CQL 1.5, DateTime)."""
    if isinstance(value, DateTime) and value.offset is None:
        return DateTime(*value.parts, offset)  # type: ignore[arg-type, call-arg]
    return value


def _declaration(kind: Type | None) -> str:
    fhir = isinstance(kind, types.Named) and kind.name.startswith(_FHIR)
    return f"FHIR.{kind}" if fhir else str(kind)


def _said(value: Value) -> str:
    name = value.type.name if isinstance(value, Element) else type(value).__name__
    return f"{value!r} ({name})" if isinstance(value, bool | int | Decimal | str) else f"a {name}"
