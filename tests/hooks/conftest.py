"""The services of the repository, over its trials, at a fixed time."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from cds.app import create_app
from cds.settings import Settings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-responses", action="store_true", help="Write hooks/*/responses from what the service answers now."
    )


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The service as it is deployed, with a clock that stands still."""
    database = tmp_path_factory.mktemp("database") / "feedback.sqlite"
    made = create_app(Settings.from_environment({"CDS_DATABASE_URL": f"sqlite:///{database}"}), clock=lambda: NOW)
    yield made
    made.extensions["recorder"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def address(app: Flask) -> Iterator[str]:
    """Where the service answers over a socket."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="session")
def empties() -> Callable[[Any], list[str]]:
    """Says where an answer holds null, or an empty string, list or object (`cards` and `services` may be empty)."""
    return _empties


def _empties(value: Any, at: str = "$") -> list[str]:
    if value is None or value in ("", [], {}):
        return [] if value == [] and re.fullmatch(r"\$\.(cards|services)", at) else [at]
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in _empties(item, f"{at}.{name}")]
    if isinstance(value, list):
        return [found for place, item in enumerate(value) for found in _empties(item, f"{at}[{place}]")]
    return []
