"""Push: what a hospital's server has not acknowledged is sent as transactions, the study first, then its subjects.

State decides, not a queue: each resource whose content differs from what the server last acknowledged is sent as
``PUT Type/id``, so a push that was killed is simply run again, and a resource sent twice is still there once.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

from fhirbridge.errors import FatalHospitalError, HospitalError, TemporaryHospitalError
from fhirbridge.hospital import EntryResult, Hospital, TrafficReport, put_entry, transaction_bundle
from fhirbridge.store import Backlog, Group, Store, Stored
from fhirbridge.sync.bundles import split
from fhirbridge.sync.interruption import stop_on_signals
from fhirbridge.sync.push_report import PushFailure, PushReport, percentiles

__all__ = ["PushFailure", "PushReport", "push"]

Progress = Callable[[int, int], None]
"""Called with the resources done (sent or failed) and those there were to send; one call at a time."""

_KEPT_OUT = frozenset({401, 403})
"""Fatal answers that concern us, not the resource: the next subject would get the same."""


def push(
    store: Store,
    hospital: Hospital,
    study_id: str,
    *,
    run: str,
    connections: int = 4,
    bundle_size: int = 100,
    bundle_bytes: int = 2_000_000,
    give_up_after: int = 3,
    progress: Progress | None = None,
) -> PushReport:
    """Send what differs from what the server last acknowledged, and report; nothing to do costs no request.

    The study's own resources go first; then subjects, on as many connections, each subject on one of them and in
    rank order. A bundle that fails parks its subject and the others go on; ``give_up_after`` failures in a row
    that concern the server and no subject (no answer, overload, no access) end the push. The first Ctrl-C or
    SIGTERM lets what is under way finish. Raises StoreError; what the hospital does wrong is in the report.
    """
    with stop_on_signals() as stop:
        pushing = _Push(store, hospital, study_id, run, stop, give_up_after, progress)
        pushing.caps = (bundle_size, bundle_bytes)
        return pushing.run(connections)


class _Push:
    """One push under way; its counts are shared by the threads and changed under ``_lock``."""

    caps: tuple[int, int]

    def __init__(
        self,
        store: Store,
        hospital: Hospital,
        study: str,
        run: str,
        stop: threading.Event,
        give_up_after: int,
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._hospital = hospital
        self._run = run
        self._signalled = stop
        self._give_up_after = give_up_after
        self._progress = progress
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._found = 0
        self._latencies: list[float] = []
        self._error: BaseException | None = None
        self._report = PushReport(server=hospital.server_id, study=study)
        self._backlog = Backlog(desired=0, pending=0)

    def run(self, connections: int) -> PushReport:
        started, before = time.monotonic(), self._hospital.traffic.report()
        self._backlog = self._store.backlog(self._report.server, self._report.study)
        if self._backlog.pending and self._is_there():
            self._send_all(connections)
        if self._error is not None:
            raise self._error
        self._balance()
        self._measure(time.monotonic() - started, before, self._hospital.traffic.report())
        return self._report

    def _is_there(self) -> bool:
        """Ask once whether this is a FHIR R4 server, before anything is sent to it."""
        try:
            self._hospital.capabilities()
        except HospitalError as error:
            self._report.stopped = str(error)
        return self._report.stopped is None

    def _send_all(self, connections: int) -> None:
        groups = self._store.pending(self._report.server, self._report.study)
        first = next(groups, None)
        if first is not None and first.compartment == "":
            self._work_off(iter([first]), 1)
            if self._report.failed and self._report.stopped is None:
                self._report.stopped = "the study's own resources were not taken, and its subjects refer to them"
        elif first is not None:
            groups = itertools.chain([first], groups)
        self._work_off(groups, connections)

    def _work_off(self, groups: Iterator[Group], threads: int) -> None:
        """Have threads take group after group; daemons, so that a second Ctrl-C need not wait for the network."""
        taking = threading.Lock()
        workers = [threading.Thread(target=self._work, args=(groups, taking), daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, groups: Iterator[Group], taking: threading.Lock) -> None:
        try:
            while True:
                with taking:
                    group = None if self._stopping() else next(groups, None)
                if group is None:
                    return
                self._send_group(group)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self._error = error

    def _stopping(self) -> bool:
        if self._signalled.is_set():
            self._report.interrupted = True
        return self._report.interrupted or self._report.stopped is not None or self._error is not None

    def _send_group(self, group: Group) -> None:
        with self._lock:
            self._found += len(group.resources)
        entries, size = self.caps
        for part in split(group.resources, entries=entries, size=size):
            if self._stopping() or not self._send(group.compartment, part):
                return

    def _send(self, compartment: str, part: list[Stored]) -> bool:
        """Send one bundle, note what was acknowledged, and say whether all of it was."""
        server = self._report.server
        bundle = transaction_bundle(put_entry(one.content(), base_url=server) for one in part)
        started = time.monotonic()
        try:
            results = self._hospital.transaction(bundle)
        except HospitalError as error:
            self._count(time.monotonic() - started, [], PushFailure.of(error, compartment, len(part)), error)
            return False
        seconds = time.monotonic() - started
        answered = [(one, result, _problem(one, result)) for one, result in zip(part, results, strict=True)]
        taken = [(one, result) for one, result, problem in answered if problem is None]
        self._store.acknowledge(server, [(one, result.version) for one, result in taken], run=self._run)
        refused = [(one, problem) for one, _, problem in answered if problem is not None]
        statuses = [str(result.status) for _, result in taken]
        if not refused:
            self._count(seconds, statuses)
            return True
        first, problem = refused[0]
        failure = PushFailure.of(problem, compartment, len(refused), f"{first.type}/{first.id}")
        self._count(seconds, statuses, failure, problem)
        return False

    def _count(
        self,
        seconds: float,
        taken: list[str],
        failure: PushFailure | None = None,
        error: HospitalError | None = None,
    ) -> None:
        """Count a bundle: how long it took, the statuses of the entries acknowledged, and what was refused."""
        with self._lock:
            report = self._report
            report.bundles += 1
            report.sent += len(taken)
            report.entry_statuses.update(taken)
            self._latencies.append(seconds)
            if failure is not None:
                report.failed += failure.resources
                report.failures.append(failure)
            self._watch(taken, error)
            if self._progress is not None:
                self._progress(report.sent + report.failed, max(self._backlog.pending, self._found))

    def _watch(self, taken: list[str], error: HospitalError | None) -> None:
        """Give up once failures that concern the server itself come in a row."""
        if taken or error is None:
            self._in_a_row = 0
        elif isinstance(error, TemporaryHospitalError) or error.status in _KEPT_OUT:
            self._in_a_row += 1
            if self._in_a_row >= self._give_up_after and self._report.stopped is None:
                self._report.stopped = f"gave up after {self._in_a_row} failures in a row; the last: {error}"

    def _balance(self) -> None:
        """Account for each resource, also for those that another process stored or pushed meanwhile."""
        report, early = self._report, self._stopping()
        report.unchanged = self._backlog.desired - self._backlog.pending
        pending = max(self._backlog.pending, self._found) if early else self._found
        report.desired = report.unchanged + pending
        report.not_tried = pending - report.sent - report.failed

    def _measure(self, seconds: float, before: TrafficReport, after: TrafficReport) -> None:
        report = self._report
        report.seconds = seconds
        report.latencies = percentiles(self._latencies)
        for name in ("requests", "retries", "bytes_sent", "bytes_received"):
            setattr(report, name, getattr(after, name) - getattr(before, name))
        counts = {status: count - before.statuses.get(status, 0) for status, count in after.statuses.items()}
        report.statuses = {status: count for status, count in counts.items() if count}


def _problem(one: Stored, result: EntryResult) -> HospitalError | None:
    """Return why an entry's answer does not acknowledge it, None if it does."""
    if failure := result.failure():
        return failure
    if result.status not in (200, 201):
        return FatalHospitalError(
            f"entry {result.index} ({one.type}) was answered {result.status}, neither 200 nor 201"
        )
    if (result.type, result.id) != (one.type, one.id):
        return FatalHospitalError(
            f"entry {result.index} ({one.type}) was stored as another {result.type} than the one sent: "
            "the server assigns ids of its own"
        )
    return None
