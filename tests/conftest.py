"""What all rooms' tests share: the repository's content, loaded once, and a guard over what is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from charts import said_of_a_patient
from hypothesis import HealthCheck, settings

from cds.logs import JsonFormatter
from cds.trials.catalog import Catalog

# How fast a machine draws examples is no property of the code; the same examples each time keep a red run repeatable.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The trials of the repository."""
    return Catalog.load(ROOT / "plandefinitions", annotations=True)


class Guard(logging.Handler):
    """Reads every line of the log, as it would be written, for what the fixtures hold of patients."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines = 0
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        line = self.format(record)
        if said := said_of_a_patient(line):
            self.leaks.append(f"{said!r} stands in the log: {line}")

    def complain(self) -> None:
        """Fails where something leaked since the last time."""
        leaks, self.leaks = self.leaks, []
        if leaks:
            pytest.fail("\n".join(leaks), pytrace=False)


_guard = Guard()


@pytest.fixture(scope="session")
def guard() -> Guard:
    """The guard over what is logged in this session."""
    return _guard


def pytest_configure() -> None:
    logging.getLogger().addHandler(_guard)
    logging.getLogger("cds").setLevel(logging.DEBUG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    yield
    _guard.complain()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What threads log after the last test counts, too."""
    if _guard.leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\n".join(_guard.leaks))
