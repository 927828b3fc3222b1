"""Compiled CQL in files that anybody may have written: bare ELM, or a FHIR Library that holds it; and other resources.

Of a folder only what named libraries include is compiled, since the rest may be what nobody here can run.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cds.elm import Libraries
from cds.elm.library import entries, included_name
from cds.errors import ContentError, ElmError, TerminologyError
from cds.fhir.model import FHIRModel

_ELM_JSON = "application/elm+json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The ELM of a folder by library identifier and version: each with its file."""

    folder: Path
    books: Mapping[str, Mapping[str, list[tuple[Path, Json]]]]
    unreadable: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Shelf:
        """What the JSON files of a folder hold, at any depth, Bundles opened; a file that is no JSON is passed over."""
        books: dict[str, dict[str, list[tuple[Path, Json]]]] = {}
        unreadable: list[str] = []
        for path in sorted(folder.rglob("*.json")):
            try:
                libraries = [elm_of(content) for content in _opened(orjson.loads(path.read_bytes()))]
            except (OSError, ValueError) as error:
                unreadable.append(f"{path}: {error}")
                continue
            for found in libraries:
                if found is not None:
                    versions = books.setdefault(found["identifier"]["id"], {})
                    versions.setdefault(str(found["identifier"].get("version") or ""), []).append((path, found))
        return cls(folder, books, tuple(unreadable))

    def require(self, name: str) -> None:
        """Raises ContentError where no library of that identifier is here."""
        if name not in self.books:
            there = f"there are: {', '.join(sorted(self.books)) or 'none'}"
            raise ContentError(
                f"there is no library {name}", where=str(self.folder), remedy="; ".join([there, *self.unreadable])
            )

    def with_includes(self, names: Iterable[str]) -> list[tuple[Path, Json]]:
        """The named libraries, in every version that is here, and all that they include. ContentError for doubles."""
        waiting, seen = list(names), set[str]()
        found: list[tuple[Path, Json]] = []
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for version, copies in self.books.get(name, {}).items():
                path, elm = copies[0]
                if other := next((place for place, copy in copies[1:] if copy != elm), None):
                    raise ContentError(
                        f"the library {name} {version}".rstrip() + f" is also in {other}, and differs there",
                        where=str(path),
                        remedy="keep one of the two",
                    )
                found.append((path, elm))
                waiting += [included_name(item)[0] for item in entries(elm, "includes") if "path" in item]
        return found


def elm_of(content: Any) -> Json | None:
    """The ELM library in a JSON file: bare, under ``library``, or inside a FHIR Library; None for anything else."""
    if not isinstance(content, dict):
        return None
    if content.get("resourceType") == "Library":
        attachments = [item for item in content.get("content") or () if isinstance(item, dict)]
        data = next((item.get("data") for item in attachments if item.get("contentType") == _ELM_JSON), None)
        return elm_of(orjson.loads(base64.b64decode(data))) if data else None
    library = content.get("library", content)
    identifier = library.get("identifier") if isinstance(library, dict) else None
    known = isinstance(identifier, dict) and isinstance(identifier.get("id"), str) and "resourceType" not in library
    return library if known else None


def compiled(shelf: Shelf, names: tuple[str, ...]) -> tuple[Libraries, dict[str, ElmError]]:
    """The libraries compiled together; where that fails, without those that cannot be compiled, and why they cannot."""
    try:
        return _together(shelf, names), {}
    except ElmError:
        refused: dict[str, ElmError] = {}
        for name in names:
            try:
                _together(shelf, (name,))
            except ElmError as error:
                refused[name] = error
        return _together(shelf, tuple(name for name in names if name not in refused)), refused


def _together(shelf: Shelf, names: tuple[str, ...]) -> Libraries:
    libraries = Libraries(FHIRModel(), lenient=True)
    for path, elm in shelf.with_includes(names):
        libraries.add(elm, str(path))
    libraries.compile()
    return libraries


def resources_in(folder: Path, unreadable: Callable[[str], None] | None = None) -> Iterator[tuple[str, Any]]:
    """All resources in the JSON files of a folder, at any depth, Bundles opened, with their file.

    A file that is no JSON raises TerminologyError; where `unreadable` is given, that is told and the others are read.
    """
    for path in sorted(folder.rglob("*.json")):
        try:
            content = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            problem = TerminologyError(f"the file cannot be read as JSON: {error}", where=str(path))
            if unreadable is None:
                raise problem from error
            unreadable(str(problem))
            continue
        yield from ((str(path), resource) for resource in _opened(content))


def _opened(content: Any) -> Iterator[Any]:
    """A resource, or what the Bundle holds that it is."""
    waiting = [content]
    while waiting:
        resource = waiting.pop(0)
        if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
            items = resource.get("entry")
            waiting += [entry.get("resource") for entry in items or () if isinstance(entry, dict)]
        else:
            yield resource
