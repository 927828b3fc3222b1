"""The resources that are published: what the content folders hold, as it was when it was loaded."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from cds.errors import ContentError
from cds.fhir.libraries import resources_in
from cds.trials.catalog import read_json

Json = dict[str, Any]

_log = logging.getLogger("cds.publishing")

#: What is knowledge. What else lies in the folders (patients of test cases above all) is not published.
TYPES = (
    "ActivityDefinition",
    "CodeSystem",
    "Library",
    "PlanDefinition",
    "Questionnaire",
    "ResearchStudy",
    "ValueSet",
)
#: Elements that take much room and that searches do not look at, or read anew.
_BULK = frozenset(("action", "compose", "concept", "contained", "content", "expansion", "item", "text"))


@dataclass(frozen=True, slots=True)
class Published:
    """One resource: its JSON as it is sent, and `head`, what lists and searches need of it.

    `version` changes where the content does (FHIR's versionId and ETag).
    """

    type: str
    id: str
    version: str
    head: Json = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, resource: Json) -> Published:
        """A resource that has a type and an id. Its version is made from its content."""
        version = sha256(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        meta = {**resource.get("meta", {}), "versionId": version}
        first = {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta}
        whole = first | {name: value for name, value in resource.items() if name != "meta"}
        head = {name: value for name, value in whole.items() if name not in _BULK}
        return cls(resource["resourceType"], resource["id"], version, head, orjson.dumps(whole))

    def json(self) -> Json:
        """The whole resource, read anew."""
        content: Json = orjson.loads(self.body)
        return content


@dataclass(frozen=True)
class Repository:
    """All that is published, by type and id."""

    resources: Mapping[str, Mapping[str, Published]]

    @classmethod
    def load(cls, trials: Path, others: Iterable[Path] = (), made: Iterable[Json] = ()) -> Repository:
        """What the folder of the trials and those of others hold, and what was `made` from it.

        Of two resources with one type and id the first is published, and the other is named in the log.
        Raises ContentError for a Library whose content names a file that is not there.
        """
        known: dict[str, dict[str, Published]] = {kind: {} for kind in TYPES}
        sources: dict[tuple[str, str], str] = {}
        found = [*_of_trials(trials), *(one for folder in others for one in _of_others(folder))]
        for source, resource in [*found, *(("what was made from the content", one) for one in made)]:
            kind = resource["resourceType"]
            published = Published.of(resource)
            if other := sources.get((kind, published.id)):
                if known[kind][published.id].version != published.version:
                    _log.warning("%s: %s/%s is not published: it is also in %s", source, kind, published.id, other)
                continue
            sources[kind, published.id] = source
            known[kind][published.id] = published
        return cls({kind: dict(sorted(ones.items())) for kind, ones in known.items()})

    def get(self, kind: str, resource_id: str) -> Published | None:
        """The resource of a type and id."""
        return self.resources.get(kind, {}).get(resource_id)

    def of_type(self, kind: str) -> tuple[Published, ...]:
        """All resources of a type, by id."""
        return tuple(self.resources.get(kind, {}).values())


def _of_trials(folder: Path) -> Iterator[tuple[str, Json]]:
    """The resources of the trials' folders: beside the trial and in ``valuesets/``, its patients left out."""
    for path in sorted([*folder.glob("*/*.json"), *folder.glob("*/valuesets/*.json")]):
        if path.name.endswith(".elm.json"):
            continue
        resource = read_json(path)
        if _is_published(resource):
            yield str(path), _with_content(resource, path)


def _of_others(folder: Path) -> Iterator[tuple[str, Json]]:
    for source, resource in resources_in(folder, lambda _: None):  # they were named when the knowledge was loaded
        if isinstance(resource, dict) and resource.get("resourceType") in TYPES and "id" not in resource:
            resource = resource | {"id": str(resource.get("url", "")).rpartition("/")[2]}
        if _is_published(resource):
            yield source, resource


def _is_published(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("resourceType") in TYPES and bool(resource.get("id"))


def _with_content(resource: Json, path: Path) -> Json:
    """A Library with the files beside it that its content names in it: who fetches it has no other way to them."""
    if resource["resourceType"] != "Library":
        return resource
    return resource | {"content": [_with_data(one, path) for one in resource.get("content", [])]}


def _with_data(attachment: Json, path: Path) -> Json:
    name = attachment.get("url")
    if "data" in attachment or not isinstance(name, str) or Path(name).name != name:
        return attachment
    try:
        data = (path.parent / name).read_bytes()
    except OSError as error:
        raise ContentError(
            f"its content names {name}, which cannot be read", where=str(path), remedy="correct content.url"
        ) from error
    if name.endswith(".json"):
        data = orjson.dumps(orjson.loads(data))
    return {key: value for key, value in attachment.items() if key != "url"} | {
        "data": base64.b64encode(data).decode("ascii"),
        "title": name,
    }
