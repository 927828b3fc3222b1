"""Stores of feedback: on SQLite always, on PostgreSQL where CDS_TEST_DATABASE_URL names an empty database for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from cds.hooks.feedback import FeedbackStore, database, recorder
from cds.hooks.feedback.tables import METADATA

POSTGRES = os.environ.get("CDS_TEST_DATABASE_URL")


_ELSEWHERE = pytest.mark.skipif(not POSTGRES, reason="CDS_TEST_DATABASE_URL is not set")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=_ELSEWHERE)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'feedback.sqlite'}"
        return
    assert POSTGRES
    yield POSTGRES
    store = FeedbackStore(POSTGRES)
    with store._transaction() as connection:
        METADATA.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    store.close()


@pytest.fixture
def store(url: str) -> Iterator[FeedbackStore]:
    made = FeedbackStore(url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a database that is locked or away."""
    monkeypatch.setattr(database, "WAIT", 0)
    monkeypatch.setattr(database, "PAUSE", 0)
    monkeypatch.setattr(recorder, "_COLLECT", 0)
    monkeypatch.setattr(recorder, "_FIRST_WAIT", 0)
    monkeypatch.setattr(recorder, "_LONGEST_WAIT", 0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a SQLite database would be."""
    return tmp_path / "feedback.sqlite"
