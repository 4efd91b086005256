"""What a server is to hold of each resource, by the consent of the person it is about, and whether it differs: in SQL.

Everything here is a condition on a row of ``source()``: a resource, joined by primary keys with what is known of it
at one server. No body is needed for any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, FromClause, and_, case, false, null, or_
from sqlalchemy.sql.elements import literal

from fhirbridge.store import servers
from fhirbridge.store.acknowledgements import SEND_AGAIN, Policy
from fhirbridge.store.schema import acknowledged, conflict, crosswalk, failure
from fhirbridge.store.schema import resource as current

CONSENT_KEPT = ("Consent", "ResearchSubject")
"""The types that tell of a withdrawal, and so stay in step with us unless everything is deleted."""

_KEPT: dict[Policy, tuple[str, ...]] = {"stop": CONSENT_KEPT, "retract": (*CONSENT_KEPT, "Patient"), "delete": ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The conditions, in terms of ``source()``; one that is null does not hold."""

    wanted: ColumnElement[Any]
    concerned: ColumnElement[bool]
    pending: ColumnElement[bool]
    withheld: ColumnElement[bool]


def source(base_url: str | BindParameter[str]) -> FromClause:
    """Return ``resource`` with its acknowledgement, other id, failure and conflict at a server, where there are any."""
    joined: FromClause = current
    for table in (acknowledged, crosswalk, failure, conflict):
        joined = joined.outerjoin(table, servers.stands(table, base_url))
    return joined


OWNED_BY_HOSPITAL = crosswalk.c.owner.is_not_distinct_from("hospital")
CONFLICT = conflict.c.resource.is_not(None)
SAME_FAILURE = failure.c.hash == current.c.hash
PARKED = and_(failure.c.parked.is_not_distinct_from(True), SAME_FAILURE)


def terms(policy: Policy, withdrawn: ColumnElement[bool]) -> Terms:
    """Return the conditions under a policy; ``withdrawn`` says whether a row's compartment is.

    ``concerned`` holds for every row that is pending or withheld, and for few others; it looks at no table but the
    acknowledgements, so that a query finds these rows before it looks at more.
    """
    taken = acknowledged.c.resource.is_not(None)  # what a server never had, it does not get after a withdrawal
    usual = or_(~withdrawn, and_(taken, current.c.type.in_(_KEPT[policy]))) if _KEPT[policy] else ~withdrawn
    old = acknowledged.c.hash.is_distinct_from(current.c.hash)
    due = or_(old, acknowledged.c.state != "live")
    gone = _gone(policy)
    left = old if policy == "stop" else acknowledged.c.resource.is_(None)
    ours = ~OWNED_BY_HOSPITAL
    return Terms(
        wanted=case((OWNED_BY_HOSPITAL, null()), (usual, literal("live")), else_=_otherwise(policy)),
        concerned=or_(due, and_(withdrawn, gone)),
        pending=and_(ours, case((usual, due), else_=gone)),
        withheld=and_(ours, case((usual, false()), else_=left)),
    )


def _gone(policy: Policy) -> ColumnElement[bool]:
    """Say whether what a server has of someone who withdrew is yet to be retracted or deleted."""
    if policy == "stop":
        return false()
    rest = ("live",) if policy == "retract" else ("live", "retracted")
    return or_(acknowledged.c.state.in_(rest), acknowledged.c.hash == SEND_AGAIN)


def _otherwise(policy: Policy) -> ColumnElement[Any]:
    """Return what is wanted of someone who withdrew: what was never sent is left so."""
    if policy == "stop":
        return null()
    wanted = literal("retracted" if policy == "retract" else "deleted")
    return case((acknowledged.c.resource.is_not(None), wanted), else_=null())
