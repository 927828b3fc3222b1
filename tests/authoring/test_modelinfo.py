"""The table of FHIR types, made from a ModelInfo."""

from __future__ import annotations

import json
from pathlib import Path

from cds.authoring.modelinfo import write

XML = """<modelInfo xmlns="urn:hl7-org:elm-modelinfo:r1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    name="FHIR" version="4.0.1" url="http://hl7.org/fhir">
  <typeInfo baseType="FHIR.DomainResource" name="Patient">
    <element name="birthDate" elementType="FHIR.date"/>
    <element name="name"><elementTypeSpecifier elementType="FHIR.HumanName" xsi:type="ListTypeSpecifier"/></element>
    <element name="extra"><elementTypeSpecifier xsi:type="ListTypeSpecifier">
      <elementTypeSpecifier namespace="FHIR" name="code"/></elementTypeSpecifier></element>
    <element name="deceased"><elementTypeSpecifier xsi:type="ChoiceTypeSpecifier">
      <choice namespace="FHIR" name="boolean"/><choice namespace="FHIR" name="dateTime"/>
    </elementTypeSpecifier></element>
  </typeInfo>
  <typeInfo baseType="FHIR.Element" name="date"><element name="value" elementType="System.Date"/></typeInfo>
</modelInfo>"""


def test_a_line_per_type_with_lists_and_choices(tmp_path: Path) -> None:
    source, target = tmp_path / "modelinfo.xml", tmp_path / "model.json"
    source.write_text(XML, encoding="utf-8")
    write(source, target)
    elements = {"birthDate": "date", "name": "HumanName*", "extra": "code*", "deceased": "boolean|dateTime"}
    text = target.read_text(encoding="utf-8")
    assert json.loads(text) == {
        "url": "http://hl7.org/fhir",
        "version": "4.0.1",
        "types": {"Patient": ["DomainResource", elements], "date": ["Element", {"value": "System.Date"}]},
    }
    assert [line[:6] for line in text.splitlines()[1:3]] == ['"Patie', '"date"']
