"""What went over the wire: requests, retries, bytes, statuses and latencies, counted for reports."""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from dataclasses import dataclass


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
            ordered = sorted(self._latencies)
            return TrafficReport(
                requests=len(ordered),
                retries=self._retries,
                bytes_sent=self._bytes_sent,
                bytes_received=self._bytes_received,
                statuses=dict(sorted(self._statuses.items())),
                p50=_percentile(ordered, 50),
                p95=_percentile(ordered, 95),
                p99=_percentile(ordered, 99),
            )


def _percentile(ordered: list[float], percent: int) -> float:
    """Return the nearest-rank percentile, 0.0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
