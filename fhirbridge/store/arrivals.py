"""Every version of every result that a source sent; what a source says last counts, even if it said so before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, func, insert, select

from fhirbridge.store.instants import Now
from fhirbridge.store.schema import arrival
from fhirbridge.store.writes import batches

Novelty = Literal["new", "changed", "unchanged"]
Kept = Literal["new", "changed"]

Item = tuple[str, str, bytes, bytes]
"""Reference, version, hash and body of one result as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One version of one result, as it came. A later one has a greater key."""

    key: int
    study: str
    subject: str
    feed: str
    reference: str
    version: str
    hash: bytes
    body: bytes
    at: str
    run: str


def novelties(connection: Connection, study: str, subject: str, feed: str, items: Sequence[Item]) -> list[Novelty]:
    """Say of each result whether it is new of this subject, changed, or what was the last to arrive of it.

    A result that another subject's patient had meanwhile is changed: the source moved it, and back.
    """
    last = _last(connection, study, feed, {item[0] for item in items})
    had = _had(connection, study, subject, feed, {item[0] for item in items})
    said = list[Novelty]()
    for reference, _, hash, _ in items:
        if last.get(reference) == (subject, hash):
            said.append("unchanged")
        else:
            said.append("changed" if reference in had else "new")
        last[reference] = (subject, hash)
        had.add(reference)
    return said


def keep(
    connection: Connection, study: str, subject: str, feed: str, items: Sequence[Item], run: str, now: Now
) -> list[Novelty]:
    """Keep those of these results that are new or changed, and say of each which it is."""
    said = novelties(connection, study, subject, feed, items)
    key = connection.execute(select(func.max(arrival.c.key))).scalar() or 0
    about = {"study": study, "subject": subject, "feed": feed, "at": now(), "run": run}
    rows: list[dict[str, Any]] = []
    for (reference, version, hash, body), novelty in zip(items, said, strict=True):
        if novelty != "unchanged":
            key += 1
            rows.append({"key": key, "reference": reference, "version": version, "hash": hash, "body": body} | about)
    if rows:
        connection.execute(insert(arrival), rows)
    return said


def _last(connection: Connection, study: str, feed: str, references: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    chosen = select(func.max(arrival.c.key)).where(arrival.c.study == study, arrival.c.feed == feed)
    found: dict[str, tuple[str, bytes]] = {}
    for some in batches(references):
        keys = chosen.where(arrival.c.reference.in_(some)).group_by(arrival.c.reference)
        columns = select(arrival.c.reference, arrival.c.subject, arrival.c.hash)
        for reference, subject, hash in connection.execute(columns.where(arrival.c.key.in_(keys))):
            found[reference] = (subject, bytes(hash))
    return found


def _had(connection: Connection, study: str, subject: str, feed: str, references: Iterable[str]) -> set[str]:
    chosen = select(arrival.c.reference).distinct().where(arrival.c.study == study, arrival.c.subject == subject)
    chosen = chosen.where(arrival.c.feed == feed)
    found = (connection.execute(chosen.where(arrival.c.reference.in_(some))) for some in batches(references))
    return {reference for rows in found for reference in rows.scalars()}


def newest(study: str, subject: str) -> Select[Any]:
    """Return the query for the keys of the last arrivals of a subject's results."""
    chosen = select(func.max(arrival.c.key)).where(arrival.c.study == study, arrival.c.subject == subject)
    return chosen.group_by(arrival.c.feed, arrival.c.reference)


def read(connection: Connection, chosen: Select[Any]) -> list[Arrival]:
    """Return the arrivals of a query for whole rows, in its order."""
    rows = connection.execute(chosen).mappings()
    return [Arrival(**{**row, "hash": bytes(row["hash"]), "body": bytes(row["body"])}) for row in rows]


def versions(connection: Connection, study: str, subject: str, feed: str, reference: str) -> list[Arrival]:
    """Return everything that arrived of one result of a subject, the oldest first."""
    chosen = select(arrival).where(arrival.c.study == study, arrival.c.subject == subject)
    chosen = chosen.where(arrival.c.feed == feed, arrival.c.reference == reference)
    return read(connection, chosen.order_by(arrival.c.key))


def of_run(connection: Connection, study: str, subject: str, run: str) -> list[tuple[int, str, str, Kept]]:
    """Return key, feed and reference of what arrived of a subject in a run, and whether it was its first."""
    columns = (arrival.c.key, arrival.c.feed, arrival.c.reference, arrival.c.run)
    chosen = select(*columns).where(arrival.c.study == study, arrival.c.subject == subject).order_by(arrival.c.key)
    known: set[tuple[str, str]] = set()
    came: list[tuple[int, str, str, Kept]] = []
    for key, feed, reference, its_run in connection.execute(chosen):
        if its_run == run:
            came.append((key, feed, reference, "changed" if (feed, reference) in known else "new"))
        known.add((feed, reference))
    return came


def moved(connection: Connection, study: str, subject: str) -> set[tuple[str, str]]:
    """Return feed and reference of the results of a subject that arrived later as another subject's."""
    columns = (arrival.c.feed, arrival.c.reference, func.max(arrival.c.key).label("key"))
    mine = select(*columns).where(arrival.c.study == study, arrival.c.subject == subject)
    latest = mine.group_by(arrival.c.feed, arrival.c.reference).subquery()
    same = (arrival.c.feed == latest.c.feed) & (arrival.c.reference == latest.c.reference)
    later = select(arrival.c.key).where(arrival.c.study == study, same, arrival.c.key > latest.c.key)
    rows = connection.execute(select(latest.c.feed, latest.c.reference).where(later.exists()))
    return {(feed, reference) for feed, reference in rows}
