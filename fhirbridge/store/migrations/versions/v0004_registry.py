"""Which registries may ask: clients and their public keys, signed statements seen, tokens taken back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "client",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("agreement", TEXT, nullable=False),
        sa.Column("jwks", TEXT),
        sa.Column("jwks_uri", TEXT),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("revoked", TEXT),
        sa.Column("revoked_by", TEXT),
        comment="Registries' systems that may ask for tokens: their public keys, and what they were registered for.",
    )
    op.create_table(
        "assertion",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("client", TEXT, sa.ForeignKey("client.id", name="assertion_of"), nullable=False),
        sa.Column("expires", TEXT, nullable=False),
        comment="Signed statements by which clients were let in, until they expire: none is taken twice.",
    )
    op.create_index("assertion_by_expiry", "assertion", ["expires"])
    op.create_table(
        "token_revocation",
        sa.Column("token", TEXT, primary_key=True),
        sa.Column("expires", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        comment="Access tokens taken back before their time, by their ids.",
    )
