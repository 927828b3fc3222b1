"""A guide in Markdown, followed word for word: commands are run, files changed, and what is printed is compared.

Of fenced blocks these are followed, in their order; all others are for the reader alone:

* ``sh``: run in one folder, with ``cds`` and ``python`` on the path; it must end with 0, or with the status that a line
  ``# exit status N`` in it says. ``sh background`` is left running until the guide's end.
* ``text`` right after ``sh``: what that printed (stdout and stderr). A line ``…`` stands for any number of lines, and
  ``…`` within a line for any text.
* ``cql FILE`` and ``json FILE``: an edit. CQL that begins with ``define "Name":`` takes the place of that definition,
  or is put at the end where there is none; CQL that begins with ``valueset`` is put above ``context Patient``; anything
  else is the file's whole content.
* ``diff FILE``: an edit of lines that stand together once in the file: ``-`` goes, ``+`` comes, the others stay.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS = re.compile(r"^# exit status (\d+)$", re.MULTILINE)
_DEFINE = re.compile(r'^define\s+"(?P<name>[^"]+)"\s*:', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a guide: its info string, its text, and the line that it begins on."""

    info: str
    body: str
    line: int


def blocks(markdown: str) -> Iterator[Block]:
    for found in _FENCE.finditer(markdown):
        yield Block(found["info"].strip(), found["body"], markdown.count("\n", 0, found.start()) + 1)


@dataclass
class Follower:
    """Somebody who does what a guide says, in `folder`."""

    folder: Path
    environment: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def follow(self, guide: Path) -> None:
        """Raises AssertionError, with the guide's line, at the first thing that is not as the guide says."""
        printed: str | None = None
        for block in blocks(guide.read_text(encoding="utf-8")):
            place = f"{guide.name}:{block.line}"
            kind, _, target = block.info.partition(" ")
            if kind == "sh":
                printed = self._run(block.body, place, background=target == "background")
            elif kind == "text" and printed is not None:
                assert_printed(block.body, printed, place)
                printed = None
            elif kind in ("cql", "json") and target:
                edit(self.folder / target, block.body)
            elif kind == "diff" and target:
                patch(self.folder / target, block.body, place)

    def _run(self, script: str, place: str, *, background: bool) -> str:
        # A script is read as a file, so that what it runs can take nothing of it from stdin.
        command = ["bash", "-e", "-c", script]
        if background:
            with (self.folder / "background.log").open("wb") as log:
                process = subprocess.Popen(
                    command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
                )
            self.running.append(process)
            return ""
        done = subprocess.run(  # noqa: PLW1510  (its status is compared)
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        stated = _STATUS.search(script)
        expected = int(stated[1]) if stated else 0
        printed = done.stdout
        assert done.returncode == expected, f"{place}: exit status {done.returncode}\n{script}\n{printed}"
        return printed

    def stop(self) -> None:
        for process in self.running:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def assert_printed(expected: str, printed: str, place: str) -> None:
    """What was printed is what the guide shows, its ellipses aside; spaces at the ends of lines do not count."""
    lines = [line.rstrip() for line in expected.strip("\n").split("\n")]
    pattern = ""
    for line in lines:
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += "[^\\n]*?".join(re.escape(part) for part in line.split("…")) + r"[ ]*\n"
    told = "\n".join(line.rstrip() for line in printed.strip("\n").split("\n")) + "\n"
    assert re.fullmatch(pattern, told), f"{place}: this was printed:\n{told}\nand the guide shows:\n{expected}"


def edit(path: Path, body: str) -> None:
    """The definitions in `body` in the place of those of the same name; or `body` as the whole file."""
    if path.suffix == ".cql" and body.startswith("valueset"):
        text = path.read_text(encoding="utf-8")
        assert "\ncontext Patient\n" in text
        path.write_text(text.replace("\ncontext Patient\n", f"\n{body}\ncontext Patient\n", 1), encoding="utf-8")
        return
    if path.suffix != ".cql" or not body.startswith("define"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    for definition in _definitions(body):
        text = _replaced(text, definition)
    path.write_text(text, encoding="utf-8")


def patch(path: Path, body: str, place: str) -> None:
    """The lines that `body` shows with ``-`` and without a sign, replaced by those with ``+`` and without."""
    lines = body.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{place}: these lines stand {text.count(before)} times in {path.name}:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def _definitions(cql: str) -> list[str]:
    starts = [found.start() for found in _DEFINE.finditer(cql)]
    return [cql[start:end].rstrip() + "\n" for start, end in zip(starts, [*starts[1:], len(cql)], strict=True)]


def _replaced(text: str, definition: str) -> str:
    name = _DEFINE.match(definition)
    assert name
    for found in _DEFINE.finditer(text):
        if found["name"] == name["name"]:
            # It ends where a comment or a definition begins that stands at the margin.
            following = re.compile(r"^(?=//|/\*|define\b|context\b|parameter\b|\Z)", re.MULTILINE)
            end = following.search(text, found.end())
            return text[: found.start()] + definition + "\n" + text[end.start() if end else len(text) :]
    return text.rstrip() + "\n\n" + definition
