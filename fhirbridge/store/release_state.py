"""Where the release of an agreement stands: its row, what the next position is made by, and when that is published.

The next position is made in many transactions. None of it shows before the last of them says that it is there, and a
process that dies on the way leaves nothing to be mended: the next one goes on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, delete, func, insert, select, update

import fhirbridge
from fhirbridge.release.agreement import TYPES
from fhirbridge.release.view import View
from fhirbridge.search.table import PARAMETERS
from fhirbridge.store.instants import written
from fhirbridge.store.release_answers import Position
from fhirbridge.store.release_tables import (
    release,
    release_body,
    release_date,
    release_entry,
    release_person,
    release_position,
    release_posting,
    release_quantity,
    release_source,
    release_term,
    study_change,
)

MANY = 1000
"""Resources after which PostgreSQL is to look at the tables anew: until it has, it guesses what is in them."""

_LEAST_STEP = timedelta(milliseconds=1)
"""Between the instants of two positions."""


_ROW = (
    select(release, study_change.c.resources, study_change.c.consents)
    .select_from(release.outerjoin(study_change, study_change.c.study == release.c.study))
    .where(release.c.agreement == bindparam("agreement"))
)


_STANDING = (
    select(*(release.c[name] for name in ("key", "study", "ruled", "oldest", "position")))
    .add_columns(release.c.building == release.c.digest, study_change.c.consents)
    .select_from(release.outerjoin(study_change, study_change.c.study == release.c.study))
    .where(release.c.agreement == bindparam("agreement"))
)


class Standing(NamedTuple):
    """What every search asks of a release's row: few columns, as it is read each time."""

    key: int
    study: str
    ruled: int
    oldest: int
    position: int
    indexed: bool
    """Whether the index is that of the rules in force, and not being made anew."""
    consents: int | None
    """How often Consents of the study changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """What the next position of a release is made by: its number, its instant, and the generation of the rules."""

    release: int
    study: str
    number: int
    at: str
    generation: int
    digest: str
    whole: bool
    """The rules are others than those of the position that is there."""
    first: bool
    changes: tuple[int, int]
    """How often the study and its Consents had changed when this began."""


@lru_cache(maxsize=64)
def digest(view: View, zone: tzinfo) -> str:
    """Return what the bytes and the index of a release follow from, but for the resources.

    A new release of fhirbridge counts: it may transform otherwise.
    """
    searched = [(one.base, one.code, one.kind, repr(one.paths), one.system) for one in PARAMETERS]
    told = repr((fhirbridge.__version__, view.digest, str(zone), searched))
    return hashlib.sha256(told.encode()).hexdigest()


def row(connection: Connection, agreement: str) -> RowMapping | None:
    """Return the row of an agreement's release with ``consents``, how often its study's Consents changed."""
    return connection.execute(_ROW, {"agreement": agreement}).mappings().first()


def standing(connection: Connection, agreement: str) -> Standing | None:
    """Return how an agreement's release stands, None where nothing was ever released."""
    found = connection.execute(_STANDING, {"agreement": agreement}).first()
    return None if found is None else Standing(*found)


def position(found: RowMapping | None) -> Position | None:
    """Return where a release stands, None if nothing was published yet."""
    if found is None or not found["position"]:
        return None
    return Position(found["position"], found["at"], found["digest"], found["oldest"])


def changes(connection: Connection, study: str) -> tuple[int, int]:
    """Return how often a study and its Consents changed."""
    chosen = select(study_change.c.resources, study_change.c.consents).where(study_change.c.study == study)
    found = connection.execute(chosen).first()
    return (0, 0) if found is None else (found.resources, found.consents)


def begin(connection: Connection, view: View, wanted: str, now: datetime) -> Building:
    """Say what the next position is made by; what an earlier process left unpublished is made anew."""
    agreement = view.agreement
    found = row(connection, agreement.id)
    if found is None:
        key = (connection.execute(select(func.max(release.c.key))).scalar() or 0) + 1
        made: dict[str, Any] = {
            "key": key, "agreement": agreement.id, "study": agreement.study, "digest": "", "position": 0, "at": "",
            "oldest": 1, "building": wanted, "generation": 1, "ruled": 1, "next_at": written(now), "let_out": None,
            "seen": -1, "seen_consents": -1,
        }  # fmt: skip
        connection.execute(insert(release).values(made))
    else:
        made = dict(found) | _next(found, wanted, now)
        changed = {name: made[name] for name in ("building", "generation", "next_at")}
        connection.execute(update(release).where(release.c.key == made["key"]).values(changed))
        if made["generation"] != found["generation"]:
            connection.execute(delete(release_person).where(release_person.c.release == made["key"]))
        if made["position"]:
            _make_anew(connection, made["key"], made["position"] + 1, made["next_at"])
    return Building(
        release=made["key"],
        study=made["study"],
        number=made["position"] + 1,
        at=made["next_at"],
        generation=made["generation"],
        digest=wanted,
        whole=made["digest"] != wanted,
        first=made["position"] == 0,
        changes=changes(connection, made["study"]),
    )


def _next(found: RowMapping, wanted: str, now: datetime) -> dict[str, Any]:
    """Return the instant and the generation of the next position.

    An unfinished first one keeps its instant, as nobody can have asked since. A later one gets a new instant, so that
    nobody who asks for what is new since then misses what is published only now.
    """
    same = found["building"] == wanted
    at = written(now)
    if found["at"]:
        least = datetime.fromisoformat(found["at"]) + _LEAST_STEP
        at = max(at, written(least))
    elif found["next_at"] and same:
        at = found["next_at"]
    return {"building": wanted, "generation": found["generation"] + (not same), "next_at": at}


def _make_anew(connection: Connection, key: int, number: int, at: str) -> None:
    """Have what was made for a position that was never published made again, with the instant of now."""
    unpublished = select(release_entry.c.key).where(_begins(key, number))
    source = release_source.c
    mine = update(release_source).where(source.release == key, source.entry.in_(unpublished), source.live)
    connection.execute(mine.values(generation=-1))
    connection.execute(
        update(release_entry).where(_begins(key, number), release_entry.c.deleted).values(last_updated=at)
    )


def publish(connection: Connection, building: Building, *, let_out: str | None, kept_since: str) -> Position:
    """Let the next position be the one that is answered from, if there is anything new in it.

    ``let_out``: the instant at which this began, if changes were let out. ``kept_since``: positions replaced before
    it are given up.
    """
    c = release.c
    found = connection.execute(select(release).where(c.key == building.release)).mappings().one()
    values: dict[str, Any] = {"digest": building.digest, "ruled": building.generation}
    values["seen_consents"] = building.changes[1]
    if let_out is not None:
        values |= {"let_out": let_out, "seen": building.changes[0]}
    if building.first or _anything(connection, building):
        values |= {"position": building.number, "at": building.at}
        new = {"release": building.release, "number": building.number, "at": building.at}
        connection.execute(insert(release_position).values(new))
    if building.whole:
        values["oldest"] = (dict(found) | values)["position"]
    values["oldest"] = _oldest(connection, dict(found) | values, kept_since)
    connection.execute(update(release).where(c.key == building.release).values(values))
    old = (release_position.c.release == building.release) & (release_position.c.number < values["oldest"])
    connection.execute(delete(release_position).where(old))
    now_there = dict(found) | values
    return Position(now_there["position"], now_there["at"], now_there["digest"], now_there["oldest"])


def finish(connection: Connection, building: Building, *, looked_at: int) -> None:
    """Note that nothing is left to be done: until then the next process does it all again."""
    connection.execute(update(release).where(release.c.key == building.release).values(next_at=""))
    if connection.dialect.name == "postgresql" and looked_at >= MANY:
        for table in (release_entry, release_body, release_posting, release_term, release_date, release_quantity):
            connection.exec_driver_sql(f"ANALYZE {table.name}")


def _anything(connection: Connection, building: Building) -> bool:
    """Say whether anything begins or ends with the next position."""
    ends = and_(release_entry.c.release == building.release, release_entry.c.until == building.number)
    return any(
        connection.execute(select(release_entry.c.key).where(one).limit(1)).first() is not None
        for one in (_begins(building.release, building.number), ends)
    )


def _begins(key: int, number: int) -> ColumnElement[bool]:
    """Say of an entry whether it begins with a position; by the index, which has the types first."""
    c = release_entry.c
    return and_(c.release == key, c.type.in_(TYPES), c.since == number)


def _oldest(connection: Connection, there: dict[str, Any], kept_since: str) -> int:
    """Return the first position that was the newest at some time since then."""
    c = release_position.c
    here = (c.release == there["key"]) & (c.number > there["oldest"])
    ended: int | None = connection.execute(select(func.max(c.number)).where(here, c.at < kept_since)).scalar()
    return max(int(there["oldest"]), ended or 0)
