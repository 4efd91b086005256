"""The tables, as the newest migration leaves them; a test holds the two against each other.

A body lies in ``version`` alone, and once: the rows of ``resource`` stay narrow, so that finding out what
changed among 100,000 resources reads hashes and no body.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

REVISION = "0001"
"""The newest migration."""

REVISION_TABLE = "fhirbridge_schema"

KEY = BigInteger().with_variant(Integer(), "sqlite")
TEXT = String().with_variant(String(collation="C"), "postgresql")
"""Byte order on both databases: faster than a locale's, and the same everywhere."""

metadata = MetaData()

binding = Table(
    "binding",
    metadata,
    Column("study", TEXT, primary_key=True),
    Column("fingerprint", TEXT, nullable=False),
    comment="The pseudonym key that a study's ids were made with, by its fingerprint.",
)

resource = Table(
    "resource",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("type", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("study", TEXT, nullable=False),
    Column("compartment", TEXT, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("last_updated", TEXT, nullable=False),
    UniqueConstraint("id", "type", name="resource_identity"),
    Index("resource_order", "study", "compartment", "rank", "key"),
    comment="One row per resource: its current version.",
)

version = Table(
    "version",
    metadata,
    Column("resource", KEY, ForeignKey("resource.key", name="version_of"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("last_updated", TEXT, nullable=False),
    Column("run", TEXT, nullable=False),
    PrimaryKeyConstraint("resource", "version", name="version_identity"),
    comment="Every version ever stored, append-only; body is compact JSON.",
)

run = Table(
    "run",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("command", TEXT, nullable=False),
    Column("started", TEXT, nullable=False),
    Column("ended", TEXT),
    Column("outcome", TEXT),
    Column("counts", TEXT),
    Index("run_by_command", "command", "started"),
    comment="One row per run of a command; ended is null while it runs, and after a kill.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("run", TEXT, ForeignKey("run.id", name="quarantine_of"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("record", TEXT, nullable=False),
    Column("file", TEXT),
    Column("line", Integer),
    Column("column", Integer),
    Column("field", TEXT),
    Column("value", TEXT),
    Column("rule", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("remedy", TEXT, nullable=False),
    PrimaryKeyConstraint("run", "number", name="quarantine_identity"),
    comment="What a run set aside, and why.",
)

server = Table(
    "server",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("base_url", TEXT, nullable=False),
    UniqueConstraint("base_url", name="server_identity"),
    comment="The hospitals' servers that were ever pushed to.",
)

acknowledged = Table(
    "acknowledged",
    metadata,
    Column("server", KEY, ForeignKey("server.key", name="acknowledged_by"), nullable=False),
    Column("resource", KEY, ForeignKey("resource.key", name="acknowledged_what"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("version", TEXT),
    Column("at", TEXT, nullable=False),
    Column("run", TEXT, nullable=False),
    PrimaryKeyConstraint("server", "resource", name="acknowledged_identity"),
    sqlite_with_rowid=False,
    comment="The content each server last acknowledged, by hash, and the version it gave it.",
)
