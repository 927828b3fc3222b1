"""Any library of compiled CQL over any patients: every definition's value, in the format that engines are compared by.

::

    content = Content.load(elm_folder, ["Screening"], value_set_folder)
    values = content.evaluate(record, now, parameters, budget)    # {library: {define: JSON}}

Content written elsewhere is taken as it is: of a folder only what the named libraries include is compiled, and a value
set that cannot be used is an error of the definitions that ask for it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from cds.authoring.result_format import dumps, to_json
from cds.elm import Definition, Evaluation, Libraries
from cds.elm.library import Parameter, entries, included_name
from cds.elm.ports import Value
from cds.errors import ContentError, ElmError, EvaluationError, TerminologyError
from cds.fhir.model import FHIRModel
from cds.fhir.record import PatientRecord
from cds.fhir.valuesets import ValueSets

#: The definition that stands for the patient herself, which every library has.
_PATIENT: Final = "Patient"
#: The key under which a library that cannot be run says why.
LIBRARY_ERROR: Final = "@libraryError"
_ELM_JSON = "application/elm+json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """Compiled libraries with their value sets, and the definitions that are asked for.

    `refused` says, for each of the asked libraries that cannot be run, why.
    """

    names: tuple[str, ...]
    libraries: Libraries
    value_sets: ValueSets
    refused: Mapping[str, ElmError]

    @classmethod
    def load(cls, elm: Path, names: Iterable[str], value_sets: Path | None = None) -> Content:
        """The libraries `names` (identifiers) of the ELM in a folder, with what they include, and all its value sets.

        Raises ContentError for a library that the folder does not hold, or holds twice and differently.
        """
        asked = tuple(dict.fromkeys(names))
        shelf = _Shelf.of(elm)
        for name in asked:
            shelf.require(name)
        libraries, refused = _compiled(shelf, asked)
        resources = () if value_sets is None else _resources(value_sets)
        return cls(asked, libraries, ValueSets(resources, lenient=True), refused)

    def evaluate(
        self,
        record: PatientRecord,
        now: datetime,
        parameters: Mapping[Parameter, Value] | None = None,
        budget: int | None = None,
    ) -> Json:
        """The value of every definition for one patient, by library: for `written`, errors as ``@error``.

        Each definition may spend `budget` steps of its own (None: no bound).
        """
        evaluation = Evaluation(self.libraries, record, self.value_sets, now, budget=budget)
        for parameter, value in (parameters or {}).items():
            evaluation.results[parameter.index] = value
        found: Json = {}
        for name in self.names:
            if name in self.refused:
                found[name] = {LIBRARY_ERROR: str(self.refused[name])}
                continue
            values = found[name] = {}
            for definition in self.libraries[name].definitions.values():
                if definition.name != _PATIENT:
                    values[definition.name] = _answer(evaluation, definition, record)
        return found


def written(values: Json) -> bytes:
    """The values of one patient as JSON; what cannot be written is an ``@error`` of its definition."""
    try:
        return dumps(values)
    except orjson.JSONEncodeError:
        return orjson.dumps(
            {name: {key: _writable(value) for key, value in own.items()} for name, own in values.items()}
        )


def _writable(value: Any) -> Any:
    try:
        dumps(value)
    except orjson.JSONEncodeError as error:
        return {"@error": f"the value cannot be written as JSON: {error}"}
    return value


def _answer(evaluation: Evaluation, definition: Definition, record: PatientRecord) -> Any:
    try:
        return to_json(evaluation.value(definition), record.reference_of)
    except EvaluationError as error:
        return {"@error": str(error)}
    except (TypeError, RecursionError) as error:
        return {"@error": f"{definition.place}: the value cannot be written as JSON: {error}"}


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The ELM of a folder by library identifier and version: each with its file."""

    folder: Path
    books: Mapping[str, Mapping[str, list[tuple[Path, Json]]]]
    unreadable: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> _Shelf:
        books: dict[str, dict[str, list[tuple[Path, Json]]]] = {}
        unreadable: list[str] = []
        for path in sorted(folder.rglob("*.json")):
            try:
                found = _elm(orjson.loads(path.read_bytes()))
            except (OSError, ValueError) as error:
                unreadable.append(f"{path}: {error}")
                continue
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


def _elm(content: Any) -> Json | None:
    """The ELM library in a JSON file: bare, under ``library``, or inside a FHIR Library; None for anything else."""
    if not isinstance(content, dict):
        return None
    if content.get("resourceType") == "Library":
        attachments = [item for item in content.get("content") or () if isinstance(item, dict)]
        data = next((item.get("data") for item in attachments if item.get("contentType") == _ELM_JSON), None)
        return _elm(orjson.loads(base64.b64decode(data))) if data else None
    library = content.get("library", content)
    identifier = library.get("identifier") if isinstance(library, dict) else None
    known = isinstance(identifier, dict) and isinstance(identifier.get("id"), str) and "resourceType" not in library
    return library if known else None


def _compiled(shelf: _Shelf, names: tuple[str, ...]) -> tuple[Libraries, dict[str, ElmError]]:
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


def _together(shelf: _Shelf, names: tuple[str, ...]) -> Libraries:
    libraries = Libraries(FHIRModel(), lenient=True)
    for path, elm in shelf.with_includes(names):
        libraries.add(elm, str(path))
    libraries.compile()
    return libraries


def _resources(folder: Path) -> Iterator[tuple[str, Any]]:
    """All resources in the JSON files of a folder, at any depth, Bundles opened, with their file."""
    for path in sorted(folder.rglob("*.json")):
        try:
            waiting = [orjson.loads(path.read_bytes())]
        except (OSError, ValueError) as error:
            raise TerminologyError(f"the file cannot be read as JSON: {error}", where=str(path)) from error
        while waiting:
            resource = waiting.pop(0)
            if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
                items = resource.get("entry")
                waiting += [entry.get("resource") for entry in items or () if isinstance(entry, dict)]
            else:
                yield str(path), resource
