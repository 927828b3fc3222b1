"""What is kept at rest: cards issued, suggestions made, feedback. No patient, no user, no hook instance, no free text.

Feedback names its card and refers to no row: it may come before the card was written, or for one that was lost.
"""

from __future__ import annotations

from sqlalchemy import Column, Date, DateTime, Index, Integer, MetaData, String, Table

METADATA = MetaData()

CARD = Table(
    "card",
    METADATA,
    Column("service", String(255), primary_key=True),
    Column("uuid", String(36), primary_key=True),
    Column("hook", String(255), nullable=False),
    Column("trial", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("issued", Date, nullable=False),
    Index("card_issued", "issued"),
)
SUGGESTION = Table(
    "suggestion",
    METADATA,
    Column("service", String(255), primary_key=True),
    Column("uuid", String(36), primary_key=True),
    Column("card", String(36), nullable=False),
    Column("issued", Date, nullable=False),
    Index("suggestion_issued", "issued"),
)
#: The latest reaction to a card. `received` is the day on which it came.
FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("service", String(255), primary_key=True),
    Column("card", String(36), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(255)),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("received", Date, nullable=False),
    Index("feedback_received", "received"),
)
#: The suggestions that were ever accepted, of whatever card.
ACCEPTED = Table(
    "accepted_suggestion",
    METADATA,
    Column("service", String(255), primary_key=True),
    Column("card", String(36), primary_key=True),
    Column("suggestion", String(36), primary_key=True),
    Column("received", Date, nullable=False),
    Index("accepted_suggestion_received", "received"),
)
#: How many cards were issued and could not be recorded: the gaps in `card`.
LOST = Table(
    "lost_card",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False),
    Column("number", Integer, nullable=False),
    Index("lost_card_day", "day"),
)
