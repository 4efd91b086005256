"""What is still to be done at a server: how much, in which compartments, and resource by resource."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, bindparam, case, func, or_, select

from fhirbridge.store import consents, resources, servers, wanted
from fhirbridge.store.acknowledgements import Acknowledged, Policy, State
from fhirbridge.store.conflicts import Settled, settled
from fhirbridge.store.resources import Stored
from fhirbridge.store.schema import TEXT, acknowledged, crosswalk, failure, settlement
from fhirbridge.store.schema import resource as current
from fhirbridge.store.wanted import CONFLICT, OWNED_BY_HOSPITAL, PARKED, SAME_FAILURE, Terms
from fhirbridge.store.writes import batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many resources a study has, and how many of them a server does not hold as it should.

    ``pending`` is what can be sent, plus ``parked`` (dead letters), plus ``conflicts`` (a resource that is both counts
    here). ``withheld`` is not pending: it differs, and the person it is about withdrew. ``oldest`` is the instant of
    the oldest change that can be sent.
    """

    desired: int
    pending: int
    parked: int = 0
    conflicts: int = 0
    withheld: int = 0
    oldest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A resource, what a server is to hold of it, and all that is known of it there.

    ``wanted`` is None where it is to be left as it is. ``server_id`` is None where it is our own. ``parked`` and
    ``attempts`` speak of this very content.
    """

    stored: Stored
    wanted: State | None
    acknowledged: Acknowledged | None
    server_id: str | None
    hospital_owned: bool
    parked: bool
    conflict: bool
    attempts: int
    settled: tuple[Settled, ...]
    pending: bool


def backlog(
    connection: Connection, base_url: str, study: str, policy: Policy, compartments: Sequence[str] | None
) -> Backlog:
    """Return the counts, of a study or of some of its compartments, in one query that reads hashes and no body."""
    terms, here = _terms_of(study, policy), _here(study, compartments)
    sendable = _sendable(terms)
    desired = select(func.count()).select_from(current).where(*here).scalar_subquery()
    counts = select(
        desired.label("desired"),
        _count(terms.pending).label("pending"),
        _count(and_(terms.pending, PARKED, ~CONFLICT)).label("parked"),
        _count(and_(terms.pending, CONFLICT)).label("conflicts"),
        _count(terms.withheld).label("withheld"),
        func.min(case((sendable, current.c.last_updated))).label("oldest"),
    ).select_from(wanted.source(base_url))
    return Backlog(**connection.execute(counts.where(*here, terms.concerned)).mappings().one())


def outstanding(
    connection: Connection,
    base_url: str,
    study: str,
    policy: Policy,
    blocked: bool,
    compartments: Sequence[str] | None,
) -> list[str]:
    """Return the compartments that have something to send, or if ``blocked`` something pending, '' first."""
    terms, name = _terms_of(study, policy), current.c.compartment
    chosen = select(name).distinct().select_from(wanted.source(base_url))
    chosen = chosen.where(*_here(study, compartments), terms.concerned, terms.pending if blocked else _sendable(terms))
    return list(connection.execute(chosen.order_by(name)).scalars())


def _here(study: str, compartments: Sequence[str] | None) -> list[ColumnElement[bool]]:
    of_study = current.c.study == study
    return [of_study] if compartments is None else [of_study, current.c.compartment.in_(list(compartments))]


def deliveries(
    connection: Connection, base_url: str, study: str, compartment: str, policy: Policy, every: bool
) -> list[Delivery]:
    """Return what is pending of a compartment, or everything, in the order of dependencies."""
    given = {"base_url": base_url, "study": study, "compartment": compartment}
    return _made(connection, base_url, connection.execute(_of_one(policy, every), given).mappings().all())


def deliveries_of(
    connection: Connection, base_url: str, names: Sequence[tuple[str, str]], policy: Policy
) -> list[Delivery]:
    """Return the deliveries of those of these (type, id) that are there, in the order of dependencies."""
    terms = wanted.terms(policy, consents.is_withdrawn(current.c.study, current.c.compartment))
    chosen, given = _query(terms), {"base_url": base_url}
    found = [connection.execute(chosen.where(resources.named(some)), given).mappings() for some in batches(names)]
    rows = sorted((row for some in found for row in some), key=lambda row: (row["rank"], row["key"]))
    return _made(connection, base_url, rows)


@functools.cache
def _of_one(policy: Policy, every: bool) -> Select[Any]:
    """Return the query for a given compartment, made once: it is asked for thousands of them."""
    study, compartment = bindparam("study", type_=TEXT), bindparam("compartment", type_=TEXT)
    terms = wanted.terms(policy, consents.is_withdrawn(study, compartment))
    chosen = _query(terms).where(current.c.study == study, current.c.compartment == compartment)
    chosen = chosen if every else chosen.where(terms.pending)
    return chosen.order_by(current.c.rank, current.c.key)


def _terms_of(study: str, policy: Policy) -> Terms:
    return wanted.terms(policy, current.c.compartment.in_(consents.withdrawn_names(study)))


def _sendable(terms: Terms) -> ColumnElement[bool]:
    return and_(terms.pending, ~or_(CONFLICT, PARKED))


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _query(terms: Terms) -> Select[Any]:
    """Return the query for everything a Delivery needs but the decisions, at the server given as ``base_url``."""
    base_url = bindparam("base_url", type_=TEXT)
    has_settled = select(settlement.c.path).where(servers.stands(settlement, base_url))
    return resources.query(wanted.source(base_url)).add_columns(
        terms.wanted.label("wanted"),
        terms.pending.label("pending"),
        *(acknowledged.c[name].label(f"ack_{name}") for name in ("hash", "sent", "version", "state", "at")),
        crosswalk.c.id.label("server_id"),
        OWNED_BY_HOSPITAL.label("hospital_owned"),
        PARKED.label("parked"),
        CONFLICT.label("conflict"),
        case((SAME_FAILURE, failure.c.attempts), else_=0).label("attempts"),
        has_settled.exists().label("has_settled"),
    )


def _made(connection: Connection, base_url: str, rows: Sequence[RowMapping]) -> list[Delivery]:
    keys = [row["key"] for row in rows if row["has_settled"]]
    decided = settled(connection, base_url, keys) if keys else {}
    return [_delivery(row, tuple(decided.get(row["key"], ()))) for row in rows]


def _delivery(row: RowMapping, decided: tuple[Settled, ...]) -> Delivery:
    return Delivery(
        stored=resources.stored({name: row[name] for name in Stored.__dataclass_fields__}),
        wanted=row["wanted"],
        acknowledged=_acknowledged(row),
        server_id=row["server_id"],
        hospital_owned=bool(row["hospital_owned"]),
        parked=bool(row["parked"]),
        conflict=bool(row["conflict"]),
        attempts=row["attempts"],
        settled=decided,
        pending=bool(row["pending"]),
    )


def _acknowledged(row: RowMapping) -> Acknowledged | None:
    if row["ack_hash"] is None:
        return None
    return Acknowledged(
        hash=bytes(row["ack_hash"]).hex() or None,
        sent=None if row["ack_sent"] is None else bytes(row["ack_sent"]).hex(),
        version=row["ack_version"],
        state=row["ack_state"],
        at=row["ack_at"],
    )
