"""Value sets as frozensets of (system, code), and code systems: the engine's Terminology (R4 ValueSet, CodeSystem)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import orjson

from cds.elm.ports import Pair
from cds.errors import TerminologyError
from cds.fhir.code_systems import as_written

Resource = dict[str, Any]

#: The name of the folders that value sets and code systems are kept in.
FOLDER = "valuesets"


@dataclass(frozen=True, slots=True)
class _ValueSet:
    source: str
    title: str
    pairs: frozenset[Pair]

    @property
    def content(self) -> object:
        return self.pairs


@dataclass(frozen=True, slots=True)
class _CodeSystem:
    source: str
    codes: frozenset[str]
    complete: bool
    #: Every code with the codes right above it; None where the system says of no hierarchy that it is one of "is a".
    parents: Mapping[str, frozenset[str]] | None

    @property
    def content(self) -> object:
        return self.codes, self.complete, self.parents


Held = TypeVar("Held", _ValueSet, _CodeSystem)


class ValueSets:
    """All value sets and code systems that the trials name, by canonical URL."""

    def __init__(
        self, resources: Iterable[tuple[str, Any]] = (), *, lenient: bool = False, written: bool = False
    ) -> None:
        """From ValueSet and CodeSystem resources, each with where it comes from (for errors); others are passed over.

        Where `written`, value sets hold their codes in all the ways in which charts write them (see `code_systems`).

        Raises TerminologyError for one that cannot be used: without expansion, or told twice and differently. Where
        `lenient`, that is raised only when it is asked for.
        """
        self._written = written
        self._value_sets: dict[str, dict[str, _ValueSet]] = {}
        self._code_systems: dict[str, dict[str, _CodeSystem]] = {}
        # What was asked for once: every membership test of every patient asks again.
        self._asked: dict[tuple[str, str | None], frozenset[Pair]] = {}
        # Those that cannot be used, by URL.
        self._refused: dict[str, TerminologyError] = {}
        for source, resource in resources:
            if isinstance(resource, dict):
                try:
                    self._take(source, resource)
                except TerminologyError as error:
                    if not lenient:
                        raise
                    self._refused.setdefault(str(resource.get("url")), error)

    def _take(self, source: str, resource: Resource) -> None:
        kind = resource.get("resourceType")
        if kind == "ValueSet":
            _keep(self._value_sets, resource, _value_set(resource, source))
        elif kind == "CodeSystem" and resource.get("content") != "supplement":
            _keep(self._code_systems, resource, _code_system(resource, source))

    @classmethod
    def load(cls, folders: Iterable[Path], *, written: bool = False) -> ValueSets:
        """What the JSON files in `valuesets` folders hold.

        A folder stands for the `valuesets` folders in it, at any depth; one that has none stands for itself.
        """
        return cls((_read(file) for folder in folders for file in _files(folder)), written=written)

    def value_set(self, url: str, version: str | None = None) -> frozenset[Pair]:
        """The expansion of a value set; `url` may carry ``|version``. TerminologyError, by name, if there is none."""
        pairs = self._asked.get((url, version))
        if pairs is None:
            self._refuse(url)
            pairs = _find(self._value_sets, "value set", url, version).pairs
            self._asked[url, version] = pairs = as_written(pairs) if self._written else pairs
        return pairs

    def code_system(self, url: str, version: str | None = None) -> frozenset[str]:
        """All codes of a code system. TerminologyError where it is not held as a whole."""
        self._refuse(url)
        system = _find(self._code_systems, "code system", url, version)
        if not system.complete:
            raise TerminologyError(
                f"the code system {url} is held in part only",
                where=system.source,
                remedy="give it with content complete",
            )
        return system.codes

    def subsumes(self, ancestor: Pair, descendant: Pair) -> bool | None:
        """Whether one code is, or is above, the other; None where no hierarchy is held that says."""
        if ancestor == descendant:
            return True
        versions = self._code_systems.get(ancestor[0])
        if versions is None or ancestor[0] != descendant[0]:
            return None
        system = versions[_latest(versions)]
        if system.parents is None or ancestor[1] not in system.codes or descendant[1] not in system.codes:
            return None
        seen: set[str] = set()
        above = [descendant[1]]
        while above:
            code = above.pop()
            if code == ancestor[1]:
                return True
            if code not in seen:
                seen.add(code)
                above.extend(system.parents.get(code, ()))
        # Where codes are left out, one of them may stand between the two.
        return False if system.complete else None

    def _refuse(self, url: str) -> None:
        if error := self._refused.get(url.partition("|")[0]):
            raise error.with_traceback(None)

    def title(self, url: str) -> str:
        """What a value set is called, in words; its URL where it is not held or has no title."""
        canonical = url.partition("|")[0]
        versions = self._value_sets.get(canonical)
        return versions[_latest(versions)].title if versions else canonical

    @property
    def titles(self) -> Mapping[str, str]:
        """The titles of all value sets, by URL."""
        return MappingProxyType({url: self.title(url) for url in self._value_sets})


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TerminologyError("there is no such folder", where=str(folder), remedy="name a folder of ValueSet JSON")
    kept = [folder] if folder.name == FOLDER else sorted(path for path in folder.rglob(FOLDER) if path.is_dir())
    return [file for place in kept or [folder] for file in sorted(place.rglob("*.json"))]


def _read(file: Path) -> tuple[str, Any]:
    try:
        return str(file), orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise TerminologyError(f"the file cannot be read as JSON: {error}", where=str(file)) from error


def _keep(held: dict[str, dict[str, Held]], resource: Resource, new: Held) -> None:
    """Enters what was read under its URL and version; the same told twice is one, told differently an error."""
    url, version = resource.get("url"), resource.get("version")
    if not isinstance(url, str) or not url:
        raise TerminologyError("there is no url", where=new.source, remedy="give the resource its canonical url")
    versions = held.setdefault(url, {})
    old = versions.setdefault(version if isinstance(version, str) else "", new)
    if old.content != new.content:
        raise TerminologyError(
            f"{url} is also in {old.source}, with other content", where=new.source, remedy="keep one of the two"
        )


def _find(held: Mapping[str, Mapping[str, Held]], what: str, url: str, version: str | None) -> Held:
    canonical, _, own_version = url.partition("|")
    version = version or own_version
    versions = held.get(canonical)
    if not versions:
        raise TerminologyError(f"there is no {what} {canonical}", remedy=f"put its JSON into a {FOLDER} folder")
    found = versions.get(version or _latest(versions))
    if found is None:
        there = ", ".join(known or "one without a version" for known in sorted(versions))
        raise TerminologyError(f"there is no version {version} of the {what} {canonical}", remedy=f"held: {there}")
    return found


def _latest(versions: Iterable[str]) -> str:
    """The highest of some versions, numbers in them compared as numbers."""
    return max(versions, key=lambda text: [(part.isdecimal(), part.zfill(20)) for part in re.split(r"[.\-]", text)])


def _value_set(resource: Resource, source: str) -> _ValueSet:
    title = next((text for name in ("title", "name", "url") if isinstance(text := resource.get(name), str)), "")
    listed = _listed(resource.get("compose"))
    expansion = resource.get("expansion")
    if not isinstance(expansion, dict):
        if listed is None:
            raise TerminologyError(
                f"the value set {title} has no expansion", where=source, remedy="expand it with a terminology server"
            )
        return _ValueSet(source, title, frozenset(_pair(item, source) for item in listed))
    nodes = list(_nested(expansion.get("contains"), "contains"))
    total = expansion.get("total")
    if (isinstance(total, int) and total > len(nodes)) or (listed and not nodes):
        raise TerminologyError(
            f"the expansion of the value set {title} is not whole: {len(nodes)} of {total or len(listed or ())} codes",
            where=source,
            remedy="expand it without paging",
        )
    # An abstract node groups others and is no code that data can hold.
    held = (node for node, _ in nodes if node.get("abstract") is not True)
    return _ValueSet(source, title, frozenset(_pair(node, source) for node in held))


def _listed(compose: Any) -> list[Resource] | None:
    """The codes of a definition that lists them all one by one; None where it says them in any other way."""
    if not isinstance(compose, dict) or compose.get("exclude"):
        return None
    listed: list[Resource] = []
    includes = compose.get("include")
    for include in includes if isinstance(includes, list) else ():
        concepts = include.get("concept") if isinstance(include, dict) else None
        if not isinstance(concepts, list) or include.get("filter") or include.get("valueSet"):
            return None
        listed.extend({"system": include.get("system")} | item for item in concepts if isinstance(item, dict))
    return listed or None


def _pair(item: Resource, source: str) -> Pair:
    system, code = item.get("system"), item.get("code")
    if not isinstance(system, str) or not isinstance(code, str) or not system or not code:
        raise TerminologyError(f"the code {code!r} lacks its system, or the code", where=source)
    return system, code


def _nested(items: Any, name: str) -> Iterator[tuple[Resource, str | None]]:
    """The nodes of a tree, each with the code of the one above it."""
    pending: list[tuple[Any, str | None]] = [(items, None)]
    while pending:
        nodes, above = pending.pop()
        for node in nodes if isinstance(nodes, list) else ():
            if isinstance(node, dict):
                yield node, above
                pending.append((node.get(name), node.get("code")))


def _code_system(resource: Resource, source: str) -> _CodeSystem:
    nodes = list(_nested(resource.get("concept"), "concept"))
    codes = frozenset(code for node, _ in nodes if isinstance(code := node.get("code"), str))
    complete = resource.get("content") == "complete"
    if resource.get("hierarchyMeaning") != "is-a":
        return _CodeSystem(source, codes, complete, None)
    parents: dict[str, set[str]] = {}
    for node, above in nodes:
        of_node = parents.setdefault(str(node.get("code")), set())
        properties = node.get("property")
        stated = [one for one in properties if isinstance(one, dict)] if isinstance(properties, list) else []
        of_node.update(str(one.get("valueCode")) for one in stated if one.get("code") == "parent")
        if above is not None:
            of_node.add(above)
    return _CodeSystem(source, codes, complete, {code: frozenset(above) for code, above in parents.items()})
