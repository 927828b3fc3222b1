"""A database that is locked, full, read-only, away, replaced, of another version, or left in the middle of a write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from broken import FAULTS, Fault, locked
from reactions import NOW, accepted, card
from sqlalchemy import text

from cds.errors import StoreUnavailableError
from cds.hooks.feedback import FeedbackStore
from cds.hooks.feedback.report import report

ROOT = Path(__file__).resolve().parents[3]


def store_at(file: Path) -> FeedbackStore:
    return FeedbackStore(f"sqlite:///{file}")


def many(prefix: str) -> list[Any]:
    return [accepted(f"{prefix} {number}") for number in range(300)]


@FAULTS
def test_what_cannot_be_stored_is_refused_whole_and_stored_later(fault: Fault, said: str, file: Path) -> None:
    store = store_at(file)
    store.add_cards([card("a")])
    with fault(store, file):
        with pytest.raises(StoreUnavailableError, match=said) as raised:
            store.add_feedback("trial-match", many("x"), NOW)
        assert raised.value.where == "CDS_DATABASE_URL"
        with pytest.raises(StoreUnavailableError):
            store.add_cards([card(f"y {number}") for number in range(300)])
    assert report(store).unknown_cards == 0, "nothing is half written"
    store.add_feedback("trial-match", [*many("x"), accepted("a")], NOW)
    told = report(store)
    assert (told.trials[0].issued, told.trials[0].accepted, told.unknown_cards) == (1, 1, 300)


def test_what_is_there_is_read_while_somebody_writes(file: Path) -> None:
    store = store_at(file)
    store.add_cards([card("a")])
    with locked(store, file):
        assert report(store).trials[0].issued == 1


def test_a_folder_that_cannot_be_made_and_then_can(file: Path) -> None:
    file.write_text("in the way")
    store = store_at(file / "feedback.sqlite")
    with pytest.raises(StoreUnavailableError, match=r"FileExistsError|NotADirectoryError"):
        store.open()
    file.unlink()
    store.add_cards([card("a")])
    assert report(store).trials[0].issued == 1
    assert file.stat().st_mode & 0o077 == 0, "its folder is for the service's user alone"


def test_a_file_that_is_no_database(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        store_at(file).check()
    assert file.read_bytes().startswith(b"no database"), "it is left as it is"


def test_a_database_that_is_removed_is_made_anew(file: Path) -> None:
    store = store_at(file)
    store.add_cards([card("a")])
    for one in file.parent.glob("feedback.sqlite*"):
        one.unlink()
    with pytest.raises(StoreUnavailableError, match="no such table"):
        store.add_cards([card("b")])
    store.add_cards([card("b")])
    assert report(store).trials[0].issued == 1


def test_postgresql_that_is_away() -> None:
    pytest.importorskip("psycopg")
    store = FeedbackStore("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailableError, match="Connection refused") as raised:
        store.check()
    assert "secret" not in str(raised.value)


def test_a_database_that_failed_is_not_asked_again_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.hooks.feedback.database.PAUSE", 3600)
    store = store_at(file)
    store.open()
    with locked(store, file), pytest.raises(StoreUnavailableError, match="database is locked"):
        store.add_cards([card("a")])
    with pytest.raises(StoreUnavailableError, match="database is locked"):
        store.add_cards([card("a")])
    monkeypatch.setattr("cds.hooks.feedback.database.PAUSE", 0)
    store.add_cards([card("a")])


def test_a_database_of_a_newer_version_is_left_alone(store: FeedbackStore, url: str) -> None:
    store.add_cards([card("a")])
    with store._transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    another = FeedbackStore(url)
    with pytest.raises(StoreUnavailableError, match="9999"):
        another.add_cards([card("b")])
    with store._transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    another.add_cards([card("b")])
    another.close()


# ---- other processes


def process(script: str, url: str) -> subprocess.Popen[str]:
    """A Python that runs a script with the URL as its argument."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, Path(__file__).parent, *sys.path[1:]]))}
    return subprocess.Popen(
        [sys.executable, "-c", script, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_several_workers_migrate_at_once(url: str, store: FeedbackStore) -> None:
    script = (
        "import sys; from cds.hooks.feedback import FeedbackStore; store = FeedbackStore(sys.argv[1]);"
        "print('there', flush=True); sys.stdin.readline(); store.open(); print('done')"
    )
    workers = [process(script, url) for _ in range(4)]
    for worker in workers:
        assert worker.stdout and worker.stdout.readline() == "there\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        said, errors = worker.communicate(timeout=60)
        assert (worker.returncode, said) == (0, "done\n"), errors
    store.add_cards([card("a")])
    assert report(store).trials[0].issued == 1


def test_a_worker_is_killed_in_the_middle_of_a_write(url: str, store: FeedbackStore) -> None:
    store.add_cards([card("a")])
    script = (
        "import sys; from cds.hooks.feedback import FeedbackStore; from cds.hooks.feedback.tables import LOST\n"
        "from datetime import date\n"
        "with FeedbackStore(sys.argv[1])._transaction() as connection:\n"
        "    connection.execute(LOST.insert(), [{'day': date(2026, 11, 20), 'number': 5}] * 1000)\n"
        "    print('written', flush=True); sys.stdin.readline()\n"
    )
    worker = process(script, url)
    assert worker.stdout and worker.stdout.readline() == "written\n"
    worker.kill()
    worker.communicate(timeout=60)
    store.add_cards([card("b")])
    told = report(store)
    assert (told.trials[0].issued, told.not_recorded) == (2, 0)
    if url.startswith("sqlite"):
        with store.reading() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
