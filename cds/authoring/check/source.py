"""Files of a content folder as the checks read them: text and JSON, with what is wrong with them as findings."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from cds.authoring.check import positions
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.positions import Positions

UNREADABLE = Rule("file-unreadable", Severity.ERROR, "A file or folder cannot be read.")
TOO_LARGE = Rule("file-too-large", Severity.ERROR, "A file is larger than any content file should be.")
ENCODING = Rule("file-encoding", Severity.ERROR, "A file is not in UTF-8.")
NO_JSON = Rule("json-syntax", Severity.ERROR, "A .json file does not hold one JSON object.")
KEY_TWICE = Rule("json-duplicate-key", Severity.ERROR, "An object has a key twice.")
RULES = (UNREADABLE, TOO_LARGE, ENCODING, NO_JSON, KEY_TWICE)

#: The largest file that is read, in bytes. The largest ELM here has two million.
LARGEST = 32 * 1024 * 1024
ELM = ".elm.json"
_READ = (".json", ".cql", ".txt")
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"))


@dataclass
class Source:
    """One file. `text` is None where it cannot be read, `content` where it is no JSON object."""

    path: Path
    text: str | None = None
    content: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Source:
        """A file with what is wrong with it as a file."""
        source = cls(path)
        data = source._data()
        if data is not None:
            source.text = source._decoded(data)
        if source.text is not None and path.suffix == ".json":
            source.content = source._parsed(source.text)
        return source

    def place(self, *path: str | int) -> Place:
        """Where a member or an item of the JSON stands; what holds it, where it is not there."""
        return Place(self.path, *self._positions.place(path))

    def line(self, line: int, column: int = 1) -> Place:
        """A place by its line."""
        return Place(self.path, line, column)

    def at(self, offset: int) -> Place:
        """The place of a character."""
        return Place(self.path, *positions.line_of(self.text or "", offset))

    @cached_property
    def _positions(self) -> Positions:
        return Positions(self.text or "")

    def _report(self, rule: Rule, place: Place, message: str, mend: str) -> None:
        self.findings.append(Finding(rule, place, message, mend))

    def _data(self) -> bytes | None:
        try:
            told = self.path.stat()
            if not stat.S_ISREG(told.st_mode):
                self._report(UNREADABLE, Place(self.path), "is no regular file", "put a file in its place")
                return None
            if told.st_size > LARGEST:
                size, most = told.st_size // 2**20, LARGEST // 2**20
                message = f"has {size} MB; the most that is read is {most} MB"
                self._report(TOO_LARGE, Place(self.path), message, "split it, or keep it out of the content folder")
                return None
            return self.path.read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._report(UNREADABLE, Place(self.path), f"cannot be read: {reason}", "mend the link or the permissions")
            return None

    def _decoded(self, data: bytes) -> str | None:
        mend = "save it as UTF-8 without a byte order mark"
        marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
        if marked:
            self._report(ENCODING, Place(self.path), f"is in {marked}", mend)
            return None
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            place = Place(
                self.path, data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
            )
            self._report(
                ENCODING, place, f"the byte 0x{data[error.start]:02X} is no UTF-8 (Latin-1, Windows-1252?)", mend
            )
            return None
        if "\0" in text:
            self._report(ENCODING, self._at(text, text.index("\0")), "holds the character NUL (UTF-16?)", mend)
            return None
        return text

    def _at(self, text: str, offset: int) -> Place:
        return Place(self.path, *positions.line_of(text, offset))

    def _parsed(self, text: str) -> dict[str, Any] | None:
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            self._report(NO_JSON, self._at(text, error.pos), f"is no JSON: {_said(text, error)}", "mend the JSON")
            return None
        if not isinstance(content, dict):
            self._report(
                NO_JSON, Place(self.path), "holds no JSON object", "put one resource, or one expected file, in it"
            )
            return None
        if not self.path.name.endswith(ELM) and positions.has_twice(text):
            for path, line, column in Positions(text).twice:
                message = f"the key {positions.pointer(path)} is there already; only the last one counts"
                self._report(KEY_TWICE, Place(self.path, line, column), message, "keep one of the two")
        return content


def _said(text: str, error: orjson.JSONDecodeError) -> str:
    """What is wrong with a text that is no JSON; the text itself is not quoted."""
    if error.pos >= len(text.rstrip()):
        return "it ends too early"
    try:
        json.loads(text)
    except json.JSONDecodeError as second:
        return second.msg[:1].lower() + second.msg[1:]
    except RecursionError:
        return "it is nested too deeply"
    return error.msg.partition(":")[0]


def files(folder: Path) -> Iterator[Path | Finding]:
    """The content files under a folder in order, links followed; a link into a folder that holds it is a finding."""
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, (os.path.realpath(folder),))]
    while waiting:
        current, above = waiting.pop()
        try:
            entries = sorted(current.iterdir())
        except OSError as error:
            message = f"cannot be read: {error.strerror or type(error).__name__}"
            yield Finding(UNREADABLE, Place(current), message, "mend the permissions")
            continue
        for path in entries:
            if path.name.startswith("."):
                continue
            real = os.path.realpath(path)
            if path.is_symlink() and not path.exists():
                yield Finding(UNREADABLE, Place(path), "is a link that leads nowhere", "remove or mend the link")
            elif path.is_dir() and real in above:
                yield Finding(UNREADABLE, Place(path), f"is a link back to {real}", "remove the link")
            elif path.is_dir():
                waiting.append((path, (*above, real)))
            elif path.suffix in _READ:
                yield path
