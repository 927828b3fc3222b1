"""Settings: defaults that serve, every problem at once, and each one told of in the README."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cds import settings as module
from cds.cli import main
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CDS_PORT", "0"),
        ("CDS_PORT", "65536"),
        ("CDS_PORT", "-1"),
        ("CDS_WORKERS", "0"),
        ("CDS_WORKERS", "2.5"),
        ("CDS_MAX_BODY", "32 MiB"),
        ("CDS_TIMEZONE", "../etc"),
        ("CDS_HOOKS", __file__),
        ("CDS_RETENTION_DAYS", "0"),
        ("CDS_LOG_FORMAT", "xml"),
        ("CDS_LOG_LEVEL", "LOUD"),
        ("CDS_DATABASE_URL", "feedback.sqlite"),
        ("CDS_DATABASE_URL", "sqlite://"),
        ("CDS_DATABASE_URL", "sqlite:///"),
        ("CDS_DATABASE_URL", "sqlite://feedback.sqlite"),
        ("CDS_DATABASE_URL", "mysql://localhost/cds"),
        ("CDS_DATABASE_URL", "postgresql:///cds"),
        ("CDS_DATABASE_URL", "postgresql+asyncpg://localhost/cds"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ContentError, match=name):
        Settings.from_environment({name: text})


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ContentError) as raised:
        Settings.from_environment({"CDS_DATABASE_URL": "mysql://cds:geheim@localhost/cds"})
    assert "geheim" not in str(raised.value) and "CDS_DATABASE_URL" in str(raised.value)
    assert "geheim" not in repr(Settings.from_environment({"CDS_DATABASE_URL": "sqlite:////tmp/geheim"}))


def test_postgresql_by_any_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: object())
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        settings = Settings.from_environment({"CDS_DATABASE_URL": f"{scheme}://cds:x@db:5432/cds"})
        assert settings.database_url == "postgresql+psycopg://cds:x@db:5432/cds"
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ContentError, match="psycopg"):
        Settings.from_environment({"CDS_DATABASE_URL": "postgresql://db/cds"})


def test_words_are_read_in_whatever_case() -> None:
    settings = Settings.from_environment({"CDS_LOG_LEVEL": "debug", "CDS_LOG_FORMAT": "TEXT"})
    assert (settings.log_level, settings.log_format) == ("DEBUG", "text")


def test_an_empty_variable_means_the_default() -> None:
    assert Settings.from_environment({"CDS_PORT": ""}) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1:8080"), ("::1", "[::1]:8080"), ("cds.example", "cds.example:8080")]
)
def test_an_address_stands_as_in_a_url(host: str, address: str) -> None:
    environment = {"CDS_HOST": host, "CDS_ALLOW_ANYONE": "true"}
    assert Settings.from_environment(environment).address == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "cds.example", "localhost.example"])
def test_unsigned_calls_from_other_machines_are_a_decision(host: str) -> None:
    with pytest.raises(ContentError, match="CDS_ALLOW_ANYONE"):
        Settings.from_environment({"CDS_HOST": host})
    opened = Settings.from_environment({"CDS_HOST": host, "CDS_ALLOW_ANYONE": "true"})
    assert "whoever reaches" in opened.who_may_call
    signed = {"CDS_TRUSTED_CLIENTS": "i|https://e.example/jwks", "CDS_PUBLIC_URL": "https://c.example/b/"}
    closed = Settings.from_environment({"CDS_HOST": host, **signed})
    assert closed.public_url == "https://c.example/b"
    assert "must be signed" in closed.who_may_call and "by: i." in closed.who_may_call


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_signature(host: str) -> None:
    settings = Settings.from_environment({"CDS_HOST": host})
    assert "loopback alone" in settings.who_may_call
    assert settings.public_url == f"http://{settings.address}"


CLIENT = "i|https://e.example/jwks"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"CDS_TRUSTED_CLIENTS": "i"}, "is not issuer|jwks-url"),
        ({"CDS_TRUSTED_CLIENTS": "|https://e.example"}, "is not issuer|jwks-url"),
        ({"CDS_TRUSTED_CLIENTS": "i|"}, "is not issuer|jwks-url"),
        ({"CDS_TRUSTED_CLIENTS": "i|http://e.example/jwks"}, "use https"),
        ({"CDS_TRUSTED_CLIENTS": "i|ftp://e.example/jwks"}, "no absolute URL"),
        ({"CDS_TRUSTED_CLIENTS": "i|https://a:b@e.example/jwks"}, "credentials"),
        ({"CDS_TRUSTED_CLIENTS": f"{CLIENT},,{CLIENT}"}, "stands twice"),
        ({"CDS_TRUSTED_CLIENTS": CLIENT, "CDS_ALLOW_ANYONE": "true"}, "contradicts"),
        ({"CDS_TRUSTED_CLIENTS": CLIENT, "CDS_HOST": "0.0.0.0"}, "CDS_PUBLIC_URL: is needed"),
        ({"CDS_ALLOW_ANYONE": "yes"}, "neither true nor false"),
        ({"CDS_PUBLIC_URL": "cds.example"}, "no absolute URL"),
        ({"CDS_PUBLIC_URL": "http://cds.example"}, "use https"),
        ({"CDS_PUBLIC_URL": "https://cds.example:99999"}, "CDS_PUBLIC_URL"),
        ({"CDS_PUBLIC_URL": "https://cds.example?x"}, "query"),
    ],
)
def test_what_is_wrong_about_trust_is_told(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ContentError) as raised:
        Settings.from_environment(environment)
    assert told in str(raised.value)


def test_several_clients_several_key_sets() -> None:
    text = " a | https://a.example/jwks , a|file:/keys.json,b|http://127.0.0.1:9/jwks"
    settings = Settings.from_environment({"CDS_TRUSTED_CLIENTS": text})
    assert settings.trusted_clients == (
        ("a", "https://a.example/jwks"),
        ("a", "file:/keys.json"),
        ("b", "http://127.0.0.1:9/jwks"),
    )
    assert "by: a, b." in settings.who_may_call


def test_passwords_of_databases_are_not_shown() -> None:
    settings = Settings.from_environment({"CDS_REPLAY_DATABASE_URL": "postgresql://u:secret@h/d"})
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("folder", ["CDS_PLANDEFINITIONS", "CDS_HOOKS"])
def test_serve_with_wrong_settings_says_which_and_stops(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(folder, "/nowhere")
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 1
    assert f"{folder}='/nowhere': is no folder" in result.stderr


def test_serve_with_content_that_cannot_be_loaded_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CDS_PLANDEFINITIONS", str(tmp_path))
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr


def test_serve_says_who_may_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cds.cli.serve.MEMORY", str(tmp_path))
    monkeypatch.setattr("cds.app.run", lambda *_: None)
    assert "listens on loopback alone" in CliRunner().invoke(main, ["serve"]).stdout
    monkeypatch.setenv("CDS_HOST", "0.0.0.0")
    refused = CliRunner().invoke(main, ["serve"])
    assert refused.exit_code == 1 and "CDS_TRUSTED_CLIENTS" in refused.stderr
    monkeypatch.setenv("CDS_ALLOW_ANYONE", "true")
    assert "whoever reaches this address" in CliRunner().invoke(main, ["serve"]).stdout


def test_serve_with_a_store_that_cannot_be_opened_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.app.run", lambda *_: None)
    monkeypatch.setenv("CDS_TRUSTED_CLIENTS", "i|https://e.example/jwks")
    monkeypatch.setenv("CDS_REPLAY_DATABASE_URL", "sqlite:////proc/none/replay.sqlite")
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 1 and "CDS_REPLAY_DATABASE_URL" in result.stderr


def test_help_tells_of_every_setting() -> None:
    text = CliRunner().invoke(main, ["serve", "--help"]).stdout
    assert [setting.name for setting in SETTINGS if setting.name not in text] == []


def test_every_setting_is_documented() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [setting.name for setting in SETTINGS if setting.name not in readme] == []
