"""Whether a reference names a certain resource, however either is written (R4 references.html; bundle.html).

A resource in a bundle goes by its type and id and by its entry's fullUrl; a reference may be relative, absolute,
``urn:uuid:``, versioned, contained, conditional or an identifier alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Resource = dict[str, Any]

#: The address of a resource on a server, without its scheme; what precedes it is the server's base.
_RESTFUL = re.compile(r"(//.+)/[A-Za-z]+/[A-Za-z0-9.-]{1,64}")


def normal(reference: str) -> str:
    """The reference without version, scheme (http or https) and letter case that make no difference."""
    text = reference.strip().partition("/_history/")[0].rstrip("/")
    if text[:4].lower() == "urn:":
        return text.lower()
    return text[text.index("://") + 1 :] if "://" in text else text.lstrip("/")


def base_of(url: str | None) -> str | None:
    """The server that a (normal) fullUrl is on; None where it tells of none, such as ``urn:uuid:``."""
    match = _RESTFUL.fullmatch(url) if url else None
    return match.group(1) if match else None


def tail(reference: str) -> str:
    """The last part of a (normal) reference: the id, in every way of writing but an identifier's."""
    return re.split(r"[/:]", reference)[-1]


def resource_id(resource: Resource) -> str | None:
    """The id of a resource, None where it has none that is text."""
    value = resource.get("id")
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class Identity:
    """What one resource may be called by: its `type`, its `id`, and the full URLs of its entries (normal)."""

    type: str
    id: str | None
    urls: frozenset[str] = frozenset()
    identifiers: tuple[tuple[str | None, str], ...] = ()
    bases: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        bases = (base_of(url) for url in self.urls)
        object.__setattr__(self, "bases", frozenset(base for base in bases if base is not None))

    @classmethod
    def of(cls, resource: Resource, full_urls: Iterable[str | None]) -> Identity:
        """The identity of a resource that stands in a bundle under `full_urls`."""
        urls = frozenset(normal(url) for url in full_urls if url)
        return cls(str(resource.get("resourceType")), resource_id(resource), urls, _identifiers(resource))

    def is_named_by(self, literal: str, written_at: str | None = None) -> bool:
        """Whether a literal reference, in an entry whose fullUrl is `written_at`, names this resource.

        A relative reference is on the server of its entry; an absolute one is on the server that it says. Where
        this resource has no address on a server, type and id decide.
        """
        text = normal(literal)
        if text in self.urls:
            return True
        if self.id is None:
            return False
        if text.startswith("urn:"):
            return text.rpartition(":")[2] == self.id.lower()
        if text.startswith("//"):
            return not self.bases and text.endswith(f"/{self.type}/{self.id}")
        if text not in (f"{self.type}/{self.id}", self.id):
            return False
        base = base_of(normal(written_at)) if written_at and self.bases else None
        return base is None or base in self.bases

    def is_identified_by(self, identifier: Any) -> bool | None:
        """Whether a business identifier is one of this resource's; None where none of these can be compared to it."""
        pair = _identifier(identifier)
        if pair is None:
            return None
        system, value = pair
        if any(
            value == own and (system == own_system or not system or not own_system)
            for own_system, own in self.identifiers
        ):
            return True
        return False if system and any(system == own_system for own_system, _ in self.identifiers) else None

    def is_sought_by(self, condition: str) -> bool | None:
        """Whether a conditional reference (``Patient?identifier=system|value``) finds this resource."""
        kind, _, query = condition.partition("?")
        if kind != self.type:
            return False
        for part in query.split("&"):
            name, _, token = part.partition("=")
            if name == "identifier":
                system, _, value = unquote(token).rpartition("|")
                return self.is_identified_by({"system": system, "value": value})
        return None


def contained(resource: Resource, literal: str) -> Resource | None:
    """The contained resource that a reference ``#id`` names; None where there is none."""
    inner = resource.get("contained")
    for part in inner if isinstance(inner, list) else ():
        if isinstance(part, dict) and part.get("id") == literal[1:]:
            return part
    return None


def _identifiers(resource: Resource) -> tuple[tuple[str | None, str], ...]:
    values = resource.get("identifier")
    pairs = (_identifier(value) for value in values) if isinstance(values, list) else ()
    return tuple(pair for pair in pairs if pair is not None)


def _identifier(value: Any) -> tuple[str | None, str] | None:
    if not isinstance(value, dict) or not isinstance(text := value.get("value"), str) or not text:
        return None
    system = value.get("system")
    return (system if isinstance(system, str) and system else None), text
