"""What the service can be told from outside: names, defaults, help. The only reader of the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cds.errors import ContentError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its name, its default as text, what it is for, and how its text is read.

    What is `secret` (it may hold a password) is never repeated.
    """

    name: str
    default: str
    help: str
    read: Callable[[str], Any]
    secret: bool = False


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError("is no whole number from 1 on")
    return int(text)


def _port(text: str) -> int:
    port = _number(text)
    if port > 65535:
        raise ValueError("is no port: those end at 65535")
    return port


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError("is no folder")
    return path


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("is no IANA time zone, such as Europe/Berlin") from error


def _one_of(*words: str) -> Callable[[str], str]:
    """Reads one of `words`, in whatever case."""
    known = {word.lower(): word for word in words}

    def read(text: str) -> str:
        if text.lower() not in known:
            raise ValueError(f"is none of {', '.join(words)}")
        return known[text.lower()]

    return read


def _database(text: str) -> str:
    """The URL of a SQLite file or a PostgreSQL database."""
    parts = urlsplit(text)
    if parts.scheme == "sqlite":
        if parts.netloc or len(parts.path) < 2:
            raise ValueError("names no file: sqlite:////folder/file.sqlite has four slashes")
        return text
    if parts.scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("is neither sqlite:// nor postgresql://")
    if not parts.hostname and "host=" not in parts.query:
        raise ValueError("names no host")
    if find_spec("psycopg") is None:
        raise ValueError("needs psycopg: pip install 'trial-match-cds[postgres]'")
    return "postgresql+psycopg" + text[len(parts.scheme) :]


SETTINGS: tuple[Setting, ...] = (
    Setting("CDS_HOST", "127.0.0.1", "the address that the service listens on", str),
    Setting("CDS_PORT", "8080", "the port that the service listens on", _port),
    Setting("CDS_WORKERS", "2", "how many processes answer", _number),
    Setting("CDS_PLANDEFINITIONS", str(_ROOT / "plandefinitions"), "the folder of the trials", _folder),
    Setting("CDS_HOOKS", str(_ROOT / "hooks"), "the folder of the services as an EHR sees them", _folder),
    Setting("CDS_TIMEZONE", "UTC", "where a date-time without offset is read, and whose date is today's", _zone),
    Setting("CDS_MAX_BODY", str(32 * 1024 * 1024), "the largest request that is accepted, in bytes", _number),
    Setting(
        "CDS_DATABASE_URL",
        f"sqlite:///{_ROOT / '.data' / 'feedback.sqlite'}",
        "where cards issued and feedback are kept: a SQLite file or a PostgreSQL database",
        _database,
        secret=True,
    ),
    Setting("CDS_RETENTION_DAYS", "365", "after how many days cards issued and feedback are deleted", _number),
    Setting("CDS_LOG_FORMAT", "json", "how the log on stderr is written: json or text", _one_of("json", "text")),
    Setting("CDS_LOG_LEVEL", "INFO", "what is logged: DEBUG, INFO, WARNING or ERROR", _one_of(*_LEVELS)),
    Setting("CDS_CACHE", str(_ROOT / ".cache"), "where cds translate installs the CQL translator", Path),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process, checked."""

    host: str
    port: int
    workers: int
    plandefinitions: Path
    hooks: Path
    timezone: tzinfo
    max_body: int
    database_url: str = field(repr=False)
    retention_days: int
    log_format: str
    log_level: str
    cache: Path

    @property
    def address(self) -> str:
        """Host and port as they stand in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """What `environment` says, and the defaults for what it does not.

        Raises ContentError that lists every setting that cannot be used, at once.
        """
        values: dict[str, Any] = {}
        problems = []
        for setting in SETTINGS:
            text = environment.get(setting.name) or setting.default
            try:
                values[setting.name.removeprefix("CDS_").lower()] = setting.read(text)
            except ValueError as error:
                shown = setting.name if setting.secret else f"{setting.name}={text!r}"
                problems.append(f"{shown}: {error}")
        if problems:
            raise ContentError("; ".join(problems), where="environment", remedy="correct or unset these variables")
        return cls(**values)
