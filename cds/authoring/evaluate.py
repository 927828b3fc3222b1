"""Any library of compiled CQL over any patients: every definition's value, in the format that engines are compared by.

::

    content = Content.load(elm_folder, ["Screening"], value_set_folder)
    values = content.evaluate(record, now, parameters, budget)    # {library: {define: JSON}}

Content written elsewhere is taken as it is: of a folder only what the named libraries include is compiled, and a value
set that cannot be used is an error of the definitions that ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from cds.authoring.result_format import dumps, to_json
from cds.elm import Definition, Evaluation, Libraries
from cds.elm.library import Parameter
from cds.elm.ports import Value
from cds.errors import ElmError, EvaluationError
from cds.fhir.libraries import Shelf, compiled, resources_in
from cds.fhir.record import PatientRecord
from cds.fhir.valuesets import ValueSets

#: The definition that stands for the patient herself, which every library has.
_PATIENT: Final = "Patient"
#: The key under which a library that cannot be run says why.
LIBRARY_ERROR: Final = "@libraryError"

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
        shelf = Shelf.of(elm)
        for name in asked:
            shelf.require(name)
        libraries, refused = compiled(shelf, asked)
        resources = () if value_sets is None else resources_in(value_sets)
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
