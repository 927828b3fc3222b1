"""docs/authoring.md followed word for word by somebody who has the repository and nothing else of ours."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
from guide import Follower, assert_printed, blocks, edit

from cds.authoring.check.run import RULES

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "authoring.md"
#: What a clone holds that the guide's commands use.
CLONE = ("plandefinitions", "hooks", "examples", "docs")


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    clone = tmp_path / "clone"
    for name in CLONE:
        shutil.copytree(ROOT / name, clone / name)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "cds").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from cds.cli import main; main()" "$@"\n')
    (commands / "cds").chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CDS_")}
    return Follower(
        clone,
        kept
        | {
            "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
            "CDS_PORT": port,
            "CDS_CACHE": str(ROOT / ".cache"),
            "CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'feedback.sqlite'}",
        },
    )


@pytest.mark.skipif(not (ROOT / ".cache" / "translator").is_dir(), reason="the CQL translator is not installed")
def test_the_guide_ends_with_a_card(follower: Follower) -> None:
    try:
        follower.follow(GUIDE)
    finally:
        follower.stop()


# ---- the follower itself


def test_blocks_are_found_with_their_lines() -> None:
    found = list(blocks("a\n\n```sh\nls\n```\n```text\nx\n```\n"))
    assert [(one.info, one.body, one.line) for one in found] == [("sh", "ls\n", 3), ("text", "x\n", 6)]


@pytest.mark.parametrize(
    ("expected", "printed"), [("a\nb", "a\nb\n"), ("a\n…\nz", "a\nb\nc\nz\n"), ("in … s", "in 1.5 s"), ("a\n…", "a\n")]
)
def test_what_is_shown_may_leave_out(expected: str, printed: str) -> None:
    assert_printed(expected, printed, "guide:1")


@pytest.mark.parametrize(("expected", "printed"), [("a\nb", "a\nc"), ("a", "a\nb"), ("in … s", "in 1\n2 s")])
def test_what_is_shown_wrongly_is_found(expected: str, printed: str) -> None:
    with pytest.raises(AssertionError, match="guide:1: this was printed"):
        assert_printed(expected, printed, "guide:1")


def test_a_status_that_is_not_stated_is_found(follower: Follower, tmp_path: Path) -> None:
    guide = tmp_path / "guide.md"
    guide.write_text("```sh\n# exit status 3\nexit 3\n```\n```sh\nexit 4\n```\n")
    with pytest.raises(AssertionError, match=r"guide\.md:5: exit status 4"):
        follower.follow(guide)


def test_definitions_are_replaced_and_added(tmp_path: Path) -> None:
    path = tmp_path / "a.cql"
    path.write_text('library A\n\n// one\ndefine "One":\n  null\n\n// two\ndefine "Two":\n  null\n')
    edit(path, 'define "One":\n  true\n\ndefine "Three":\n  3\n')
    assert path.read_text() == (
        'library A\n\n// one\ndefine "One":\n  true\n\n// two\ndefine "Two":\n  null\n\ndefine "Three":\n  3\n'
    )


def test_the_findings_that_the_guide_names_are_rules() -> None:
    mistakes = GUIDE.read_text(encoding="utf-8").partition("## Common mistakes")[2]
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", mistakes))
    assert named and named <= RULES.keys()
