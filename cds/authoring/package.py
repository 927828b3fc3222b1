"""A trial with all that it needs, taken from its folder: resources, CQL with its ELM, value sets, cases.

What is written elsewhere (a content IG, a transaction) is made from this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson

from cds.authoring.cases import CASES
from cds.errors import ContentError
from cds.trials.catalog import SHARED, Catalog, read_json
from cds.trials.compiled import elm_path, includes, library_name

Json = dict[str, Any]

VALUE_SETS: Final = "valuesets"
LIBRARY: Final = "library.json"
CQL: Final = "text/cql"
ELM: Final = "application/elm+json"
#: A library that every engine brings along.
HELPERS: Final = "FHIRHelpers"

#: An R4 logical id.
ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_VALUE_SET = re.compile(r"""^\s*valueset\s+(?:"[^"]+"|\w+)\s*:\s*'([^']+)'""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Resource:
    """A FHIR resource and the file that it stands in; `shared` says that other trials may use it too."""

    path: Path
    json: Json = field(repr=False)
    shared: bool = False

    @property
    def type(self) -> str:
        """Its resource type."""
        return str(self.json["resourceType"])

    @property
    def id(self) -> str:
        """Its logical id."""
        return str(self.json["id"])


@dataclass(frozen=True, slots=True)
class CqlLibrary:
    """A CQL file with its ELM and the Library resource that stands for it."""

    name: str
    path: Path
    text: str = field(repr=False)
    elm: Json = field(repr=False)
    resource: Resource


@dataclass(frozen=True)
class Package:
    """One trial, complete: `own` are the resources of its folder, `libraries` its CQL and what that includes."""

    id: str
    folder: Path
    own: tuple[Resource, ...]
    libraries: tuple[CqlLibrary, ...]
    terminology: tuple[Resource, ...]
    record: Path | None

    @cached_property
    def cases(self) -> tuple[Path, ...]:
        """The files of its cases, in order."""
        return tuple(sorted((self.folder / CASES).glob("*.json")))

    @property
    def resources(self) -> Iterator[Resource]:
        """All its resources, without those of its cases."""
        yield from self.own
        yield from (library.resource for library in self.libraries)
        yield from self.terminology


def package(root: Path, trial: str) -> Package:
    """The trial in `root`/`trial`, with what it uses of `root`/shared.

    Raises ContentError, or a descendant, where it does not load, or something that others need is not there: the
    Library of a CQL file, an id that FHIR allows.
    """
    Catalog.load(root, only={trial})
    folder = root / trial
    shared = root / SHARED
    libraries = tuple(_libraries(folder, shared))
    top = [path for path in sorted(folder.glob("*.json")) if not path.name.endswith((".elm.json", LIBRARY))]
    used = value_sets_of(library.text for library in libraries)
    own_sets = [_resource(path) for path in sorted((folder / VALUE_SETS).glob("*.json"))]
    others = [_resource(path, shared=True) for path in sorted((shared / VALUE_SETS).glob("*.json"))]
    record = folder / "record.txt"
    found = Package(
        trial,
        folder,
        tuple(_resource(path) for path in top),
        libraries,
        (*own_sets, *_used(used | _imported(own_sets), others)),
        record if record.is_file() else None,
    )
    _refuse_twice(found.resources)
    return found


def _libraries(folder: Path, shared: Path) -> Iterator[CqlLibrary]:
    """The trial's CQL files, and those in `shared` that they include, at any depth."""
    texts = {
        path: path.read_text(encoding="utf-8") for where in (folder, shared) for path in sorted(where.glob("*.cql"))
    }
    names = {library_name(text): path for path, text in texts.items()}
    resources = [_resource(path) for path in sorted(folder.glob(f"*{LIBRARY}"))]
    resources += [_resource(path, shared=True) for path in sorted(shared.glob(f"*{LIBRARY}"))]
    waiting = [path for path in texts if path.parent == folder]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        text = texts[path]
        name = str(library_name(text))
        resource = _library_of(path, name, resources)
        yield CqlLibrary(name, path, text, read_json(elm_path(path)), resource)
        waiting += [names[included] for included in includes(text) if included in names]


def _library_of(path: Path, name: str, resources: Iterable[Resource]) -> Resource:
    """The Library resource whose content is a CQL file, or whose name is its library's."""
    beside = [resource for resource in resources if resource.path.parent == path.parent and resource.type == "Library"]
    for resource in beside:
        if path.name in {content.get("url") for content in resource.json.get("content", ())}:
            return resource
    for resource in beside:
        if resource.json.get("name") == name:
            return resource
    raise ContentError(
        f"no Library resource beside it has it as content (or the name {name})",
        where=str(path),
        remedy=f"write {LIBRARY} with content.url {path.name}",
    )


def _resource(path: Path, *, shared: bool = False) -> Resource:
    content = read_json(path)
    if not isinstance(content.get("resourceType"), str):
        raise ContentError("has no resourceType", where=str(path))
    if not isinstance(content.get("id"), str) or not ID.fullmatch(content["id"]):
        raise ContentError(f"the id {content.get('id')!r} is none of FHIR", where=str(path), remedy="A-Z a-z 0-9 - .")
    return Resource(path, content, shared)


def value_sets_of(texts: Iterable[str]) -> frozenset[str]:
    """The canonical URLs, without version, of the value sets that CQL texts declare."""
    return frozenset(url.partition("|")[0] for text in texts for url in _VALUE_SET.findall(text))


def _imported(resources: Iterable[Resource]) -> frozenset[str]:
    """The canonical URLs that value sets import, and those of the code systems that they draw on."""
    found: set[str] = set()
    for resource in resources:
        compose = resource.json.get("compose") or {}
        for part in (*compose.get("include", ()), *compose.get("exclude", ())):
            found.update(url.partition("|")[0] for url in part.get("valueSet", ()))
            found.add(str(part.get("system")))
    return frozenset(found)


def _used(urls: frozenset[str], resources: Iterable[Resource]) -> list[Resource]:
    """Of some resources those that are named, and those that these name."""
    left = list(resources)
    found: list[Resource] = []
    while fresh := [resource for resource in left if resource.json.get("url") in urls]:
        found += fresh
        left = [resource for resource in left if resource not in fresh]
        urls = _imported(fresh)
    return sorted(found, key=lambda resource: resource.path)


def _refuse_twice(resources: Iterable[Resource]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for resource in resources:
        before = seen.setdefault((resource.type, resource.id), resource.path)
        if before != resource.path:
            raise ContentError(f"{resource.type}/{resource.id} stands in {before}, too", where=str(resource.path))


def as_bytes(content: Any) -> bytes:
    """JSON as it is written: indented, with a line feed at its end."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
