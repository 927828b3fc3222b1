"""A CQL file with the ELM beside it, as the checks read them: names, references, and the places of ELM's nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cds.authoring.check.finding import Place
from cds.authoring.check.source import Source
from cds.elm.library import included_name
from cds.trials.compiled import includes, is_fresh, library_name

Json = dict[str, Any]

_LOCATOR = re.compile(r"(\d+):(\d+)")
_DEFINE = re.compile(
    r"""^\s*define\s+(?:public\s+|private\s+)?(?!function\b)(?:fluent\s+)?(?:"([^"]+)"|(\w+))\s*:""", re.MULTILINE
)
#: What says nothing about the meaning of a node.
_ASIDE = frozenset(("annotation", "localId", "locator", "resultTypeName", "resultTypeSpecifier", "signature"))
_BOOLEAN = "{urn:hl7-org:elm-types:r1}Boolean"


@dataclass
class Cql:
    """One CQL library. `translated` is its ELM from the translator just now, where the one beside it is stale."""

    source: Source
    elm_source: Source | None
    translated: Json | None = field(default=None, repr=False)
    fresh: bool = True

    @cached_property
    def text(self) -> str:
        """The CQL; empty where it cannot be read."""
        return self.source.text or ""

    @cached_property
    def name(self) -> str | None:
        """The library's name, as its declaration says it."""
        return library_name(self.text)

    @cached_property
    def version(self) -> str | None:
        """The library's version, as its declaration says it."""
        found = re.search(r"""^\s*library\s+\S+\s+version\s+'([^']*)'""", self.text, re.MULTILINE)
        return found[1] if found else None

    @cached_property
    def includes(self) -> list[tuple[str, Place]]:
        """The libraries that it includes, with the place of each include."""
        found = []
        for name in includes(self.text):
            at = re.search(rf"""^\s*include\s+(?:\S+\.)?"?{re.escape(name)}\b""", self.text, re.MULTILINE)
            found.append(
                (name, self.source.at(at.start() + len(at[0]) - len(at[0].lstrip())) if at else self.source.line(1))
            )
        return found

    @property
    def elm(self) -> Json | None:
        """The ELM that says what the CQL says; None where there is none."""
        if self.translated is not None:
            return self.translated
        content = self.elm_source.content if self.fresh and self.elm_source is not None else None
        library = content.get("library") if content else None
        return library if isinstance(library, dict) else None

    def is_fresh(self, texts: Mapping[str, str]) -> bool:
        """Whether the ELM beside it was translated from this CQL and these libraries."""
        content = self.elm_source.content if self.elm_source else None
        return content is not None and is_fresh(content, self.text, texts)

    @cached_property
    def definitions(self) -> dict[str, Json]:
        """The nodes of its definitions by name; none where there is no ELM."""
        return {node["name"]: node for node in self._statements if node.get("type") != "FunctionDef"}

    @cached_property
    def functions(self) -> dict[str, list[Json]]:
        """The nodes of its functions by name, overloads together."""
        found: dict[str, list[Json]] = {}
        for node in self._statements:
            if node.get("type") == "FunctionDef":
                found.setdefault(node["name"], []).append(node)
        return found

    @property
    def _statements(self) -> list[Json]:
        return [node for node in _entries(self.elm, "statements") if isinstance(node.get("name"), str)]

    @cached_property
    def defined(self) -> frozenset[str]:
        """The names of its definitions: by its ELM, else as its text has them."""
        if self.elm is not None:
            return frozenset(self.definitions)
        return frozenset(quoted or plain for quoted, plain in _DEFINE.findall(self.text))

    @cached_property
    def value_sets(self) -> dict[str, tuple[str, Place]]:
        """The value sets that it declares: by name, their URL and place."""
        found = {}
        for node in _entries(self.elm, "valueSets"):
            if isinstance(node.get("name"), str) and isinstance(node.get("id"), str):
                found[node["name"]] = (node["id"], self.place(node))
        return found

    @cached_property
    def included(self) -> dict[str, str]:
        """The names of the included libraries, by the names that they go by here."""
        return {
            str(node["localIdentifier"]): included_name(node)[0]
            for node in _entries(self.elm, "includes")
            if isinstance(node.get("path"), str) and "localIdentifier" in node
        }

    def place(self, node: Json) -> Place:
        """Where a node stands in the CQL; where the nearest part of it that says so stands."""
        for one in nodes(node):
            found = _LOCATOR.match(str(one.get("locator") or ""))
            if found:
                return self.source.line(int(found[1]), int(found[2]))
        return self.source.line(1)


def _entries(elm: Json | None, section: str) -> Iterator[Json]:
    """The definitions in one section of an ELM library, whatever else may stand there."""
    found = (elm or {}).get(section)
    listed = found.get("def") if isinstance(found, dict) else None
    yield from (node for node in (listed if isinstance(listed, list) else []) if isinstance(node, dict))


def nodes(node: Any) -> Iterator[Json]:
    """Every node of an expression, itself first, in the order of the text; types and annotations left out."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(value for name, value in reversed(part.items()) if name not in _ASIDE)
        elif isinstance(part, list):
            waiting.extend(reversed(part))


def meaning(node: Any) -> str:
    """The same for expressions that say the same in the same words, and for no others."""
    told: list[str] = []
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            names = sorted(name for name in part if name not in _ASIDE)
            told.append(f"{{{','.join(map(repr, names))}:")
            waiting.extend(part[name] for name in reversed(names))
        elif isinstance(part, list):
            told.append(f"[{len(part)}:")
            waiting.extend(reversed(part))
        else:
            told.append(f"{part!r};")
    return "".join(told)


def is_boolean(definition: Json) -> bool:
    """Whether a definition is of type Boolean."""
    return bool(definition.get("resultTypeName") == _BOOLEAN)


def operands(node: Json) -> list[Json]:
    """The operands of an operator."""
    operand = node.get("operand")
    return [one for one in (operand if isinstance(operand, list) else [operand]) if isinstance(one, dict)]
