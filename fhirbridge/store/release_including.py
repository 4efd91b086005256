"""What ``_include`` and ``_revinclude`` add to a page of matches: the resources it points to, or that point to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Select, and_, bindparam, false, or_, select

from fhirbridge.search.query import LIMITS, Query
from fhirbridge.search.refused import SearchError
from fhirbridge.search.results import Include
from fhirbridge.store import release_finding, release_prepared
from fhirbridge.store.release_answers import Released
from fhirbridge.store.release_filters import Asked
from fhirbridge.store.release_index import axis
from fhirbridge.store.release_tables import release_entry, release_posting, release_term
from fhirbridge.store.writes import batches

Name = tuple[str, str]
"""Type and id."""
Given = dict[str, Any]
"""What a statement is given, by the names of its parameters."""


def included(asked: Asked, query: Query, found: Sequence[Released], limit: int) -> list[Released]:
    """Return what a search's includes add, each turn after the other; see ``Releases.included``."""
    latest: dict[Name, int] = {(one.type, one.id): one.key for one in found}
    seen, added = set(latest), list[Released]()
    for turn in range(LIMITS.include_depth):
        wanted = [one for one in query.includes if one.iterate or not turn]
        found_now = _reached(asked, wanted, latest, most=limit + len(seen) + 1)
        reached = {name: key for name, key in found_now if name not in seen}
        if not reached:
            break
        if len(added) + len(reached) > limit:
            raise _too_much(limit)
        seen.update(reached)
        for keys in batches(reached.values()):
            added += release_finding.entries(asked.connection, keys)
        latest = reached
    return added


def _reached(
    asked: Asked, wanted: Sequence[Include], latest: dict[Name, int], *, most: int
) -> Iterator[tuple[Name, int]]:
    """Yield name and key of every resource that one of the includes finds from the latest."""
    for one in wanted:
        here = {"release": asked.release, "at": asked.at, "study": asked.study}
        given = here | {"axis": axis(one.source, one.code), "most": most}
        if one.reverse:
            names = [name for name in latest if one.target in (None, name[0])]
            chosen = [_pointing(given, some) for some in batches(names)]
        else:
            keys = [key for name, key in latest.items() if name[0] == one.source]
            chosen = [_pointed_at(given, one.target, some) for some in batches(keys)]
        for statement, values in chosen:
            rows = asked.connection.execute(statement, values).all()
            yield from (((row.type, row.id), row.key) for row in rows)


def _pointed_at(given: Given, target: str | None, keys: Sequence[int]) -> tuple[Select[Any], Given]:
    return _those_pointed_at(target is not None), given | {"keys": list(keys), "target": target}


def _pointing(given: Given, names: Sequence[Name]) -> tuple[Select[Any], Given]:
    by_type: dict[str, list[str]] = {}
    for kind, id in names:
        by_type.setdefault(kind, []).append(id)
    values = {f"type_{number}": kind for number, kind in enumerate(by_type)}
    return _those_pointing(len(by_type)), given | values | {
        f"ids_{number}": ids for number, ids in enumerate(by_type.values())
    }


@lru_cache
def _those_pointed_at(of_type: bool) -> Select[Any]:
    """Return the statement for what entries (``keys``) point to, or what of a type (``target``)."""
    posting, term, entry = release_posting.c, release_term.c, release_entry.c
    source = release_posting.join(release_term, term.key == posting.term).join(
        release_entry,
        and_(entry.release == bindparam("release"), entry.type == term.system, entry.id == term.code),
    )
    from_here = and_(posting.entry.in_(bindparam("keys", expanding=True)), posting.axis == bindparam("axis"))
    chosen = _names().select_from(source).where(from_here)
    return chosen.where(entry.type == bindparam("target")) if of_type else chosen


@lru_cache
def _those_pointing(types: int) -> Select[Any]:
    """Return the statement for what points to resources of so many types: ``type_0`` with its ``ids_0``, and so on."""
    posting, term, entry = release_posting.c, release_term.c, release_entry.c
    source = release_term.join(release_posting, posting.term == term.key).join(
        release_entry, entry.key == posting.entry
    )
    to_here = []
    for number in range(types):
        ids: BindParameter[Any] = bindparam(f"ids_{number}", expanding=True)
        to_here.append(and_(term.system == bindparam(f"type_{number}"), term.short.in_(ids), term.code.in_(ids)))
    along = and_(term.release == bindparam("release"), term.axis == bindparam("axis"))
    return _names().select_from(source).where(along, or_(false(), *to_here))


def _names() -> Select[Any]:
    entry = release_entry.c
    there = release_prepared.there(release_entry, bindparam("at"), bindparam("study"), few=True)
    return select(entry.key, entry.type, entry.id).distinct().where(there).limit(bindparam("most"))


def _too_much(limit: int) -> SearchError:
    return SearchError(
        "_include", None, f"it would add more than {limit} resources", "Ask for smaller pages, or in several searches.",
        "too-costly",
    )  # fmt: skip
