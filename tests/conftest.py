"""What all rooms' tests share: the repository's content, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cds.trials.catalog import Catalog

# How fast a machine draws examples is no property of the code; the same examples each time keep a red run repeatable.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The trials of the repository."""
    return Catalog.load(ROOT / "plandefinitions", annotations=True)
