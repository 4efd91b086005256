"""What a server's refusal means: is it the server that is unwell, is it us, or is it the one resource?"""

from __future__ import annotations

from fhirbridge.errors import FatalHospitalError, HospitalError, TemporaryHospitalError
from fhirbridge.hospital import EntryResult
from fhirbridge.sync.planning import Planned
from fhirbridge.sync.strategies import Strategies

_KEPT_OUT = frozenset({401, 403})
"""Fatal answers that concern us, not the resource: the next one would get the same."""

_ITS_OWN = 500
"""The one temporary status that may be due to a single resource: servers answer it where their own code fails."""

_NO_SUCH_INTERACTION = frozenset({404, 405, 501})

VERSION_MOVED = frozenset({404, 409, 410, 412})
"""What servers answer where the version to be replaced is not theirs any more (HAPI 409, most 412), or it is gone."""


def is_the_servers(error: HospitalError) -> bool:
    """Say whether a failure concerns the server and no single resource."""
    if isinstance(error, TemporaryHospitalError):
        return error.status != _ITS_OWN
    return error.status in _KEPT_OUT


def takes_no_bundle(error: HospitalError, strategies: Strategies) -> bool:
    """Say whether a server that never said that it takes Bundles means just this."""
    offered = {"transaction": strategies.capabilities.transactions, "batch": strategies.capabilities.batches}
    return offered.get(strategies.mode, True) is None and error.status in _NO_SUCH_INTERACTION


def problem(one: Planned, result: EntryResult) -> HospitalError | None:
    """Return why an entry's answer does not acknowledge it, None if it does."""
    if one.change.action == "delete":
        return None if result.gone else result.failure()
    if failure := result.failure():
        return failure
    if result.status not in (200, 201):
        return FatalHospitalError(f"{one.change.type}: answered {result.status}, neither 200 nor 201")
    if result.type not in (None, one.change.type) or result.id is None:
        return FatalHospitalError(f"{one.change.type}: the answer does not say where it was stored")
    return None
