"""The database of the feedback: its engine, and its migration to the tables of this version."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError

#: Seconds that a locked or distant database is waited for, and for which one that failed is not asked again.
WAIT = 2
PAUSE = 1.0
#: Names our migration among all that may ask PostgreSQL for an advisory lock.
_LOCK = 0x7472_6961_6C73

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def engine(url: str) -> Engine:
    """An engine for a SQLite file or a PostgreSQL database. Nothing is opened yet, so processes may still part.

    A SQLite file that was removed or replaced is noticed: a connection to it would write into nowhere.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        made = create_engine(parsed, pool_timeout=WAIT, connect_args={"timeout": WAIT})
        event.listen(made, "do_connect", _make_folder)
        event.listen(made, "connect", _configure)
        event.listen(made, "checkout", _check_file)
        event.listen(made, "begin", _begin)
        return made
    waits = f"-c statement_timeout={WAIT}s -c lock_timeout={WAIT}s"
    limits = {"connect_timeout": WAIT, "options": waits}
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_timeout=WAIT, connect_args=limits
    )


def _make_folder(_dialect: object, _record: object, arguments: tuple[Any, ...], _options: object) -> None:
    """Makes the folder of the file, for this user alone."""
    Path(arguments[0]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _file(connection: Any) -> tuple[int, int] | None:
    """Which file stands where a connection's file is to be."""
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_file(connection: Any, record: Any, _proxy: object) -> None:
    if _file(connection) != record.info["file"]:
        raise DisconnectionError


def _configure(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, the tables' making included
    cursor = connection.cursor()
    with suppress(sqlite3.OperationalError):  # another process is switching it, and SQLite does not wait for that
        cursor.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not hinder one another
    cursor.execute("PRAGMA synchronous=FULL")  # what was answered with 200 outlives a power cut
    cursor.close()
    record.info["file"] = _file(connection)


def _begin(connection: Connection) -> None:
    """Takes the write lock at once: a transaction that reads first and then waits for it would fail instead."""
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Brings the tables to this version. Safe when many processes do it at once: one works, the others wait."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect().execution_options(reads=True) as connection:
        if MigrationContext.configure(connection).get_current_revision() == scripts.get_current_head():
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = '30s'")
            connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
