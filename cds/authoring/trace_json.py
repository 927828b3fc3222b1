"""A trace as JSON: the full tree of sub-expressions, each definition once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cds.authoring.explain import in_words, place, reference
from cds.elm.deciding import deciding
from cds.elm.ports import Structured, Value
from cds.elm.trace import Row, State, Step
from cds.elm.values import Tuple
from cds.fhir.model import Element
from cds.fhir.record import PatientRecord

Json = dict[str, Any]


class TraceJson:
    """Writes the traces of some definitions; what decided the value of one of them is marked ``decides``.

    `definitions` are the trees of all that the written ones refer to, by qualified name.
    """

    def __init__(self, steps: Iterable[Step], record: PatientRecord) -> None:
        self.definitions: dict[str, Json] = {}
        self._record = record
        self._deciding = {id(part) for step in steps for path in deciding(step) for part in path}
        self._written: dict[int, int] = {}

    def tree(self, step: Step) -> Json:
        """The tree of a definition."""
        return self._step(step)

    def _step(self, step: Step) -> Json:
        if id(step) in self._written:
            return {"sameAs": self._written[id(step)]}
        number = self._written[id(step)] = len(self._written) + 1
        told: Json = {"id": number, "kind": step.kind, "source": step.source, "place": place(step, full=True)}
        if step.field:
            told["field"] = step.field
        told["state"] = step.state.value
        if step.state in (State.EVALUATED, State.CONSTANT):
            told["value"] = self._value(step.value)
        if step.error:
            told["error"] = step.error
        if id(step) in self._deciding:
            told["decides"] = True
        if step.name and step.kind not in ("ExpressionDef", "ParameterDef"):
            told["refersTo"] = step.name
        if step.rows is not None:
            told["rows"] = {
                "total": step.rows.total,
                "kept": step.rows.kept,
                "leftOut": step.rows.rejected,
                "open": step.rows.unknown,
                "shown": [self._row(row) for row in step.rows.shown],
            }
        if step.origin is not None:
            told |= self._origin(step.origin)
        told["children"] = [self._step(child) for child in step.children]
        return told

    def _origin(self, origin: Step) -> Json:
        if origin.kind not in ("ExpressionDef", "ParameterDef"):
            return {"origin": self._step(origin)}
        name = str(origin.name)
        if name not in self.definitions:
            self.definitions[name] = {}  # its place in the order of reference
            self.definitions[name] = self._step(origin)
        return {}

    def _row(self, row: Row) -> Json:
        items = {name: self._value(value) for name, value in row.items}
        told: Json = {"items": items, "kept": row.kept, "steps": [self._step(step) for step in row.steps]}
        return told | ({"decides": True} if id(row) in self._deciding else {})

    def _value(self, value: Value) -> Any:
        """A value as JSON: a resource as its reference, what JSON has no form for in words."""
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, Tuple):
            return {name: self._value(item) for name, item in value.items()}
        if isinstance(value, Structured):
            if isinstance(value, Element) and isinstance(value.json, dict) and "resourceType" in value.json:
                return {"reference": reference(value, self._record)}
            return value.json if isinstance(value, Element) else in_words(value, self._record)
        return in_words(value, self._record)
