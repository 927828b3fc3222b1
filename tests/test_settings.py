"""Settings: defaults that serve, every problem at once, and each one told of in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds.errors import ContentError
from cds.settings import SETTINGS, Settings

ROOT = Path(__file__).resolve().parent.parent


def test_defaults_serve() -> None:
    settings = Settings.from_environment({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.plandefinitions / "shared").is_dir()


def test_what_the_environment_says_counts() -> None:
    settings = Settings.from_environment({"CDS_PORT": "9000", "CDS_TIMEZONE": "Europe/Berlin"})
    assert settings.port == 9000
    assert str(settings.timezone) == "Europe/Berlin"


def test_all_problems_are_reported_at_once() -> None:
    environment = {"CDS_PORT": "eighty", "CDS_TIMEZONE": "Mars/Olympus", "CDS_PLANDEFINITIONS": "/nowhere"}
    with pytest.raises(ContentError) as raised:
        Settings.from_environment(environment)
    assert all(name in str(raised.value) for name in environment)


def test_every_setting_is_documented() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [setting.name for setting in SETTINGS if setting.name not in readme] == []
