"""Who consents: one narrow row per Consent resource, so that no body is read to know who withdrew.

A compartment is withdrawn when it has Consents and none of them is active
(http://hl7.org/fhir/R4/valueset-consent-state-codes.html). The study's own compartment never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select

from fhirbridge import fhirjson
from fhirbridge.store.schema import consent
from fhirbridge.store.writes import upsert


def keep(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Note the Consents among rows of ``resource`` with their bodies; ``since`` stays while ``active`` does."""
    found = [
        {
            "resource": row["key"],
            "study": row["study"],
            "compartment": row["compartment"],
            "active": fhirjson.loads(row["body"]).get("status") == "active",
            "since": row["last_updated"],
        }
        for row in rows
        if row["type"] == "Consent"
    ]
    upsert(
        connection,
        consent,
        found,
        lambda given: {"since": case((consent.c.active == given.active, consent.c.since), else_=given.since)},
    )


def withdrawn_names(study: str) -> Select[Any]:
    """Return the query for the compartments of a study that are withdrawn."""
    active = func.max(case((consent.c.active, 1), else_=0))
    chosen = select(consent.c.compartment).where(consent.c.study == study, consent.c.compartment != "")
    return chosen.group_by(consent.c.compartment).having(active == 0)


def is_withdrawn(study: ColumnElement[str], compartment: ColumnElement[str]) -> ColumnElement[bool]:
    """Say, by the index, whether one compartment is withdrawn: a given one, or that of a row of a few."""
    here = select(consent.c.resource).where(consent.c.study == study, consent.c.compartment == compartment)
    return and_(here.where(consent.c.compartment != "").exists(), ~here.where(consent.c.active).exists())


def withdrawn(connection: Connection, study: str) -> set[str]:
    """Return the compartments of a study that are withdrawn."""
    return set(connection.execute(withdrawn_names(study)).scalars())


def known(connection: Connection, study: str) -> dict[str, bool]:
    """Return, for each compartment of which a Consent is known, whether one is active."""
    active = func.max(case((consent.c.active, 1), else_=0))
    chosen = select(consent.c.compartment, active).where(consent.c.study == study, consent.c.compartment != "")
    rows = connection.execute(chosen.group_by(consent.c.compartment))
    return {compartment: bool(active) for compartment, active in rows}


def consented(connection: Connection, study: str, compartment: str) -> bool | None:
    """Say whether a person consents; None where no Consent is known."""
    chosen = select(consent.c.active).where(consent.c.study == study, consent.c.compartment == compartment)
    found = connection.execute(chosen).scalars().all()
    return any(found) if found else None
