"""Resources and their versions: putting them, and reading them back. Equal content never makes a new version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    RowMapping,
    Select,
    and_,
    bindparam,
    false,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from fhirbridge import fhirjson
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import Resource, StoreError
from fhirbridge.store import changes, consents
from fhirbridge.store.instants import Now
from fhirbridge.store.schema import resource as current
from fhirbridge.store.schema import version

Outcome = Literal["created", "updated", "unchanged"]

_BATCH = 500
_SUBJECT_ELEMENTS = ("subject", "patient", "individual")
_SUBJECT_EXTENSION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Provenance.patient"
"""HL7's extension for R5's Provenance.patient; R4's Provenance has no element for the person."""
_COLUMNS = tuple(column.name for column in current.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One version of a resource as it lies in the store; ``body`` is its content as compact JSON.

    ``hash`` is fhirjson.content_hash of the content. ``study``, ``compartment`` and ``rank`` are those of the
    current version; ``last_updated`` is an instant in UTC.
    """

    key: int
    type: str
    id: str
    version: int
    hash: str
    study: str
    compartment: str
    rank: int
    last_updated: str
    run: str
    body: bytes

    def content(self) -> Resource:
        """Return the content as it was put."""
        loaded: Resource = fhirjson.loads(self.body)
        return loaded

    def resource(self) -> Resource:
        """Return the content with ``meta.versionId`` and ``meta.lastUpdated``."""
        loaded = self.content()
        about = {"versionId": str(self.version), "lastUpdated": self.last_updated}
        return {
            "resourceType": self.type,
            "id": self.id,
            "meta": about | loaded.get("meta", {}),
            **{name: value for name, value in loaded.items() if name not in ("resourceType", "id", "meta")},
        }


def study_of(resource: Resource) -> str:
    """Return the study a resource belongs to, by its ``meta.tag``. Raises StoreError where it has none."""
    for tag in (resource.get("meta") or {}).get("tag", ()):
        if tag.get("system") == STUDY_TAG:
            return str(tag["code"])
    raise StoreError(
        f"a {resource.get('resourceType')} without the study in meta.tag cannot be stored. Add a tag of {STUDY_TAG}."
    )


def compartment_of(resource: Resource) -> str:
    """Return the id of the Patient whom a resource is about, '' for one of the whole study.

    Source: http://hl7.org/fhir/R4/compartmentdefinition-patient.html, for the types whose subject is one element.
    """
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    said = [resource.get(name) for name in _SUBJECT_ELEMENTS]
    said += [one.get("valueReference") for one in resource.get("extension", ()) if one["url"] == _SUBJECT_EXTENSION]
    for element in said:
        reference = element.get("reference") if isinstance(element, dict) else None
        if isinstance(reference, str) and reference.startswith("Patient/"):
            return reference.removeprefix("Patient/").split("/")[0]
    return ""


class Transaction:
    """What the only writer may do until it commits; ``Store.transaction`` makes it."""

    def __init__(self, connection: Connection, clock: Now) -> None:
        self._connection = connection
        self._clock = clock
        self._last_key: int | None = None

    def put(self, ranked: Iterable[tuple[int, Resource]], *, run: str) -> list[Outcome]:
        """Store each (rank, resource) and return, in the same order, what became of it.

        The rank is the place in the order of dependencies: a resource refers to none of a higher rank. Raises
        StoreError for a resource without id or study.
        """
        waiting, outcomes = list(ranked), list[Outcome]()
        for start in range(0, len(waiting), _BATCH):
            outcomes += self._put_batch(waiting[start : start + _BATCH], run)
        return outcomes

    def _put_batch(self, ranked: Sequence[tuple[int, Resource]], run: str) -> list[Outcome]:
        rows = [_row(rank, resource) for rank, resource in ranked]
        known = self._known([row["id"] for row in rows])
        now, outcomes = self._clock(), list[Outcome]()
        changed: dict[tuple[str, str], dict[str, Any]] = {}
        versions: list[dict[str, Any]] = []
        for row in rows:
            identity = row["type"], row["id"]
            before = known.get(identity)
            if before is not None and before["hash"] == row["hash"]:
                outcomes.append("unchanged")
                if before["rank"] == row["rank"]:
                    continue
                row |= {"version": before["version"], "last_updated": before["last_updated"]}
            else:
                outcomes.append("updated" if before else "created")
                row |= {"version": before["version"] + 1 if before else 1, "last_updated": now}
            row |= {"key": before["key"] if before else self._next_key(), "new": before is None or before["new"]}
            known[identity] = changed[identity] = row
            if outcomes[-1] != "unchanged":
                versions.append(_version(row, run))
        self._write(list(changed.values()), versions)
        return outcomes

    def _known(self, ids: list[str]) -> dict[tuple[str, str], dict[str, Any]]:
        columns = (current.c.key, current.c.type, current.c.id, current.c.version, current.c.hash)
        query = select(*columns, current.c.rank, current.c.last_updated).where(current.c.id.in_(ids))
        found = self._connection.execute(query).mappings()
        return {(row["type"], row["id"]): {**row, "new": False} for row in found}

    def _next_key(self) -> int:
        """Count keys up by hand: there is one writer, and a key asked back from each insert would cost a trip."""
        if self._last_key is None:
            self._last_key = self._connection.execute(select(func.max(current.c.key))).scalar() or 0
        self._last_key += 1
        return self._last_key

    def _write(self, rows: list[dict[str, Any]], versions: list[dict[str, Any]]) -> None:
        new = [_columns(row) for row in rows if row["new"]]
        if new:
            self._connection.execute(insert(current), new)
            self._keep_statistics(new[0]["key"], new[-1]["key"])
        old = [{f"_{name}": value for name, value in _columns(row).items()} for row in rows if not row["new"]]
        if old:
            names = [name for name in _COLUMNS if name not in ("key", "type", "id")]
            change = update(current).where(current.c.key == bindparam("_key"))
            self._connection.execute(change.values({name: bindparam(f"_{name}") for name in names}), old)
        if versions:
            self._connection.execute(insert(version), versions)
        consents.keep(self._connection, rows)
        if rows:
            changed = {row["study"] for row in rows}
            changes.count(self._connection, changed, consents=any(row["type"] == "Consent" for row in rows))

    def _keep_statistics(self, first: int, last: int) -> None:
        """Have PostgreSQL look at the table each time it has doubled: until it has, it scans it for a few ids."""
        if self._connection.dialect.name == "postgresql" and (first - 1).bit_length() != last.bit_length() > 8:
            self._connection.exec_driver_sql(f"ANALYZE {current.name}")


def _row(rank: int, resource: Resource) -> dict[str, Any]:
    kind, id = resource.get("resourceType"), resource.get("id")
    if not isinstance(kind, str) or not isinstance(id, str):
        raise StoreError(f"a {kind or 'resource'} without resourceType or id cannot be stored.")
    return {
        "type": kind,
        "id": id,
        "hash": bytes.fromhex(fhirjson.content_hash(resource)),
        "study": study_of(resource),
        "compartment": compartment_of(resource),
        "rank": rank,
        "body": fhirjson.dumps(fhirjson.content(resource)),
    }


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _COLUMNS}


def _version(row: dict[str, Any], run: str) -> dict[str, Any]:
    kept = {name: row[name] for name in ("version", "hash", "body", "last_updated")}
    return {"resource": row["key"], "run": run, **kept}


def stored(row: RowMapping | dict[str, Any]) -> Stored:
    """Return the row of a ``query()`` as Stored."""
    return Stored(**{**row, "hash": bytes(row["hash"]).hex(), "body": bytes(row["body"])})


def named(names: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """Say of a row of ``resource`` whether it is one of these (type, id), of which there are some hundreds at most."""
    by_type: dict[str, list[str]] = {}
    for kind, id in names:
        by_type.setdefault(kind, []).append(id)
    return or_(false(), *(and_(current.c.type == kind, current.c.id.in_(ids)) for kind, ids in by_type.items()))


def query(source: FromClause = current, *, every_version: bool = False) -> Select[Any]:
    """Return the query for current versions, or for every version, with their bodies; ``source`` holds ``resource``."""
    of_it = version.c.resource == current.c.key
    on = of_it if every_version else and_(of_it, version.c.version == current.c.version)
    c = current.c
    return select(
        *(c.key, c.type, c.id, c.study, c.compartment, c.rank),
        *(version.c.version, version.c.hash, version.c.last_updated, version.c.run, version.c.body),
    ).select_from(source.join(version, on))


def pages(
    fetch: Callable[[Select[Any]], Sequence[RowMapping]],
    study: str,
    types: Sequence[str] | None,
    compartment: str | None,
    page: int,
) -> Iterator[Stored]:
    """Yield a study's resources in the order (compartment, rank), a page at a time: no cursor is left open."""
    place = (current.c.compartment, current.c.rank, current.c.key)
    chosen = query().where(current.c.study == study).order_by(*place).limit(page)
    if types is not None:
        chosen = chosen.where(current.c.type.in_(list(types)))
    if compartment is not None:
        chosen = chosen.where(current.c.compartment == compartment)
    rows = fetch(chosen)
    while rows:
        yield from map(stored, rows)
        if len(rows) < page:
            return
        last = tuple(rows[-1][column.name] for column in place)
        rows = fetch(chosen.where(tuple_(*place) > last))
