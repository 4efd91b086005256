"""What went over the wire: requests, retries, bytes, statuses and latencies, counted for reports."""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficReport:
    """The counts at one moment; latencies in seconds, bytes of bodies as read after decompression."""

    requests: int
    retries: int
    bytes_sent: int
    bytes_received: int
    statuses: dict[str, int]
    p50: float
    p95: float
    p99: float

    def since(self, before: TrafficReport) -> TrafficReport:
        """Return what was counted after an earlier report of the same client; the latencies stay those of all."""
        return replace(
            self,
            requests=self.requests - before.requests,
            retries=self.retries - before.retries,
            bytes_sent=self.bytes_sent - before.bytes_sent,
            bytes_received=self.bytes_received - before.bytes_received,
            statuses=dict(Counter(self.statuses) - Counter(before.statuses)),
        )


class Traffic:
    """Counts of one client, safe to add to from several threads.

    Statuses are counted under their number, failures without an answer under "none". Latencies take eight bytes a
    request.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retries = 0
        self._bytes_sent = 0
        self._bytes_received = 0
        self._statuses: Counter[str] = Counter()
        self._latencies = array("d")

    def count(self, *, status: int | None, sent: int, received: int, seconds: float) -> None:
        """Count one request and its answer; ``status`` None where none came."""
        with self._lock:
            self._statuses["none" if status is None else str(status)] += 1
            self._bytes_sent += sent
            self._bytes_received += received
            self._latencies.append(seconds)

    def count_retry(self) -> None:
        """Count one more try of a request that failed temporarily."""
        with self._lock:
            self._retries += 1

    def report(self) -> TrafficReport:
        """Return the counts so far."""
        with self._lock:
            return TrafficReport(
                requests=len(self._latencies),
                retries=self._retries,
                bytes_sent=self._bytes_sent,
                bytes_received=self._bytes_received,
                statuses=dict(sorted(self._statuses.items())),
                **percentiles(self._latencies),
            )


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 by nearest rank, 0.0 of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    return {f"p{percent}": ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 95, 99)}
