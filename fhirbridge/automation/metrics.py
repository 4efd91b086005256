"""Prometheus metrics: what this process counts, and how things stand by the store, in a registry of their own.

What hangs on a process (requests, latencies, bytes) is counted where it happens and starts again at zero with it.
What an installation is judged by (backlog, last good run) is read from the store when asked for, so that it survives
restarts, holds for commands that cron starts, and is the same in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

import fhirbridge
from fhirbridge.automation.facts import fates
from fhirbridge.automation.standing import CommandStanding, Standing
from fhirbridge.errors import ConfigurationError, FhirbridgeError
from fhirbridge.hospital.traffic import Traffic

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds; a transaction of a hundred entries takes a busy server some."""


class Metrics:
    """What one process counts. ``registry`` is its own, so that tests and several instances do not meet."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        own = self.registry
        self._resources = Counter(
            "fhirbridge_resources",
            "Resources by what became of them in this process.",
            ["command", "fate"],
            registry=own,
        )
        self._requests = Counter(
            "fhirbridge_hospital_requests",
            "Requests to the hospital's server by class of status.",
            ["status"],
            registry=own,
        )
        self._seconds = Histogram(
            "fhirbridge_hospital_request_seconds", "Time of one request to its answer.", registry=own, buckets=BUCKETS
        )
        self._retries = Counter("fhirbridge_hospital_retries", "Requests made again after a failure.", registry=own)
        self._bytes = Counter("fhirbridge_hospital_bytes", "Bytes of bodies by direction.", ["direction"], registry=own)
        self._notifications = Counter(
            "fhirbridge_notifications", "Notifications by channel and result.", ["channel", "result"], registry=own
        )
        ProcessCollector(registry=self.registry)

    def traffic(self) -> Traffic:
        """Return a count of traffic for one client that adds to these metrics too."""
        return _Metered(self._request, self._retries.inc)

    def ended(self, command: str, counts: Mapping[str, Any]) -> None:
        """Add what a run of a command did with resources, from its report."""
        for fate, number in fates(counts).items():
            self._resources.labels(command, fate).inc(number)

    def notified(self, channel: str, delivered: bool) -> None:
        """Count a notification that was, or was not, delivered."""
        self._notifications.labels(channel, "delivered" if delivered else "failed").inc()

    def watch(self, standing: Callable[[], Standing]) -> None:
        """Add how things stand, read by ``standing`` whenever metrics are asked for."""
        self.registry.register(_FromStore(standing))

    def listening(self, counts: Callable[[], Mapping[Any, int]], spool: Callable[[], Mapping[Any, int]]) -> None:
        """Add what a listener counts, and how many messages the spool has by state, read whenever asked for."""
        self.registry.register(_FromListener(counts, spool))

    def text(self) -> tuple[bytes, str]:
        """Return all metrics in Prometheus' text format, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _request(self, status: int | None, sent: int, received: int, seconds: float) -> None:
        self._requests.labels("none" if status is None else f"{status // 100}xx").inc()
        self._seconds.observe(seconds)
        self._bytes.labels("sent").inc(sent)
        self._bytes.labels("received").inc(received)


@contextmanager
def served(metrics: Metrics, port: int, address: str = "127.0.0.1") -> Iterator[int]:
    """Serve the metrics over HTTP while the block runs, and give the port (a free one for 0).

    Raises ConfigurationError if the port is taken.
    """
    try:
        server, thread = start_http_server(port, address, metrics.registry)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served at {address}:{port}: {error.strerror}. Change `metrics_port` or "
            "`metrics_address`; each process needs a port of its own."
        ) from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Metered(Traffic):
    def __init__(self, request: Callable[[int | None, int, int, float], None], retry: Callable[[], None]) -> None:
        super().__init__()
        self._request = request
        self._retry = retry

    def count(self, *, status: int | None, sent: int, received: int, seconds: float) -> None:
        super().count(status=status, sent=sent, received=received, seconds=seconds)
        self._request(status, sent, received, seconds)

    def count_retry(self) -> None:
        super().count_retry()
        self._retry()


class _FromStore(Collector):
    """Asked at every scrape; where the store cannot be read, ``fhirbridge_store_up`` is 0 and the rest is absent."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing = standing

    def describe(self) -> list[Metric]:
        """Describe nothing, so that registering does not open the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the store."""
        try:
            standing = self._standing()
        except FhirbridgeError:
            yield _gauge("store_up", "1 if the store can be read.", 0)
            return
        yield _gauge("store_up", "1 if the store can be read.", 1)
        about = GaugeMetricFamily("fhirbridge_build_info", "Always 1.", labels=["version", "schema"])
        about.add_metric([fhirbridge.__version__, standing.schema], 1)
        yield about
        yield _gauge("breaker_open", "1 while the hospital's server is left alone.", standing.open_until is not None)
        yield _gauge("hospital_failures", "Failures of the server in a row.", standing.failures)
        yield from _backlog(standing)
        yield from _runs(standing.commands)


class _FromListener(Collector):
    """Asked at every scrape, as long as the process listens."""

    def __init__(self, counts: Callable[[], Mapping[Any, int]], spool: Callable[[], Mapping[Any, int]]) -> None:
        self._counts = counts
        self._spool = spool

    def describe(self) -> list[Metric]:
        """Describe nothing, so that registering does not open the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the listener."""
        counts = self._counts()
        messages = CounterMetricFamily("fhirbridge_hl7_messages", "HL7 v2 messages by answer.", labels=["answer"])
        events = CounterMetricFamily("fhirbridge_hl7_events", "What else a listener met, by kind.", labels=["kind"])
        for answer in ("AA", "AE", "AR", "unanswered"):
            messages.add_metric([answer], counts.get(answer, 0))
        for kind in sorted(set(counts) - {"AA", "AE", "AR", "unanswered"}):
            events.add_metric([kind], counts[kind])
        yield from (messages, events)
        try:
            spool = self._spool()
        except FhirbridgeError:
            return
        states = GaugeMetricFamily("fhirbridge_hl7_spool_messages", "Messages in the spool.", labels=["state"])
        for state, number in spool.items():
            states.add_metric([state], number)
        yield states


def _gauge(name: str, meaning: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"fhirbridge_{name}", meaning, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _backlog(standing: Standing) -> Iterator[Metric]:
    backlog, study = standing.backlog, standing.study
    if backlog is None:
        return
    waiting = backlog.pending - backlog.parked - backlog.conflicts
    yield _gauge("desired_resources", "Resources the server is to have.", backlog.desired, study=study)
    yield _gauge("backlog_resources", "Resources that wait and nothing blocks.", waiting, study=study)
    yield _gauge("parked_resources", "Dead letters.", backlog.parked, study=study)
    yield _gauge("conflicts", "Foreign changes that wait for a decision.", standing.conflicts, study=study)
    yield _gauge("withheld_resources", "Resources kept back by a withdrawal.", backlog.withheld, study=study)
    meaning = "How long the oldest resource of the backlog has waited."
    yield _gauge("backlog_oldest_seconds", meaning, standing.oldest_seconds, study=study)


def _runs(commands: tuple[CommandStanding, ...]) -> Iterator[Metric]:
    runs = CounterMetricFamily("fhirbridge_runs", "Runs by command and outcome.", labels=["command", "outcome"])
    unfinished = GaugeMetricFamily("fhirbridge_runs_unfinished", "Runs under way, or killed.", labels=["command"])
    last = GaugeMetricFamily("fhirbridge_last_run_timestamp_seconds", "When the last run began.", labels=["command"])
    good = GaugeMetricFamily(
        "fhirbridge_last_good_run_timestamp_seconds", "When a run last ended well.", labels=["command"]
    )
    fate = GaugeMetricFamily(
        "fhirbridge_last_run_resources", "What became of resources in the last run.", labels=["command", "fate"]
    )
    for one in commands:
        for outcome, number in one.outcomes.items():
            runs.add_metric([one.command, outcome], number)
        unfinished.add_metric([one.command], one.unfinished)
        if one.last:
            last.add_metric([one.command], _moment(one.last.started))
            for name, resources in fates(one.last.counts or {}).items():
                fate.add_metric([one.command, name], resources)
        if one.last_good:
            good.add_metric([one.command], _moment(one.last_good))
    yield from (runs, unfinished, last, good, fate)


def _moment(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
