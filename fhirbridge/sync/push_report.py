"""What a push did: counts that balance, what was parked and what to do about it, and how fast it went."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fhirbridge.errors import HospitalError, TemporaryHospitalError

if TYPE_CHECKING:
    from fhirbridge.sync.planning import Change

Fate = Literal[
    "created",
    "updated",
    "retracted",
    "deleted",
    "adopted",
    "unchanged",
    "withheld",
    "conflict",
    "parked",
    "held",
    "failed",
    "busy",
    "not tried",
    "not planned",
]
"""What became of a resource.

``adopted``: the server held it already, and it was only noted. ``withheld``: its subject withdrew. ``held``: it refers
to something that is not there. ``failed``: the server was in trouble, it is tried again next time. ``busy``: another
process writes this subject. ``not planned``: a saved plan was applied, and it came later.
"""

SENT: tuple[Fate, ...] = ("created", "updated", "retracted", "deleted")
SETTLED: frozenset[Fate] = frozenset({*SENT, "adopted", "unchanged", "withheld", "not planned"})
"""Fates after which a run has left nothing undone."""

KEPT_FAILURES = 200
"""Failures that a report shows at most; all of them are in the store."""

_REMEDIES = {
    400: "Correct the record or the mapping as the server says, ingest, and push again.",
    401: "Check the credentials for this server, then push again.",
    403: "Ask the hospital to let these credentials write these types, then push again.",
    404: "Check the base URL, and that the server takes Bundles; `hospital_mode` says how to send without.",
    405: "The server refuses this way of writing: set `hospital_mode` or `hospital_strategies` to one that it offers.",
    501: "The server refuses this way of writing: set `hospital_mode` or `hospital_strategies` to one that it offers.",
    409: "See with `fhirbridge reconcile` what the server holds, settle it there, then retry.",
    412: "See with `fhirbridge reconcile` what the server holds, settle it there, then retry.",
    413: "The server takes no resource of this size: have its limit raised, then retry.",
    422: "Correct the record or the mapping as the server says, ingest, and push again.",
}
_TEMPORARY = "Push again when the server is well: what was acknowledged is not sent twice."
_FATAL = "Show the server's answer to whoever runs it; retry once it is mended."


@dataclass(frozen=True, slots=True, kw_only=True)
class PushFailure:
    """Something that was not taken. ``resources`` counts what failed with it; ``type`` and ``id`` are the first of it.

    ``temporary``: it is tried again by itself. Otherwise the resource is parked until somebody acts.
    """

    compartment: str
    type: str
    id: str
    resources: int
    status: int | None
    temporary: bool
    message: str
    remedy: str

    @classmethod
    def of(cls, error: HospitalError, change: Change, *, resources: int = 1) -> PushFailure:
        """Return what to report of an error."""
        temporary = isinstance(error, TemporaryHospitalError)
        return cls(
            compartment=change.compartment,
            type=change.type,
            id=change.id,
            resources=resources,
            status=error.status,
            temporary=temporary,
            message=f"{str(error).rstrip('.')}.",
            remedy=_TEMPORARY if temporary else _REMEDIES.get(error.status or 0, _FATAL),
        )


@dataclass(slots=True, kw_only=True)
class PushReport:
    """One push: every resource of the study has one fate, and ``balanced`` says so.

    ``statuses`` counts HTTP answers ("none" for no answer), ``entry_statuses`` the answers to single entries.
    Latencies are seconds from handing a Bundle over until its answer, retries included. ``stopped`` says why the
    push gave up early, if it did.
    """

    server: str
    study: str
    desired: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    by_type: dict[str, Counter[str]] = field(default_factory=dict)
    """Fates by type, of what was looked at; what was unchanged is not."""
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
    def sent(self) -> int:
        """Resources that the server took."""
        return sum(self.fates[fate] for fate in SENT)

    @property
    def balanced(self) -> bool:
        """Whether no resource is unaccounted for."""
        return self.desired == sum(self.fates.values())

    @property
    def complete(self) -> bool:
        """Whether the server holds everything it should, or everything of the plan that was applied."""
        settled = all(fate in SETTLED for fate, count in self.fates.items() if count)
        return self.balanced and settled and not self.interrupted and self.stopped is None

    @property
    def needs_a_person(self) -> bool:
        """Whether the server is well, and what is left waits for a decision."""
        waits = {"conflict", "parked", "held"}
        return all(fate in SETTLED or fate in waits for fate, count in self.fates.items() if count) and not self.stopped

    @property
    def entries_per_second(self) -> float:
        """Resources taken per second of the whole push."""
        return self.sent / self.seconds if self.seconds else 0.0

    def count(self, kind: str, fate: Fate) -> None:
        """Count one resource's fate."""
        self.fates[fate] += 1
        self.by_type.setdefault(kind, Counter())[fate] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        counted = {
            "fates": {fate: count for fate, count in sorted(self.fates.items()) if count},
            "by_type": {kind: dict(sorted(fates.items())) for kind, fates in sorted(self.by_type.items())},
            "entry_statuses": dict(sorted(self.entry_statuses.items())),
        }
        computed = {
            "sent": self.sent,
            "balanced": self.balanced,
            "complete": self.complete,
            "entries_per_second": self.entries_per_second,
        }
        return asdict(self) | counted | computed
