"""Statements that are made once, for what is asked most: one term's key, and the entries that have some terms.

Putting a statement together takes longer than these take to run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select

from fhirbridge.search.filters import Match
from fhirbridge.search.values import ReferenceValue, TokenValue, UriValue
from fhirbridge.store.release_erasing import consents
from fhirbridge.store.release_index import SHORT
from fhirbridge.store.release_tables import release_body, release_entry, release_posting, release_term

COLUMNS = ("key", "type", "id", "version", "last_updated")
"""What is read of an entry to answer with it, beside its body."""

FEW = 300
"""Postings of a term that are counted at most; by more than these no search begins that must sort them."""

Aliased = Any


def there(entry: Aliased, at: Any, study: Any, *, few: bool, deleted: bool = False) -> ColumnElement[bool]:
    """Say whether an entry is there at a position, and its person consents now; ``few``: only a page of them is wanted.

    Nearly every entry is there: no index is of use for that, and + 0 keeps SQLite from one.
    """
    c = entry.c
    found = and_(c.since + 0 <= at, c.until + 0 > at, consents(study, c.compartment, few=few))
    return found if deleted else and_(found, ~c.deleted)


def counted(chosen: Select[Any]) -> Select[Any]:
    """Select the keys of chosen terms, and about how many entries have each."""
    some = chosen.subquery()
    uses = select(release_posting.c.entry).where(release_posting.c.term == some.c.key).limit(FEW)
    number = select(func.count()).select_from(uses.correlate(some).subquery()).scalar_subquery()
    return select(some.c.key, number)


def one_term(one: Match) -> tuple[Select[Any], dict[str, str]] | None:
    """Return the statement for the term of a match's only value, and what to give it; None where there is none."""
    if len(one.values) != 1:
        return None
    match one.values[0]:
        case TokenValue(system, str(code)) if one.index == "token":
            return _one_term("code", system is not None), _given(code, system)
        case ReferenceValue(type_, str(id), None):
            return _one_term("code", type_ is not None), _given(id, type_)
        case UriValue(value):
            return _one_term("code", False), _given(value, None)
    return None


def _given(text: str, system: str | None) -> dict[str, str]:
    return {"short": text[:SHORT], "text": text} | ({} if system is None else {"system": system})


@lru_cache
def _one_term(column: str, of_system: bool) -> Select[Any]:
    c = release_term.c
    here = and_(c.release == bindparam("release"), c.axis == bindparam("axis"), c.short == bindparam("short"))
    chosen = select(c.key).where(here, c[column] == bindparam("text"))
    chosen = chosen.where(c.system == bindparam("system")) if of_system else chosen
    return counted(chosen.limit(bindparam("most")))


def given(terms: tuple[int, ...]) -> dict[str, int]:
    """Return the terms as ``page`` and ``count`` take them: the rarest first."""
    return {f"term_{number}": key for number, key in enumerate(terms)}


@lru_cache
def page(terms: int, after: bool) -> Select[Any]:
    """Return the statement for the next entries, with their bodies, that have so many terms.

    Takes ``given``, at, study, count, and ``place`` and ``id`` of the entry that they come after.
    """
    begun, entry, first = _having(terms, few=True)
    if after:
        at: ColumnElement[int] = bindparam("place")
        begun = begun.where(first.place >= at, or_(first.place > at, entry.id > bindparam("id")))
    found = begun.add_columns(*(entry[name] for name in COLUMNS), first.place.label("place"))
    there = found.order_by(first.place, entry.id).limit(bindparam("count")).subquery("page")
    columns = (*(there.c[name] for name in COLUMNS), release_body.c.body)
    joined = there.outerjoin(release_body, release_body.c.entry == there.c.key)
    return select(*columns).select_from(joined).order_by(there.c.place, there.c.id)


@lru_cache
def count(terms: int) -> Select[Any]:
    """Return the statement that counts the entries that have so many terms, and their people."""
    begun, entry, _ = _having(terms, few=False)
    return begun.add_columns(func.count(), func.count(func.nullif(entry.compartment, "").distinct()))


def _having(terms: int, *, few: bool) -> tuple[Select[Any], Aliased, Aliased]:
    entry, first = release_entry.alias("e"), release_posting.alias("p")
    begun = select().select_from(first.join(entry, entry.c.key == first.c.entry))
    begun = begun.where(first.c.term == bindparam("term_0"), there(entry, bindparam("at"), bindparam("study"), few=few))
    for number in range(1, terms):
        other = release_posting.alias(f"p{number}")
        same = and_(other.c.place == first.c.place, other.c.entry == first.c.entry)
        mine = select(other.c.entry).where(other.c.term == bindparam(f"term_{number}"), same)
        begun = begun.where(mine.correlate(first).exists())
    return begun, entry.c, first.c
