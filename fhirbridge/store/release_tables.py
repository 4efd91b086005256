"""The tables of releases, as the newest migration leaves them: what is let out, and the index that it is found by.

A term is something that a parameter can be searched by and that is met or not, such as a code; a posting says which
entry has it. Both are small numbers, so an index of many resources stays in memory, and the postings of a term lie side
by side in the order of answers: a page is read off from where the last one ended.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from fhirbridge.store.schema import KEY, TEXT, metadata

ENDLESS = 2**31 - 1
"""``until`` of what is still released."""

study_change = Table(
    "study_change",
    metadata,
    Column("study", TEXT, primary_key=True),
    Column("resources", Integer, nullable=False),
    Column("consents", Integer, nullable=False),
    comment="Counts transactions that changed anything of a study, and those that changed a Consent.",
)

release = Table(
    "release",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("agreement", TEXT, nullable=False),
    Column("study", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("position", Integer, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("oldest", Integer, nullable=False),
    Column("building", TEXT, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("ruled", Integer, nullable=False),
    Column("next_at", TEXT, nullable=False),
    Column("let_out", TEXT),
    Column("seen", Integer, nullable=False),
    Column("seen_consents", Integer, nullable=False),
    UniqueConstraint("agreement", name="release_identity"),
    comment="One row per agreement: where its release stands, and what the next position is made by.",
)

release_position = Table(
    "release_position",
    metadata,
    Column("release", KEY, ForeignKey("release.key", name="release_position_of"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", TEXT, nullable=False),
    PrimaryKeyConstraint("release", "number", name="release_position_identity"),
    sqlite_with_rowid=False,
    comment="The positions of a release that can be asked for, and their instants.",
)

release_counter = Table(
    "release_counter",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("last", KEY, nullable=False),
    comment="The last key of entries and of terms: none is used twice, even if what had it is erased.",
)

release_source = Table(
    "release_source",
    metadata,
    Column("release", KEY, ForeignKey("release.key", name="release_source_of"), nullable=False),
    Column("resource", KEY, ForeignKey("resource.key", name="release_source_what"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("entry", KEY),
    Column("live", Boolean, nullable=False),
    PrimaryKeyConstraint("release", "resource", name="release_source_identity"),
    sqlite_with_rowid=False,
    comment="Which version of a resource was looked at last, under which rules, and the entry that it became.",
)

release_entry = Table(
    "release_entry",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("release", KEY, ForeignKey("release.key", name="release_entry_of"), nullable=False),
    Column("type", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("compartment", TEXT, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("last_updated", TEXT, nullable=False),
    Column("generation", Integer, nullable=False),
    UniqueConstraint("release", "type", "id", "version", name="release_entry_identity"),
    Index("release_entry_order", "release", "type", "place"),
    Index("release_entry_time", "release", "type", "since", "place"),
    Index("release_entry_end", "release", "until"),
    Index("release_entry_person", "release", "compartment", "type", "place"),
    comment="Versions of released resources, from a position until another; a deleted one says that it is no more.",
)

release_body = Table(
    "release_body",
    metadata,
    Column("entry", KEY, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    comment="The bytes that are answered; apart from the entries, which are read by the thousand.",
)

release_person = Table(
    "release_person",
    metadata,
    Column("release", KEY, ForeignKey("release.key", name="release_person_of"), nullable=False),
    Column("id", TEXT, nullable=False),
    Column("compartment", TEXT, nullable=False),
    PrimaryKeyConstraint("release", "id", name="release_person_identity"),
    sqlite_with_rowid=False,
    comment="Whose compartment it is that the registry knows as the Patient of an id.",
)

release_term = Table(
    "release_term",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("release", KEY, nullable=False),
    Column("axis", Integer, nullable=False),
    Column("short", TEXT, nullable=False),
    Column("system", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("text", TEXT, nullable=False),
    Index("release_term_value", "release", "axis", "short"),
    comment="What a parameter (axis) of a release can be searched by: tokens, texts, references, URIs.",
)

release_posting = Table(
    "release_posting",
    metadata,
    Column("term", KEY, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("entry", KEY, nullable=False),
    Column("axis", Integer, nullable=False),
    Column("parts", BigInteger, nullable=False),
    PrimaryKeyConstraint("term", "place", "entry", name="release_posting_identity"),
    Index("release_posting_entry", "entry", "axis", "term", "parts"),
    sqlite_with_rowid=False,
    comment="Which entry has a term, in the order of answers; parts has a bit for each part in which it has it.",
)

release_date = Table(
    "release_date",
    metadata,
    Column("entry", KEY, nullable=False),
    Column("axis", Integer, nullable=False),
    Column("part", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("release", KEY, nullable=False),
    PrimaryKeyConstraint("entry", "axis", "part", "low", "high", name="release_date_identity"),
    Index("release_date_span", "release", "axis", "low", "high", "entry"),
    sqlite_with_rowid=False,
    comment="Spans of time of entries, half-open, in microseconds since 1970 (UTC).",
)

release_quantity = Table(
    "release_quantity",
    metadata,
    Column("entry", KEY, nullable=False),
    Column("axis", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("part", BigInteger, nullable=False),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("system", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("unit", TEXT, nullable=False),
    Column("scale", TEXT, nullable=False),
    Column("scaled_low", Double),
    Column("scaled_high", Double),
    Column("release", KEY, nullable=False),
    PrimaryKeyConstraint("entry", "axis", "number", name="release_quantity_identity"),
    Index("release_quantity_span", "release", "axis", "low", "high", "entry"),
    sqlite_with_rowid=False,
    comment="Numbers of entries as intervals, as they stand and in the base of their unit.",
)
