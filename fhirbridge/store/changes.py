"""Counts how often a study changed, so that whoever follows it knows by one row whether there is anything new."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from fhirbridge.store.release_tables import study_change
from fhirbridge.store.writes import upsert


def count(connection: Connection, studies: Collection[str], *, consents: bool) -> None:
    """Count a change of these studies, in the transaction that makes it; ``consents``: one of a Consent."""
    counted = study_change.c
    upsert(
        connection,
        study_change,
        [{"study": study, "resources": 1, "consents": int(consents)} for study in sorted(studies)],
        lambda given: {
            "resources": counted.resources + given.resources,
            "consents": counted.consents + given.consents,
        },
    )
