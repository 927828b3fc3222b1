"""Whether a committed ELM is what its CQL says: the fingerprint that a translation leaves, and that loading checks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cds.errors import ContentError

#: The official translator and how it is asked. A change of either makes every ELM stale.
TRANSLATOR: Final = "@cqframework/cql 5.3.0"
OPTIONS: Final = (
    "EnableAnnotations",
    "EnableLocators",
    "EnableResultTypes",
    "EnableDetailedErrors",
    "DisableListDemotion",
    "DisableListPromotion",
)
SIGNATURE_LEVEL: Final = "Overloads"

#: CQL's comments, and the texts and quoted names that may hold what looks like one (CQL Author's Guide, Comments).
_COMMENT_OR_TEXT = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|//[^\n]*|/\*.*?\*/""", re.DOTALL
)
#: A name, plain or quoted, after the names that qualify it.
_NAME = r"""(?:(?:"[^"]+"|\w+)\.)*(?:"([^"]+)"|(\w+))"""
_LIBRARY = re.compile(rf"^\s*library\s+{_NAME}", re.MULTILINE)
_INCLUDE = re.compile(rf"^\s*include\s+{_NAME}", re.MULTILINE)


def library_name(cql: str) -> str | None:
    """The identifier of a CQL library, as its `library` declaration says it."""
    found = _LIBRARY.search(_without_comments(cql))
    return found[1] or found[2] if found else None


def includes(cql: str) -> list[str]:
    """The names of the libraries that a CQL library includes."""
    return [quoted or plain for quoted, plain in _INCLUDE.findall(_without_comments(cql))]


def _without_comments(cql: str) -> str:
    return _COMMENT_OR_TEXT.sub(lambda found: " " if found[0].startswith("/") else found[0], cql)


def sources(paths: Iterable[Path]) -> dict[str, str]:
    """The CQL texts of libraries by library name. Raises ContentError where one has no name, or two have the same."""
    found: dict[str, str] = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        name = library_name(text)
        if name is None:
            raise ContentError("has no library declaration", where=f"{path}:1:1", remedy="begin with: library Name")
        if name in found:
            raise ContentError(f"there are two libraries {name}", where=f"{path}:1:1", remedy="rename one")
        found[name] = text
    return found


def fingerprint(cql: str, libraries: Mapping[str, str]) -> str:
    """The hash (SHA-256, hex) of all that a translation depends on.

    That is the CQL, the libraries that it includes (directly or not; `libraries` by name), the translator's version
    and its options. FHIRHelpers is part of the translator's set-up.
    """
    digest = hashlib.sha256("\n".join((TRANSLATOR, *OPTIONS, SIGNATURE_LEVEL)).encode())
    waiting, seen = [cql], set()
    while waiting:
        text = waiting.pop(0)
        digest.update(hashlib.sha256(text.encode()).digest())
        for name in includes(text):
            if name in libraries and name not in seen:
                seen.add(name)
                waiting.append(libraries[name])
    return digest.hexdigest()


def elm_path(cql: Path) -> Path:
    """Where the ELM of a CQL file stands: beside it, as ``<stem>.elm.json``."""
    return cql.with_name(f"{cql.stem}.elm.json")


def is_fresh(elm: Mapping[str, Any], cql: str, libraries: Mapping[str, str]) -> bool:
    """Whether `elm` was translated from this CQL, these includes, by this translator."""
    translation = elm.get("translation")
    return isinstance(translation, Mapping) and translation.get("sha256") == fingerprint(cql, libraries)
