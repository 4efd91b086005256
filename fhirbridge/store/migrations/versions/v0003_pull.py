"""What pull has to remember: links, arrivals, candidates and decisions, watermarks, frozen contexts, messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _links()
    _candidates()
    _pulls()
    _messages()


def _links() -> None:
    op.create_table(
        "link",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("lookup", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("since", TEXT, nullable=False),
        sa.Column("checked", TEXT),
        sa.UniqueConstraint("study", "lookup", name="link_identity"),
        comment="Which hospital number is which subject (the id of our Patient): sealed, found by a keyed digest.",
    )
    op.create_index("link_by_subject", "link", ["study", "subject"])
    op.create_table(
        "link_event",
        sa.Column("number", KEY, primary_key=True, autoincrement=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        comment="What was ever done to a link, and who looked at one; append-only.",
    )
    op.create_index("link_event_by_subject", "link_event", ["study", "subject", "number"])


def _candidates() -> None:
    op.create_table(
        "arrival",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("feed", TEXT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        comment="Every version of every result that a source sent, naming no patient; append-only.",
    )
    op.create_index("arrival_of_source", "arrival", ["study", "feed", "reference", "key"])
    op.create_index("arrival_of_subject", "arrival", ["study", "subject", "feed", "reference", "key"])
    op.create_table(
        "candidate",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("feed", TEXT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("arrival", KEY, sa.ForeignKey("arrival.key", name="candidate_from"), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reasons", TEXT, nullable=False),
        sa.Column("analyte", TEXT, nullable=False),
        sa.Column("visit", TEXT),
        sa.Column("offset", sa.Integer),
        sa.Column("inside", sa.Boolean, nullable=False),
        sa.Column("collected", TEXT),
        sa.Column("proposal", sa.LargeBinary, nullable=False),
        sa.Column("changed", TEXT, nullable=False),
        sa.Column("decision", sa.Integer),
        sa.Column("recorded", sa.LargeBinary),
        sa.Column("due", sa.Boolean, nullable=False),
        sa.UniqueConstraint("study", "subject", "feed", "reference", name="candidate_identity"),
        comment="One row per result of a source: what it would mean to the study, and where it stands.",
    )
    op.create_index("candidate_by_change", "candidate", ["study", "state", "changed", "key"])
    op.create_index("candidate_by_state", "candidate", ["study", "state", "analyte", "changed", "key"])
    op.create_index("candidate_due", "candidate", ["study", "due", "subject", "key"])
    op.create_table(
        "decision",
        sa.Column("candidate", KEY, sa.ForeignKey("candidate.key", name="decision_on"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("arrival", KEY, sa.ForeignKey("arrival.key", name="decision_about"), nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("proposal", sa.LargeBinary, nullable=False),
        sa.Column("run", TEXT),
        sa.PrimaryKeyConstraint("candidate", "number", name="decision_identity"),
        comment="Every decision on a candidate, and what it was shown then; append-only.",
    )
    op.create_index("decision_by_time", "decision", ["at"])
    op.create_table(
        "candidate_tally",
        sa.Column("study", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("analyte", TEXT, nullable=False),
        sa.Column("candidates", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("study", "state", "analyte", name="candidate_tally_identity"),
        comment="How many candidates there are of each state, kept in the same transactions as they are.",
    )


def _pulls() -> None:
    op.create_table(
        "watermark",
        sa.Column("study", TEXT, nullable=False),
        sa.Column("feed", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("question", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("study", "feed", "subject", "question", name="watermark_identity"),
        comment="When the last question of a kind began that was answered whole; subject '' is all of them at once.",
    )
    op.create_table(
        "pull",
        sa.Column("run", TEXT, sa.ForeignKey("run.id", name="pull_of"), primary_key=True),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("context", sa.LargeBinary, nullable=False),
        sa.Column("funnel", sa.LargeBinary),
        comment="What a pull was asked under, frozen, and its funnel; by these it can be replayed.",
    )
    op.create_table(
        "pulled",
        sa.Column("run", TEXT, sa.ForeignKey("run.id", name="pulled_by"), nullable=False),
        sa.Column("arrival", KEY, sa.ForeignKey("arrival.key", name="pulled_what"), nullable=False),
        sa.Column("novelty", TEXT, nullable=False),
        sa.Column("fate", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run", "arrival", name="pulled_identity"),
        comment="What each pull found new or changed, and what became of it then.",
    )


def _messages() -> None:
    op.create_table(
        "message",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("received", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("findings", TEXT, nullable=False),
        sa.Column("done", TEXT),
        sa.Column("run", TEXT),
        sa.UniqueConstraint("study", "digest", name="message_identity"),
        comment="HL7 v2 messages as they were received, sealed, until what they hold is in the inbox.",
    )
    op.create_index("message_by_state", "message", ["study", "state", "key"])
