"""The store's door: one object per database, safe to use from several threads and several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Unpack

from sqlalchemy import Engine, RowMapping, Select, func, insert, select

from fhirbridge.errors import Finding, Resource, StoreError
from fhirbridge.store import (
    acknowledgements,
    conflicts,
    consents,
    crosswalk,
    database,
    deliveries,
    failures,
    held,
    leases,
    resources,
    runs,
    servers,
)
from fhirbridge.store.acknowledgements import Delivered, Policy
from fhirbridge.store.candidates import Candidates
from fhirbridge.store.clients import Clients
from fhirbridge.store.conflicts import Conflict, ConflictNote, Settled
from fhirbridge.store.deliveries import Backlog, Delivery
from fhirbridge.store.failures import Failure, FailureNote
from fhirbridge.store.held import Held
from fhirbridge.store.instants import utc_now, written
from fhirbridge.store.links import Links
from fhirbridge.store.messages import Messages
from fhirbridge.store.pulls import Pulls
from fhirbridge.store.releases import Releases
from fhirbridge.store.resources import Stored, Transaction
from fhirbridge.store.runs import Run, Tally
from fhirbridge.store.schema import binding, consent, failure, version
from fhirbridge.store.schema import resource as current
from fhirbridge.store.servers import ServerChanges, ServerState

PAGE = 1000


class Store:
    """Resources, runs and acknowledgements in one database. Every method raises StoreError if that fails.

    What is written is there when the method (or the ``transaction``) ends. Iterators read page by page and hold
    nothing open in between; they see what was committed when each page was read.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] = utc_now) -> Store:
        """Open ``sqlite:///file`` or ``postgresql://…``, creating and migrating it as needed.

        Raises StoreError for a database that cannot be reached or written, or that a newer fhirbridge wrote.
        """
        return cls(database.opened(url), clock)

    @property
    def links(self) -> Links:
        """Which hospital numbers are whose, sealed."""
        return Links(self._engine, self._clock)

    @property
    def messages(self) -> Messages:
        """HL7 v2 messages, sealed, until what they hold is in the inbox."""
        return Messages(self._engine, self._clock)

    @property
    def candidates(self) -> Candidates:
        """The inbox: what the hospital's results would mean to the study, and what was decided on them."""
        return Candidates(self._engine, self._clock)

    @property
    def pulls(self) -> Pulls:
        """What pulls asked, how far they came, and what became of what they found."""
        return Pulls(self._engine, self._clock)

    @property
    def clients(self) -> Clients:
        """Which registries' systems may ask for tokens, and what was taken back."""
        return Clients(self._engine, self._clock)

    @cached_property
    def releases(self) -> Releases:
        """What each data-use agreement lets out, and the index to find it by."""
        return Releases(self._engine, self._clock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bind(self, fingerprint: str, *, study: str) -> None:
        """Remember the pseudonym key of a study by its fingerprint. Raises StoreError if it was another one."""
        with database.writing(self._engine) as connection:
            bound = connection.execute(select(binding.c.fingerprint).where(binding.c.study == study)).scalar()
            if bound is None:
                connection.execute(insert(binding).values(study=study, fingerprint=fingerprint))
        if bound not in (None, fingerprint):
            raise StoreError(
                f"this store's ids of study {study} were made with another pseudonym key. "
                "Use that key: with a new one every patient would be stored a second time."
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Give the one writer its transaction: committed at the end, rolled back if an error leaves the block."""
        with database.writing(self._engine) as connection:
            yield Transaction(connection, self._instant)

    def read(self, type: str, id: str) -> Stored | None:
        """Return the current version."""
        return next(iter(self.read_many(type, [id])), None)

    def read_many(self, type: str, ids: Sequence[str]) -> list[Stored]:
        """Return the current versions of those of these ids that are there (a few hundred ids at most)."""
        rows = self._rows(resources.query().where(current.c.type == type, current.c.id.in_(list(ids))))
        return [resources.stored(row) for row in rows]

    def vread(self, type: str, id: str, number: int) -> Stored | None:
        """Return one version."""
        return next((found for found in self.history(type, id) if found.version == number), None)

    def history(self, type: str, id: str) -> list[Stored]:
        """Return every version, the newest first."""
        chosen = resources.query(every_version=True).where(current.c.type == type, current.c.id == id)
        return [resources.stored(row) for row in self._rows(chosen.order_by(version.c.version.desc()))]

    def iterate(
        self, study: str, *, types: Sequence[str] | None = None, compartment: str | None = None, page: int = PAGE
    ) -> Iterator[Stored]:
        """Yield a study's current versions in the order (compartment, rank), those of the whole study first."""
        return resources.pages(self._rows, study, types, compartment, page)

    def of_compartments(self, study: str, compartments: Sequence[str], types: Sequence[str]) -> list[Stored]:
        """Return a study's current versions of these types that are about some persons (some hundreds at most)."""
        chosen = resources.query().where(current.c.study == study, current.c.compartment.in_(list(compartments)))
        return [resources.stored(row) for row in self._rows(chosen.where(current.c.type.in_(list(types))))]

    def identities(self, study: str, type: str, *, page: int = PAGE) -> Iterator[tuple[int, str]]:
        """Yield key and id of each of a study's resources of a type, in the order of keys, without any body."""
        chosen = select(current.c.key, current.c.id).where(current.c.study == study, current.c.type == type)
        return ((row["key"], row["id"]) for row in self._by_key(chosen, page))

    def counts(self, study: str) -> dict[str, int]:
        """Return the number of a study's resources by type."""
        chosen = select(current.c.type, func.count().label("n")).where(current.c.study == study)
        rows = self._rows(chosen.group_by(current.c.type).order_by(current.c.type))
        return {row["type"]: row["n"] for row in rows}

    def studies(self) -> list[str]:
        """Return the ids of the studies that have resources here."""
        return [row["study"] for row in self._rows(select(current.c.study).distinct().order_by(current.c.study))]

    def start_run(self, command: str) -> str:
        """Note that a run of a command begins, and return its id."""
        return database.write(self._engine, runs.start, command, self._instant)

    def finish_run(self, run: str, outcome: str, counts: Mapping[str, Any]) -> None:
        """Note how a run ended, with its counts (anything JSON can hold)."""
        database.write(self._engine, runs.finish, run, outcome, dict(counts), self._instant)

    def last_run(self, command: str, *, outcomes: Collection[str] = ()) -> Run | None:
        """Return the run of a command begun last, of those with one of these outcomes if any are given."""
        return database.read(self._engine, runs.last, command, outcomes)

    def runs(self, command: str | None = None, limit: int = 20) -> list[Run]:
        """Return the runs begun last, of all commands or of one, the newest first."""
        return database.read(self._engine, runs.newest, command, limit)

    def tallies(self) -> list[Tally]:
        """Count all runs there ever were, by command and outcome: one query."""
        return database.read(self._engine, runs.tallies)

    def quarantine(self, run: str, findings: Iterable[Finding]) -> int:
        """Keep why a run set records aside, and return how many findings that were."""
        return database.write(self._engine, runs.set_aside, run, findings)

    def findings(self, run: str, *, page: int = PAGE) -> Iterator[Finding]:
        """Yield what a run set aside, in the order it did."""
        last = 0
        while True:
            found = database.read(self._engine, runs.findings, run, last, page)
            yield from (finding for _, finding in found)
            if len(found) < page:
                return
            last = found[-1][0]

    def backlog(
        self, server: str, study: str, policy: Policy = "stop", *, compartments: Sequence[str] | None = None
    ) -> Backlog:
        """Return how many resources a study has and how many a server does not hold as it should: one query.

        ``compartments`` (some hundreds at most) counts theirs alone.
        """
        return database.read(self._engine, deliveries.backlog, server, study, policy, compartments)

    def outstanding(
        self,
        server: str,
        study: str,
        policy: Policy = "stop",
        *,
        blocked: bool = False,
        compartments: Sequence[str] | None = None,
    ) -> Iterator[str]:
        """Yield the compartments that have something to send, that of the whole study ('') first.

        With ``blocked`` also those where all that is pending waits for somebody. ``compartments`` (some hundreds at
        most) asks for these alone.
        """
        return iter(database.read(self._engine, deliveries.outstanding, server, study, policy, blocked, compartments))

    def deliveries(
        self, server: str, study: str, compartment: str, policy: Policy = "stop", *, every: bool = False
    ) -> list[Delivery]:
        """Return what is pending of a compartment, or everything, in the order of dependencies."""
        return database.read(self._engine, deliveries.deliveries, server, study, compartment, policy, every)

    def deliveries_of(self, server: str, names: Sequence[tuple[str, str]], policy: Policy = "stop") -> list[Delivery]:
        """Return the deliveries of those of these (type, id) that are there, in the order of dependencies."""
        return database.read(self._engine, deliveries.deliveries_of, server, names, policy)

    def acknowledge(self, server: str, delivered: Iterable[Delivered], *, run: str) -> None:
        """Note what a server took, all or none; the failures and conflicts of these resources are over."""
        database.write(self._engine, acknowledgements.acknowledge, server, delivered, run, self._instant)

    def acknowledged_any(self, server: str, study: str) -> bool:
        """Say whether a server ever took anything of a study."""
        return database.read(self._engine, acknowledgements.any_taken, server, study)

    def held(self, server: str, study: str, type: str, *, page: int = PAGE) -> Iterator[Held]:
        """Yield what a server acknowledged of a study's resources of a type, in the order of keys."""
        return map(held.made, self._by_key(held.query(server, study, type), page))

    def held_by_id(self, server: str, study: str, type: str, server_ids: Sequence[str]) -> dict[str, Held]:
        """Return what a server acknowledged of a study's resources of a type, by its ids, for these ids."""
        return database.read(self._engine, held.by_server_id, server, study, type, server_ids)

    def resend(self, server: str, keys: Iterable[int], *, version: Mapping[int, str | None] | None = None) -> None:
        """Have resources that a server once acknowledged sent again, over these versions of its own if given."""
        database.write(self._engine, acknowledgements.resend, server, keys, version)

    def forget(self, server: str, keys: Iterable[int]) -> None:
        """Forget that a server ever took these resources, because it has them no more."""
        database.write(self._engine, acknowledgements.forget, server, keys)

    def base(self, server: str, key: int) -> Resource | None:
        """Return the content of ours that a server last acknowledged, None if that is not known."""
        return database.read(self._engine, acknowledgements.base, server, key)

    def version_by_hash(self, key: int, hash: str) -> Stored | None:
        """Return the newest version of a resource with this content."""
        return database.read(self._engine, acknowledgements.version_by_hash, key, hash)

    def fail(self, server: str, notes: Iterable[FailureNote], *, run: str) -> None:
        """Note failures: of the content that failed before it is one attempt more, of another one the first."""
        database.write(self._engine, failures.fail, server, notes, run, self._instant)

    def failures(self, server: str, study: str, *, parked: bool | None = None, page: int = PAGE) -> Iterator[Failure]:
        """Yield the failures at a server, all or those that are (not) parked, in the order of keys."""
        chosen = failures.query(server).where(current.c.study == study)
        chosen = chosen if parked is None else chosen.where(failure.c.parked == parked)
        return map(failures.made, self._by_key(chosen, page))

    def failure(self, server: str, type: str, id: str) -> Failure | None:
        """Return the failure of a resource at a server."""
        return database.read(self._engine, failures.one, server, type, id)

    def unpark(self, server: str, names: Sequence[tuple[str, str]] | None, study: str) -> int:
        """Forget the failures of these (type, id), or all that are parked: they are tried again. Return how many."""
        return database.write(self._engine, failures.unpark, server, names, study)

    def absent_names(self, server: str, study: str) -> set[tuple[str, str]]:
        """Return type and id of what a server does not hold, and will not get before somebody acts."""
        return database.read(self._engine, failures.absent_names, server, study)

    def conflict_found(self, server: str, notes: Iterable[ConflictNote], *, run: str) -> None:
        """Note conflicts, each instead of an older one over the same resource."""
        database.write(self._engine, conflicts.found, server, notes, run, self._instant)

    def conflicts(self, server: str, study: str, *, page: int = PAGE) -> Iterator[Conflict]:
        """Yield the conflicts at a server, in the order of keys."""
        chosen = conflicts.query(server).where(current.c.study == study)
        return map(conflicts.made, self._by_key(chosen, page))

    def open_conflicts(self, server: str, study: str) -> int:
        """Return how many resources have a conflict at a server, whether or not there is something to send."""
        return database.read(self._engine, conflicts.count, server, study)

    def conflict(self, server: str, type: str, id: str) -> Conflict | None:
        """Return the conflict over a resource at a server."""
        return database.read(self._engine, conflicts.one, server, type, id)

    def settle(self, server: str, key: int, settled: Sequence[Settled], *, version: str | None, run: str) -> None:
        """Keep decisions on a resource; its conflict is over, and it is sent again over this version, all or none."""
        database.write(self._engine, conflicts.settle, server, key, settled, version, run, self._instant)

    def drop_conflict(self, server: str, key: int) -> None:
        """Forget the conflict over a resource."""
        database.write(self._engine, conflicts.drop, server, key)

    def crosswalk(self, server: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the server's ids of those of these (type, id) for which it has another."""
        return database.read(self._engine, crosswalk.ids, server, names)

    def known_as(self, server: str, key: int, theirs: str) -> None:
        """Keep the server's id of a resource of ours that it has not acknowledged, because others changed it there."""
        database.write(self._engine, crosswalk.note, server, key, theirs)

    def has_crosswalk(self, server: str) -> bool:
        """Say whether any resource has an id of the server's own."""
        return database.read(self._engine, crosswalk.any_known, server)

    def our_names(self, server: str, type: str, server_ids: Sequence[str]) -> dict[str, str]:
        """Return our ids of resources of a type by the server's ids; those that are not ours are left out."""
        return database.read(self._engine, crosswalk.our_names, server, type, server_ids)

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take a lease that is free, has run out or is already the holder's; say whether."""
        return database.write(self._engine, leases.take, name, holder, seconds, self._clock)

    def renew(self, holder: str, seconds: float) -> int:
        """Keep a holder's leases for so long from now, and return how many are still its own."""
        return database.write(self._engine, leases.renew, holder, seconds, self._clock)

    def release(self, holder: str, names: Sequence[str] | None = None) -> None:
        """Give back a holder's leases, all or these."""
        database.write(self._engine, leases.release, holder, names)

    def steal(self, name: str, holder: str, from_holder: str, seconds: float) -> bool:
        """Take over a lease from one who is known to be dead; false if it is no longer that one's."""
        return database.write(self._engine, leases.steal, name, holder, from_holder, seconds, self._clock)

    def holder_of(self, name: str) -> tuple[str, str] | None:
        """Return who has a lease and until when, even if that is past; None if it is free."""
        return database.read(self._engine, leases.holder_of, name)

    def server_state(self, server: str) -> ServerState:
        """Return what is known of a server; that of one never seen says nothing."""
        return database.read(self._engine, servers.state, server)

    def note_server(self, server: str, **changes: Unpack[ServerChanges]) -> None:
        """Change what is known of a server; what is not named stays."""
        database.write(self._engine, servers.note, server, changes)

    def consented(self, study: str, compartment: str) -> bool | None:
        """Say whether a person consents; None where no Consent is known."""
        return database.read(self._engine, consents.consented, study, compartment)

    def consents(self, study: str) -> dict[str, bool]:
        """Say of all of whom a Consent is known whether they consent, by the ids of our Patients."""
        return database.read(self._engine, consents.known, study)

    def active_consents(self, study: str) -> list[tuple[str, bytes]]:
        """Return, of each active Consent, the id of our Patient and its content as compact JSON."""
        whole = resources.query(current.join(consent, consent.c.resource == current.c.key))
        chosen = whole.where(consent.c.study == study, consent.c.active)
        rows = self._rows(chosen.with_only_columns(current.c.compartment, version.c.body))
        return [(row["compartment"], bytes(row["body"])) for row in rows]

    def withdrawn(self, study: str) -> set[str]:
        """Return the compartments of a study that have Consents of which none is active."""
        return database.read(self._engine, consents.withdrawn, study)

    def _by_key(self, chosen: Select[Any], page: int) -> Iterator[RowMapping]:
        chosen, last = chosen.order_by(current.c.key).limit(page), 0
        while rows := self._rows(chosen.where(current.c.key > last)):
            yield from rows
            last = rows[-1]["key"]

    def _rows(self, chosen: Select[Any]) -> Sequence[RowMapping]:
        with database.reading(self._engine) as connection:
            return connection.execute(chosen).mappings().all()

    def _instant(self) -> str:
        return written(self._clock())
