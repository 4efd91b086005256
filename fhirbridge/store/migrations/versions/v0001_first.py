"""The first tables: resources and versions, runs and quarantine, servers and acknowledgements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create everything."""
    _resources()
    _runs()
    _acknowledgements()


def _resources() -> None:
    op.create_table(
        "binding",
        sa.Column("study", TEXT, primary_key=True),
        sa.Column("fingerprint", TEXT, nullable=False),
        comment="The pseudonym key that a study's ids were made with, by its fingerprint.",
    )
    op.create_table(
        "resource",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("compartment", TEXT, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("last_updated", TEXT, nullable=False),
        sa.UniqueConstraint("id", "type", name="resource_identity"),
        comment="One row per resource: its current version.",
    )
    op.create_index("resource_order", "resource", ["study", "compartment", "rank", "key"])
    op.create_table(
        "version",
        sa.Column("resource", KEY, sa.ForeignKey("resource.key", name="version_of"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("last_updated", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("resource", "version", name="version_identity"),
        comment="Every version ever stored, append-only; body is compact JSON.",
    )


def _runs() -> None:
    op.create_table(
        "run",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("command", TEXT, nullable=False),
        sa.Column("started", TEXT, nullable=False),
        sa.Column("ended", TEXT),
        sa.Column("outcome", TEXT),
        sa.Column("counts", TEXT),
        comment="One row per run of a command; ended is null while it runs, and after a kill.",
    )
    op.create_index("run_by_command", "run", ["command", "started"])
    op.create_table(
        "quarantine",
        sa.Column("run", TEXT, sa.ForeignKey("run.id", name="quarantine_of"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.Column("file", TEXT),
        sa.Column("line", sa.Integer),
        sa.Column("column", sa.Integer),
        sa.Column("field", TEXT),
        sa.Column("value", TEXT),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("remedy", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name="quarantine_identity"),
        comment="What a run set aside, and why.",
    )


def _acknowledgements() -> None:
    op.create_table(
        "server",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("base_url", TEXT, nullable=False),
        sa.UniqueConstraint("base_url", name="server_identity"),
        comment="The hospitals' servers that were ever pushed to.",
    )
    op.create_table(
        "acknowledged",
        sa.Column("server", KEY, sa.ForeignKey("server.key", name="acknowledged_by"), nullable=False),
        sa.Column("resource", KEY, sa.ForeignKey("resource.key", name="acknowledged_what"), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("version", TEXT),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("server", "resource", name="acknowledged_identity"),
        sqlite_with_rowid=False,
        comment="The content each server last acknowledged, by hash, and the version it gave it.",
    )
