"""Planning: what must happen at a hospital's server so that it holds what it should, decided before anything is sent.

create    it is not there          retract   it is marked as entered in error
update    it is there, but old     delete    it is taken away
adopt     it is there already, and was only not acknowledged
no-op     nothing differs in what the server holds
conflict  somebody else changed it there; a person must decide
parked    the server refused this very content; it waits for a person
held      it refers to something that is not there
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from fhirbridge.errors import Resource
from fhirbridge.store import Acknowledged, Delivery, State, Store
from fhirbridge.sync.desired import WHOLE, Desired, desired
from fhirbridge.sync.differences import FieldChange, differences
from fhirbridge.sync.naming import Name, references

Action = Literal["create", "update", "retract", "delete", "adopt", "no-op", "conflict", "parked", "held"]

SENT: frozenset[Action] = frozenset({"create", "update", "retract", "delete"})
"""The actions that send something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is planned for one resource; it holds no object, so it can be saved and compared.

    ``hash`` is that of our content, ``sent`` that of what the server will hold, None where that is nothing.
    ``version`` is the one to be replaced (If-Match), None where none is known. ``server_id`` is the server's id where
    it is not ours; ``owner`` says whose resource it is there. ``why`` says what stands in the way.
    """

    action: Action
    type: str
    id: str
    compartment: str
    hash: str
    sent: str | None
    state: State
    version: str | None = None
    server_id: str | None = None
    owner: Literal["us", "hospital"] = "us"
    fields: tuple[FieldChange, ...] = ()
    why: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the change as plain JSON values, what is absent left out."""
        names = ("action", "type", "id", "compartment", "hash", "sent", "state", "version", "server_id", "why")
        shown = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.owner != "us":
            shown["owner"] = self.owner
        return shown | ({"fields": [field.as_dict() for field in self.fields]} if self.fields else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A change, what is known of the resource, and what the server should hold (in our ids; None for nothing)."""

    change: Change
    delivery: Delivery
    content: Resource | None

    @property
    def name(self) -> Name:
        """Type and our id."""
        return self.change.type, self.change.id

    def changed(self, **changes: Any) -> Planned:
        """Return the same with another change."""
        return replace(self, change=replace(self.change, **changes))


def plan_group(deliveries: Iterable[Delivery], missing: set[Name]) -> list[Planned]:
    """Plan one compartment, deletions last and in reverse order.

    ``missing`` names what the server does not hold and will not get; it grows by what cannot go without it.
    """
    planned = [_plan(one, missing) for one in deliveries]
    deleted = [one for one in planned if one.change.action == "delete"]
    return [one for one in planned if one.change.action != "delete"] + deleted[::-1]


def _plan(delivery: Delivery, missing: set[Name]) -> Planned:
    want = desired(delivery)
    planned = Planned(change=_change(delivery, want), delivery=delivery, content=want.content)
    action = planned.change.action
    if action == "parked" and delivery.acknowledged is None:
        missing.add(planned.name)
    elif missing and action in SENT and want.content is not None:
        lacking = next((name for name in references(want.content) if name in missing), None)
        if lacking is not None:
            missing.add(planned.name)
            return planned.changed(action="held", why=f"it refers to {lacking[0]}/{lacking[1]}, which is not there")
    return planned


def _change(delivery: Delivery, want: Desired) -> Change:
    stored, acknowledged = delivery.stored, delivery.acknowledged
    return Change(
        action=_action(delivery, want),
        type=stored.type,
        id=stored.id,
        compartment=stored.compartment,
        hash=stored.hash,
        sent=want.hash,
        state=want.state,
        version=acknowledged.version if acknowledged else None,
        server_id=delivery.server_id,
    )


def _action(delivery: Delivery, want: Desired) -> Action:
    acknowledged = delivery.acknowledged
    if delivery.conflict:
        return "conflict"
    if delivery.parked:
        return "parked"
    if want.state == "deleted":
        return "delete"
    if want.content is None:
        return "no-op"
    if acknowledged is None or acknowledged.state == "deleted" or _is_absent(delivery, acknowledged):
        return "create"
    there = None if acknowledged.hash is None else acknowledged.sent or acknowledged.hash
    if want.state == "retracted":
        return "no-op" if there == want.hash else "retract"
    return "no-op" if there == want.hash and acknowledged.state == "live" else "update"


def _is_absent(delivery: Delivery, acknowledged: Acknowledged) -> bool:
    """Say whether it was decided of an earlier content that the server shall not hold it; this one is tried again."""
    return acknowledged.sent is None and any(one.path == WHOLE for one in delivery.settled)


def explained(planned: Planned, store: Store, server: str) -> Planned:
    """Return an update or retraction with its fields, old to new; what is old is what the server last acknowledged."""
    if planned.change.action not in ("update", "retract") or planned.content is None:
        return planned
    before = store.base(server, planned.delivery.stored.key)
    return planned if before is None else planned.changed(fields=differences(before, planned.content))
