"""Which signed calls were made already: each token serves once, whichever worker it reaches."""

from __future__ import annotations

import threading
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, create_engine, delete, event, insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from cds.errors import ContentError, TrustUnavailableError

_METADATA = MetaData()
#: A token is kept as a hash, until it has expired: nothing of it can be read back.
_USED = Table(
    "used_token",
    _METADATA,
    Column("digest", String(64), primary_key=True),
    Column("expires", BigInteger, nullable=False, index=True),
)
#: Seconds between two purges by one worker; seconds that a busy database is waited for.
_PURGE = 60.0
_WAIT = 2


class ReplayStore:
    """The tokens used so far, in a database that all workers share."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._purged = 0.0
        self._lock = threading.Lock()

    @classmethod
    def open(cls, url: str) -> ReplayStore:
        """The store at a database URL, with its table made. Raises ContentError where it cannot be used.

        No connection stays open: workers fork from this process, and each opens its own.
        """
        try:
            _make_folder(url)
            store = cls(url)
            _METADATA.create_all(store._engine)
        except (ArgumentError, ImportError, SQLAlchemyError, OSError) as error:
            raise ContentError(
                f"the store of used tokens cannot be opened ({type(error).__name__})",
                where="CDS_REPLAY_DATABASE_URL",
                remedy="give the SQLAlchemy URL of a database that can be written, such as sqlite:////run/replay.sqlite",
            ) from error
        store._engine.dispose()
        return store

    def take(self, issuer: str, jti: str, *, expires: float, now: datetime) -> bool:
        """Marks a token as used until it expires; False where it was used before.

        Raises TrustUnavailableError where the store does not answer: then nobody can say, and the call must not pass.
        """
        digest = sha256(f"{len(issuer)} {issuer} {jti}".encode("utf-8", "surrogatepass")).hexdigest()
        moment = now.timestamp()
        try:
            with self._engine.begin() as connection:
                if self._purge_is_due(moment):
                    connection.execute(delete(_USED).where(_USED.c.expires < int(moment)))
                connection.execute(insert(_USED).values(digest=digest, expires=int(expires) + 1))
        except IntegrityError:
            return False
        except SQLAlchemyError as error:
            raise TrustUnavailableError(
                f"whether this token was used before cannot be known now ({type(error).__name__})",
                where="jti",
                remedy="try again later",
            ) from None
        return True

    def _purge_is_due(self, moment: float) -> bool:
        with self._lock:
            due = abs(moment - self._purged) >= _PURGE
            if due:
                self._purged = moment
            return due


def _make_folder(url: str) -> None:
    """The folder of a SQLite file, for this user alone."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    engine = create_engine(parsed, connect_args={"timeout": _WAIT})

    @event.listens_for(engine, "connect")
    def configure(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not hinder one another
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    return engine
