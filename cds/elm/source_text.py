"""The CQL text that an ELM node stems from: by the narrative of the ELM's annotations, else by its locator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cds.elm.types import Json


class SourceText:
    """The texts of one library's nodes; `cql` is its CQL, where that is at hand.

    The translator (EnableAnnotations) writes beside each definition its text as nested spans, each with the localId
    of the node that it stands for. A node without a span, such as an implicit conversion, has no text.
    """

    def __init__(self, elm: Json, cql: str | None = None) -> None:
        self._spans: dict[str, str] = {}
        self._lines = cql.splitlines() if cql else []
        for section in elm.values():
            if isinstance(section, Mapping):
                for item in section.get("def") or ():
                    for note in item.get("annotation") or ():
                        if isinstance(note, Mapping) and note.get("s"):
                            self._read(note["s"])

    @property
    def known(self) -> bool:
        """Whether there is any text: then a node without one has none in the CQL either."""
        return bool(self._spans or self._lines)

    def of(self, node: Json) -> str | None:
        """The text of a node as it was written; None where there is none."""
        span = self._spans.get(str(node.get("localId")))
        if span is not None:
            return span
        return self._at(node.get("locator")) if self._lines and not self._spans else None

    def _read(self, span: Any) -> str:
        """The text of a span; its localId is kept: of several spans with one localId the outermost stands."""
        if isinstance(span, list):
            return "".join(map(self._read, span))
        if not isinstance(span, Mapping):
            return ""
        name = str(span.get("r", ""))
        outer = bool(name) and name not in self._spans
        if outer:
            self._spans[name] = ""
        value = span.get("value") or ()
        text = (value if isinstance(value, str) else "".join(map(str, value))) + self._read(span.get("s") or [])
        if outer:
            self._spans[name] = text.strip()
        return text

    def _at(self, locator: Any) -> str | None:
        """The text at ``line:column-line:column``, both ends within it and counted from 1."""
        try:
            first, _, last = str(locator).partition("-")
            (top, left), (bottom, right) = (map(int, end.split(":")) for end in (first, last or first))
        except ValueError:
            return None
        lines = self._lines[top - 1 : bottom]
        if len(lines) != bottom - top + 1 or not lines:
            return None
        lines[-1] = lines[-1][:right]
        lines[0] = lines[0][left - 1 :]
        return "\n".join(lines)
