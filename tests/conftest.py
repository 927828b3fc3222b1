"""What all rooms' tests share: the repository's content, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds.trials.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The trials of the repository."""
    return Catalog.load(ROOT / "plandefinitions")
