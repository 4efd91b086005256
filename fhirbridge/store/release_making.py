"""Makes the entries of the next position of a release, some resources at a time, each some in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.release.view import View, stamped
from fhirbridge.search.extract import Indexer
from fhirbridge.store import release_index
from fhirbridge.store.release_answers import Tally
from fhirbridge.store.release_erasing import Eraser, consents
from fhirbridge.store.release_state import Building
from fhirbridge.store.release_tables import (
    ENDLESS,
    release_body,
    release_entry,
    release_person,
    release_source,
)
from fhirbridge.store.schema import resource, version
from fhirbridge.store.writes import batches, upsert

BATCH = 250
"""Resources in one transaction: the only writer is kept waiting for no longer than they take."""

_entry, _source, _person = release_entry.c, release_source.c, release_person.c


class _Wanted(NamedTuple):
    """What the next position is to show of a resource that the store has."""

    row: RowMapping
    released: Resource
    hash: bytes


@dataclass(slots=True)
class Maker:
    """Makes the next position. Its methods take the writer's connection, and do one batch each."""

    building: Building
    view: View
    indexer: Indexer
    eraser: Eraser

    def let_out(self, connection: Connection, after: int, *, changes: bool) -> int | None:
        """Look at the next resources that have changed (or, without ``changes``, whose rules have); return the last."""
        rows = connection.execute(self._pending(after, changes=changes)).mappings().all()
        wanted, hidden = [], []
        for row in rows:
            seen = self.view.release(fhirjson.loads(bytes(row["body"])))
            if seen is None:
                hidden.append(row)
            else:
                wanted.append(_Wanted(row, seen, bytes.fromhex(fhirjson.content_hash(seen))))
        self._hide(connection, hidden)
        self._show(connection, wanted)
        return rows[-1]["resource"] if len(rows) == BATCH else None

    def _pending(self, after: int, *, changes: bool) -> Select[Any]:
        building = self.building
        known = and_(_source.release == building.release, _source.resource == resource.c.key)
        compartment = resource.c.compartment if changes else _entry.compartment
        columns = (
            *(resource.c.key.label("resource"), resource.c.type, version.c.version, version.c.body),
            *(_source.generation, _source.entry, _source.live, _entry.hash, _entry.since),
            *(_entry.id.label("entry_id"), _entry.version.label("entry_version"), compartment.label("compartment")),
            _entry.compartment.label("entry_compartment"),
        )
        seen = resource.c.version if changes else _source.version
        joined = (
            resource.outerjoin(release_source, known)
            .outerjoin(release_entry, _entry.key == _source.entry)
            .join(version, and_(version.c.resource == resource.c.key, version.c.version == seen))
        )
        others = _source.generation != building.generation
        news = or_(_source.resource.is_(None), _source.version != resource.c.version, others)
        of_study = and_(resource.c.study == building.study, resource.c.key > after)
        shown = and_(resource.c.type.in_(self.view.agreement.types), consents(building.study, compartment))
        chosen = select(*columns).select_from(joined).where(of_study, shown)
        chosen = chosen.where(news if changes else and_(others, _source.live))
        return chosen.order_by(resource.c.key).limit(BATCH)

    def _hide(self, connection: Connection, rows: Sequence[RowMapping]) -> None:
        live = [row for row in rows if row["live"]]
        self.eraser.named(connection, [(row["type"], row["entry_id"]) for row in live], returns=False)
        for row in rows:
            if not row["live"]:
                self._tally(row["type"]).hidden += 1
        looked_at = [self._looked_at(row, row["entry"], live=False) for row in rows if not row["live"]]
        upsert(connection, release_source, looked_at)

    def _show(self, connection: Connection, wanted: Sequence[_Wanted]) -> None:
        number = self.building.number
        renamed = [one for one in wanted if one.row["entry"] and one.row["entry_id"] != one.released["id"]]
        before = [(one.row["type"], one.row["entry_id"]) for one in renamed if one.row["live"]]
        self.eraser.named(connection, before, returns=True)
        same, new = list[_Wanted](), list[_Wanted]()
        for one in wanted:
            row = one.row
            stays = row["live"] and row["since"] != number and bytes(row["hash"]) == one.hash
            stays = stays and (row["entry_compartment"], row["entry_id"]) == (row["compartment"], one.released["id"])
            (same if stays else new).append(one)
        self._keep(connection, same)
        self._make(connection, new, self._versions(connection, renamed))
        people = {one.row["compartment"] for one in wanted} - {""}
        named = [
            {"release": self.building.release, "id": self.view.patient(one), "compartment": one}
            for one in sorted(people)
        ]
        upsert(connection, release_person, named)

    def _versions(self, connection: Connection, renamed: Sequence[_Wanted]) -> dict[int, int]:
        """Return, of resources that go by another id than before, the latest version that this id ever had.

        Another key of pseudonyms has everything renamed; with an old key they have their old names again.
        """
        found = dict.fromkeys((one.row["resource"] for one in renamed), 0)
        for one in renamed:
            mine = and_(_entry.release == self.building.release, _entry.type == one.row["type"])
            mine = and_(mine, _entry.id == one.released["id"])
            found[one.row["resource"]] = connection.execute(select(func.max(_entry.version)).where(mine)).scalar() or 0
            ends = update(release_entry).where(mine, _entry.until == ENDLESS)
            connection.execute(ends.values(until=self.building.number))
        return found

    def _keep(self, connection: Connection, same: Sequence[_Wanted]) -> None:
        """Note of what looks as before that it was looked at; under other rules it may be found otherwise."""
        generation = self.building.generation
        for one in same:
            self._tally(one.row["type"]).unchanged += 1
        upsert(connection, release_source, [self._looked_at(one.row, one.row["entry"], live=True) for one in same])
        ruled = {one.row["entry"]: one for one in same if one.row["generation"] != generation}
        if ruled:
            mine = _entry.key.in_(list(ruled))
            connection.execute(update(release_entry).where(mine).values(generation=generation))
            self.eraser.index.erase(connection, ruled)
            there = connection.execute(select(_entry.key, _entry.version, _entry.last_updated).where(mine))
            self._write_index(connection, [(ruled[key], key, number, at) for key, number, at in there])

    def _make(self, connection: Connection, new: Sequence[_Wanted], renamed: Mapping[int, int]) -> None:
        """Make a version of each, in place of one that was never published if there is one."""
        building = self.building
        unpublished = {one.row["entry"] for one in new if one.row["since"] == building.number} - {None}
        replaced = [one.row["entry"] for one in new if one.row["entry"] not in unpublished and one.row["entry"]]
        self.eraser.entries(connection, unpublished)
        for some in batches(replaced):
            ends = update(release_entry).where(_entry.key.in_(some), _entry.until == ENDLESS)
            connection.execute(ends.values(until=building.number))
        made = []
        for key, one in zip(release_index.new_keys(connection, "entry", len(new)), new, strict=True):
            self._tally(one.row["type"]).released += 1
            number = (one.row["entry_version"] or 0) + (one.row["entry"] not in unpublished)
            number = renamed[one.row["resource"]] + 1 if one.row["resource"] in renamed else number
            made.append((one, key, number, building.at))
        if made:
            connection.execute(insert(release_entry), [self._row(*one) for one in made])
            self._write_bodies(connection, made)
            self._write_index(connection, made)
        upsert(connection, release_source, [self._looked_at(one.row, key, live=True) for one, key, *_ in made])

    def _row(self, one: _Wanted, key: int, number: int, at: str) -> dict[str, Any]:
        return {
            "key": key,
            "release": self.building.release,
            "type": one.row["type"],
            "id": one.released["id"],
            "version": number,
            "place": release_index.place(one.released["id"]),
            "since": self.building.number,
            "until": ENDLESS,
            "deleted": False,
            "compartment": one.row["compartment"],
            "hash": one.hash,
            "last_updated": at,
            "generation": self.building.generation,
        }

    def _write_bodies(self, connection: Connection, made: Iterable[tuple[_Wanted, int, int, str]]) -> None:
        bodies = [
            {"entry": key, "body": fhirjson.dumps(stamped(one.released, number, at))} for one, key, number, at in made
        ]
        connection.execute(insert(release_body), bodies)

    def _write_index(self, connection: Connection, made: Iterable[tuple[_Wanted, int, int, str]]) -> None:
        found = [
            release_index.Indexed(
                key,
                one.row["type"],
                release_index.place(one.released["id"]),
                self.indexer.rows(stamped(one.released, number, at)),
            )
            for one, key, number, at in made
        ]
        self.eraser.index.write(connection, found)

    def _looked_at(self, row: RowMapping, entry: int | None, *, live: bool) -> dict[str, Any]:
        return {
            "release": self.building.release,
            "resource": row["resource"],
            "version": row["version"],
            "generation": self.building.generation,
            "entry": entry,
            "live": live,
        }

    def _tally(self, type_: str) -> Tally:
        return self.eraser.counts.setdefault(type_, Tally())
