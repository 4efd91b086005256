"""Index rows of released resources as the tables hold them: terms and postings, spans of time, intervals of numbers."""

from __future__ import annotations

import datetime as dt
import hashlib
import string
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, delete, insert, select, tuple_

from fhirbridge.search import moments
from fhirbridge.search.rows import Rows
from fhirbridge.store.release_tables import (
    release_counter,
    release_date,
    release_posting,
    release_quantity,
    release_term,
)
from fhirbridge.store.writes import batches, upsert

SHORT = 80
"""Characters of a term that the index of terms holds: an index cannot hold texts of any length."""

_EARLIEST, _LATEST = -(2**62), 2**62
_EPOCH, _MICROSECOND = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(microseconds=1)
_LETTERS = "-." + string.digits + string.ascii_uppercase + string.ascii_lowercase
_ORDER = {letter: number for number, letter in enumerate(_LETTERS)}
_PLACES = 10
_MOST_PARTS = 62


class Term(NamedTuple):
    """What a parameter can be searched by. Of a reference: type, id and URL; of a text: nothing, exact, folded."""

    axis: int
    system: str
    code: str
    text: str
    short: str


@lru_cache(maxsize=4096)
def axis(type_: str, param: str, index: str = "") -> int:
    """Return the number that a parameter of a type goes by; a test holds that no two of the table share one.

    With index ``text`` that of its texts: a code has one term, whatever is said of it for people.
    """
    told = f"{type_}.{param}:text" if index == "text" else f"{type_}.{param}"
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4]) >> 1


@lru_cache(maxsize=65536)
def place(id: str) -> int:
    """Return a number that sorts as the id does by its first characters."""
    found = 0
    for position in range(_PLACES):
        found = found * 64 + (_ORDER.get(id[position], 0) if position < len(id) else 0)
    return found


@lru_cache(maxsize=65536)
def micros(moment: str) -> int:
    """Return an instant of the search index in microseconds since 1970, and what lies beyond all of them at its end."""
    read = moments.read(moment)
    if read is None:
        return _EARLIEST if moment == moments.FIRST else _LATEST
    return (read - _EPOCH) // _MICROSECOND


def bit(part: int) -> int:
    """Return the bit of a part."""
    return 1 << min(part, _MOST_PARTS)


def terms(type_: str, rows: Rows) -> dict[Term, int]:
    """Return the terms of a resource, and the bits of the parts that have each."""
    found: dict[Term, int] = {}
    for term, part in _terms(type_, rows):
        found[term] = found.get(term, 0) | bit(part)
    return found


def _terms(type_: str, rows: Rows) -> Iterator[tuple[Term, int]]:
    for token in rows.tokens:
        system, code, text = clean(token.system), clean(token.code), clean(token.text)
        yield Term(axis(type_, token.param), system, code, "" if code else text, code[:SHORT]), token.part
        if text:
            yield Term(axis(type_, token.param, "text"), "", "", text, text[:SHORT]), token.part
    for said in rows.strings:
        exact, folded = clean(said.exact), clean(said.folded)
        yield Term(axis(type_, said.param), "", exact, folded, folded[:SHORT]), said.part
    for one in rows.references:
        id, url = clean(one.id), clean(one.url)
        yield Term(axis(type_, one.param), one.type, id, url, (id or url)[:SHORT]), one.part
    for uri in rows.uris:
        value = clean(uri.value)
        yield Term(axis(type_, uri.param), "", value, "", value[:SHORT]), uri.part


def clean(text: str) -> str:
    """Return a text that both databases can hold."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


class Indexed(NamedTuple):
    """An entry and its index rows."""

    entry: int
    type: str
    place: int
    rows: Rows


class Index:
    """The index of one release, for the one writer; remembers terms, as the same few come with every resource."""

    def __init__(self, release: int, most: int = 50_000) -> None:
        self._release = release
        self._most = most
        self._known: dict[Term, int] = {}

    def write(self, connection: Connection, found: Sequence[Indexed]) -> None:
        """Write the index rows of entries."""
        having = [(one, terms(one.type, one.rows)) for one in found]
        self._look_up(connection, {term for _, each in having for term in each})
        postings = [
            {"term": self._known[term], "place": one.place, "entry": one.entry, "axis": term.axis, "parts": parts}
            for one, each in having
            for term, parts in each.items()
        ]
        _insert(connection, release_posting, postings)
        _insert(connection, release_date, [row for one in found for row in _dates(self._release, one)])
        _insert(connection, release_quantity, [row for one in found for row in _quantities(self._release, one)])

    def erase(self, connection: Connection, entries: Iterable[int]) -> None:
        """Delete the index rows of entries, and the terms that nothing else has."""
        self._known.clear()
        used = select(release_posting.c.term).where(release_posting.c.term == release_term.c.key).exists()
        for some in batches(entries):
            had = select(release_posting.c.term).where(release_posting.c.entry.in_(some)).distinct()
            touched = list(connection.execute(had).scalars())
            for table in (release_posting, release_date, release_quantity):
                connection.execute(delete(table).where(table.c.entry.in_(some)))
            for keys in batches(touched):
                connection.execute(delete(release_term).where(release_term.c.key.in_(keys), ~used))

    def _look_up(self, connection: Connection, wanted: Collection[Term]) -> None:
        """Know the keys of these terms, made where there are none."""
        if len(self._known) > self._most:
            self._known.clear()
        c = release_term.c
        columns = c.key, c.axis, c.system, c.code, c.text, c.short
        for some in batches(term for term in wanted if term not in self._known):
            values = list({(term.axis, term.short) for term in some})
            chosen = select(*columns).where(c.release == self._release, tuple_(c.axis, c.short).in_(values))
            for key, *term in connection.execute(chosen):
                self._known[Term(*term)] = key
        new = [term for term in wanted if term not in self._known]
        made = dict(zip(new, new_keys(connection, "term", len(new)), strict=True))
        rows = [{"key": key, "release": self._release, **term._asdict()} for term, key in made.items()]
        _insert(connection, release_term, rows)
        self._known |= made


def new_keys(connection: Connection, name: str, number: int) -> range:
    """Return so many keys that nothing of this name ever had: who still holds an old one must not meet another."""
    last = connection.execute(select(release_counter.c.last).where(release_counter.c.name == name)).scalar() or 0
    upsert(connection, release_counter, [{"name": name, "last": last + number}])
    return range(last + 1, last + number + 1)


def _dates(release: int, one: Indexed) -> Iterator[dict[str, Any]]:
    spans = {(axis(one.type, row.param), bit(row.part), micros(row.low), micros(row.high)) for row in one.rows.dates}
    for along, part, low, high in spans:
        yield {"entry": one.entry, "axis": along, "part": part, "low": low, "high": high, "release": release}


def _quantities(release: int, one: Indexed) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(one.rows.quantities):
        yield {
            "entry": one.entry,
            "axis": axis(one.type, row.param),
            "number": number,
            "part": bit(row.part),
            "low": row.low,
            "high": row.high,
            "system": clean(row.system),
            "code": clean(row.code),
            "unit": clean(row.unit),
            "scale": row.scale,
            "scaled_low": row.scaled_low,
            "scaled_high": row.scaled_high,
            "release": release,
        }


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), list(rows))
