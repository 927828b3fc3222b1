"""Cards and feedback at rest: repeats, orders, several services, what is known and unknown, what is deleted."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from reactions import DAY, NOW, accepted, card, card_id, overridden
from sqlalchemy import String, inspect, select

from cds.hooks.feedback import FeedbackStore, issued_cards
from cds.hooks.feedback.report import TrialReport, report
from cds.hooks.feedback.tables import ACCEPTED, CARD, FEEDBACK, METADATA

LATER = NOW + timedelta(minutes=5)


def outcomes(store: FeedbackStore) -> dict[str, tuple[str, str | None]]:
    with store.reading() as connection:
        rows = connection.execute(select(FEEDBACK.c.card, FEEDBACK.c.outcome, FEEDBACK.c.reason))
        return {card: (outcome, reason) for card, outcome, reason in rows}


def test_rates_by_trial_and_reason(store: FeedbackStore) -> None:
    store.add_cards([card(name) for name in "abcd"] + [card("e", trial="beta", status="potentially-eligible")])
    store.add_feedback("trial-match", [accepted("a"), overridden("b", reason="patient-declined")], NOW)
    store.add_feedback("trial-match", [overridden("c", reason="patient-declined"), overridden("e")], NOW)
    told = report(store)
    assert told.trials == [
        TrialReport("alpha", issued=4, accepted=1, overridden=2, reasons={"patient-declined": 2}),
        TrialReport("beta", issued=1, accepted=0, overridden=1, reasons={None: 1}),
    ]
    alpha = told.as_json()["trials"][0]
    assert (alpha["acceptanceRate"], alpha["overrideRate"], alpha["unanswered"]) == (0.25, 0.5, 1)
    assert alpha["reasons"] == [{"reason": "patient-declined", "cards": 2}]
    assert (told.accepted_suggestions, told.unknown_suggestions, told.unknown_cards) == (1, 0, 0)


def test_repeats_change_nothing(store: FeedbackStore) -> None:
    for _ in range(2):
        store.add_cards([card("a"), card("b")])
        store.add_feedback("trial-match", [accepted("a"), overridden("b"), accepted("a")], NOW)
    told = report(store)
    assert told.trials == [TrialReport("alpha", issued=2, accepted=1, overridden=1, reasons={None: 1})]
    assert told.accepted_suggestions == 1


@pytest.mark.parametrize("together", [True, False])
def test_the_latest_reaction_counts_in_whatever_order_they_come(store: FeedbackStore, together: bool) -> None:
    reactions = [
        overridden("a", NOW, "already-enrolled"),
        accepted("a", LATER),
        accepted("b", NOW),
        overridden("b", LATER, "patient-declined"),
        accepted("c", NOW),
        overridden("c", NOW),
    ]
    random.Random(4).shuffle(reactions)
    for order in (reactions, reactions[::-1]):
        if together:
            store.add_feedback("trial-match", order, NOW)
        else:
            for reaction in order:
                store.add_feedback("trial-match", [reaction], NOW)
        assert outcomes(store) == {
            card_id("a"): ("accepted", None),
            card_id("b"): ("overridden", "patient-declined"),
            card_id("c"): ("accepted", None),
        }


def test_a_card_is_known_by_its_service_and_uuid(store: FeedbackStore) -> None:
    store.add_cards([card("a"), card("a", service="other", trial="beta")])
    store.add_feedback("other", [accepted("a")], NOW)
    assert [(trial.trial, trial.accepted) for trial in report(store).trials] == [("alpha", 0), ("beta", 1)]


def test_feedback_on_an_unknown_card_is_kept_and_counted_apart(store: FeedbackStore) -> None:
    store.add_feedback("trial-match", [accepted("a"), overridden("z")], NOW)
    told = report(store)
    assert (told.trials, told.unknown_cards, told.unknown_suggestions) == ([], 2, 1)
    store.add_cards([card("a")])  # written after the feedback on it came
    told = report(store)
    assert (told.trials[0].accepted, told.unknown_cards, told.unknown_suggestions) == (1, 1, 0)


def test_a_suggestion_of_another_card_is_unknown(store: FeedbackStore) -> None:
    store.add_cards([card("a"), card("b")])
    store.add_feedback("trial-match", [accepted("a")], NOW)
    with store._transaction() as connection:
        connection.execute(ACCEPTED.update().values(suggestion=card_id("b/refer")))
    assert report(store).unknown_suggestions == 1


def test_since_a_day(store: FeedbackStore) -> None:
    before = DAY - timedelta(days=1)
    store.add_cards([card("a", day=before), card("b")])
    store.add_feedback("trial-match", [accepted("a")], NOW)
    store.add_lost(3, before)
    assert (report(store).trials[0].issued, report(store).not_recorded) == (2, 3)
    told = report(store, DAY)
    assert (told.trials[0].issued, told.trials[0].accepted, told.not_recorded) == (1, 0, 0)


def test_what_is_old_is_deleted(store: FeedbackStore) -> None:
    store.add_cards([card("a", day=DAY - timedelta(days=2)), card("b")])
    store.add_feedback("trial-match", [accepted("a"), accepted("b")], NOW - timedelta(days=2))
    store.add_feedback("trial-match", [accepted("c", LATER)], NOW)
    store.add_lost(1, DAY - timedelta(days=2))
    assert store.purge(DAY) == 3
    told = report(store)
    assert (told.trials[0].issued, told.trials[0].accepted, told.unknown_cards, told.not_recorded) == (1, 0, 1, 0)


def test_the_rows_of_an_export_add_up(store: FeedbackStore) -> None:
    store.add_cards([card("a"), card("b"), card("c", status="ineligible")])
    store.add_feedback("trial-match", [accepted("a"), overridden("b", reason="other")], NOW)
    rows = list(report(store).rows())
    assert sum(row[-1] for row in rows) == 3
    assert (DAY, "trial-match", "patient-view", "alpha", "eligible", "overridden", "other", 1) in rows


def test_what_is_kept_of_a_card() -> None:
    shown = {
        "uuid": card_id("a"),
        "summary": "Anna Berger",
        "suggestions": [{"uuid": card_id("a/refer"), "label": "Refer"}],
        "extension": {"example.trial-match": {"trial": "alpha", "status": "eligible"}},
    }
    assert list(issued_cards("trial-match", "patient-view", [shown], NOW)) == [card("a")]


def test_no_table_has_room_for_a_patient_or_for_free_text(store: FeedbackStore) -> None:
    """A new column has to be thought about here: it may not hold who was seen, or what a person wrote."""
    store.open()
    columns = {table.name: {column.name for column in table.columns} for table in METADATA.tables.values()}
    assert columns == {
        "card": {"service", "uuid", "hook", "trial", "status", "issued"},
        "suggestion": {"service", "uuid", "card", "issued"},
        "feedback": {"service", "card", "outcome", "reason", "at", "received"},
        "accepted_suggestion": {"service", "card", "suggestion", "received"},
        "lost_card": {"id", "day", "number"},
    }
    texts = [
        column for table in METADATA.tables.values() for column in table.columns if isinstance(column.type, String)
    ]
    assert all(column.type.length and column.type.length <= 255 for column in texts)


def test_the_migrations_make_the_tables_that_the_code_knows(store: FeedbackStore) -> None:
    store.open()
    with store.reading() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == {*METADATA.tables, "alembic_version"}
        for table in METADATA.tables.values():
            made = {column["name"]: column for column in found.get_columns(table.name)}
            assert list(made) == [column.name for column in table.columns]
            assert all(made[column.name]["nullable"] == column.nullable for column in table.columns)
            keys = found.get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key]
            assert {index["name"] for index in found.get_indexes(table.name)} == {index.name for index in table.indexes}


def test_many_cards_at_once(store: FeedbackStore) -> None:
    store.add_cards([card(str(number)) for number in range(1200)])
    with store.reading() as connection:
        assert len(connection.execute(select(CARD.c.uuid)).all()) == 1200
