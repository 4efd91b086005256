"""What is released to registries, and the index to find it by; how often a study changed, and who consents now."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _changes()
    _releases()
    _entries()
    _terms()
    _spans()


def _column(
    name: str, type_: Any, *, nullable: bool = False, of: str | None = None, called: str = ""
) -> sa.Column[Any]:
    reference = [sa.ForeignKey(of, name=called)] if of else []
    return sa.Column(name, type_, *reference, nullable=nullable)


def _changes() -> None:
    op.create_table(
        "study_change",
        sa.Column("study", TEXT, primary_key=True),
        _column("resources", sa.Integer),
        _column("consents", sa.Integer),
        comment="Counts transactions that changed anything of a study, and those that changed a Consent.",
    )
    op.drop_index("consent_by_compartment", "consent")
    op.create_index("consent_by_compartment", "consent", ["study", "compartment", "active"])
    op.create_index("arrival_of_run", "arrival", ["study", "run", "subject"])
    few = sa.text("substr(version, length(version) - 15) = ' (by its report)'")
    columns = ["study", "feed", "subject", "reference"]
    op.create_index("arrival_by_report", "arrival", columns, sqlite_where=few, postgresql_where=few)


def _releases() -> None:
    op.create_table(
        "release",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        *(_column(name, TEXT) for name in ("agreement", "study", "digest")),
        _column("position", sa.Integer),
        _column("at", TEXT),
        _column("oldest", sa.Integer),
        _column("building", TEXT),
        _column("generation", sa.Integer),
        _column("ruled", sa.Integer),
        _column("next_at", TEXT),
        _column("let_out", TEXT, nullable=True),
        _column("seen", sa.Integer),
        _column("seen_consents", sa.Integer),
        sa.UniqueConstraint("agreement", name="release_identity"),
        comment="One row per agreement: where its release stands, and what the next position is made by.",
    )
    op.create_table(
        "release_position",
        _column("release", KEY, of="release.key", called="release_position_of"),
        _column("number", sa.Integer),
        _column("at", TEXT),
        sa.PrimaryKeyConstraint("release", "number", name="release_position_identity"),
        sqlite_with_rowid=False,
        comment="The positions of a release that can be asked for, and their instants.",
    )
    op.create_table(
        "release_counter",
        sa.Column("name", TEXT, primary_key=True),
        _column("last", KEY),
        comment="The last key of entries and of terms: none is used twice, even if what had it is erased.",
    )
    op.create_table(
        "release_source",
        _column("release", KEY, of="release.key", called="release_source_of"),
        _column("resource", KEY, of="resource.key", called="release_source_what"),
        _column("version", sa.Integer),
        _column("generation", sa.Integer),
        _column("entry", KEY, nullable=True),
        _column("live", sa.Boolean),
        sa.PrimaryKeyConstraint("release", "resource", name="release_source_identity"),
        sqlite_with_rowid=False,
        comment="Which version of a resource was looked at last, under which rules, and the entry that it became.",
    )


def _entries() -> None:
    op.create_table(
        "release_entry",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        _column("release", KEY, of="release.key", called="release_entry_of"),
        _column("type", TEXT),
        _column("id", TEXT),
        _column("version", sa.Integer),
        _column("place", sa.BigInteger),
        _column("since", sa.Integer),
        _column("until", sa.Integer),
        _column("deleted", sa.Boolean),
        _column("compartment", TEXT),
        _column("hash", sa.LargeBinary),
        _column("last_updated", TEXT),
        _column("generation", sa.Integer),
        sa.UniqueConstraint("release", "type", "id", "version", name="release_entry_identity"),
        comment="Versions of released resources, from a position until another; a deleted one says that it is no more.",
    )
    op.create_index("release_entry_end", "release_entry", ["release", "until"])
    op.create_index("release_entry_order", "release_entry", ["release", "type", "place"])
    op.create_index("release_entry_person", "release_entry", ["release", "compartment", "type", "place"])
    op.create_index("release_entry_time", "release_entry", ["release", "type", "since", "place"])
    op.create_table(
        "release_body",
        sa.Column("entry", KEY, primary_key=True, autoincrement=False),
        _column("body", sa.LargeBinary),
        comment="The bytes that are answered; apart from the entries, which are read by the thousand.",
    )
    op.create_table(
        "release_person",
        _column("release", KEY, of="release.key", called="release_person_of"),
        _column("id", TEXT),
        _column("compartment", TEXT),
        sa.PrimaryKeyConstraint("release", "id", name="release_person_identity"),
        sqlite_with_rowid=False,
        comment="Whose compartment it is that the registry knows as the Patient of an id.",
    )


def _terms() -> None:
    op.create_table(
        "release_term",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        _column("release", KEY),
        _column("axis", sa.Integer),
        *(_column(name, TEXT) for name in ("short", "system", "code", "text")),
        comment="What a parameter (axis) of a release can be searched by: tokens, texts, references, URIs.",
    )
    op.create_index("release_term_value", "release_term", ["release", "axis", "short"])
    op.create_table(
        "release_posting",
        _column("term", KEY),
        _column("place", sa.BigInteger),
        _column("entry", KEY),
        _column("axis", sa.Integer),
        _column("parts", sa.BigInteger),
        sa.PrimaryKeyConstraint("term", "place", "entry", name="release_posting_identity"),
        sqlite_with_rowid=False,
        comment="Which entry has a term, in the order of answers; parts has a bit for each part in which it has it.",
    )
    op.create_index("release_posting_entry", "release_posting", ["entry", "axis", "term", "parts"])


def _spans() -> None:
    op.create_table(
        "release_date",
        _column("entry", KEY),
        _column("axis", sa.Integer),
        *(_column(name, sa.BigInteger) for name in ("part", "low", "high")),
        _column("release", KEY),
        sa.PrimaryKeyConstraint("entry", "axis", "part", "low", "high", name="release_date_identity"),
        sqlite_with_rowid=False,
        comment="Spans of time of entries, half-open, in microseconds since 1970 (UTC).",
    )
    op.create_index("release_date_span", "release_date", ["release", "axis", "low", "high", "entry"])
    op.create_table(
        "release_quantity",
        _column("entry", KEY),
        _column("axis", sa.Integer),
        _column("number", sa.Integer),
        _column("part", sa.BigInteger),
        _column("low", sa.Double),
        _column("high", sa.Double),
        *(_column(name, TEXT) for name in ("system", "code", "unit", "scale")),
        _column("scaled_low", sa.Double, nullable=True),
        _column("scaled_high", sa.Double, nullable=True),
        _column("release", KEY),
        sa.PrimaryKeyConstraint("entry", "axis", "number", name="release_quantity_identity"),
        sqlite_with_rowid=False,
        comment="Numbers of entries as intervals, as they stand and in the base of their unit.",
    )
    op.create_index("release_quantity_span", "release_quantity", ["release", "axis", "low", "high", "entry"])
