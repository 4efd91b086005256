"""What became of a compartment that was sent: a fate for each resource, and how the server fared with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirbridge.errors import HospitalError
from fhirbridge.sync.planning import Planned
from fhirbridge.sync.push_report import Fate, PushFailure

DONE: dict[str, Fate] = {"create": "created", "update": "updated", "retract": "retracted", "delete": "deleted"}
"""The fate of what was planned, once the server took it."""


@dataclass(slots=True)
class Applied:
    """What became of each planned resource; ``trouble`` is the failure that stopped it, if the server was at fault."""

    fates: list[tuple[Planned, Fate]] = field(default_factory=list)
    failures: list[PushFailure] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """How long each Bundle took until its answer, retries included."""
    statuses: list[str] = field(default_factory=list)
    trouble: HospitalError | None = None
