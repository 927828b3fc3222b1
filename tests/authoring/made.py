"""Folders that `cds new` makes, and how they differ from one made by hand."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from cds.authoring.record_reading import read_record
from cds.authoring.scaffold import Made, make_trial

ROOT = Path(__file__).resolve().parents[2]
CONTENT = ROOT / "plandefinitions"
TODAY = date(2026, 11, 20)
OURS = "https://trial-match.example/fhir/StructureDefinition/"
OUTCOME = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy.outcomeMeasure"

Json = dict[str, Any]


def make(record: Path, folder: Path, nct: str | None = None) -> Made:
    """The folder of a record, drafted with the content of the repository."""
    return make_trial(read_record(record, nct), folder, CONTENT, TODAY)


def read(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content


def values(element: Json, name: str) -> list[Any]:
    """The values of our extension `name` on an element."""
    return [
        value
        for extension in element.get("extension", ())
        if extension["url"] == OURS + name
        for key, value in extension.items()
        if key != "url"
    ]


def actions(folder: Path) -> list[tuple[str, Json]]:
    """The actions of the criteria of entry, each with its kind."""
    (eligibility,) = (one for one in read(folder / "plan-definition.json")["action"] if one["id"] == "eligibility")
    return [(group["id"], action) for group in eligibility["action"] for action in group["action"]]


def criteria(folder: Path) -> dict[str, Json]:
    """The criteria of entry of a trial folder, by id: what can be compared of each."""
    return {
        action["id"]: {
            "kind": kind,
            "number": action["prefix"],
            "text": action["textEquivalent"],
            "notes": [[one["label"], one["citation"]] for one in action.get("documentation", ())],
            "disease": True in values(action, "disease-criterion"),
        }
        for kind, action in actions(folder)
    }


def classes(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """The assessment class of each criterion, and its policies."""
    return {one["id"]: (values(one, "assessment")[0], values(one, "missing-data-policy")) for _, one in actions(folder)}


def study(folder: Path) -> Json:
    """What can be compared of a ResearchStudy."""
    one = read(folder / "research-study.json")
    return {
        "title": one["title"],
        "phase": one.get("phase", {}).get("coding", [{}])[0].get("code"),
        "conditions": [condition["text"] for condition in one.get("condition", ())],
        "keywords": [keyword["text"] for keyword in one.get("keyword", ())],
        "interventions": [focus["text"] for focus in one.get("focus", ())],
        "arms": [arm["name"] for arm in one.get("arm", ())],
    }


def outcomes(folder: Path) -> list[tuple[str, str, str | None]]:
    """Type, name and time frame of each outcome measure."""
    found = []
    for extension in read(folder / "research-study.json").get("extension", ()):
        if extension["url"] == OUTCOME:
            parts = {
                part["url"].removeprefix(OURS): next(value for key, value in part.items() if key != "url")
                for part in extension["extension"]
                if part["url"] != OURS + "erratum"
            }
            kind = parts["type"].get("coding", [{}])[0].get("code", "other")
            found.append((kind, parts["name"], parts.get("time-frame")))
    return found


def differences(made: Path, by_hand: Path) -> list[Json]:
    """Where two folders of one trial differ: in which criterion or field, and how."""
    found: list[Json] = []
    ours, theirs = criteria(made), criteria(by_hand)
    shared = [one for one in theirs if one in ours]
    found += [{"criterion": one, "field": "is made only"} for one in ours if one not in theirs]
    found += [{"criterion": one, "field": "is by hand only"} for one in theirs if one not in ours]
    if [one for one in ours if one in theirs] != shared:
        found.append({"field": "order"})
    for one in shared:
        for field, value in ours[one].items():
            if value != theirs[one][field]:
                found.append({"criterion": one, "field": field, "made": value, "byHand": theirs[one][field]})
    for field, value in study(made).items():
        theirs_value = study(by_hand)[field]
        if value != theirs_value:
            found.append({"field": f"study {field}", "made": value, "byHand": theirs_value})
    return found
