"""The queue: Procrastinate's tables in the store's PostgreSQL database, and the jobs that workers take from it.

What is queued is only who shall look at what: a study and a subject's pseudonymous id. What there is to send is
decided when a job runs, from the store, so a job that is lost or done twice changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from psycopg.conninfo import make_conninfo

from fhirbridge.automation.jobs import (
    JOBS,
    PART,
    Outcome,
    Work,
    attempt,
    outstanding_subjects,
    perform,
    push_study,
)
from fhirbridge.automation.schedule import Planned

PAGE = 1000
"""Subjects in the queue at a time, so that it stays short whatever the size of the study."""

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Names:
    """What tells one installation's jobs from another's in the same database: one per study and hospital."""

    mark: str

    @classmethod
    def of(cls, study: str, server: str | None) -> Names:
        """Return the names for a study and a hospital; its URL is not told, for it may hold a password."""
        return cls(hashlib.sha256(f"{study}\n{server or ''}".encode()).hexdigest()[:12])

    def queue(self, kind: str) -> str:
        """Return the queue of a kind of job; PostgreSQL notifies under names of 63 bytes at most."""
        return f"{kind}-{self.mark}"


def application(work: Work, plan: list[Planned], conninfo: str, *, page: int = PAGE) -> App:
    """Return the application whose workers do this work: one task per kind of job, and one per subject to push."""
    names = Names.of(work.study, work.server)
    named = make_conninfo(conninfo, application_name=f"fhirbridge worker {names.mark}")
    app = App(connector=PsycopgConnector(conninfo=named, min_size=1, max_size=4))
    for job in JOBS:
        if job.kind != "push":
            _task(app, names, job.kind, partial(perform, job, work))
    _pushes(app, names, work, page)
    _ticks(app, names, work, plan)
    return app


async def enqueue(app: App, kind: str) -> bool:
    """Put a job of this kind into the queue and say so; False if one waits there already."""
    return await _defer(app, f"fhirbridge.{kind}")


def _task(app: App, names: Names, kind: str, do: Callable[[], Outcome]) -> None:
    key = names.queue(kind)

    @app.task(name=f"fhirbridge.{kind}", queue=key, lock=key, queueing_lock=key)
    async def task() -> None:
        if (await asyncio.to_thread(do)).result == "interrupted":
            await _defer(app, f"fhirbridge.{kind}")


def _pushes(app: App, names: Names, work: Work, page: int) -> None:
    """Push the study's own resources, then put each subject into the queue that has something to send."""
    queue = names.queue("push")

    @app.task(name="fhirbridge.push", queue=queue, lock=queue, queueing_lock=queue)
    async def push(after: str = "") -> None:
        if not after:
            begun = await asyncio.to_thread(attempt, "push", work, partial(push_study, work))
            if begun.result not in ("done", "needs a person"):
                return  # the next push tries again
        subjects, more = await asyncio.to_thread(outstanding_subjects, work, after=after, most=page)
        for subject in subjects:
            await defer_subject(subject)
        work.note("job_queued", task="push_subject", counts={"subjects": len(subjects)})
        if more:  # once those are under way
            await _defer(app, "fhirbridge.push", {"priority": -1}, after=subjects[-1])

    @app.task(name="fhirbridge.push_subject", queue=queue)
    async def push_subject(compartment: str) -> None:
        outcome = await asyncio.to_thread(attempt, PART, work, partial(work.push, [compartment], command=PART))
        if outcome.result == "interrupted":
            await defer_subject(compartment)

    async def defer_subject(compartment: str) -> None:
        key = f"{queue}/{compartment}"
        await _defer(app, "fhirbridge.push_subject", {"lock": key, "queueing_lock": key}, compartment=compartment)


def _ticks(app: App, names: Names, work: Work, plan: list[Planned]) -> None:
    """Look every minute at what is due. Procrastinate sees to it that one worker does; the schedule is our own."""
    queue = names.queue("schedule")

    @app.periodic(cron="* * * * *", periodic_id=names.mark)
    @app.task(name="fhirbridge.tick", queue=queue, priority=1)
    async def tick(timestamp: int) -> None:
        for one in plan:
            due = one.cron.came(_instant(timestamp - MINUTE), _instant(timestamp))
            if due or await asyncio.to_thread(one.job.wanted, work):
                await _defer(app, f"fhirbridge.{one.job.kind}")


async def _defer(app: App, task: str, configured: dict[str, Any] | None = None, **arguments: str) -> bool:
    try:
        await app.tasks[task].configure(**(configured or {})).defer_async(**arguments)
    except AlreadyEnqueued:
        return False
    return True


def _instant(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
