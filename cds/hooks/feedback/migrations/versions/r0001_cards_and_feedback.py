"""Cards, suggestions, feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "card",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("hook", sa.String(255), nullable=False),
        sa.Column("trial", sa.String(255), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("issued", sa.Date, nullable=False),
    )
    op.create_index("card_issued", "card", ["issued"])
    op.create_table(
        "suggestion",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("card", sa.String(36), nullable=False),
        sa.Column("issued", sa.Date, nullable=False),
    )
    op.create_index("suggestion_issued", "suggestion", ["issued"])
    op.create_table(
        "feedback",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("card", sa.String(36), primary_key=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(255)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received", sa.Date, nullable=False),
    )
    op.create_index("feedback_received", "feedback", ["received"])
    op.create_table(
        "accepted_suggestion",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("card", sa.String(36), primary_key=True),
        sa.Column("suggestion", sa.String(36), primary_key=True),
        sa.Column("received", sa.Date, nullable=False),
    )
    op.create_index("accepted_suggestion_received", "accepted_suggestion", ["received"])
    op.create_table(
        "lost_card",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_index("lost_card_day", "lost_card", ["day"])


def downgrade() -> None:
    for table in ("lost_card", "accepted_suggestion", "feedback", "suggestion", "card"):
        op.drop_table(table)
