"""What stands in a Bundle, whatever its type: its resources with their fullUrls, bundles in it opened, copies known.

What a fullUrl identifies: R4 bundle.html#bundle-unique.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from cds.fhir.dates import earliest
from cds.fhir.model import RESOURCES
from cds.fhir.references import Resource, base_of, normal, resource_id


class Entry(NamedTuple):
    """A resource, the fullUrl of its entry, and its place in the bundle."""

    resource: Resource
    full_url: str | None
    place: int


def flatten(resources: Iterable[tuple[Any, str | None]], skipped: list[str]) -> Iterator[tuple[Resource, str | None]]:
    """The resources with their fullUrls, in order, bundles in them opened; what is none is told in `skipped`."""
    pending = [iter(resources)]
    while pending:
        for resource, full_url in pending[-1]:
            if not isinstance(resource, dict):
                skipped.append("a resource is no object")
                continue
            kind = resource.get("resourceType")
            if kind == "Bundle":
                pending.append(_entries(resource, skipped))
                break
            if not isinstance(kind, str) or kind not in RESOURCES:
                skipped.append("a resource has no resourceType of FHIR R4")
            elif kind != "OperationOutcome":  # tells of the search, not of the patient
                yield resource, full_url
        else:
            pending.pop()


def _entries(bundle: Resource, skipped: list[str]) -> Iterator[tuple[Any, str | None]]:
    entries = bundle.get("entry")
    if entries is not None and not isinstance(entries, list):
        skipped.append("the entry element of a Bundle is no list")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            skipped.append("an entry is no object")
        elif (resource := entry.get("resource")) is not None:
            full_url = entry.get("fullUrl")
            yield resource, full_url if isinstance(full_url, str) and full_url else None


def once(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of one type without the copies: of the same fullUrl, of the same id, or with the same content.

    The later version stays, in the place of the first; the same id on two servers is two resources.
    """
    if _all_different(entries):
        return list(entries)
    kept: list[Entry] = []
    seen: dict[str | bytes, int] = {}
    for entry in entries:
        keys: list[str | bytes] = [key for key in (entry.full_url, resource_id(entry.resource)) if key]
        if not keys:
            keys = _content(entry.resource)
        known = next((place for key in keys if (place := seen.get(key)) is not None), None)
        if known is None or _on_other_servers(entry, kept[known]):
            known = len(kept)
            kept.append(entry)
        elif _version(entry.resource) > _version(kept[known].resource):
            kept[known] = entry
        for key in keys:
            seen.setdefault(key, known)
    return kept


def _all_different(entries: Sequence[Entry]) -> bool:
    """Whether every resource has an id and a fullUrl that no other has: what almost every bundle is."""
    names = {name for entry in entries if (name := resource_id(entry.resource))}
    names.update(entry.full_url for entry in entries if entry.full_url)
    return len(names) == 2 * len(entries)


def _on_other_servers(one: Entry, other: Entry) -> bool:
    if not one.full_url or not other.full_url or one.full_url == other.full_url:
        return False
    bases = {base_of(normal(one.full_url)), base_of(normal(other.full_url))}
    return None not in bases and len(bases) == 2


def _content(resource: Resource) -> list[str | bytes]:
    """What tells a resource without id and fullUrl from others; nothing where it cannot be written down."""
    try:
        return [orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)]
    except orjson.JSONEncodeError:
        return []


def _version(resource: Resource) -> tuple[datetime, int]:
    """What grows from one version of a resource to the next (R4 Meta)."""
    meta = resource.get("meta")
    updated, version = (meta.get("lastUpdated"), meta.get("versionId")) if isinstance(meta, dict) else (None, None)
    moment = earliest(updated, UTC) if isinstance(updated, str) else None
    number = int(version) if isinstance(version, str) and version.isdecimal() and len(version) < 20 else 0
    return moment or datetime.min.replace(tzinfo=UTC), number
