"""Finds what is released: reads, histories, searches in their order, counts, and all of some types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
)

from fhirbridge.errors import Expired
from fhirbridge.release.cells import Count
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.search.query import Query
from fhirbridge.search.results import SortKey
from fhirbridge.store import release_prepared
from fhirbridge.store.release_answers import Page, Released
from fhirbridge.store.release_erasing import consents
from fhirbridge.store.release_filters import Asked, Condition, either
from fhirbridge.store.release_index import axis, place
from fhirbridge.store.release_prepared import COLUMNS
from fhirbridge.store.release_tables import (
    release,
    release_body,
    release_date,
    release_entry,
    release_person,
    release_posting,
    release_quantity,
    release_term,
)

_MARK = re.compile(r"([0-9]{1,9})\.([A-Za-z0-9\-.]{1,64})", re.ASCII)

Found = Any
"""A row of a query for entries, its columns by name."""

_e, _b = release_entry.c, release_body.c

_ONE = (
    select(*(_e[name] for name in COLUMNS), _b.body)
    .select_from(release.join(release_entry, _e.release == release.c.key).outerjoin(release_body, _b.entry == _e.key))
    .where(
        release.c.agreement == bindparam("agreement"),
        _e.type == bindparam("type"),
        _e.id == bindparam("id"),
        _e.since + 0 <= release.c.position,
        or_(_e.generation >= release.c.ruled, _e.deleted),
        consents(release.c.study, _e.compartment, few=True),
    )
)
_NOW = _ONE.where(_e.until + 0 > release.c.position)
_VERSION = _ONE.where(_e.version == bindparam("version"))
_KEYED = (
    select(*(_e[name] for name in COLUMNS), _b.body)
    .select_from(release_entry.outerjoin(release_body, _b.entry == _e.key))
    .where(_e.key.in_(bindparam("keys", expanding=True)))
)


def read(connection: Connection, agreement: str, type_: str, id: str, version: int | None) -> Released | None:
    """Return the current version of a resource, or one version; see ``Releases.read``."""
    given: dict[str, Any] = {"agreement": agreement, "type": type_, "id": id}
    chosen, given = (_NOW, given) if version is None else (_VERSION, given | {"version": version})
    row = connection.execute(chosen, given).first()
    return None if row is None else _released(row)


def history(asked: Asked, type_: str, id: str | None, *, since: str | None, after: str | None, count: int) -> Page:
    """Return versions, the newest first; see ``Releases.history``. What came with one position is in order of ids."""
    here = [_e.release == asked.release, _e.type == type_, _e.since <= asked.at]
    here += [consents(asked.study, _e.compartment, few=True), or_(_e.generation >= asked.ruled, _e.deleted)]
    if id is not None:
        here.append(_e.id == id)
    if since is not None:
        here.append(_e.last_updated >= since)
    if after is not None:
        mark = _MARK.fullmatch(after)
        if mark is None:
            raise Expired("this is no page of a history. Begin it anew.")
        begun, last = int(mark[1]), mark[2]
        earlier = tuple_(_e.place, _e.id) < (place(last), last)
        here.append(or_(_e.since < begun, and_(_e.since == begun, earlier)))
    chosen = select(*(_e[name] for name in COLUMNS), _b.body, _e.since)
    chosen = chosen.select_from(release_entry.outerjoin(release_body, _b.entry == _e.key)).where(*here)
    rows = asked.connection.execute(
        chosen.order_by(_e.since.desc(), _e.place.desc(), _e.id.desc()).limit(count + 1)
    ).all()
    more = f"{rows[count - 1].since}.{rows[count - 1].id}" if len(rows) > count > 0 else None
    return Page([_released(row) for row in rows[:count]], more)


def search(asked: Asked, query: Query, *, after: str | None, count: int) -> Page:
    """Return a page of matches; see ``Releases.search``. ``after`` is the id of the last one before it."""
    if count <= 0:
        return Page([], None)
    terms = None if query.sort else asked.only_terms(query.type, query.filters)
    if terms is not None:
        last = {} if after is None else {"place": place(after), "id": after}
        given = {"at": asked.at, "study": asked.study, "count": count + 1} | last
        chosen = release_prepared.page(len(terms), after is not None)
        return _page(asked.connection.execute(chosen, given | release_prepared.given(terms)).all(), count)
    entry = release_entry.alias("e")
    begun = asked.begin(query.type, query.filters, entry, ordered=not query.sort)
    if begun is None:
        return Page([], None)
    keys = [_sorting(key, query.type, entry).label(f"sort_{number}") for number, key in enumerate(query.sort)]
    found: Select[Any] = select(*(entry.c[name] for name in COLUMNS), begun.place.label("place"), *keys)
    found = found.select_from(begun.source).where(*begun.conditions)
    if keys:
        found = _sorted(asked, query, found, after).limit(count + 1)
    else:
        if after is not None:
            at = place(after)
            found = found.where(begun.place >= at, or_(begun.place > at, entry.c.id > after))
        found = found.order_by(begun.place, entry.c.id).limit(count + 1)
    return _page(_with_bodies(asked.connection, found, query.sort), count)


def _page(rows: Sequence[Found], count: int) -> Page:
    return Page([_released(row) for row in rows[:count]], rows[count - 1].id if len(rows) > count else None)


def count(asked: Asked, query: Query) -> Count:
    """Count all matches of a search, and the people they are of."""
    of_people = query.type not in PUBLIC
    terms = asked.only_terms(query.type, query.filters)
    if terms is not None:
        given = {"at": asked.at, "study": asked.study} | release_prepared.given(terms)
        found, persons = asked.connection.execute(release_prepared.count(len(terms)), given).one()
        return Count(found, persons if of_people else None)
    entry = release_entry.alias("e")
    begun = replace(asked, counting=True).begin(query.type, query.filters, entry)
    if begun is None:
        return Count(0, 0 if of_people else None)
    people = func.count(func.nullif(entry.c.compartment, "").distinct())
    chosen = select(func.count(), people).select_from(begun.source).where(*begun.conditions)
    found, persons = asked.connection.execute(chosen).one()
    return Count(found, persons if of_people else None)


def everything(
    asked: Asked, type_: str, queries: Sequence[Query] | None, *, since: str | None, people: Sequence[str] | None,
    after: str | None, count: int,
) -> list[Released]:  # fmt: skip
    """Return the next entries of a type in the order of ids, ``count`` at most.

    With ``since`` also what was deleted since then, unless ``people`` (compartments) are named.
    """
    entry = release_entry.alias("e")
    c = entry.c
    here: list[Condition] = [c.release == asked.release, c.type == type_]
    here.append(asked.visible(entry, deleted=since is not None and people is None))
    if since is not None:
        here.append(c.last_updated >= since)
    if people is not None:
        here.append(c.compartment.in_(list(people)))
    if queries is not None:
        met = either([asked.meets(one, type_, entry) for one in query.filters] for query in queries)
        here.append(or_(c.deleted, met))
    if after is not None:
        at = place(after)
        here.append(and_(c.place >= at, or_(c.place > at, c.id > after)))
    found = select(*(c[name] for name in COLUMNS), c.place.label("place")).where(*here)
    rows = _with_bodies(asked.connection, found.order_by(c.place, c.id).limit(count), ())
    return [_released(row) for row in rows]


def people_of(asked: Asked, patients: Sequence[str]) -> list[str]:
    """Return the compartments of those whom the registry knows as these Patients."""
    c = release_person.c
    chosen = select(c.compartment).where(c.release == asked.release, c.id.in_(list(patients)))
    return list(asked.connection.execute(chosen.order_by(c.id)).scalars())


def entries(connection: Connection, keys: Sequence[int]) -> list[Released]:
    """Return entries by their keys, type by type in the order of ids."""
    rows = connection.execute(_KEYED, {"keys": list(keys)}).all()
    return sorted(map(_released, rows), key=lambda one: (one.type, one.id))


def _with_bodies(connection: Connection, found: Select[Any], keys: Sequence[SortKey]) -> Sequence[Found]:
    """Return the entries of a page with their bodies, in its order: no body is read of what is not on the page."""
    page = found.subquery("page")
    chosen = select(*(page.c[name] for name in COLUMNS), _b.body)
    chosen = chosen.select_from(page.outerjoin(release_body, _b.entry == page.c.key))
    chosen = chosen.order_by(*_order(page, keys), page.c.place, page.c.id)
    return connection.execute(chosen).all()


def _order(found: Any, keys: Sequence[SortKey]) -> Iterator[ColumnElement[Any]]:
    for number, key in enumerate(keys):
        value = found.c[f"sort_{number}"]
        yield case((value.is_(None), 1), else_=0)
        yield value.desc() if key.descending else value.asc()


def _sorted(asked: Asked, query: Query, found: Select[Any], after: str | None) -> Select[Any]:
    """Order what is found by the keys, without a value last; only what comes after an entry, if one is named."""
    there = found.subquery("found")
    chosen = select(there)
    if after is not None:
        chosen = chosen.where(_beyond(there, query.sort, _last(asked, query, after), after))
    return chosen.order_by(*_order(there, query.sort), there.c.place, there.c.id)


def _last(asked: Asked, query: Query, id: str) -> Found:
    """Return what the last entry of a page was sorted by. Raises Expired where it is there no longer."""
    entry = release_entry.alias("e")
    c = entry.c
    keys = [_sorting(key, query.type, entry) for key in query.sort]
    mine = and_(c.release == asked.release, c.type == query.type, c.id == id, c.since <= asked.at, c.until > asked.at)
    row = asked.connection.execute(select(*keys).where(mine, ~c.deleted)).first()
    if row is None:
        raise Expired("the last resource of the page before is no longer there. Begin the search anew.")
    return row


def _beyond(found: Any, keys: Sequence[SortKey], last: Sequence[Any], id: str) -> Condition:
    """Say whether an entry comes after the one that has these values and this id."""
    same, beyond = list[Condition](), list[Condition]()
    for number, (key, value) in enumerate(zip(keys, last, strict=True)):
        mine = found.c[f"sort_{number}"]
        if value is None:
            later: Condition = false()
            equal: Condition = mine.is_(None)
        else:
            later = or_(mine.is_(None), mine < value if key.descending else mine > value)
            equal = mine == value
        beyond.append(and_(true(), *same, later))
        same.append(equal)
    return or_(*beyond, and_(*same, tuple_(found.c.place, found.c.id) > (place(id), id)))


def _sorting(key: SortKey, type_: str, entry: Any) -> ColumnElement[Any]:
    """Return what an entry is sorted by: its least value going up, its greatest going down; of a date the begin."""
    best = func.max if key.descending else func.min
    along = axis(type_, key.code)
    if key.kind in ("date", "quantity", "number"):
        rows = (release_date if key.kind == "date" else release_quantity).alias()
        mine = and_(rows.c.entry == entry.c.key, rows.c.axis == along)
        # A period counts by its beginning both ways: by their ends all that goes on would be alike.
        value = rows.c.high if key.descending and key.kind != "date" else rows.c.low
        return select(best(value)).where(mine).correlate(entry).scalar_subquery()
    posting, term = release_posting.alias(), release_term.alias()
    t = term.c
    values: dict[str, ColumnElement[str]] = {
        "string": t.text,
        "uri": t.code,
        "reference": t.system + "/" + t.code + t.text,
    }
    said = values.get(key.kind, case((t.code != "", t.code), else_=t.text))
    mine = and_(posting.c.entry == entry.c.key, posting.c.axis == along, t.key == posting.c.term)
    return select(best(said)).where(mine).correlate(entry).scalar_subquery()


def _released(row: Found) -> Released:
    """Return what a row of ``COLUMNS`` and the body says: fifty times a page, so not by their names."""
    key, type_, id, number, last_updated, body, *_ = row
    return Released(key, type_, id, number, last_updated, body)
