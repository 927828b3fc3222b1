"""The command `cds feedback`, as people and scripts call it."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from click.testing import CliRunner, Result

from cds.cli import main
from cds.hooks.feedback import Feedback, FeedbackStore, IssuedCard
from cds.hooks.feedback.reported import Reaction

_SPACE = UUID("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea")
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def uuid(name: str) -> str:
    return str(uuid5(_SPACE, name))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["feedback", *arguments])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeedbackStore:
    """A store of four cards, of which one was accepted and two were overridden, and of feedback on another."""
    url = f"sqlite:///{tmp_path / 'feedback.sqlite'}"
    monkeypatch.setenv("CDS_DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "120")
    made = FeedbackStore(url)
    days = {"a": date(2026, 11, 18), "b": date(2026, 11, 19), "c": date(2026, 11, 20), "d": date(2026, 11, 20)}
    made.add_cards(
        [
            IssuedCard("trial-match", uuid(name), "patient-view", "alpha", "eligible", day, (uuid(name + "s"),))
            for name, day in days.items()
        ]
    )
    made.add_feedback(
        "trial-match",
        [
            Feedback(uuid("a"), Reaction.ACCEPTED, AT, suggestions=(uuid("as"),)),
            Feedback(uuid("b"), Reaction.OVERRIDDEN, AT, reason="patient-declined"),
            Feedback(uuid("c"), Reaction.OVERRIDDEN, AT),
            Feedback(uuid("z"), Reaction.OVERRIDDEN, AT),
        ],
        AT,
    )
    made.add_lost(2, date(2026, 11, 20))
    return made


@pytest.mark.usefixtures("store")
def test_the_tables() -> None:
    text = " ".join(run().stdout.split())
    assert "alpha 4 1 (25%) 2 (50%) 1 (25%)" in text
    assert "alpha none given 1 (50%)" in text and "alpha patient-declined 1 (50%)" in text
    assert "1 reactions to cards that are not known here" in text
    assert "2 cards that were issued while the database was away" in text


@pytest.mark.usefixtures("store")
def test_json() -> None:
    told = json.loads(run("--format", "json", "--since", "2026-11-19").stdout)
    (trial,) = told["trials"]
    assert (told["since"], trial["issued"], trial["accepted"], trial["overridden"]) == ("2026-11-19", 3, 0, 2)
    assert trial["overrideRate"] == pytest.approx(2 / 3)
    assert (told["feedbackOnUnknownCards"], told["cardsNotRecorded"]) == (1, 2)


@pytest.mark.usefixtures("store")
def test_an_export_names_no_card_and_no_moment() -> None:
    text = run("--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["day"] for row in rows] == ["2026-11-18", "2026-11-19", "2026-11-20", "2026-11-20"]
    assert sum(int(row["cards"]) for row in rows) == 4
    assert rows[1] == {
        "day": "2026-11-19",
        "service": "trial-match",
        "hook": "patient-view",
        "trial": "alpha",
        "status": "eligible",
        "outcome": "overridden",
        "reason": "patient-declined",
        "cards": "1",
    }
    assert uuid("a") not in text and "12:00" not in text


@pytest.mark.usefixtures("store")
def test_deleting_what_is_old() -> None:
    ended = run("--delete-before", "2026-11-20", "--format", "json")
    assert "2 cards and reactions were deleted." in ended.stderr
    (trial,) = json.loads(ended.stdout)["trials"]
    assert trial["issued"] == 2


def test_before_the_first_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDS_DATABASE_URL", f"sqlite:///{tmp_path / 'feedback.sqlite'}")
    assert run("--since", "2026-11-20").stdout == "no cards since 2026-11-20\n"


def test_a_database_that_does_not_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CDS_DATABASE_URL", f"sqlite:///{tmp_path / 'file' / 'feedback.sqlite'}")
    ended = run()
    assert ended.exit_code == 1 and "CDS_DATABASE_URL: the database does not serve" in ended.stderr
