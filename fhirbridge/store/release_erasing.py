"""Erases what is released no longer, with all its versions and its index, and leaves that it was deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, insert, or_, select, tuple_, update

from fhirbridge.store import release_index
from fhirbridge.store.release_answers import Tally
from fhirbridge.store.release_state import Building
from fhirbridge.store.release_tables import (
    ENDLESS,
    release_body,
    release_date,
    release_entry,
    release_person,
    release_source,
)
from fhirbridge.store.schema import consent
from fhirbridge.store.writes import batches

BATCH = 250
"""Entries erased in one transaction."""
PEOPLE = 20
"""People who are erased in one transaction."""

_entry, _source, _person = release_entry.c, release_source.c, release_person.c


def consents(study: Any, compartment: ColumnElement[str], *, few: bool = False) -> ColumnElement[bool]:
    """Say whether the person of a compartment consents at this moment; nobody's need none.

    ``few``: it is asked of some, for whom PostgreSQL must not look at everybody's Consents first.
    """
    here = select(consent.c.resource).where(consent.c.study == study, consent.c.compartment == compartment)
    active = here.where(consent.c.active)
    return or_(compartment == "", active.limit(1).scalar_subquery().is_not(None) if few else active.exists())


@dataclass(slots=True)
class Eraser:
    """Erases in the next position of a release. Its methods take the writer's connection, and do one batch each."""

    building: Building
    index: release_index.Index
    counts: dict[str, Tally] = field(default_factory=dict)

    def withdraw(self, connection: Connection) -> bool:
        """Erase what is of people who no longer consent; say whether there may be more."""
        key, study = self.building.release, self.building.study
        chosen = select(_person.compartment).where(_person.release == key, ~consents(study, _person.compartment))
        gone = connection.execute(chosen.distinct().limit(PEOPLE)).scalars().all()
        for compartment in gone:
            self._erase(connection, _entry.compartment == compartment, returns=True)
        mine = and_(_person.release == key, _person.compartment.in_(gone))
        connection.execute(delete(release_person).where(mine))
        return bool(gone)

    def narrow(self, connection: Connection, types: Sequence[str]) -> bool:
        """Erase what is of other types than these; say whether there may be more."""
        there = and_(_entry.release == self.building.release, _entry.until == ENDLESS, ~_entry.deleted)
        other = ~_entry.type.in_(types)
        names = connection.execute(select(_entry.type, _entry.id).where(there, other).limit(BATCH)).all()
        self.named(connection, [(kind, id) for kind, id in names], returns=True)
        return bool(names)

    def forget_old_rules(self, connection: Connection) -> bool:
        """Erase the versions that other rules made; say whether there may be more. Once the position is published."""
        there = and_(_entry.release == self.building.release, _entry.until <= self.building.number)
        old = select(_entry.key).where(there, _entry.generation < self.building.generation).limit(BATCH)
        keys = connection.execute(old).scalars().all()
        self.entries(connection, keys)
        return bool(keys)

    def forget_index(self, connection: Connection, oldest: int) -> bool:
        """Erase the index of versions that ended before the oldest position; say whether there may be more."""
        there = and_(_entry.release == self.building.release, _entry.until <= oldest)
        body = select(release_body.c.entry).where(release_body.c.entry == _entry.key).exists()
        indexed = select(release_date.c.entry).where(release_date.c.entry == _entry.key)
        keys = connection.execute(select(_entry.key).where(there, body, indexed.exists()).limit(BATCH)).scalars().all()
        self.index.erase(connection, keys)
        return bool(keys)

    def named(self, connection: Connection, names: Sequence[tuple[str, str]], *, returns: bool) -> None:
        """Erase resources of a release by type and id; see ``_erase``."""
        for some in batches(names):
            self._erase(connection, tuple_(_entry.type, _entry.id).in_(some), returns=returns)

    def _erase(self, connection: Connection, which: ColumnElement[bool], *, returns: bool) -> None:
        """Erase all versions of entries; of those that anybody may have seen stays that they are deleted.

        ``returns``: they are looked at again once they may be shown again, even if nothing of them has changed.
        """
        building = self.building
        columns = _entry.key, _entry.type, _entry.id, _entry.version, _entry.since, _entry.until, _entry.deleted
        rows = connection.execute(select(*columns).where(_entry.release == building.release, which)).mappings().all()
        latest = [row for row in rows if row["until"] == ENDLESS and not row["deleted"]]
        for row in latest:
            self.counts.setdefault(row["type"], Tally()).deleted += 1
        self.entries(connection, [row["key"] for row in rows])
        known = [row for row in latest if row["since"] != building.number or row["version"] > 1]
        keys = release_index.new_keys(connection, "entry", len(known))
        stones = [self._stone(key, row) for key, row in zip(keys, known, strict=True)]
        if stones:
            connection.execute(insert(release_entry), stones)
        there = {(stone["type"], stone["id"]): stone["key"] for stone in stones}
        seen = {"version": 0} if returns else {}
        for row in latest:
            mine = and_(_source.release == building.release, _source.entry == row["key"])
            values = {"entry": there.get((row["type"], row["id"])), "live": False, **seen}
            connection.execute(update(release_source).where(mine).values(values))

    def _stone(self, key: int, row: RowMapping) -> dict[str, Any]:
        return {
            "key": key,
            "release": self.building.release,
            "type": row["type"],
            "id": row["id"],
            "version": row["version"] + (row["since"] != self.building.number),
            "place": release_index.place(row["id"]),
            "since": self.building.number,
            "until": ENDLESS,
            "deleted": True,
            "compartment": "",
            "hash": b"",
            "last_updated": self.building.at,
            "generation": self.building.generation,
        }

    def entries(self, connection: Connection, keys: Iterable[int]) -> None:
        """Erase entries, with their bodies and index rows."""
        waiting = list(keys)
        self.index.erase(connection, waiting)
        for some in batches(waiting):
            connection.execute(delete(release_body).where(release_body.c.entry.in_(some)))
            connection.execute(delete(release_entry).where(_entry.key.in_(some)))
