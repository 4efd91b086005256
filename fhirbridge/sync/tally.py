"""Counting what a push does, so that every resource has one fate and the sums balance; shared by its threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from fhirbridge.hospital import TrafficReport
from fhirbridge.hospital.traffic import percentiles
from fhirbridge.store import Backlog, Delivery
from fhirbridge.sync.applied import Applied
from fhirbridge.sync.push_report import KEPT_FAILURES, PushReport

Progress = Callable[[int, int], None]
"""Called with the resources that have a fate and those there were to bring about; one call at a time."""


class Tally:
    """The counts of one push; ``backlog`` is how things stood when it began."""

    def __init__(self, report: PushReport, backlog: Backlog, progress: Progress | None) -> None:
        self.to_do = backlog.pending - backlog.parked - backlog.conflicts
        self._report = report
        self._backlog = backlog
        self._progress = progress
        self._latencies: list[float] = []
        self._seen = Counter[str]()
        self._lock = threading.Lock()

    def count(self, applied: Applied) -> None:
        """Count what became of a compartment."""
        with self._lock:
            report = self._report
            for one, fate in applied.fates:
                report.count(one.change.type, fate)
                blocked = "conflict" if one.delivery.conflict else "parked" if one.delivery.parked else "to do"
                self._seen[blocked] += 1
            report.bundles += len(applied.seconds)
            report.entry_statuses.update(applied.statuses)
            report.failures += applied.failures[: KEPT_FAILURES - len(report.failures)]
            self._latencies += applied.seconds
            if self._progress is not None:
                done = self._seen["to do"]
                self._progress(done, max(done, self.to_do))

    def busy(self, deliveries: Iterable[Delivery]) -> None:
        """Count a compartment that somebody else is writing."""
        for one in deliveries:
            if not one.conflict and not one.parked:
                self._report.count(one.stored.type, "busy")
                self._seen["to do"] += 1

    def balance(self, *, of_a_plan: bool) -> None:
        """Account for each resource, also for those that nobody came to, and those that waited for a person before."""
        fates, seen, backlog = self._report.fates, self._seen, self._backlog
        fates["unchanged"] += backlog.desired - backlog.pending - backlog.withheld
        fates["withheld"] += backlog.withheld
        fates["parked"] += max(0, backlog.parked - seen["parked"])
        fates["conflict"] += max(0, backlog.conflicts - seen["conflict"])
        ended = self._report.interrupted or self._report.stopped is not None
        fates["not planned" if of_a_plan and not ended else "not tried"] += max(0, self.to_do - seen["to do"])
        self._report.fates = +fates
        self._report.desired = backlog.desired + max(0, seen["to do"] - self.to_do)

    def measure(self, seconds: float, traffic: TrafficReport) -> None:
        """Note how long it took and what went over the wire."""
        report = self._report
        report.seconds = seconds
        report.latencies = percentiles(self._latencies)
        for name in ("requests", "retries", "bytes_sent", "bytes_received"):
            setattr(report, name, getattr(traffic, name))
        report.statuses = traffic.statuses
