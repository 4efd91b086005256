"""Push: each subject is planned and applied at once, under its lease, until the server holds what it should.

State decides, not a queue: what differs from what the server last acknowledged is sent, so a push that was killed is
simply run again. An unchanged study costs no request, a changed resource costs one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fhirbridge.errors import HospitalError, TemporaryHospitalError
from fhirbridge.hospital import Capabilities, Hospital
from fhirbridge.hospital.capabilities import check_writable
from fhirbridge.store import Policy, Store
from fhirbridge.sync import contact
from fhirbridge.sync.applied import Applied
from fhirbridge.sync.applying import Applying
from fhirbridge.sync.breaker import Breaker, Rest
from fhirbridge.sync.caution import Caution
from fhirbridge.sync.desired import is_given_up
from fhirbridge.sync.interruption import stop_on_signals
from fhirbridge.sync.leasing import SECONDS, Leases
from fhirbridge.sync.ledger import Ledger
from fhirbridge.sync.looking import Look
from fhirbridge.sync.naming import Name
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.planning import SENT, Planned, plan_group
from fhirbridge.sync.push_report import PushFailure, PushReport
from fhirbridge.sync.strategies import Limits, Strategies
from fhirbridge.sync.tally import Progress, Tally

__all__ = ["PushFailure", "PushOptions", "PushReport", "push"]

Chosen = Callable[[str, Sequence[Planned]], Sequence[Planned]]
"""Given a compartment and what is planned for it now, returns what shall be done; a saved plan refuses here."""

_LOOK_AGAIN = 0.2
"""Seconds after which a compartment that must come first is asked for again, while somebody else has it."""


_FEW = 500
"""Up to so many compartments that are named, only they are looked at in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """How to push; the defaults are those of the settings."""

    connections: int = 4
    limits: Limits = field(default_factory=Limits)
    mode: str | None = None
    strategies: Mapping[str, str] = field(default_factory=dict)
    withdrawal: Policy = "stop"
    attempts: int = 5
    rest: Rest = field(default_factory=Rest)
    lease_seconds: float = SECONDS
    impatient: bool = False
    """Ask the server also while its breaker is open: somebody is waiting at a terminal."""

    def strategies_at(self, capabilities: Capabilities) -> Strategies:
        """Return how to write to a server that says this of itself. Raises ConfigurationError for unknown choices."""
        return Strategies(capabilities=capabilities, limits=self.limits, by_type=self.strategies, mode_wanted=self.mode)


def push(
    store: Store,
    hospital: Hospital,
    study_id: str,
    *,
    run: str,
    options: PushOptions | None = None,
    compartments: Sequence[str] | None = None,
    chosen: Chosen | None = None,
    progress: Progress | None = None,
    note: Note = silent,
    stop: threading.Event | None = None,
) -> PushReport:
    """Bring the server to what it should hold, and report; nothing to do costs no request.

    The study's own resources go first; then subjects, on as many connections, each subject on one of them and under
    its lease, in rank order. ``compartments`` limits it to some subjects ('' names the study's own resources), and
    the report's counts too, unless ``chosen`` picks from a plan. What a server refuses is parked with what refers to
    it, and everything else goes on; failures in a row that concern the server and no subject open its breaker and end
    the push. The first Ctrl-C or SIGTERM (or ``stop``) lets what is under way finish. Raises StoreError and
    ConfigurationError; what the hospital does wrong is in the report.
    """
    with stop_on_signals(stop) as stopped:
        pushing = _Push(store, hospital, study_id, run, options or PushOptions(), stopped, progress, note)
        return pushing.run(compartments, chosen)


class _Push:
    """One push under way; its counts are shared by the threads and changed under ``_lock``."""

    def __init__(
        self,
        store: Store,
        hospital: Hospital,
        study: str,
        run: str,
        options: PushOptions,
        stop: threading.Event,
        progress: Progress | None,
        note: Note,
    ) -> None:
        self._store = store
        self._hospital = hospital
        self._run = run
        self._options = options
        self._signalled = stop
        self._progress = progress
        self._note = note
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._breaker = Breaker(store, hospital.server_id, options.rest)
        self._report = PushReport(server=hospital.server_id, study=study)
        self._chosen: Chosen | None = None
        self._few: Sequence[str] | None = None

    def run(self, compartments: Sequence[str] | None, chosen: Chosen | None) -> PushReport:
        started, before = time.monotonic(), self._hospital.traffic.report()
        report = self._report
        self._few = compartments if chosen is None and compartments is not None and len(compartments) <= _FEW else None
        backlog = self._store.backlog(report.server, report.study, self._options.withdrawal, compartments=self._few)
        self._tally = Tally(report, backlog, self._progress)
        if self._tally.to_do and (strategies := self._contact()) is not None:
            self._chosen = chosen
            with Leases(self._store, seconds=self._options.lease_seconds) as leases:
                self._leases = leases
                look = Look(self._store, self._hospital, strategies)
                new = not self._store.acknowledged_any(report.server, report.study)
                self._caution = Caution(look, strategies, report.study, first_time=new)
                ledger = Ledger(store=self._store, look=look, server=report.server, run=self._run, note=self._note)
                self._applying = Applying(
                    hospital=self._hospital,
                    strategies=strategies,
                    look=look,
                    ledger=ledger,
                    attempts=self._options.attempts,
                    stopping=self._stopping,
                )
                self._send_all(compartments)
        if self._error is not None:
            raise self._error
        self._tally.balance(of_a_plan=chosen is not None)
        self._tally.measure(time.monotonic() - started, self._hospital.traffic.report().since(before))
        return report

    def _contact(self) -> Strategies | None:
        """Make sure that this is a FHIR R4 server that may be asked now, before anything is sent to it."""
        until = None if self._options.impatient else self._breaker.open_until
        if until is not None:
            last = self._store.server_state(self._report.server).last_error
            self._report.stopped = f"the server failed before and is left alone until {until:%H:%M:%S} UTC: {last}"
            return None
        try:
            capabilities = contact.contact(self._store, self._hospital)
            if self._few is None:
                check_writable(capabilities, self._store.counts(self._report.study), self._report.server)
        except HospitalError as error:
            contact.forget(self._store, self._hospital)
            self._failed(error)
            self._report.stopped = str(error)
            return None
        return self._options.strategies_at(capabilities)

    def _send_all(self, compartments: Sequence[str] | None) -> None:
        report, policy = self._report, self._options.withdrawal
        names = self._store.outstanding(report.server, report.study, policy, compartments=self._few)
        wanted = None if compartments is None else set(compartments)
        waiting: Iterator[str] = (name for name in names if wanted is None or name in wanted)
        first = next(waiting, None)
        if first == "":
            while self._work_off(iter([first]), 1) and not self._stopping():
                self._signalled.wait(_LOOK_AGAIN)  # another process writes what all the rest refers to
        elif first is not None:
            waiting = itertools.chain([first], waiting)
        self._missing = self._store.absent_names(report.server, report.study) | self._not_yet_there()
        busy = self._work_off(waiting, self._options.connections)
        again = self._work_off(iter(busy), self._options.connections)
        for name in again:
            self._tally.busy(self._store.deliveries(report.server, report.study, name, policy))

    def _not_yet_there(self) -> set[Name]:
        """Return the study's own resources that are still to be made: sent before them, what refers to them fails."""
        own = self._store.deliveries(self._report.server, self._report.study, "", self._options.withdrawal)
        waiting = (one for one in own if one.acknowledged is None and not one.conflict and not is_given_up(one))
        return {(one.stored.type, one.stored.id) for one in waiting}

    def _work_off(self, names: Iterator[str], threads: int) -> list[str]:
        """Have threads take compartment after compartment; return those that somebody else was writing.

        The threads are daemons, so that a second Ctrl-C need not wait for the network.
        """
        taking, busy = threading.Lock(), list[str]()
        workers = [threading.Thread(target=self._work, args=(names, taking, busy), daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return busy

    def _work(self, names: Iterator[str], taking: threading.Lock, busy: list[str]) -> None:
        try:
            while True:
                with taking:
                    name = None if self._stopping() else next(names, None)
                if name is None:
                    return
                if not self._compartment(name):
                    busy.append(name)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self._error = error

    def _stopping(self) -> bool:
        if self._signalled.is_set():
            self._report.interrupted = True
        if self._leases.lost.is_set() and self._report.stopped is None:
            self._report.stopped = "a lease could not be renewed in time, so another process may write now"
            self._note("lease_lost")
        return self._report.interrupted or self._report.stopped is not None or self._error is not None

    def _compartment(self, name: str) -> bool:
        """Plan and apply one compartment under its lease; False if somebody else holds that."""
        report = self._report
        lease = f"{report.server} {report.study} {name}"
        taken = self._leases.take(lease)
        if taken is None:
            return False
        if taken == "left behind":
            self._note("lease_taken", compartment=name)
        known = False
        try:
            deliveries = self._store.deliveries(report.server, report.study, name, self._options.withdrawal)
            missing = set(self._missing) if name else set[Name]()
            planned = plan_group(deliveries, missing)
            try:
                planned = self._caution.looked(planned, careful=taken == "left behind")
                applied = self._applying.group(self._choose(name, planned), missing)
            except HospitalError as error:  # of looking: nothing was sent
                sent = [one for one in planned if one.change.action in SENT]
                failure = PushFailure.of(error, sent[0].change, resources=len(sent))
                applied = Applied(fates=[(one, "failed") for one in planned], failures=[failure], trouble=error)
            known = applied.trouble is None
        finally:  # where an answer was lost, the server may have done what was asked
            self._leases.give_back(lease) if known else self._leases.leave_behind(lease)
        with self._lock:
            self._watch(applied)
        self._tally.count(applied)
        return True

    def _choose(self, name: str, planned: Sequence[Planned]) -> Sequence[Planned]:
        return planned if self._chosen is None else self._chosen(name, planned)

    def _watch(self, applied: Applied) -> None:
        """Open the breaker once failures that concern the server itself come in a row, and stop then."""
        error = applied.trouble
        if error is None:
            if applied.seconds and self._breaker.worked():
                self._note("breaker_closed")
            return
        self._note(
            "compartment_failed",
            compartment=applied.failures[-1].compartment,
            status=error.status,
            temporary=isinstance(error, TemporaryHospitalError),
        )
        contact.forget(self._store, self._hospital)
        if self._failed(error) and self._report.stopped is None:
            last = applied.failures[-1]
            self._report.stopped = (
                f"gave up after failures in a row that concern the server; the last: {last.message} {last.remedy}"
            )

    def _failed(self, error: HospitalError) -> bool:
        """Note a failure of the server itself, and say whether its breaker is open now."""
        asked = error.retry_after if isinstance(error, TemporaryHospitalError) else None
        opened = self._breaker.failed(str(error), asked_for=asked)
        if opened:
            until = self._breaker.open_until
            self._note("breaker_opened", until=until.isoformat(timespec="seconds") if until else None)
        return opened
