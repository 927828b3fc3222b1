"""The compact table of FHIR types that the engine loads, from the model info that the CQL translator reads.

    python -m cds.authoring.modelinfo fhir-modelinfo-4.0.1.xml cds/fhir/model-r4.json

Input: the FHIR 4.0.1 ModelInfo of the CQL project (cqframework), as npm ``cql-exec-fhir`` ships it in
``lib/modelInfos`` (Apache License 2.0); it lists the types and elements of HL7 FHIR R4 (CC0). Output, for each type,
its base and its elements: ``name`` -> ``Type``, ``Type*`` (a list) or ``One|Another`` (a choice); a type of the
System model is written ``System.String``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

_NS = "{urn:hl7-org:elm-modelinfo:r1}"
_FHIR = "FHIR."


def compact(xml: str) -> dict[str, object]:
    """The table as JSON, from the text of a ModelInfo."""
    root = ElementTree.fromstring(xml)
    types = {info.get("name", ""): [_base(info), _elements(info)] for info in root.iter(_NS + "typeInfo")}
    return {"url": root.get("url"), "version": root.get("version"), "types": dict(sorted(types.items()))}


def _base(info: ElementTree.Element) -> str:
    return info.get("baseType", "").removeprefix(_FHIR)


def _elements(info: ElementTree.Element) -> dict[str, str]:
    return {element.get("name", ""): _type(element) for element in info.findall(_NS + "element")}


def _type(element: ElementTree.Element) -> str:
    if stated := element.get("elementType"):
        return stated.removeprefix(_FHIR)
    specifier = element.find(_NS + "elementTypeSpecifier")
    if specifier is None:
        raise ValueError(f"the element {element.get('name')} has no type")
    if choices := specifier.findall(_NS + "choice"):
        return "|".join(_name(choice) for choice in choices)
    inner = specifier.find(_NS + "elementTypeSpecifier")
    return (specifier.get("elementType", "").removeprefix(_FHIR) if inner is None else _name(inner)) + "*"


def _name(specifier: ElementTree.Element) -> str:
    space = specifier.get("namespace", "FHIR")
    return (specifier.get("name") or "") if space == "FHIR" else f"{space}.{specifier.get('name')}"


def write(source: Path, target: Path) -> None:
    """Writes the table, one type to a line, so that a new model version reads well in a diff."""
    table = compact(source.read_text(encoding="utf-8"))
    types = table.pop("types")
    assert isinstance(types, dict)
    lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in types.items()]
    head = json.dumps(table)[:-1]
    target.write_text(head + ', "types": {\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
