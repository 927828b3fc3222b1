"""Ways in which a SQLite database does not serve: each is a context in which nothing can be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from reactions import card
from sqlalchemy import event

from cds.errors import StoreUnavailableError
from cds.hooks.feedback import FeedbackStore

Fault = Callable[[FeedbackStore, Path], Any]


@contextmanager
def pragma(store: FeedbackStore, statement: str) -> Iterator[None]:
    """Lets each new connection of a store begin with a statement."""

    def begin(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(statement).close()

    store.close()
    event.listen(store._engine, "connect", begin)
    yield
    event.remove(store._engine, "connect", begin)
    store.close()


@contextmanager
def locked(_store: FeedbackStore, file: Path) -> Iterator[None]:
    """Somebody else holds the write lock."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(store: FeedbackStore, file: Path) -> Iterator[None]:
    """There is no room for another page (SQLITE_FULL, as on a full disk), and every page in use is filled."""
    with pragma(store, "PRAGMA max_page_count=1"):  # as many as there are now
        with pytest.raises(StoreUnavailableError):
            store.add_cards([card(f"filler {number}") for number in range(1000)])
        yield


@contextmanager
def read_only(store: FeedbackStore, _file: Path) -> Iterator[None]:
    """The file may not be written (SQLITE_READONLY)."""
    with pragma(store, "PRAGMA query_only=1"):
        yield


FAULTS = pytest.mark.parametrize(
    ("fault", "said"),
    [(locked, "database is locked"), (full, "full"), (read_only, "readonly")],
    ids=["locked", "full", "read-only"],
)
