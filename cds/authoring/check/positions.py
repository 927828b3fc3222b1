"""Where something stands in a JSON text: the line and column of every member and item, and of keys that come twice.

A parser gives values without places, so this reads the text once more; that is asked for only where something is
wrong. A path is a tuple of keys and indexes: ``("action", 0, "title")``.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


class Lines:
    """The lines of a text, by offset."""

    __slots__ = ("_starts",)

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer(r"\n", text))]

    def place(self, offset: int) -> tuple[int, int]:
        """The line and the column of a character, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass(slots=True)
class _Open:
    """An object or a list that is being read: the path to it, and the key or index of what comes next in it."""

    path: Path
    is_object: bool
    key: str | int | None
    keys: set[str] = field(default_factory=set)
    awaits_key: bool = True


class Positions:
    """The places of a JSON text that parses."""

    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self._offsets: dict[Path, int] = {(): 0}
        self._twice: list[tuple[Path, int]] = []
        self._read(text)

    def place(self, path: Path = ()) -> tuple[int, int]:
        """Line and column of a member (its key) or of an item; of what holds it, where it is not there itself."""
        while path not in self._offsets:
            path = path[:-1]
        return self._lines.place(self._offsets[path])

    @property
    def twice(self) -> Iterator[tuple[Path, int, int]]:
        """The members whose key their object has already: path, line and column of the later one."""
        return ((path, *self._lines.place(offset)) for path, offset in self._twice)

    def _read(self, text: str) -> None:
        open_: list[_Open] = []
        for found in _TOKEN.finditer(text):
            token = found[0]
            top = open_[-1] if open_ else None
            if token in "}]":
                if open_:
                    open_.pop()
            elif token == ",":
                if top is not None:
                    top.awaits_key = True
                    top.key = top.key + 1 if isinstance(top.key, int) else None
            elif token == ":":
                continue
            elif top is not None and top.is_object and top.awaits_key:
                self._key(top, token, found.start())
            else:
                path = self._value(top, found.start())
                if token in "{[":
                    open_.append(_Open(path, token == "{", None if token == "{" else 0))

    def _key(self, top: _Open, token: str, offset: int) -> None:
        key = _string(token)
        top.key, top.awaits_key = key, False
        path = (*top.path, key)
        if key in top.keys:
            self._twice.append((path, offset))
        top.keys.add(key)
        self._offsets[path] = offset

    def _value(self, top: _Open | None, offset: int) -> Path:
        if top is None:
            self._offsets[()] = offset
            return ()
        path = (*top.path, top.key) if top.key is not None else top.path
        if not top.is_object:
            self._offsets[path] = offset
        return path


def _string(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token


def has_twice(text: str) -> bool:
    """Whether some object of a JSON text has a key twice, which a parser passes over silently, or may have.

    What is nested too deeply for this to be known quickly may.
    """
    found = False

    def pairs(members: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({key for key, _ in members}) < len(members)

    try:
        json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        return True
    return found


def line_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column of one character of a text, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def pointer(path: Path) -> str:
    """A path in words: ``action[0].title``."""
    told = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return told.removeprefix(".")
