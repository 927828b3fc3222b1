"""Searches of what is published (FHIR R4, http://hl7.org/fhir/R4/search.html), and the Bundle that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from cds.errors import RequestError
from cds.publishing.repository import Published, Repository

Json = dict[str, Any]

#: How many resources a page has where nothing is said, and at most.
_PAGE, _LONGEST_PAGE = 50, 500
#: What tells nothing of which resources are searched for.
_SHAPING = ("_count", "_elements", "_offset", "_summary")
#: What any client may add, and is the caller's to choose elsewhere.
_IGNORED = ("_format", "_pretty")
#: What a resource keeps whatever elements are asked for: R4 lets none of these be absent.
_KEPT = ("resourceType", "id", "meta", "status", "url", "type", "subjectType")
_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter: its `kind` (token, string, uri or reference) and where its values stand.

    `path` is dotted (several are divided by ``|``); a segment over a list goes into each of its items, ``name:type``
    into those of that type. `bulky` ones need the whole resource.
    """

    kind: str
    path: str
    bulky: bool = False


_CANONICAL = {
    "identifier": Parameter("token", "identifier"),
    "name": Parameter("string", "name"),
    "publisher": Parameter("string", "publisher"),
    "status": Parameter("token", "status"),
    "title": Parameter("string", "title"),
    "url": Parameter("uri", "url"),
    "version": Parameter("token", "version"),
}
_TYPE = {"type": Parameter("token", "type")}
_DEPENDING = {"depends-on": Parameter("reference", "relatedArtifact:depends-on.resource|library")}
#: The search parameters of each type: all of R4's own, by which somebody might look for what is here.
PARAMETERS: Mapping[str, dict[str, Parameter]] = {
    "ActivityDefinition": _CANONICAL | _DEPENDING,
    "CodeSystem": _CANONICAL | {"code": Parameter("token", "concept", bulky=True)},
    "Library": _CANONICAL | _DEPENDING | _TYPE,
    "PlanDefinition": _CANONICAL
    | _DEPENDING
    | _TYPE
    | {"definition": Parameter("reference", "action.definitionCanonical", bulky=True)},
    "Questionnaire": _CANONICAL | {"subject-type": Parameter("token", "subjectType")},
    "ResearchStudy": {
        "category": Parameter("token", "category"),
        "focus": Parameter("token", "focus"),
        "identifier": Parameter("token", "identifier"),
        "keyword": Parameter("token", "keyword"),
        "location": Parameter("token", "location"),
        "protocol": Parameter("reference", "protocol.reference"),
        "status": Parameter("token", "status"),
        "title": Parameter("string", "title"),
    },
    "ValueSet": _CANONICAL
    | {
        "code": Parameter("token", "expansion.contains", bulky=True),
        "reference": Parameter("uri", "compose.include.system", bulky=True),
    },
}
EVERYWHERE = {"_id": Parameter("token", "id")}


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it was understood: what selects, how the answer is shaped, and what was not understood."""

    kind: str
    criteria: tuple[tuple[str, str, Parameter, str], ...]
    count: int
    offset: int
    summary: str
    elements: tuple[str, ...]
    used: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, kind: str, given: Iterable[tuple[str, str]], *, strict: bool = False) -> Search:
        """The search for resources of a type that name-value pairs describe.

        Parameters that are not known are passed over, as R4 has it (3.1.1.6); with `strict` they are refused.
        Raises RequestError for values, and for modifiers of known parameters, that cannot be applied.
        """
        parameters = EVERYWHERE | PARAMETERS[kind]
        criteria, shape, used = [], dict[str, str](), []
        for name, value in given:
            base, _, modifier = name.partition(":")
            if name in _SHAPING:
                shape[name] = value
            elif base in parameters:
                criteria.append((name, modifier, parameters[base], value))
                _refuse_modifier(name, modifier, parameters[base])
            elif strict and name not in _IGNORED:
                known = ", ".join(sorted([*parameters, *_SHAPING]))
                raise RequestError("is no search parameter here", where=_shown(name), remedy=f"there are: {known}")
            else:
                continue
            used.append((name, value))
        summary = shape.get("_summary", "false")
        if summary not in ("true", "false", "count", "data"):
            raise RequestError("is none of true, false, count, data", where="_summary", remedy="correct it")
        return cls(
            kind,
            tuple(criteria),
            _whole(shape, "_count", _PAGE, _LONGEST_PAGE),
            _whole(shape, "_offset", 0),
            summary,
            tuple(part.strip() for part in shape.get("_elements", "").split(",") if part.strip()),
            tuple(used),
        )

    def bundle(self, repository: Repository, base: str) -> Json:
        """The searchset of this search. `base` is the URL of the server's root, which all its links begin with."""
        found = [one for one in repository.of_type(self.kind) if self._selects(one)]
        count_only = self.summary == "count" or self.count == 0
        page = [] if count_only else found[self.offset : self.offset + self.count]
        links = [{"relation": "self", "url": self._url(base, self.offset)}]
        if not count_only and self.offset + self.count < len(found):
            links.append({"relation": "next", "url": self._url(base, self.offset + self.count)})
        bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links}
        if page:
            bundle["entry"] = [
                {"fullUrl": f"{base}/{self.kind}/{one.id}", "resource": self._shaped(one), "search": {"mode": "match"}}
                for one in page
            ]
        return bundle

    def _url(self, base: str, offset: int) -> str:
        given = [(name, value) for name, value in self.used if name != "_offset"]
        if offset:
            given.append(("_offset", str(offset)))
        return f"{base}/{self.kind}" + (f"?{urlencode(given)}" if given else "")

    def _selects(self, one: Published) -> bool:
        """Whether all criteria hold; those that need the whole resource are asked last."""
        whole: Json | None = None
        for _, modifier, parameter, value in sorted(self.criteria, key=lambda item: item[2].bulky):
            if parameter.bulky:
                whole = whole or one.json()
            node = whole if parameter.bulky and whole else one.head
            values = [value for path in parameter.path.split("|") for value in _values(node, path.split("."))]
            if modifier == "missing":
                if bool(values) == (value == "true"):
                    return False
            elif _holds(parameter.kind, modifier, values, _alternatives(value)) == (modifier == "not"):
                return False
        return True

    def _shaped(self, one: Published) -> Json:
        if self.elements:
            return _subset({name: value for name, value in one.json().items() if name in (*_KEPT, *self.elements)})
        if self.summary == "true":
            return _subset(one.head)
        if self.summary == "data":
            return _subset({name: value for name, value in one.json().items() if name != "text"})
        return one.json()


def _subset(resource: Json) -> Json:
    """A resource that says of itself that it is not whole, so that nobody stores it as if it were."""
    meta = resource["meta"]
    return resource | {"meta": meta | {"tag": [*meta.get("tag", ()), _SUBSETTED]}}


def _whole(shape: Mapping[str, str], name: str, default: int, most: int | None = None) -> int:
    text = shape.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise RequestError("is no whole number", where=name, remedy="send digits")
    return min(int(text), most) if most is not None else int(text)


def _refuse_modifier(name: str, modifier: str, parameter: Parameter) -> None:
    if modifier and modifier not in ("missing", *_HOW[parameter.kind]):
        known = ", ".join(f":{one}" for one in ("missing", *_HOW[parameter.kind]) if one)
        raise RequestError("is a modifier that is not applied here", where=_shown(name), remedy=f"there are: {known}")


def _shown(name: str) -> str:
    """A parameter's name that came from outside, short and printable."""
    return "".join(sign for sign in name[:64] if sign.isprintable())


def _alternatives(value: str) -> list[str]:
    """The values between commas, of which any may hold; a comma after a backslash is part of one (R4 3.1.1.3)."""
    parts, escaped = [""], False
    for sign in value:
        if not escaped and sign == ",":
            parts.append("")
        elif not escaped and sign == "\\":
            escaped = True
            continue
        else:
            parts[-1] += sign
        escaped = False
    return parts


def _values(node: Any, path: Sequence[str]) -> Iterator[Any]:
    """What stands at a path, lists opened; codes in trees are followed to the leaves."""
    if isinstance(node, list):
        for item in node:
            yield from _values(item, path)
    elif not path:
        if node is not None:
            yield node
        if isinstance(node, dict):
            yield from _values([node.get("contains"), node.get("concept")], path)
    elif isinstance(node, dict):
        name, _, of_type = path[0].partition(":")
        below = node.get(name)
        if of_type:
            below = [item for item in below or () if isinstance(item, dict) and item.get("type") == of_type]
        yield from _values(below, path[1:])


def _holds(kind: str, modifier: str, values: Iterable[Any], wanted: Iterable[str]) -> bool:
    test = _HOW[kind][modifier]
    asked = list(wanted)
    return any(test(value, one) for value in values for one in asked)


def _token(value: Any, wanted: str) -> bool:
    """``code``, ``system|code``, ``|code`` (no system) or ``system|`` (R4 search, token)."""
    system, barred, code = wanted.rpartition("|")
    for known_system, known_code in _codings(value):
        if barred and system != (known_system or ""):
            continue
        if code.lower() == known_code.lower() or (not code and barred):
            return True
    return False


def _codings(value: Any) -> Iterator[tuple[str | None, str]]:
    """The systems and codes of a code, Coding, CodeableConcept or Identifier."""
    if isinstance(value, str):
        yield None, value
    elif isinstance(value, dict):
        for coding in value.get("coding", ()):
            yield coding.get("system"), str(coding.get("code", ""))
        if "coding" not in value and ("code" in value or "value" in value):
            yield value.get("system"), str(value.get("code") or value.get("value"))


def _text_of(value: Any) -> str:
    return (value if isinstance(value, str) else orjson.dumps(value).decode()).casefold()


def _reference(value: Any, wanted: str) -> bool:
    """The same reference, or the same canonical whatever its version where none is asked for."""
    known = str(value)
    if "|" not in wanted:
        known = known.partition("|")[0]
    return known == wanted or known.endswith(f"/{wanted}")


#: For each kind of parameter, what its modifiers (and none) mean.
_HOW: Mapping[str, Mapping[str, Callable[[Any, str], bool]]] = {
    "token": {"": _token, "not": _token},
    "string": {
        "": lambda value, wanted: _text_of(value).startswith(wanted.casefold()),
        "contains": lambda value, wanted: wanted.casefold() in _text_of(value),
        "exact": lambda value, wanted: bool(value == wanted),
    },
    "uri": {
        "": lambda value, wanted: bool(value == wanted),
        "below": lambda value, wanted: str(value) == wanted or str(value).startswith(wanted.rstrip("/") + "/"),
    },
    "reference": {"": _reference},
}
