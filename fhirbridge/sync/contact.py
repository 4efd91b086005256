"""First contact with a hospital's server: is it a FHIR R4 server, and what does it say it can do?

Its CapabilityStatement is kept for an hour, so that a push of one changed resource costs one request.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from fhirbridge.hospital import Capabilities, Hospital
from fhirbridge.store import Store, instants

KEPT = timedelta(hours=1)


def contact(store: Store, hospital: Hospital, *, clock: Callable[[], datetime] = instants.utc_now) -> Capabilities:
    """Return what the server says of itself, from the store if it was asked within the hour.

    Raises HospitalError if it does not answer, is no FHIR server, or not one of R4.
    """
    state = store.server_state(hospital.server_id)
    asked = None if state.capabilities_at is None else datetime.fromisoformat(state.capabilities_at)
    if state.capabilities is not None and asked is not None and clock() - asked < KEPT:
        return Capabilities(state.capabilities)
    found = hospital.capabilities()
    now = instants.written(clock())
    store.note_server(hospital.server_id, capabilities=found.statement, capabilities_at=now)
    return found


def forget(store: Store, hospital: Hospital) -> None:
    """Have the next contact ask the server again: it refused something, so it may have changed."""
    store.note_server(hospital.server_id, capabilities_at=None)
