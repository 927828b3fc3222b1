"""A small world for the engine: the libraries of ``data/``, ELM by hand, a patient of a few resources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from cds.elm import Evaluation, Libraries
from cds.errors import TerminologyError
from cds.fhir.model import Element, FHIRModel

DATA = Path(__file__).resolve().parent / "data"
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)

Pair = tuple[str, str]
SETS: dict[str, frozenset[Pair]] = {
    "https://trial-match.example/fhir/ValueSet/hemoglobin": frozenset({("http://loinc.org", "718-7")}),
    "https://trial-match.example/fhir/ValueSet/cancer": frozenset({("http://snomed.info/sct", "363406005")}),
}


class Patient:
    """A retriever over a few resources, and a terminology of two small value sets."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.resources = resources
        self.asked: list[str] = []

    def retrieve(
        self, type_name: str, code_path: str | None = None, codes: Collection[Pair] | None = None
    ) -> Sequence[Element]:
        self.asked.append(type_name)
        found = [Element(type_name, json) for json in self.resources if json["resourceType"] == type_name]
        return (
            found if codes is None else [item for item in found if self._coded(item, code_path or "code") & set(codes)]
        )

    @staticmethod
    def _coded(item: Element, path: str) -> set[Pair]:
        concept = item.get(path)
        codings = concept.get("coding") if concept is not None else None
        return {(coding.json["system"], coding.json["code"]) for coding in codings or ()}

    def value_set(self, url: str, version: str | None = None) -> frozenset[Pair]:
        if url not in SETS:
            raise TerminologyError(f"no value set {url}")
        return SETS[url]

    def code_system(self, url: str, version: str | None = None) -> frozenset[str]:
        return frozenset({"718-7"})

    def subsumes(self, ancestor: Pair, descendant: Pair) -> bool | None:
        return True if ancestor == descendant else None


def elm(name: str) -> dict[str, Any]:
    """The ELM of a library in ``data/``."""
    found: dict[str, Any] = orjson.loads((DATA / f"{name}.elm.json").read_bytes())
    return found


def compiled(*elms: Mapping[str, Any]) -> Libraries:
    """Compiled libraries, with FHIR as their model."""
    libraries = Libraries(FHIRModel())
    for item in elms:
        libraries.add(item)
    libraries.compile()
    return libraries


def literal(value: bool | int | str) -> dict[str, Any]:
    """An ELM literal."""
    kind = {bool: "Boolean", int: "Integer", str: "String"}[type(value)]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}" + kind, "value": text}


def library(*definitions: Mapping[str, Any], id: str = "Made", **sections: Any) -> dict[str, Any]:
    """A library written by hand: for what the translator does not write, or not on demand."""
    return {"library": {"identifier": {"id": id, "version": "1"}, "statements": {"def": list(definitions)}, **sections}}


def define(name: str, expression: Mapping[str, Any], locator: str = "7:1-7:20") -> dict[str, Any]:
    """A definition written by hand."""
    return {"name": name, "context": "Patient", "locator": locator, "expression": expression}


def evaluation(libraries: Libraries, patient: Patient | None = None, **settings: Any) -> Evaluation:
    """An evaluation of libraries for a patient (without data unless given), at NOW unless said otherwise."""
    patient = patient or Patient()
    return Evaluation(libraries, patient, patient, settings.pop("now", NOW), **settings)
