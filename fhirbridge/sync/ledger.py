"""What a push writes down while it goes on: what was taken, what failed and what others changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirbridge import fhirjson
from fhirbridge.errors import HospitalError, Resource
from fhirbridge.store import ConflictNote, Delivered, FailureNote, Store
from fhirbridge.sync.looking import Look
from fhirbridge.sync.naming import version_of
from fhirbridge.sync.notes import Note
from fhirbridge.sync.planning import Planned
from fhirbridge.sync.push_report import PushFailure

Taken = tuple[Planned, str | None, str | None]
"""What was planned, and the version and id that the server has for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Writes into the store, under one run, what became of resources at one server."""

    store: Store
    look: Look
    server: str
    run: str
    note: Note

    def acknowledge(self, taken: Sequence[Taken]) -> None:
        """Note what the server holds now, all or none."""
        if not taken:
            return
        delivered = [
            Delivered(
                key=one.delivery.stored.key,
                hash=one.change.hash,
                sent=one.change.sent,
                version=version,
                state=one.change.state,
                server_id=None if its_id == one.change.id and one.change.owner == "us" else its_id,
                owner=one.change.owner,
            )
            for one, version, its_id in taken
        ]
        self.store.acknowledge(self.server, delivered, run=self.run)

    def failed(self, one: Planned, sent: Resource, error: HospitalError, *, parked: bool) -> None:
        """Note a failure with the entry as it was sent and the server's answer; ``parked`` for good."""
        request = sent.get("request") or {}
        failure = FailureNote(
            key=one.delivery.stored.key,
            hash=one.change.hash,
            parked=parked,
            status=error.status,
            method=request.get("method", ""),
            url=request.get("url", ""),
            request=fhirjson.dumps(sent),
            outcome=None if error.outcome is None else fhirjson.dumps(error.outcome),
            message=str(error),
            remedy=PushFailure.of(error, one.change).remedy,
        )
        self.store.fail(self.server, [failure], run=self.run)
        if parked:
            self.note("resource_parked", type=one.change.type, id=one.change.id, status=error.status)

    def conflict(self, one: Planned) -> None:
        """Note that others changed or deleted a resource, with what the server holds now."""
        theirs = self.look.current(one)
        conflict = ConflictNote(
            key=one.delivery.stored.key,
            kind="deleted" if theirs is None else "edited",
            base_version=one.delivery.acknowledged.version if one.delivery.acknowledged else None,
            their_version=None if theirs is None else version_of(theirs),
            theirs=None if theirs is None else fhirjson.dumps(theirs),
        )
        if theirs is not None and theirs["id"] != one.change.id and one.delivery.server_id is None:
            self.store.known_as(self.server, one.delivery.stored.key, theirs["id"])
        self.store.conflict_found(self.server, [conflict], run=self.run)
        self.note("conflict_found", type=one.change.type, id=one.change.id, kind=conflict.kind)
