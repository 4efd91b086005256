"""What push has to remember: states and crosswalk, failures and conflicts, leases, and who consents."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add columns and tables, and note the Consents that are already stored."""
    _columns()
    _crosswalk()
    _failures()
    _conflicts()
    _leases()
    _consents()
    _fill_consents()


def _columns() -> None:
    op.add_column("acknowledged", sa.Column("sent", sa.LargeBinary))
    op.add_column("acknowledged", sa.Column("state", TEXT, nullable=False, server_default="live"))
    op.execute("UPDATE acknowledged SET sent = hash")  # until now, what was sent was always our content
    for name in ("capabilities", "capabilities_at"):
        op.add_column("server", sa.Column(name, TEXT))
    op.add_column("server", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    for name in ("open_until", "last_error"):
        op.add_column("server", sa.Column(name, TEXT))


def _at_server(table: str) -> list[sa.Column[int]]:
    """Return the two columns by which a row belongs to a server and a resource."""
    return [
        sa.Column("server", KEY, sa.ForeignKey("server.key", name=f"{table}_at"), nullable=False),
        sa.Column("resource", KEY, sa.ForeignKey("resource.key", name=f"{table}_of"), nullable=False),
    ]


def _crosswalk() -> None:
    op.create_table(
        "crosswalk",
        *_at_server("crosswalk"),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("server", "resource", name="crosswalk_identity"),
        sqlite_with_rowid=False,
        comment="The id a resource has at a server that does not use ours, and who owns it there.",
    )
    op.create_index("crosswalk_by_id", "crosswalk", ["server", "id"])


def _failures() -> None:
    op.create_table(
        "failure",
        *_at_server("failure"),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("first", TEXT, nullable=False),
        sa.Column("last", TEXT, nullable=False),
        sa.Column("parked", sa.Boolean, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("outcome", sa.LargeBinary),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("remedy", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("server", "resource", name="failure_identity"),
        comment="What went wrong last with a resource at a server; parked: it is not tried again by itself.",
    )


def _conflicts() -> None:
    op.create_table(
        "conflict",
        *_at_server("conflict"),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("base_version", TEXT),
        sa.Column("their_version", TEXT),
        sa.Column("theirs", sa.LargeBinary),
        sa.PrimaryKeyConstraint("server", "resource", name="conflict_identity"),
        comment="Edits of others at a server that wait for a decision.",
    )
    op.create_table(
        "settlement",
        *_at_server("settlement"),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("ours", sa.LargeBinary),
        sa.Column("theirs", sa.LargeBinary),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("server", "resource", "path", name="settlement_identity"),
        comment="Decisions on conflicts: our value then and theirs that stands instead, as JSON; null where absent.",
    )


def _leases() -> None:
    op.create_table(
        "lease",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("until", TEXT, nullable=False),
        comment="Who may work on what, and until when.",
    )


def _consents() -> None:
    of = sa.ForeignKey("resource.key", name="consent_of")
    op.create_table(
        "consent",
        sa.Column("resource", KEY, of, primary_key=True, autoincrement=False),
        sa.Column("study", TEXT, nullable=False),
        sa.Column("compartment", TEXT, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("since", TEXT, nullable=False),
        comment="Each Consent resource: whether it is active, and since when.",
    )
    op.create_index("consent_by_compartment", "consent", ["study", "compartment"])


def _fill_consents() -> None:
    """Read every version of each Consent: its state is the last one's, since the first of those that agree with it."""
    consent = sa.table("consent", *map(sa.column, ("resource", "study", "compartment", "active", "since")))
    connection = op.get_bind()
    rows: dict[int, dict[str, object]] = {}
    stored = connection.execute(
        sa.text(
            "SELECT r.key, r.study, r.compartment, v.body, v.last_updated FROM resource r"
            " JOIN version v ON v.resource = r.key WHERE r.type = 'Consent' ORDER BY r.key, v.version"
        )
    )
    for key, study, compartment, body, last_updated in stored:
        active, before = json.loads(bytes(body)).get("status") == "active", rows.get(key)
        since = before["since"] if before and before["active"] == active else last_updated
        rows[key] = {"resource": key, "study": study, "compartment": compartment, "active": active, "since": since}
    if rows:
        connection.execute(consent.insert(), list(rows.values()))
