"""Indexes by which a pull finds what it must judge again without looking through all of a subject's results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("candidate_of_analyte", "candidate", ["study", "subject", "analyte", "visit", "collected"])
    awaited = sa.text("replace(reasons, 'place: future', '') <> reasons")
    op.create_index("candidate_awaited", "candidate", ["study"], sqlite_where=awaited, postgresql_where=awaited)
