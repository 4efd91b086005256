"""Settling: what a person decides about a conflict (theirs, ours, field by field) or about a parked resource.

A decision is noted per field, with our value that it was taken about: it holds until we change that very field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from fhirbridge import fhirjson
from fhirbridge.errors import InputError, Resource
from fhirbridge.store import Conflict, Delivered, Delivery, Policy, Settled, Store, instants
from fhirbridge.sync.comparison import as_sent
from fhirbridge.sync.desired import WHOLE, desired, settled_content
from fhirbridge.sync.differences import ABSENT, differences, value_at
from fhirbridge.sync.naming import Name, ids_there, references, relative, rewritten

Side = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputedField:
    """One field of a conflict: what we last sent, what we want now, and what the server holds; ABSENT for nothing."""

    path: str
    base: Any
    ours: Any
    theirs: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A conflict with both contents in our terms. ``fields`` is empty where the resource was deleted there."""

    conflict: Conflict
    delivery: Delivery
    fields: tuple[DisputedField, ...]


def dispute(store: Store, server: str, name: Name, policy: Policy) -> Dispute:
    """Return the open conflict about a resource. Raises InputError if there is none."""
    conflict = store.conflict(server, *name)
    if conflict is None:
        raise InputError(
            f"there is no open conflict about {name[0]}/{name[1]}. `fhirbridge conflicts list` names them."
        )
    delivery = store.deliveries_of(server, [name], policy)[0]
    if conflict.theirs is None:
        return Dispute(conflict=conflict, delivery=delivery, fields=())
    ours = desired(delivery).content or {}
    base = store.base(server, delivery.stored.key) or {}
    theirs = _in_our_terms(store, server, delivery, fhirjson.loads(conflict.theirs), ours)
    fields = tuple(
        DisputedField(path=one.path, base=value_at(base, one.path), ours=one.old, theirs=one.new)
        for one in differences(ours, theirs)
        if not _equal_numbers(one.old, one.new)  # servers that drop trailing zeros changed nothing
    )
    return Dispute(conflict=conflict, delivery=delivery, fields=fields)


def settle(
    store: Store,
    server: str,
    found: Dispute,
    choice: Side | Mapping[str, Side],
    *,
    by: str,
    reason: str,
    run: str,
) -> None:
    """Note a decision: one side for all, or a side for each field. The next plan carries it out.

    Raises InputError for a field that is not disputed, or for one left undecided.
    """
    sides = decided(found, choice)
    if found.conflict.kind == "deleted":
        _settle_deleted(store, server, found, choice, by=by, reason=reason, run=run)
        return
    stands = [
        _settled(one.path, one.ours, one.theirs, by, reason) for one in found.fields if sides[one.path] == "theirs"
    ]
    key = found.delivery.stored.key
    store.settle(server, key, stands, version=found.conflict.their_version, run=run)
    if all(side == "theirs" for side in sides.values()):
        kept = {one.path: one for one in (*found.delivery.settled, *stands)}
        content = settled_content(found.delivery.stored.content(), tuple(kept.values()))
        _note_held(store, server, found.delivery, content, found.conflict.their_version, run)


def decided(found: Dispute, choice: Side | Mapping[str, Side]) -> dict[str, Side]:
    """Return the side of each disputed field, none where the resource was deleted there.

    Raises InputError for a field that is not disputed, or for one left undecided.
    """
    if isinstance(choice, str):
        return {one.path: choice for one in found.fields}
    if found.conflict.kind == "deleted":
        raise InputError(
            "the resource was deleted there, so there are no fields: choose ours (make it anew) or theirs."
        )
    disputed = [one.path for one in found.fields]
    unknown = sorted(set(choice) - set(disputed))
    undecided = [path for path in disputed if path not in choice]
    if unknown or undecided:
        wrong = f"not in dispute: {', '.join(unknown)}" if unknown else f"undecided: {', '.join(undecided)}"
        raise InputError(f"{wrong}. Give each disputed field one side; these are disputed: {', '.join(disputed)}.")
    return dict(choice)


def give_up(
    store: Store, server: str, delivery: Delivery, *, by: str, reason: str, run: str, deleted: bool = False
) -> None:
    """Decide that a server shall not hold this very content of a resource; a later content is tried again.

    An earlier content that the server holds stays there, unless it was ``deleted`` by others.
    """
    whole = _settled(WHOLE, delivery.stored.hash, ABSENT, by, reason)
    before = None if deleted else delivery.acknowledged
    version = before.version if before else None
    store.settle(server, delivery.stored.key, [whole], version=version, run=run)
    sent = (before.sent or before.hash) if before else None
    held = Delivered(key=delivery.stored.key, hash=delivery.stored.hash, sent=sent, version=version)
    store.acknowledge(server, [held], run=run)


def _settle_deleted(
    store: Store, server: str, found: Dispute, choice: Side | Mapping[str, Side], *, by: str, reason: str, run: str
) -> None:
    if choice == "theirs":
        give_up(store, server, found.delivery, by=by, reason=reason, run=run, deleted=True)
    else:
        store.forget(server, [found.delivery.stored.key])
        store.drop_conflict(server, found.delivery.stored.key)


def _note_held(store: Store, server: str, delivery: Delivery, content: Resource, version: str | None, run: str) -> None:
    """Note that the server holds what was decided already, so that nothing is sent for it."""
    hash = fhirjson.content_hash(content)
    held = Delivered(key=delivery.stored.key, hash=delivery.stored.hash, sent=hash, version=version)
    store.acknowledge(server, [held], run=run)


def _in_our_terms(store: Store, server: str, delivery: Delivery, theirs: Resource, ours: Resource) -> Resource:
    """Return the server's resource with our id and references, and without what servers add by themselves."""
    known = ids_there(store, server, references(ours))
    back = {(kind, its_id): id for (kind, id), its_id in known.items()}
    content = rewritten(relative(as_sent(ours, fhirjson.content(theirs)), server), back)
    return {**content, "id": delivery.stored.id}


def _equal_numbers(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in (one, other))
    return numbers and bool(one == other)


def _settled(path: str, ours: Any, theirs: Any, by: str, reason: str) -> Settled:
    at = instants.written(instants.utc_now())
    return Settled(path=path, ours=_written(ours), theirs=_written(theirs), by=by, at=at, reason=reason)


def _written(value: Any) -> bytes | None:
    return None if value is ABSENT else fhirjson.dumps(value)
