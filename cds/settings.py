"""What the service can be told from outside: names, defaults, help. The only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cds.errors import ContentError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_ROOT = Path(__file__).resolve().parent.parent
#: Where Linux keeps files in memory: no disk, slow or full, holds up what is written there. None where it is missing.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


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


def _folders(text: str) -> tuple[Path, ...]:
    """Folders of content, comma-separated: that of the trials first, then those of others."""
    folders = [_folder(one.strip()) for one in text.split(",") if one.strip()]
    trials = [one for one in folders if any(one.glob("*/plan-definition.json"))]
    if len(trials) > 1:
        raise ValueError("names two folders of trials: put them into one")
    return tuple(sorted(folders, key=lambda one: one not in trials))


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("is no IANA time zone, such as Europe/Berlin") from error


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text.lower() == "true"


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this machine alone: ``localhost``, 127.0.0.0/8 or ::1."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(text: str, *, schemes: tuple[str, ...] = ("https", "http")) -> str:
    """An absolute URL without credentials, query or fragment; http serves on loopback alone."""
    parts = urlsplit(text)
    if parts.scheme not in schemes or not (parts.hostname or (parts.scheme == "file" and parts.path)):
        raise ValueError(f"is no absolute URL ({', '.join(schemes)})")
    if parts.username is not None or parts.query or parts.fragment or not text.isascii() or " " in text:
        raise ValueError("is a URL with credentials, query, fragment or signs that need escaping")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("is http, which anyone on the way can read and change: use https")
    _ = parts.port  # ValueError for what is no port
    return text


def _public_url(text: str) -> str:
    return _address(text).rstrip("/") if text else ""


def _clients(text: str) -> tuple[tuple[str, str], ...]:
    """``issuer|jwks-url,issuer|jwks-url`` as pairs."""
    clients = []
    problems = []
    for one in text.split(",") if text.strip() else ():
        issuer, divided, url = (part.strip() for part in one.partition("|"))
        try:
            if not (issuer and divided and url):
                raise ValueError("is not issuer|jwks-url")
            if (issuer, url) in clients:
                raise ValueError("stands twice")
            clients.append((issuer, _address(url, schemes=("https", "http", "file"))))
        except ValueError as error:
            problems.append(f"{one.strip()!r} {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(clients)


def _bases(text: str) -> tuple[str, ...]:
    """Base URLs of FHIR servers, comma-separated."""
    bases = tuple(one.strip() for one in text.split(",") if one.strip())
    for base in bases:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("holds what is no http(s) URL without credentials")
        _ = parts.port
    return bases


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 60:
        raise ValueError("is no number of seconds up to 60")
    return seconds


def _file(text: str) -> str:
    if text and not Path(text).is_file():
        raise ValueError("is no file")
    return text


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
    Setting(
        "CDS_PLANDEFINITIONS",
        str(_ROOT / "plandefinitions"),
        "the folder of the trials; further ones hold content of others",
        _folders,
    ),
    Setting("CDS_HOOKS", str(_ROOT / "hooks"), "the folder of the services as an EHR sees them", _folder),
    Setting("CDS_RELOAD", "false", "content is loaded anew when it changes, by one process: for who writes it", _flag),
    Setting("CDS_TIMEZONE", "UTC", "where a date-time without offset is read, and whose date is today's", _zone),
    Setting("CDS_MAX_BODY", str(32 * 1024 * 1024), "the largest request that is accepted, in bytes", _number),
    Setting("CDS_PUBLIC_URL", "", "the URL by which clients call the service; what `aud` must name", _public_url),
    Setting("CDS_TRUSTED_CLIENTS", "", "who may call: issuer|jwks-url, comma-separated; then all sign", _clients),
    Setting("CDS_ALLOW_ANYONE", "false", "unsigned calls from other machines are answered", _flag),
    Setting(
        "CDS_REPLAY_DATABASE_URL",
        f"sqlite:///{_ROOT / '.data' / 'replay.sqlite'}",
        "the database of the tokens that were used, shared by all workers",
        str,
    ),
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
    Setting("CDS_FHIR_SERVERS", "", "base URLs of the FHIR servers that may be read, comma-separated", _bases),
    Setting("CDS_FHIR_DEADLINE", "4", "seconds in which a call reads from the FHIR server", _seconds),
    Setting("CDS_FHIR_MAX_BYTES", str(64 * 1024 * 1024), "what a call reads from the FHIR server, in bytes", _number),
    Setting("CDS_FHIR_CA", "", "a file of certificates of authorities, in place of the public ones", _file),
    Setting("CDS_FHIR_PROXY", "", "the proxy by which FHIR servers are reached", str, secret=True),
    Setting("CDS_TERMINOLOGY_SERVER", "", "the base URL of the FHIR terminology server that cds expand asks", str),
    Setting(
        "CDS_TERMINOLOGY_AUTHORIZATION",
        "",
        "what that server is sent as Authorization: Bearer ..., or Basic user:password",
        str,
        secret=True,
    ),
    Setting("CDS_CACHE", str(_ROOT / ".cache"), "where cds translate installs the CQL translator", Path),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process, checked."""

    host: str
    port: int
    workers: int
    plandefinitions: Path
    knowledge: tuple[Path, ...]
    hooks: Path
    reload: bool
    timezone: tzinfo
    max_body: int
    public_url: str
    trusted_clients: tuple[tuple[str, str], ...]
    allow_anyone: bool
    replay_database_url: str = field(repr=False)  # it may hold a password
    database_url: str = field(repr=False)
    retention_days: int
    log_format: str
    log_level: str
    fhir_servers: tuple[str, ...]
    fhir_deadline: float
    fhir_max_bytes: int
    fhir_ca: str
    fhir_proxy: str = field(repr=False)
    terminology_server: str
    terminology_authorization: str = field(repr=False)
    cache: Path

    @property
    def address(self) -> str:
        """Host and port as they stand in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def who_may_call(self) -> str:
        """One sentence for whoever starts the service."""
        if self.trusted_clients:
            issuers = ", ".join(dict.fromkeys(issuer for issuer, _ in self.trusted_clients))
            return f"Every call must be signed, for {self.public_url}, by: {issuers}."
        if self.allow_anyone:
            return "Calls need no signature (CDS_ALLOW_ANYONE): whoever reaches this address may call."
        return "Calls need no signature (no CDS_TRUSTED_CLIENTS): the service listens on loopback alone."

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
        problems += _contradictions(values)
        if problems:
            raise ContentError("; ".join(problems), where="environment", remedy="correct or unset these variables")
        values["plandefinitions"], *others = values["plandefinitions"]
        settings = cls(**values, knowledge=tuple(others))
        return settings if settings.public_url else replace(settings, public_url=f"http://{settings.address}")


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between settings that are right, each for itself. Those that could not be read are absent."""
    clients, anyone, host = values.get("trusted_clients"), values.get("allow_anyone"), values.get("host")
    problems = []
    if clients and anyone:
        problems.append("CDS_ALLOW_ANYONE=true contradicts CDS_TRUSTED_CLIENTS: unset one of them")
    if host is None or is_loopback(host):
        return problems
    if clients == () and anyone is False:
        problems.append(
            f"CDS_HOST={host!r}: would let every machine that reaches it call: set CDS_TRUSTED_CLIENTS, "
            "or CDS_ALLOW_ANYONE=true where something in front authenticates"
        )
    if clients and values.get("public_url") == "":
        problems.append("CDS_PUBLIC_URL: is needed with CDS_TRUSTED_CLIENTS: signed calls name it in aud")
    return problems
