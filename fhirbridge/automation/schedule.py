"""`fhirbridge run`: one process that does every job when it is due, by APScheduler; and what is due when, for all.

Nothing about the schedule is kept: the next time follows from the cron expression, the last one from the runs in
the store. So another process can tell both, and what was missed while nothing ran is done at the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from fhirbridge.automation.cron import OFF, Cron
from fhirbridge.automation.jobs import JOBS, Job, Outcome, Work, perform
from fhirbridge.automation.stopping import TICK
from fhirbridge.errors import ConfigurationError, StoreError
from fhirbridge.settings import Settings
from fhirbridge.store import Store
from fhirbridge.sync.leasing import Leases

LOOK = 5.0
"""Seconds between two looks whether something was asked for beside the schedule."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A job and when it is to be done."""

    job: Job
    cron: Cron

    def due(self, store: Store, now: datetime) -> bool:
        """Say whether a time has come since the job's last run began; a run that was killed counts as none."""
        last = store.last_run(self.job.kind)
        return last is None or last.ended is None or self.cron.came(datetime.fromisoformat(last.started), now)

    def missed(self, store: Store, now: datetime) -> bool:
        """Say whether a job that has run before is due: what never ran was never missed."""
        return store.last_run(self.job.kind) is not None and self.due(store, now)


def planned(settings: Settings, zone: tzinfo, *, jobs: Iterable[Job] = JOBS) -> list[Planned]:
    """Return the jobs that are switched on. Raises ConfigurationError for an expression that is none."""
    written = [(job, str(getattr(settings, job.setting)).strip()) for job in jobs]
    return [
        Planned(job, Cron(expression, zone, setting=job.setting))
        for job, expression in written
        if expression.lower() != OFF
    ]


def next_times(settings: Settings, zone: tzinfo, *, now: datetime) -> Mapping[str, datetime | None]:
    """Return when each kind of job is next due, None for what is off. Raises ConfigurationError like ``planned``."""
    on = {one.job.kind: one.cron.next(now) for one in planned(settings, zone)}
    return {job.kind: on.get(job.kind) for job in JOBS}


def checked(plan: list[Planned], settings: Settings) -> list[Planned]:
    """Return the plan if it can be carried out. Raises ConfigurationError naming the setting that is missing."""
    if not plan:
        raise ConfigurationError(f"nothing is scheduled: set {' or '.join(job.setting for job in JOBS)}.")
    for one in plan:
        if getattr(settings, one.job.needs) is None:
            raise ConfigurationError(
                f"setting {one.job.setting!r} asks for {one.job.kind}, which needs {one.job.needs!r}. "
                f"Set that, or {one.job.setting} = {OFF!r}."
            )
    return plan


def run_due(work: Work, plan: list[Planned]) -> list[tuple[Job, Outcome]]:
    """Do what is due, one after the other, and return how it went."""
    done = []
    for one in plan:
        if work.stop.is_set():
            break
        if one.due(work.store, work.clock()) or one.job.wanted(work):
            done.append((one.job, perform_alone(one.job, work)))
    return done


def run_until_stopped(work: Work, plan: list[Planned], *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Do each job when it is due, different kinds side by side, until ``work.stop`` is set and all have finished."""
    scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(len(plan) + 1)}, timezone=work.zone)
    scheduler.add_listener(_skipped(work), EVENT_JOB_MAX_INSTANCES)
    now = work.clock()
    for one in plan:
        first = {"next_run_time": now} if one.missed(work.store, now) else {}
        if first:
            work.note("run_missed", command=one.job.kind)
        scheduler.add_job(
            perform_alone,
            one.cron.trigger,
            args=(one.job, work),
            id=one.job.kind,
            name=one.job.kind,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,  # late is better than not at all: a job does what is outstanding, whenever
            **first,
        )
    scheduler.add_job(_do_wanted, "interval", seconds=LOOK, args=(plan, work), id="wanted", max_instances=1)
    scheduler.start()
    work.note("schedule_started", study=work.study)
    try:
        while not work.stop.is_set():
            sleep(TICK)
    finally:
        scheduler.shutdown(wait=True)
        work.note("schedule_stopped")


def _do_wanted(plan: Iterable[Planned], work: Work) -> None:
    """Do what somebody asked for beside the schedule."""
    for one in plan:
        try:
            wanted = one.job.wanted(work)
        except StoreError as error:
            work.note("job_failed", task=one.job.kind, error=error)
            return
        if wanted and not work.stop.is_set():
            perform_alone(one.job, work)


def perform_alone(job: Job, work: Work) -> Outcome:
    """Do a job unless another process that shares the store is doing one of this kind."""
    try:
        with Leases(work.store) as leases:
            if leases.take(f"job:{job.kind}:{work.study}"):
                return perform(job, work)
    except StoreError as error:
        work.note("job_failed", task=job.kind, error=error)
        return Outcome(result="failed", exit_code=error.exit_code)
    work.note("run_skipped", command=job.kind)
    return Outcome(result="skipped")


def _skipped(work: Work) -> Callable[[JobEvent], None]:
    kinds = {job.kind for job in JOBS}
    return lambda event: work.note("run_skipped", command=event.job_id) if event.job_id in kinds else None
