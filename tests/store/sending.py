"""A server that takes what it is sent, as far as the store is told."""

from __future__ import annotations

from dataclasses import replace

from fhirbridge.store import ConflictNote, Delivered, Delivery, FailureNote, Policy, Store

HERE = "http://here/fhir"

LETTER = FailureNote(
    key=0,
    hash="",
    parked=True,
    status=422,
    method="PUT",
    url=f"{HERE}/Patient/p1",
    request=b'{"resourceType":"Patient"}',
    outcome=b'{"resourceType":"OperationOutcome"}',
    message="the server refused it.",
    remedy="Correct it.",
)


def pending(store: Store, policy: Policy = "stop", server: str = HERE, study: str = "trial") -> list[Delivery]:
    """What is pending in the compartments that have something to send, in the order it would be sent."""
    names = store.outstanding(server, study, policy)
    return [one for name in names for one in store.deliveries(server, study, name, policy)]


def take(store: Store, *taken: Delivery, server: str = HERE, version: str = "1", **noted: object) -> None:
    """Note that a server took these as they were wanted."""
    store.acknowledge(
        server,
        [
            Delivered(
                **{
                    "key": one.stored.key,
                    "hash": one.stored.hash,
                    "sent": one.stored.hash,
                    "version": version,
                    "state": one.wanted or "live",
                }
                | noted
            )
            for one in taken
        ],
        run="push-1",
    )


def send_all(store: Store, policy: Policy = "stop", server: str = HERE) -> list[str]:
    """Send what can be sent, and return its ids."""
    sent = [one for one in pending(store, policy, server) if not (one.parked or one.conflict)]
    take(store, *sent, server=server)
    return [one.stored.id for one in sent]


def of(store: Store, kind: str, id: str, policy: Policy = "stop") -> Delivery:
    """The delivery of one resource."""
    found = store.deliveries_of(HERE, [(kind, id)], policy)
    assert len(found) == 1
    return found[0]


def park(store: Store, one: Delivery, **noted: object) -> None:
    """Note a failure of a resource; parked unless noted otherwise."""
    store.fail(HERE, [replace(LETTER, key=one.stored.key, hash=one.stored.hash, **noted)], run="push-1")


def dispute(store: Store, one: Delivery, kind: str = "edited") -> None:
    """Note that somebody else edited or deleted a resource."""
    note = ConflictNote(key=one.stored.key, kind=kind, base_version="1", their_version="2", theirs=b'{"active":true}')
    store.conflict_found(HERE, [note], run="push-1")
