"""What goes to stderr: one JSON object or one line of text for each event, and no patient data.

Only our own loggers are repeated in their own words, which hold none. Of what libraries log, only which one and where
it did is told: their messages quote addresses, headers and values (a FHIR search names the patient in its URL).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any

from cds.errors import place_of

#: How gunicorn begins what it says of a request, which it then quotes.
_QUOTING = ("Invalid request", "Error handling request")


def configure(level: str, form: str) -> None:
    """Lets everything that is logged in this process go to stderr, in the `form` json or text."""
    logging.captureWarnings(True)
    dictConfig(configuration(level, form))


def configuration(level: str, form: str) -> dict[str, Any]:
    """The same for logging.config.dictConfig, as gunicorn takes it too."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours", "stream": "ext://sys.stderr"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {name: {"level": level, "handlers": [], "propagate": True} for name in ("cds", "gunicorn.error")},
    }


class TextFormatter(logging.Formatter):
    """``2026-11-20T12:00:00.000Z INFO cds.request: POST 200 cards=2 trials=a,b``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told = " ".join(f"{name}={_short(value)}" for name, value in _fields(record).items())
        return f"{_time(record)} {record.levelname} {record.name}: {_message(record)} {told}".rstrip()


class JsonFormatter(logging.Formatter):
    """One JSON object with time, level, logger, message, and the fields that the event has."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        head = {"time": _time(record), "level": record.levelname, "logger": record.name, "message": _message(record)}
        return json.dumps({**head, **_fields(record)}, ensure_ascii=False, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    ours = record.name.partition(".")[0] == "cds"
    server = record.name == "gunicorn.error" and isinstance(record.msg, str) and not record.msg.startswith(_QUOTING)
    message = record.getMessage() if ours or server else f"{record.name} at {record.pathname}:{record.lineno}"
    if record.exc_info and record.exc_info[1]:
        message += f" ({type(record.exc_info[1]).__name__} at {place_of(record.exc_info[1])})"
    return " ".join(message.splitlines())


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """What an event of ours has to tell beside its message (`extra={"told": ...}`)."""
    told: Mapping[str, Any] = getattr(record, "told", {})
    return {name: value for name, value in told.items() if value is not None}


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_short(item)}" for name, item in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
