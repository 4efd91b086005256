"""Names of resources as people write them: TYPE/ID, where the first letters of the id do if they are of one only."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fhirbridge.errors import InputError
from fhirbridge.sync.naming import Name

SHORTEST = 8
NAMED = 5
"""Candidates that are named where a beginning is not enough."""


def resolved(text: str, among: Collection[Name], *, what: str, listing: str) -> Name:
    """Return the one of these that ``TYPE/ID`` means, by its whole id or the beginning of it.

    Raises InputError for what is not written so, for none (saying that there is no such ``what``, and that the
    command ``listing`` names them) and for several.
    """
    kind, _, start = text.partition("/")
    if not kind or not start or "/" in start:
        raise InputError(f"{text!r} names no resource. Write it as TYPE/ID, for example Observation/5vsa2udk.")
    found = [name for name in among if name[0] == kind and name[1].startswith(start)]
    exact = [name for name in found if name[1] == start]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise InputError(f"there is no {what} {text}. `{listing}` names them.")
    some = ", ".join(f"{kind}/{id}" for _, id in sorted(found)[:NAMED])
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    raise InputError(f"{text} could be {some}{more}. Write more of the id.")


def shortened(names: Iterable[Name]) -> dict[Name, str]:
    """Return each name as TYPE/ID with as much of the id as tells it from the others, eight characters at least."""
    ids: dict[str, list[str]] = {}
    for kind, id in names:
        ids.setdefault(kind, []).append(id)
    return {(kind, id): f"{kind}/{short}" for kind, of_kind in ids.items() for id, short in _shortened(of_kind)}


def _shortened(ids: list[str]) -> Iterable[tuple[str, str]]:
    """Yield each id with its beginning; sorted, an id has most in common with one of its neighbours."""
    ordered = sorted(set(ids))
    for place, id in enumerate(ordered):
        neighbours = ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]
        shared = max((_common(id, other) for other in neighbours), default=0)
        yield id, id[: max(SHORTEST, shared + 1)]


def _common(one: str, other: str) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
