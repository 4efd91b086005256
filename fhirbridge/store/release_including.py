"""What ``_include`` and ``_revinclude`` add to a page of matches: the resources it points to, or that point to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, and_, or_, select

from fhirbridge.search.query import LIMITS, Query
from fhirbridge.search.refused import SearchError
from fhirbridge.search.results import Include
from fhirbridge.store import release_finding
from fhirbridge.store.release_answers import Released
from fhirbridge.store.release_filters import Asked
from fhirbridge.store.release_index import axis
from fhirbridge.store.release_tables import release_entry, release_posting, release_term
from fhirbridge.store.writes import batches

Name = tuple[str, str]
"""Type and id."""


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
        if one.reverse:
            names = [name for name in latest if one.target in (None, name[0])]
            chosen = [_pointing(asked, one, some) for some in batches(names)]
        else:
            keys = [key for name, key in latest.items() if name[0] == one.source]
            chosen = [_pointed_at(asked, one, some) for some in batches(keys)]
        for each in chosen:
            rows = asked.connection.execute(each.limit(most)).all()
            yield from (((row.type, row.id), row.key) for row in rows)


def _pointed_at(asked: Asked, one: Include, keys: Sequence[int]) -> Select[Any]:
    posting, term, entry = release_posting.c, release_term.c, release_entry.c
    source = release_posting.join(release_term, term.key == posting.term).join(
        release_entry,
        and_(entry.release == asked.release, entry.type == term.system, entry.id == term.code),
    )
    from_here = and_(posting.entry.in_(keys), posting.axis == axis(one.source, one.code))
    chosen = select(entry.key, entry.type, entry.id).distinct().select_from(source)
    chosen = chosen.where(from_here, asked.visible(release_entry))
    return chosen if one.target is None else chosen.where(entry.type == one.target)


def _pointing(asked: Asked, one: Include, names: Sequence[Name]) -> Select[Any]:
    posting, term, entry = release_posting.c, release_term.c, release_entry.c
    source = release_term.join(release_posting, posting.term == term.key).join(
        release_entry, entry.key == posting.entry
    )
    by_type: dict[str, list[str]] = {}
    for kind, id in names:
        by_type.setdefault(kind, []).append(id)
    to_here = or_(
        *(and_(term.system == kind, term.short.in_(ids), term.code.in_(ids)) for kind, ids in by_type.items())
    )
    along = and_(term.release == asked.release, term.axis == axis(one.source, one.code))
    chosen = select(entry.key, entry.type, entry.id).distinct().select_from(source)
    return chosen.where(along, to_here, asked.visible(release_entry))


def _too_much(limit: int) -> SearchError:
    return SearchError(
        "_include", None, f"it would add more than {limit} resources", "Ask for smaller pages, or in several searches.",
        "too-costly",
    )  # fmt: skip
