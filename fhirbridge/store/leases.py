"""Leases: who may work on what, and until when, across processes and machines that share the store.

The writer's lock makes each of these exclusive, so reading and then writing is no race. A lease that ran out can be
taken by anybody; its holder learns at the next ``renew``. The clocks of machines must agree to within a lease's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, delete, select, update

from fhirbridge.store.instants import Clock, written
from fhirbridge.store.schema import lease
from fhirbridge.store.writes import upsert


def take(connection: Connection, name: str, holder: str, seconds: float, clock: Clock) -> bool:
    """Take a lease that is free, has run out or is already the holder's, for so long from now; say whether."""
    now, found = clock(), holder_of(connection, name)
    if found is not None and found[0] != holder and found[1] > written(now):
        return False
    until = written(now + timedelta(seconds=seconds))
    upsert(connection, lease, [{"name": name, "holder": holder, "until": until}])
    return True


def renew(connection: Connection, holder: str, seconds: float, clock: Clock) -> int:
    """Keep a holder's leases for so long from now, and return how many are still its own."""
    until = written(clock() + timedelta(seconds=seconds))
    return connection.execute(update(lease).where(lease.c.holder == holder).values(until=until)).rowcount


def steal(connection: Connection, name: str, holder: str, from_holder: str, seconds: float, clock: Clock) -> bool:
    """Take over a lease from the one who is known to be dead; false if it is no longer that one's."""
    mine = {"holder": holder, "until": written(clock() + timedelta(seconds=seconds))}
    change = update(lease).where(lease.c.name == name, lease.c.holder == from_holder).values(mine)
    return connection.execute(change).rowcount == 1


def release(connection: Connection, holder: str, names: Sequence[str] | None) -> None:
    """Give back a holder's leases, all or these; another's are left alone."""
    chosen = delete(lease).where(lease.c.holder == holder)
    connection.execute(chosen if names is None else chosen.where(lease.c.name.in_(list(names))))


def holder_of(connection: Connection, name: str) -> tuple[str, str] | None:
    """Return who has a lease and until when, even if that is past; None if it is free."""
    row = connection.execute(select(lease.c.holder, lease.c.until).where(lease.c.name == name)).first()
    return None if row is None else (row.holder, row.until)
