"""Brings a release up to date with the store: withdrawals first, then rules, then what changed and is due."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, RowMapping

from fhirbridge.release.view import View
from fhirbridge.search.extract import Indexer
from fhirbridge.store import database, leases, release_index, release_state
from fhirbridge.store.instants import Clock, written
from fhirbridge.store.release_answers import Position, Refreshed
from fhirbridge.store.release_erasing import Eraser
from fhirbridge.store.release_making import Maker

Made = TypeVar("Made")

LEASE_SECONDS = 120.0
"""How long one batch may take before another process may think that this one is dead."""


class _LostError(Exception):
    """Another process has the lease: it goes on where this one stops."""


def refresh(engine: Engine, clock: Clock, view: View, zone: tzinfo, *, run: str | None, keep: timedelta) -> Refreshed:
    """Bring the release of a view's agreement up to date; see ``Releases.refresh``."""
    refreshing = _Refreshing(engine, clock, view, zone, run, keep)
    try:
        return refreshing.refreshed()
    except _LostError:
        at = database.read(engine, lambda connection: release_state.row(connection, view.agreement.id))
        return Refreshed(agreement=view.agreement.id, position=release_state.position(at), busy=True)


class _Refreshing:
    """One refresh. The lease keeps others from the same work; that nothing is made twice rests on the one writer."""

    def __init__(
        self, engine: Engine, clock: Clock, view: View, zone: tzinfo, run: str | None, keep: timedelta
    ) -> None:
        self._engine, self._clock, self._view, self._keep = engine, clock, view, keep
        self._zone = zone
        self._wanted = release_state.digest(view, zone)
        self._lease = f"release:{view.agreement.id}"
        self._holder = f"{run or 'refresh'}:{uuid.uuid4()}"

    def refreshed(self) -> Refreshed:
        agreement = self._view.agreement
        now = self._clock()
        found = database.read(self._engine, lambda connection: release_state.row(connection, agreement.id))
        last = datetime.fromisoformat(found["let_out"]) if found is not None and found["let_out"] else None
        due = not agreement.release_every_days or agreement.due(last, now)
        next_due = None if due or last is None else last + timedelta(days=agreement.release_every_days)
        if found is not None and self._nothing_new(found, due=due):
            at = release_state.position(found)
            return Refreshed(agreement=agreement.id, position=at, due=due, next_due=next_due)
        try:
            building = self._in_turn(lambda connection: release_state.begin(connection, self._view, self._wanted, now))
            eraser = Eraser(building, release_index.Index(building.release))
            self._make(Maker(building, self._view, Indexer(self._zone), eraser), changes=due)
            position = self._publish(eraser, let_out=written(now) if due else None)
        finally:
            database.write(self._engine, leases.release, self._holder, None)
        return Refreshed(
            agreement=agreement.id,
            position=position,
            counts=dict(sorted(eraser.counts.items())),
            whole=building.whole,
            due=due,
            next_due=next_due,
        )

    def _nothing_new(self, found: RowMapping, *, due: bool) -> bool:
        """Say whether the release is as it should be: by two rows, without a look at any resource."""
        if found["digest"] != self._wanted or found["next_at"] or found["seen_consents"] != (found["consents"] or 0):
            return False
        if not due:
            return True
        return found["seen"] == (found["resources"] or 0) and not self._view.agreement.release_every_days

    def _make(self, maker: Maker, *, changes: bool) -> None:
        self._until_done(maker.eraser.withdraw)
        if maker.building.whole:
            self._until_done(partial(maker.eraser.narrow, types=self._view.agreement.types))
        if changes or maker.building.whole:
            after: int | None = 0
            while after is not None:
                after = self._in_turn(partial(maker.let_out, after=after, changes=changes))

    def _publish(self, eraser: Eraser, *, let_out: str | None) -> Position:
        building = eraser.building
        since = written(self._clock() - self._keep)
        position = self._in_turn(
            lambda connection: release_state.publish(connection, building, let_out=let_out, kept_since=since)
        )
        self._until_done(eraser.forget_old_rules)
        self._until_done(partial(eraser.forget_index, oldest=position.oldest))
        looked_at = sum(one.looked_at for one in eraser.counts.values())
        self._in_turn(partial(release_state.finish, building=building, looked_at=looked_at))
        return position

    def _until_done(self, step: Callable[[Connection], bool]) -> None:
        while self._in_turn(step):
            pass

    def _in_turn(self, step: Callable[[Connection], Made]) -> Made:
        """Do a step in a transaction of its own, if the lease is still ours."""
        with database.writing(self._engine) as connection:
            if not leases.take(connection, self._lease, self._holder, LEASE_SECONDS, self._clock):
                raise _LostError
            return step(connection)
