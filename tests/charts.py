"""What the fixtures hold of patients and users, and whether a text says any of it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent
#: A JSON Web Token, of whomever.
_TOKEN = r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
_WORD = re.compile(r"[\w.@+-]+")


def said_of_a_patient(text: str) -> str | None:
    """The first thing in a text that a fixture says of a patient or a user, or that is a token; None where none is."""
    found = _pattern().search(text)
    return found[0] if found else None


@cache
def secrets() -> frozenset[str]:
    """Names, ids, identifiers, dates of birth, contacts and tokens in the fixtures.

    What our own code says too is left out, and short numbers: in a log they would not tell of a patient.
    """
    found = {secret for content in _fixtures() for secret in _secrets(content)}
    return frozenset(one for one in found - _own_words() if len(one) >= (6 if one.isdigit() else 4))


@cache
def _pattern() -> re.Pattern[str]:
    words = "|".join(map(re.escape, sorted(secrets(), key=len, reverse=True)))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])|{_TOKEN}")


def _fixtures() -> Iterator[Any]:
    for folder in ("hooks/*/requests", "plandefinitions/*/cases", "examples/patients"):
        for path in sorted(ROOT.glob(f"{folder}/*.json*")):
            content = path.read_bytes()
            yield orjson.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def _secrets(value: Any) -> Iterator[str]:
    """What a JSON value holds of patients and users, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _secrets(item)
    if not isinstance(value, dict):
        return
    if value.get("resourceType") in ("Patient", "Practitioner", "RelatedPerson"):
        yield from (str(value[name]) for name in ("id", "birthDate") if name in value)
        for name in ("name", "identifier", "telecom", "address"):
            yield from _texts(value.get(name, ()))
    for name in ("access_token", "patientId", "userId"):
        if isinstance(value.get(name), str):
            yield from (value[name], value[name].rpartition("/")[2])
    for item in value.values():
        yield from _secrets(item)


def _texts(value: Any) -> Iterator[str]:
    """The words that name somebody, without the systems and codes around them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name in ("text", "family", "given", "value", "line", "postalCode"):
            yield from _texts(value.get(name, ()))


def _own_words() -> set[str]:
    """The words of our code, and the ids of our content."""
    words: set[str] = set()
    for path in (ROOT / "cds").rglob("*.py"):
        words |= set(_WORD.findall(path.read_text(encoding="utf-8")))
    return words | {path.name for folder in ("hooks", "plandefinitions") for path in (ROOT / folder).iterdir()}
