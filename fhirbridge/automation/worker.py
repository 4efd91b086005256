"""`fhirbridge worker`: takes jobs from the queue, beside any number of others on any machine, until told to stop.

A worker that dies leaves its job in the queue, marked as being done. The others see that its heartbeat has stopped
and put the job back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
from procrastinate import App
from procrastinate.exceptions import ProcrastinateException, UniqueViolation
from procrastinate.jobs import Status

from fhirbridge.automation import queue_tables
from fhirbridge.automation.jobs import JOBS, Work
from fhirbridge.automation.queue import Names, application, enqueue
from fhirbridge.automation.schedule import Planned
from fhirbridge.automation.stopping import TICK
from fhirbridge.errors import StoreError

RESCUERS = 0x66687273
"""The advisory lock that makes workers look for dead ones one at a time."""

SPARE = 2
"""Threads beside those that jobs need."""

RETRY_SECONDS = 5.0
"""How long to wait before the database is tried again."""


def work_until_stopped(work: Work, plan: list[Planned], *, kinds: Sequence[str]) -> None:
    """Do jobs of these kinds, and have those put into the queue that are due, until ``work.stop`` is set.

    Jobs under way are finished first. A database that goes away is waited for. Raises ConfigurationError for a store
    that is not PostgreSQL, StoreError for queue tables that cannot be made or are of another version.
    """
    conninfo = queue_tables.conninfo(work.settings.database)
    queue_tables.prepare(conninfo)
    asyncio.run(_work(work, plan, conninfo, kinds))


async def _work(work: Work, plan: list[Planned], conninfo: str, kinds: Sequence[str]) -> None:
    threads = ThreadPoolExecutor(work.settings.hospital_connections + SPARE)
    asyncio.get_running_loop().set_default_executor(threads)
    work.note("worker_started", study=work.study)
    while not work.stop.is_set():
        app = application(work, plan, conninfo)
        try:
            async with app.open_async():
                await _enqueue_missed(app, work, plan)
                await _serve(app, work, conninfo, kinds)
        except (ProcrastinateException, psycopg.Error, StoreError) as error:
            work.note("job_failed", task="worker", error=error)
        if not work.stop.is_set():  # the connection was lost; what was under way is found by its missing heartbeat
            await asyncio.sleep(RETRY_SECONDS)
    work.note("worker_stopped")


async def _serve(app: App, work: Work, conninfo: str, kinds: Sequence[str]) -> None:
    names = Names.of(work.study, work.server)
    dead_after = work.settings.worker_dead_after
    serving = asyncio.ensure_future(
        app.run_worker_async(
            queues=[names.queue(kind) for kind in ("schedule", *kinds)],
            name=names.mark,
            concurrency=work.settings.hospital_connections,
            delete_jobs="always",  # how a job ended is with its run in the store
            update_heartbeat_interval=dead_after / 4,
            stalled_worker_timeout=dead_after,
            install_signal_handlers=False,
        )
    )
    rescuing = asyncio.ensure_future(_rescue(app, work, names, conninfo, dead_after))
    try:
        while not work.stop.is_set() and not serving.done():
            await asyncio.sleep(TICK)
    finally:
        rescuing.cancel()
        serving.cancel()  # Procrastinate takes that for: finish what is under way, and take nothing more
        with contextlib.suppress(asyncio.CancelledError):
            await rescuing
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def _enqueue_missed(app: App, work: Work, plan: list[Planned]) -> None:
    """Put into the queue what was due while no worker was there."""
    for one in plan:
        if await asyncio.to_thread(one.missed, work.store, work.clock()) and await enqueue(app, one.job.kind):
            work.note("run_missed", command=one.job.kind)


async def _rescue(app: App, work: Work, names: Names, conninfo: str, dead_after: float) -> None:
    """Put back, again and again, the jobs of workers that are gone. No job of its own: all workers may be busy."""
    while True:
        try:
            await rescue(app, work, names, conninfo, dead_after)
        except (ProcrastinateException, psycopg.Error) as error:
            work.note("job_failed", task="rescue", error=error)
        await asyncio.sleep(dead_after / 2)


async def rescue(app: App, work: Work, names: Names, conninfo: str, dead_after: float) -> int:
    """Put back the jobs whose workers have given no sign of life for so many seconds, and return how many.

    One worker at a time does this, so that none puts back what another has put back and a third one has begun.
    """
    manager, found = app.job_manager, 0
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [RESCUERS])
        for kind in ("schedule", *(job.kind for job in JOBS)):
            for job in await manager.get_stalled_jobs(queue=names.queue(kind), seconds_since_heartbeat=dead_after):
                try:
                    await manager.retry_job(job)
                except UniqueViolation:  # the same one waits already, put there since
                    await manager.finish_job(job, Status.FAILED, delete_job=True)
                work.note("job_rescued", task=job.task_name, job=job.id, attempts=job.attempts + 1)
                found += 1
    return found
