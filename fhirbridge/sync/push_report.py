"""What a push did: counts that balance, what was parked and what to do about it, and how fast it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fhirbridge.errors import HospitalError, TemporaryHospitalError

_REMEDIES = {
    400: "Correct the record or the mapping as the server says, ingest, and push again.",
    401: "Check the credentials for this server, then push again.",
    403: "Ask the hospital to let these credentials write these types, then push again.",
    404: "Check the base URL, and that the server offers transactions.",
    405: "Check that the server offers transactions and PUT under ids that the client assigns.",
    409: "See with verify what the server holds, settle the conflict there, then push again.",
    412: "See with verify what the server holds, settle the conflict there, then push again.",
    413: "Push again with smaller bundles.",
    422: "Correct the record or the mapping as the server says, ingest, and push again.",
}
_TEMPORARY = "Push again when the server is well: what was acknowledged is not sent twice."
_FATAL = "Show the server's answer to whoever runs it; push again once it is mended."


@dataclass(frozen=True, slots=True, kw_only=True)
class PushFailure:
    """A bundle that was not taken, or not whole. What comes after it in the same compartment was not tried.

    ``compartment`` is the Patient's id, '' for the study's own resources; ``resources`` counts those refused, and
    ``resource`` is the first of them where the server told one from another.
    """

    compartment: str
    resources: int
    resource: str | None
    status: int | None
    temporary: bool
    message: str
    remedy: str

    @classmethod
    def of(cls, error: HospitalError, compartment: str, resources: int, resource: str | None = None) -> PushFailure:
        """Return what to report of an error."""
        temporary = isinstance(error, TemporaryHospitalError)
        remedy = _TEMPORARY if temporary else _REMEDIES.get(error.status or 0, _FATAL)
        return cls(
            compartment=compartment,
            resources=resources,
            resource=resource,
            status=error.status,
            temporary=temporary,
            message=f"{str(error).rstrip('.')}.",
            remedy=remedy,
        )


@dataclass(slots=True, kw_only=True)
class PushReport:
    """Resources: desired = sent + unchanged + failed + not_tried, always.

    ``statuses`` counts HTTP answers ("none" for no answer), ``entry_statuses`` the answers to single entries.
    Latencies are seconds from handing a bundle over until its answer, retries included. ``stopped`` says why the
    push gave up early, if it did.
    """

    server: str
    study: str
    desired: int = 0
    sent: int = 0
    unchanged: int = 0
    failed: int = 0
    not_tried: int = 0
    bundles: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    entry_statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    latencies: dict[str, float] = field(default_factory=dict)
    failures: list[PushFailure] = field(default_factory=list)
    interrupted: bool = False
    stopped: str | None = None

    @property
    def balanced(self) -> bool:
        """Whether no resource is unaccounted for."""
        return self.desired == self.sent + self.unchanged + self.failed + self.not_tried

    @property
    def complete(self) -> bool:
        """Whether the server has acknowledged everything."""
        return self.balanced and not self.failed and not self.not_tried and not self.interrupted and not self.stopped

    @property
    def entries_per_second(self) -> float:
        """Acknowledged resources per second of the whole push."""
        return self.sent / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        computed = {
            "balanced": self.balanced,
            "complete": self.complete,
            "entries_per_second": self.entries_per_second,
        }
        return asdict(self) | {"entry_statuses": dict(sorted(self.entry_statuses.items()))} | computed


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 by nearest rank, 0.0 of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    return {f"p{percent}": ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 95, 99)}
