"""The tables, as the newest migration leaves them; a test holds the two against each other.

A body lies in ``version`` alone, and once: the rows of ``resource`` stay narrow, so that finding out what
changed among 100,000 resources reads hashes and no body.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    text,
)

REVISION = "0006"
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
    Column("capabilities", TEXT),
    Column("capabilities_at", TEXT),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("open_until", TEXT),
    Column("last_error", TEXT),
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
    Column("sent", LargeBinary),
    Column("state", TEXT, nullable=False, server_default="live"),
    PrimaryKeyConstraint("server", "resource", name="acknowledged_identity"),
    sqlite_with_rowid=False,
    comment="The content each server last acknowledged, by hash, and the version it gave it.",
)

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("server", KEY, ForeignKey("server.key", name="crosswalk_at"), nullable=False),
    Column("resource", KEY, ForeignKey("resource.key", name="crosswalk_of"), nullable=False),
    Column("id", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    PrimaryKeyConstraint("server", "resource", name="crosswalk_identity"),
    Index("crosswalk_by_id", "server", "id"),
    sqlite_with_rowid=False,
    comment="The id a resource has at a server that does not use ours, and who owns it there.",
)

failure = Table(
    "failure",
    metadata,
    Column("server", KEY, ForeignKey("server.key", name="failure_at"), nullable=False),
    Column("resource", KEY, ForeignKey("resource.key", name="failure_of"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first", TEXT, nullable=False),
    Column("last", TEXT, nullable=False),
    Column("parked", Boolean, nullable=False),
    Column("status", Integer),
    Column("method", TEXT, nullable=False),
    Column("url", TEXT, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("outcome", LargeBinary),
    Column("message", TEXT, nullable=False),
    Column("remedy", TEXT, nullable=False),
    Column("run", TEXT, nullable=False),
    PrimaryKeyConstraint("server", "resource", name="failure_identity"),
    comment="What went wrong last with a resource at a server; parked: it is not tried again by itself.",
)

conflict = Table(
    "conflict",
    metadata,
    Column("server", KEY, ForeignKey("server.key", name="conflict_at"), nullable=False),
    Column("resource", KEY, ForeignKey("resource.key", name="conflict_of"), nullable=False),
    Column("at", TEXT, nullable=False),
    Column("run", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("base_version", TEXT),
    Column("their_version", TEXT),
    Column("theirs", LargeBinary),
    PrimaryKeyConstraint("server", "resource", name="conflict_identity"),
    comment="Edits of others at a server that wait for a decision.",
)

settlement = Table(
    "settlement",
    metadata,
    Column("server", KEY, ForeignKey("server.key", name="settlement_at"), nullable=False),
    Column("resource", KEY, ForeignKey("resource.key", name="settlement_of"), nullable=False),
    Column("path", TEXT, nullable=False),
    Column("ours", LargeBinary),
    Column("theirs", LargeBinary),
    Column("by", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("server", "resource", "path", name="settlement_identity"),
    comment="Decisions on conflicts: our value then and theirs that stands instead, as JSON; null where absent.",
)

lease = Table(
    "lease",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("holder", TEXT, nullable=False),
    Column("until", TEXT, nullable=False),
    comment="Who may work on what, and until when.",
)

consent = Table(
    "consent",
    metadata,
    Column("resource", KEY, ForeignKey("resource.key", name="consent_of"), primary_key=True, autoincrement=False),
    Column("study", TEXT, nullable=False),
    Column("compartment", TEXT, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("since", TEXT, nullable=False),
    Index("consent_by_compartment", "study", "compartment", "active"),
    comment="Each Consent resource: whether it is active, and since when.",
)

link = Table(
    "link",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("study", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("lookup", TEXT, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("reason", TEXT),
    Column("since", TEXT, nullable=False),
    Column("checked", TEXT),
    UniqueConstraint("study", "lookup", name="link_identity"),
    Index("link_by_subject", "study", "subject"),
    comment="Which hospital number is which subject (the id of our Patient): sealed, found by a keyed digest.",
)

link_event = Table(
    "link_event",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=False),
    Column("study", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("detail", TEXT, nullable=False),
    Index("link_event_by_subject", "study", "subject", "number"),
    comment="What was ever done to a link, and who looked at one; append-only.",
)

BY_REPORT = " (by its report)"
"""Ends the version of a result whose report took it back: the result itself stays as it was at the source."""
ENDS_BY_REPORT = text(f"substr(version, length(version) - {len(BY_REPORT) - 1}) = '{BY_REPORT}'")
"""Written out, since neither database finds an index of some rows by a condition with parameters."""

arrival = Table(
    "arrival",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("study", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("feed", TEXT, nullable=False),
    Column("reference", TEXT, nullable=False),
    Column("version", TEXT, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("run", TEXT, nullable=False),
    Index("arrival_of_subject", "study", "subject", "feed", "reference", "key"),
    Index("arrival_of_source", "study", "feed", "reference", "key"),
    Index("arrival_of_run", "study", "run", "subject"),
    Index(
        "arrival_by_report",
        "study",
        "feed",
        "subject",
        "reference",
        sqlite_where=ENDS_BY_REPORT,
        postgresql_where=ENDS_BY_REPORT,
    ),
    comment="Every version of every result that a source sent, naming no patient; append-only.",
)

AWAITED = "place: future"
"""The reason of a candidate that lies in the future: its place changes as days go by."""
IS_AWAITED = text(f"replace(reasons, '{AWAITED}', '') <> reasons")

candidate = Table(
    "candidate",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("study", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("feed", TEXT, nullable=False),
    Column("reference", TEXT, nullable=False),
    Column("arrival", KEY, ForeignKey("arrival.key", name="candidate_from"), nullable=False),
    Column("state", TEXT, nullable=False),
    Column("reasons", TEXT, nullable=False),
    Column("analyte", TEXT, nullable=False),
    Column("visit", TEXT),
    Column("offset", Integer),
    Column("inside", Boolean, nullable=False),
    Column("collected", TEXT),
    Column("proposal", LargeBinary, nullable=False),
    Column("changed", TEXT, nullable=False),
    Column("decision", Integer),
    Column("recorded", LargeBinary),
    Column("due", Boolean, nullable=False),
    UniqueConstraint("study", "subject", "feed", "reference", name="candidate_identity"),
    Index("candidate_by_state", "study", "state", "analyte", "changed", "key"),
    Index("candidate_by_change", "study", "state", "changed", "key"),
    Index("candidate_due", "study", "due", "subject", "key"),
    Index("candidate_of_analyte", "study", "subject", "analyte", "visit", "collected"),
    Index("candidate_awaited", "study", sqlite_where=IS_AWAITED, postgresql_where=IS_AWAITED),
    comment="One row per result of a source: what it would mean to the study, and where it stands.",
)

decision = Table(
    "decision",
    metadata,
    Column("candidate", KEY, ForeignKey("candidate.key", name="decision_on"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("arrival", KEY, ForeignKey("arrival.key", name="decision_about"), nullable=False),
    Column("action", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("value", LargeBinary),
    Column("proposal", LargeBinary, nullable=False),
    Column("run", TEXT),
    PrimaryKeyConstraint("candidate", "number", name="decision_identity"),
    Index("decision_by_time", "at"),
    comment="Every decision on a candidate, and what it was shown then; append-only.",
)

candidate_tally = Table(
    "candidate_tally",
    metadata,
    Column("study", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("analyte", TEXT, nullable=False),
    Column("candidates", Integer, nullable=False),
    PrimaryKeyConstraint("study", "state", "analyte", name="candidate_tally_identity"),
    comment="How many candidates there are of each state, kept in the same transactions as they are.",
)

watermark = Table(
    "watermark",
    metadata,
    Column("study", TEXT, nullable=False),
    Column("feed", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("question", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("run", TEXT, nullable=False),
    PrimaryKeyConstraint("study", "feed", "subject", "question", name="watermark_identity"),
    comment="When the last question of a kind began that was answered whole; subject '' is all of them at once.",
)

pull = Table(
    "pull",
    metadata,
    Column("run", TEXT, ForeignKey("run.id", name="pull_of"), primary_key=True),
    Column("study", TEXT, nullable=False),
    Column("context", LargeBinary, nullable=False),
    Column("funnel", LargeBinary),
    comment="What a pull was asked under, frozen, and its funnel; by these it can be replayed.",
)

pulled = Table(
    "pulled",
    metadata,
    Column("run", TEXT, ForeignKey("run.id", name="pulled_by"), nullable=False),
    Column("arrival", KEY, ForeignKey("arrival.key", name="pulled_what"), nullable=False),
    Column("novelty", TEXT, nullable=False),
    Column("fate", TEXT, nullable=False),
    PrimaryKeyConstraint("run", "arrival", name="pulled_identity"),
    comment="What each pull found new or changed, and what became of it then.",
)

message = Table(
    "message",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("study", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("received", TEXT, nullable=False),
    Column("source", TEXT, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("findings", TEXT, nullable=False),
    Column("done", TEXT),
    Column("run", TEXT),
    UniqueConstraint("study", "digest", name="message_identity"),
    Index("message_by_state", "study", "state", "key"),
    comment="HL7 v2 messages as they were received, sealed, until what they hold is in the inbox.",
)

client = Table(
    "client",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("agreement", TEXT, nullable=False),
    Column("jwks", TEXT),
    Column("jwks_uri", TEXT),
    Column("scopes", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("revoked", TEXT),
    Column("revoked_by", TEXT),
    comment="Registries' systems that may ask for tokens: their public keys, and what they were registered for.",
)

assertion = Table(
    "assertion",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("client", TEXT, ForeignKey("client.id", name="assertion_of"), nullable=False),
    Column("expires", TEXT, nullable=False),
    Index("assertion_by_expiry", "expires"),
    comment="Signed statements by which clients were let in, until they expire: none is taken twice.",
)

token_revocation = Table(
    "token_revocation",
    metadata,
    Column("token", TEXT, primary_key=True),
    Column("expires", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    comment="Access tokens taken back before their time, by their ids.",
)
