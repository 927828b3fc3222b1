"""The codes of a value set from its definition: listed, imported, or filtered from code systems that are at hand.

What cannot be worked out exactly is refused with its reason (R4 ValueSet, "Value Set Expansion"): a code that is
missing from a criterion's value set is a patient who is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from cds.elm.ports import Pair
from cds.errors import TerminologyError

Json = dict[str, Any]
#: One entry of `ValueSet.expansion.contains`.
Entry = dict[str, Any]

#: Where an expansion came from: the base URL of a terminology server, or "definition" (our extension).
SOURCE = "https://trial-match.example/fhir/StructureDefinition/expansion-source"
_SUPPLEMENT = "supplement"


@dataclass(frozen=True, slots=True)
class Expansion:
    """The codes of a value set, in the order of its definition, and what they were worked out from.

    `parameters` are pairs of a name (``used-codesystem``, ``used-valueset``, or a server's own) and a value;
    `source` is "definition" or a server's base URL.
    """

    entries: tuple[Entry, ...]
    parameters: tuple[tuple[str, Any], ...] = ()
    source: str = "definition"
    identifier: str | None = None

    @property
    def pairs(self) -> frozenset[Pair]:
        """The codes with their systems."""
        return frozenset((entry["system"], entry["code"]) for entry in self.entries)

    def as_json(self, now: datetime) -> Json:
        """The element ``ValueSet.expansion``, made at `now`."""
        told: Json = {"extension": [{"url": SOURCE, "valueString": self.source}]}
        if self.identifier:
            told["identifier"] = self.identifier
        told["timestamp"] = now.isoformat(timespec="seconds").replace("+00:00", "Z")
        told["total"] = len(self.entries)
        if self.parameters:
            told["parameter"] = [_parameter(name, value) for name, value in self.parameters]
        if self.entries:
            told["contains"] = list(self.entries)
        return told


def _parameter(name: str, value: Any) -> Json:
    if isinstance(value, bool):
        return {"name": name, "valueBoolean": value}
    if isinstance(value, int):
        return {"name": name, "valueInteger": value}
    return {"name": name, "valueUri" if re.match(r"[a-z][a-z0-9+.-]*:", str(value)) else "valueString": str(value)}


@dataclass(frozen=True, slots=True)
class _Concept:
    """A concept of a code system, with the codes right above it."""

    code: str
    display: str | None
    properties: Mapping[str, tuple[Any, ...]]
    parents: tuple[str, ...]

    @property
    def inactive(self) -> bool:
        retired = {"retired", "inactive"} & {str(value).lower() for value in self.properties.get("status", ())}
        return True in self.properties.get("inactive", ()) or bool(retired)

    @property
    def abstract(self) -> bool:
        return True in self.properties.get("notSelectable", ())


@dataclass(frozen=True, slots=True)
class _CodeSystem:
    source: str
    url: str
    version: str | None
    is_hierarchy: bool
    concepts: Mapping[str, _Concept]
    known_properties: frozenset[str]

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url

    def above(self, code: str) -> frozenset[str]:
        """All codes above one."""
        found: set[str] = set()
        waiting = list(self.concepts[code].parents)
        while waiting:
            parent = waiting.pop()
            if parent not in found and parent in self.concepts:
                found.add(parent)
                waiting += self.concepts[parent].parents
        return frozenset(found)


class Definitions:
    """The value sets and code systems at hand, by canonical URL and version, from which definitions are expanded."""

    def __init__(self, resources: Iterable[tuple[str, Any]]) -> None:
        """From resources, each with where it comes from (for errors); what is neither is passed over."""
        self._value_sets: dict[str, list[tuple[str, Json]]] = {}
        self._code_systems: dict[str, list[tuple[str, Json]]] = {}
        self._read: dict[str, _CodeSystem] = {}
        for source, resource in resources:
            if not isinstance(resource, dict) or not isinstance(resource.get("url"), str):
                continue
            kind = resource.get("resourceType")
            if kind == "ValueSet":
                self._value_sets.setdefault(resource["url"], []).append((source, resource))
            elif kind == "CodeSystem" and resource.get("content") != _SUPPLEMENT:
                self._code_systems.setdefault(resource["url"], []).append((source, resource))

    def expand(self, value_set: Json, source: str) -> Expansion:
        """The codes of a value set by its ``compose``.

        Raises TerminologyError that says which part cannot be worked out here, and why.
        """
        return _Expander(self).of(value_set, source)

    def value_set(self, canonical: str, where: str) -> tuple[str, Json]:
        """A value set with its source. TerminologyError where it is not at hand, or in several versions."""
        return _one(self._value_sets, "value set", canonical, where)

    def code_system(self, url: str, version: str | None, where: str) -> _CodeSystem:
        """A code system, complete. TerminologyError where it is not at hand, or in part only."""
        canonical = f"{url}|{version}" if version else url
        source, resource = _one(self._code_systems, "code system", canonical, where)
        if resource.get("content") != "complete":
            raise TerminologyError(
                f"needs all of the code system {url}, of which {source} holds a part (content is not complete)",
                where=where,
                remedy="list the codes, give the whole code system, or name a terminology --server",
            )
        if source not in self._read:
            self._read[source] = _code_system(resource, source)
        return self._read[source]

    def whole(self, url: str, version: str | None) -> _CodeSystem | None:
        """A code system that is at hand, complete; else None."""
        try:
            return self.code_system(url, version, "")
        except TerminologyError:
            return None

    def imports(self, value_set: Json) -> list[Json]:
        """The value sets at hand that a definition imports, at any depth, and the code systems it draws on."""
        found: dict[str, Json] = {}
        waiting = [value_set]
        while waiting:
            compose = waiting.pop().get("compose")
            parts = compose.get("include", []) + compose.get("exclude", []) if isinstance(compose, dict) else []
            for part in parts:
                for canonical in part.get("valueSet", ()):
                    for source, other in self._value_sets.get(canonical.partition("|")[0], ()):
                        if source not in found:
                            found[source] = other
                            waiting.append(other)
                for source, system in self._code_systems.get(str(part.get("system")), ()):
                    found[source] = system
        return list(found.values())


def _one(held: Mapping[str, list[tuple[str, Json]]], what: str, canonical: str, where: str) -> tuple[str, Json]:
    url, _, version = canonical.partition("|")
    there = [one for one in held.get(url, ()) if not version or one[1].get("version") == version]
    if len(there) == 1:
        return there[0]
    if not there:
        versions = ", ".join(str(one.get("version")) for _, one in held.get(url, ()))
        raise TerminologyError(
            f"needs the {what} {canonical}, which is not at hand" + (f" (held: {versions})" if versions else ""),
            where=where,
            remedy="put its JSON into a valuesets folder, or name a terminology --server",
        )
    raise TerminologyError(
        f"the {what} {canonical} is there {len(there)} times ({', '.join(source for source, _ in there)})",
        where=where,
        remedy="say which version: url|version",
    )


class _Expander:
    """One expansion: the value sets that are being expanded (for circles), and what was used."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._under_way: list[str] = []
        self._used: dict[tuple[str, str], None] = {}

    def of(self, value_set: Json, source: str) -> Expansion:
        found = self._codes(value_set, source)
        return Expansion(tuple(found.values()), tuple(self._used))

    def _codes(self, value_set: Json, source: str) -> dict[Pair, Entry]:
        url = str(value_set.get("url"))
        if url in self._under_way:
            circle = " -> ".join([*self._under_way[self._under_way.index(url) :], url])
            raise TerminologyError(f"imports itself: {circle}", where=source, remedy="break the circle")
        compose = value_set.get("compose")
        if not isinstance(compose, dict) or not compose.get("include"):
            raise TerminologyError(
                "has no compose.include to expand", where=source, remedy="define it, or name a terminology --server"
            )
        self._under_way.append(url)
        found: dict[Pair, Entry] = {}
        for place, part in enumerate(_parts(compose, "include", source)):
            found |= {
                pair: entry
                for pair, entry in self._included(part, f"{source}: compose.include[{place}]").items()
                if pair not in found
            }
        for place, part in enumerate(_parts(compose, "exclude", source)):
            for pair in self._included(part, f"{source}: compose.exclude[{place}]"):
                found.pop(pair, None)
        self._under_way.pop()
        if compose.get("inactive") is False:
            found = {pair: entry for pair, entry in found.items() if not entry.get("inactive")}
        return found

    def _included(self, part: Json, where: str) -> dict[Pair, Entry]:
        """The codes of one include: of its system, and of these those that are in the value set that it imports."""
        imported = part.get("valueSet") or []
        if len(imported) > 1:
            # FHIR 4.0.1 says union (the element's definition) and intersection (the rules of expansion).
            raise TerminologyError(
                "imports several value sets at once, which R4 defines as their union and as their intersection",
                where=where,
                remedy="write an include for each, for their union",
            )
        of_import = self._imported(str(imported[0]), where) if imported else None
        if not part.get("system"):
            if of_import is None:
                raise TerminologyError("has neither system nor valueSet", where=where, remedy="give one of them")
            return of_import
        of_system = self._of_system(part, where)
        if of_import is None:
            return of_system
        return {pair: entry for pair, entry in of_system.items() if pair in of_import}

    def _imported(self, canonical: str, where: str) -> dict[Pair, Entry]:
        source, value_set = self._definitions.value_set(canonical, where)
        version = value_set.get("version")
        self._used["used-valueset", f"{value_set['url']}|{version}" if version else str(value_set["url"])] = None
        if value_set.get("compose"):
            return self._codes(value_set, source)
        return _by_code(held(value_set, source))

    def _of_system(self, part: Json, where: str) -> dict[Pair, Entry]:
        system, version = str(part["system"]), part.get("version")
        if part.get("concept"):
            if part.get("filter"):
                raise TerminologyError("has both concept and filter", where=where, remedy="keep one of them (vsd-3)")
            return self._listed(part, where)
        codes = self._definitions.code_system(system, version, where)
        self._used["used-codesystem", codes.canonical] = None
        filters = [_filter(codes, one, f"{where}.filter[{place}]") for place, one in enumerate(part.get("filter", ()))]
        kept = (one for one in codes.concepts.values() if all(passes(one) for passes in filters))
        return {(system, one.code): _entry(system, one) for one in kept}

    def _listed(self, part: Json, where: str) -> dict[Pair, Entry]:
        """Codes listed one by one. Where their code system is at hand as a whole, each must be in it."""
        system = str(part["system"])
        known = self._definitions.whole(system, part.get("version"))
        found: dict[Pair, Entry] = {}
        for place, one in enumerate(part["concept"]):
            code = one.get("code") if isinstance(one, dict) else None
            if not isinstance(code, str) or not code:
                raise TerminologyError("has no code", where=f"{where}.concept[{place}]")
            if known and code not in known.concepts:
                raise TerminologyError(
                    f"the code system {system} has no code {code}", where=f"{where}.concept[{place}]"
                )
            found[system, code] = {
                "system": system,
                **({"version": part["version"]} if part.get("version") else {}),
                "code": code,
                **({"display": one["display"]} if one.get("display") else {}),
            }
        return found


def _parts(compose: Json, name: str, source: str) -> Iterator[Json]:
    parts = compose.get(name, [])
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise TerminologyError(f"compose.{name} is no list of objects", where=source)
    yield from parts


def _entry(system: str, concept: _Concept) -> Entry:
    entry: Entry = {"system": system}
    if concept.abstract:
        entry["abstract"] = True
    if concept.inactive:
        entry["inactive"] = True
    entry["code"] = concept.code
    if concept.display:
        entry["display"] = concept.display
    return entry


def held(value_set: Json, source: str) -> list[Entry]:
    """The codes that a value set's expansion holds, groups opened. TerminologyError where it has none."""
    expansion = value_set.get("expansion")
    if not isinstance(expansion, dict):
        raise TerminologyError("has neither compose nor expansion", where=source, remedy="name a terminology --server")
    found = []
    waiting = list(expansion.get("contains", ()))[::-1]
    while waiting:
        entry = waiting.pop()
        waiting += list(entry.get("contains", ()))[::-1]
        if entry.get("system") and entry.get("code"):
            found.append({name: value for name, value in entry.items() if name != "contains"})
    return found


# ---- filters (R4 filter-operator)


Passes = Callable[[_Concept], bool]


def _filter(codes: _CodeSystem, part: Json, where: str) -> Passes:
    """The test that a filter stands for."""
    name, operator, value = (str(part.get(key, "")) for key in ("property", "op", "value"))
    if operator in _HIERARCHICAL:
        if name not in ("concept", "code"):
            raise TerminologyError(f"{operator} is for the property concept, not {name}", where=where)
        return _hierarchical(codes, operator, value, where)
    if name not in ("concept", "code", "display", "parent", "child", *codes.known_properties):
        raise TerminologyError(
            f"the code system {codes.url} has no property {name}",
            where=where,
            remedy=f"it has: {', '.join(sorted(codes.known_properties)) or 'none'}",
        )
    if operator == "exists":
        if value not in ("true", "false"):
            raise TerminologyError("exists needs true or false", where=where)
        return lambda one: bool(_values(codes, one, name)) is (value == "true")
    if operator == "regex":
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise TerminologyError(f"is no regular expression: {error}", where=where) from None
        return lambda one: any(pattern.fullmatch(text) for text in _values(codes, one, name))
    wanted = {value} if operator == "=" else {part.strip() for part in value.split(",")}
    if operator in ("=", "in"):
        return lambda one: not wanted.isdisjoint(_values(codes, one, name))
    if operator == "not-in":
        return lambda one: wanted.isdisjoint(_values(codes, one, name))
    raise TerminologyError(f"{operator or 'no op'} is no filter operator of R4", where=where)


_HIERARCHICAL = ("is-a", "descendent-of", "is-not-a", "generalizes")


def _hierarchical(codes: _CodeSystem, operator: str, value: str, where: str) -> Passes:
    if not codes.is_hierarchy:
        raise TerminologyError(
            f"{operator} needs a hierarchy, and {codes.source} does not say that its own means is-a",
            where=where,
            remedy='give the code system "hierarchyMeaning": "is-a", if that is so',
        )
    if value not in codes.concepts:
        raise TerminologyError(f"the code system {codes.url} has no code {value}", where=where)
    if operator == "is-a":
        return lambda one: one.code == value or value in codes.above(one.code)
    if operator == "descendent-of":
        return lambda one: value in codes.above(one.code)
    if operator == "is-not-a":
        return lambda one: one.code != value and value not in codes.above(one.code)
    above = codes.above(value) | {value}
    return lambda one: one.code in above


def _values(codes: _CodeSystem, one: _Concept, name: str) -> tuple[str, ...]:
    if name in ("concept", "code"):
        return (one.code,)
    if name == "display":
        return (one.display,) if one.display else ()
    if name == "parent":
        return one.parents
    if name == "child":
        return tuple(other.code for other in codes.concepts.values() if one.code in other.parents)
    return tuple(
        str(value).lower() if isinstance(value, bool) else str(value) for value in one.properties.get(name, ())
    )


# ---- code systems


def _code_system(resource: Json, source: str) -> _CodeSystem:
    concepts: dict[str, _Concept] = {}
    waiting: list[tuple[Any, str | None]] = [(one, None) for one in reversed(resource.get("concept", ()))]
    while waiting:
        node, above = waiting.pop()
        code = node.get("code") if isinstance(node, dict) else None
        if not isinstance(code, str) or not code:
            raise TerminologyError("has a concept without a code", where=source)
        properties = _properties(node)
        parents = [str(parent) for parent in properties.get("parent", ())] + ([above] if above else [])
        if code in concepts:
            parents += concepts[code].parents
        concepts[code] = _Concept(code, node.get("display"), properties, tuple(dict.fromkeys(parents)))
        waiting += [(child, code) for child in reversed(node.get("concept", ()))]
    stated = {str(one.get("code")) for one in resource.get("property", ()) if isinstance(one, dict)}
    used = {name for one in concepts.values() for name in one.properties}
    return _CodeSystem(
        source,
        str(resource["url"]),
        resource.get("version"),
        resource.get("hierarchyMeaning") == "is-a",
        concepts,
        frozenset(stated | used),
    )


def _properties(node: Json) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for one in node.get("property", ()):
        for key, value in one.items():
            if key.startswith("value"):
                plain = value.get("code") if isinstance(value, dict) else value
                found[str(one.get("code"))] = (*found.get(str(one.get("code")), ()), plain)
    return found


def _by_code(entries: Iterable[Entry]) -> dict[Pair, Entry]:
    return {(entry["system"], entry["code"]): entry for entry in entries}


# ---- files


@dataclass(frozen=True, slots=True)
class File:
    """A value set in a file."""

    path: Path
    value_set: Json = field(repr=False)

    @property
    def url(self) -> str:
        return str(self.value_set.get("url"))

    @property
    def from_server(self) -> bool:
        """Whether the expansion that the file holds came from a terminology server."""
        extensions = (self.value_set.get("expansion") or {}).get("extension", ())
        return any(one.get("url") == SOURCE and one.get("valueString") != "definition" for one in extensions)

    def reread(self) -> Json:
        """The value set as the file holds it now."""
        content: Json = orjson.loads(self.path.read_bytes())
        return content

    def differs(self, expansion: Expansion) -> bool:
        """Whether the file's expansion has other codes or displays than `expansion`; their order says nothing."""
        if not isinstance(self.value_set.get("expansion"), dict):
            return True
        return _by_code(held(self.value_set, str(self.path))) != _by_code(expansion.entries)

    def write(self, expansion: Expansion, now: datetime) -> None:
        """Puts the expansion into the file, made at `now`; the rest of the file keeps its meaning, not its layout."""
        content = {**self.value_set, "expansion": expansion.as_json(now)}
        self.path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")


def read(paths: Iterable[Path]) -> list[tuple[str, Any]]:
    """The JSON resources in files and below folders, with their paths. TerminologyError for what is no JSON."""
    files = (file for path in paths for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path]))
    found = []
    for file in dict.fromkeys(files):
        if file.parent.name == "cases" or file.name.endswith(".elm.json"):
            continue
        try:
            found.append((str(file), orjson.loads(file.read_bytes())))
        except (OSError, orjson.JSONDecodeError) as error:
            raise TerminologyError(f"cannot be read as JSON: {error}", where=str(file)) from None
    return found
