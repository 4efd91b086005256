"""Every version of every result that a source sent; what a source says last counts, even if it said so before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, exists, func, insert, or_, select

from fhirbridge.store.instants import Now
from fhirbridge.store.schema import BY_REPORT as BY_REPORT
from fhirbridge.store.schema import ENDS_BY_REPORT, arrival
from fhirbridge.store.writes import BATCH, batches

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


def novelties(
    connection: Connection, study: str, feed: str, given: Mapping[str, Sequence[Item]]
) -> dict[str, list[Novelty]]:
    """Say of each result, by subject, whether it is new of this subject, changed, or what was the last to arrive of it.

    A result that another subject's patient had meanwhile is changed: the source moved it, and back.
    """
    references = {item[0] for items in given.values() for item in items}
    last, had = _last(connection, study, feed, references), _had(connection, study, feed, references)
    said: dict[str, list[Novelty]] = {}
    for subject, items in given.items():
        said[subject] = []
        for reference, _, hash, _ in items:
            if last.get(reference) == (subject, hash):
                said[subject].append("unchanged")
            else:
                said[subject].append("changed" if (subject, reference) in had else "new")
            last[reference] = (subject, hash)
            had.add((subject, reference))
    return said


def keep(
    connection: Connection, study: str, feed: str, given: Mapping[str, Sequence[Item]], run: str, now: Now
) -> dict[str, list[Novelty]]:
    """Keep those of these results that are new or changed, and say of each, by subject, which it is."""
    said = novelties(connection, study, feed, given)
    key = connection.execute(select(func.max(arrival.c.key))).scalar() or 0
    about = {"study": study, "feed": feed, "at": now(), "run": run}
    rows: list[dict[str, Any]] = []
    for subject, items in given.items():
        for (reference, version, hash, body), novelty in zip(items, said[subject], strict=True):
            if novelty != "unchanged":
                key += 1
                named = {"key": key, "subject": subject, "reference": reference, "version": version}
                rows.append(named | {"hash": hash, "body": body} | about)
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


def _had(connection: Connection, study: str, feed: str, references: Iterable[str]) -> set[tuple[str, str]]:
    """Return which of these results ever arrived, each with the subjects whose it was."""
    # By their keys: of itself SQLite would look through all that ever arrived for the study.
    keys = select(arrival.c.key).where(arrival.c.study == study, arrival.c.feed == feed)
    chosen = select(arrival.c.subject, arrival.c.reference)
    named = (keys.where(arrival.c.reference.in_(some)) for some in batches(references))
    found = (connection.execute(chosen.where(arrival.c.key.in_(some))) for some in named)
    return {(subject, reference) for rows in found for subject, reference in rows}


def latest(
    connection: Connection, study: str, feed: str, wanted: Mapping[str, Collection[str] | None]
) -> dict[str, list[Arrival]]:
    """Return by subject the last version of the results of these references, with their parts; None wants all.

    ``Observation/1#2`` is a part of ``Observation/1``.
    """
    keys: list[int] = []
    for some in batches(wanted):
        names = select(arrival.c.subject, arrival.c.reference, func.max(arrival.c.key))
        mine = names.where(arrival.c.study == study, arrival.c.subject.in_(some), arrival.c.feed == feed)
        mine = mine.where(*_named([wanted[subject] for subject in some]))
        for subject, reference, key in connection.execute(mine.group_by(arrival.c.subject, arrival.c.reference)):
            chosen = wanted[subject]
            if chosen is None or reference.partition("#")[0] in chosen:
                keys.append(key)
    found: dict[str, list[Arrival]] = {subject: [] for subject in wanted}
    for one in of_keys(connection, keys):
        found[one.subject].append(one)
    return found


def _named(chosen: Sequence[Collection[str] | None]) -> Iterator[ColumnElement[bool]]:
    """Yield what leaves out most of the others where a few results are wanted; parts are looked at one by one."""
    names = {name for some in chosen for name in some or ()}
    if None not in chosen and len(names) <= BATCH:
        yield or_(arrival.c.reference.in_(names), arrival.c.reference.contains("#"))


def of_keys(connection: Connection, keys: Iterable[int]) -> Iterator[Arrival]:
    """Yield these arrivals in the order of their keys."""
    for some in batches(sorted(keys)):
        yield from read(connection, select(arrival).where(arrival.c.key.in_(some)).order_by(arrival.c.key))


def taken_back(connection: Connection, study: str, feed: str) -> dict[str, set[str]]:
    """Return by subject the references of results that a report ever took back: a version's end says so."""
    columns = select(arrival.c.subject, arrival.c.reference).where(arrival.c.study == study, arrival.c.feed == feed)
    found: dict[str, set[str]] = {}
    for subject, reference in connection.execute(columns.where(ENDS_BY_REPORT)):
        found.setdefault(subject, set()).add(reference)
    return found


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


def of_run(
    connection: Connection, study: str, subjects: Collection[str], run: str
) -> dict[str, list[tuple[int, str, str, Kept]]]:
    """Return key, feed and reference of what arrived of subjects in a run, and whether it was its first."""
    before = arrival.alias()
    earlier = exists().where(
        before.c.study == arrival.c.study, before.c.subject == arrival.c.subject, before.c.feed == arrival.c.feed,
        before.c.reference == arrival.c.reference, before.c.key < arrival.c.key,
    )  # fmt: skip
    columns = (arrival.c.subject, arrival.c.key, arrival.c.feed, arrival.c.reference, earlier)
    came: dict[str, list[tuple[int, str, str, Kept]]] = {subject: [] for subject in subjects}
    for some in batches(subjects):
        chosen = select(*columns).where(arrival.c.study == study, arrival.c.subject.in_(some), arrival.c.run == run)
        for subject, key, feed, reference, known in connection.execute(chosen.order_by(arrival.c.key)):
            came[subject].append((key, feed, reference, "changed" if known else "new"))
    return came
