"""Reconcile: what a hospital's server holds of the study is held against what it acknowledged, and drift is repaired.

Usually versions are asked for alone, and a resource is read whole only where its version moved; a ``full``
reconciliation reads everything and trusts no version. Memory stays flat: pages are compared as they come, and of each
resource only a bit is kept, whether it was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from fhirbridge.hospital import Hospital
from fhirbridge.store import Policy, Store
from fhirbridge.sync.naming import references
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.reconcile_report import Discrepancy, ReconcileReport, TypeCounts
from fhirbridge.sync.reconcile_type import Reconciling

__all__ = ["Discrepancy", "ReconcileReport", "reconcile"]

Progress = Callable[[int, int], None]
"""Called with the resources that have a verdict and those there are."""


def reconcile(
    store: Store,
    hospital: Hospital,
    study_id: str,
    *,
    run: str,
    policy: Policy = "stop",
    full: bool = False,
    since: str | None = None,
    repair: bool = False,
    page_size: int = 1000,
    progress: Progress | None = None,
    note: Note = silent,
) -> ReconcileReport:
    """Compare what a server holds of a study with what it acknowledged, both ways, and report.

    ``since`` (an instant) looks only at what the server wrote from then on, so nothing can be missed in it. What
    drifted becomes a conflict for a person to settle. With ``repair`` what is missing is made again by the next push,
    what should be gone is deleted by it, and duplicates of ours are deleted now. Raises HospitalError if the server
    cannot be reached; a type that it refuses to be searched for is reported as unread, and the others go on.
    """
    started, before = time.monotonic(), hospital.traffic.report()
    stored = store.counts(study_id)
    report = ReconcileReport(server=hospital.server_id, study=study_id, since=since)
    work = Reconciling(
        store=store,
        hospital=hospital,
        study=study_id,
        run=run,
        policy=policy,
        full=full,
        since=since,
        repair=repair,
        page_size=page_size,
        note=note,
        step=_steps(progress, sum(stored.values())),
        report=report,
    )
    for kind, count in stored.items():
        work.of_type(kind, report.by_type.setdefault(kind, TypeCounts(stored=count)))
    _orphans(work)
    traffic = hospital.traffic.report().since(before)
    report.requests, report.bytes_received = traffic.requests, traffic.bytes_received
    report.seconds = time.monotonic() - started
    if not report.in_step:
        note("drift_found", counts=asdict(report.total))
    if report.repaired:
        note("drift_repaired", counts=report.repaired)
    return report


def _steps(progress: Progress | None, of: int) -> Callable[[int], None]:
    judged = 0

    def step(more: int) -> None:
        nonlocal judged
        judged += more
        if progress is not None:
            progress(judged, of)

    return step


def _orphans(work: Reconciling) -> None:
    """Find what the server holds that refers to something missing there."""
    report = work.report
    lost = set().union(*work.missing.values())
    for compartment in work.missing:
        for one in work.store.deliveries(report.server, work.study, compartment, work.policy, every=True):
            name = one.stored.type, one.stored.id
            held = one.acknowledged is not None and one.acknowledged.sent is not None and name not in lost
            if held and not lost.isdisjoint(references(one.stored.content())):
                report.by_type[one.stored.type].orphan += 1
                report.add(Discrepancy("orphan", *name))
