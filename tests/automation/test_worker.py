"""Workers: any number of them share the work, do each thing once, and finish what a dead one began."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from procrastinate import App
from procrastinate.periodic import PeriodicDeferrer

from fhirbridge import settings
from fhirbridge.automation import queue_tables
from fhirbridge.automation.cron import Cron
from fhirbridge.automation.jobs import JOBS, Outcome, Work
from fhirbridge.automation.queue import Names, application, enqueue
from fhirbridge.automation.schedule import Planned
from fhirbridge.automation.worker import rescue
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import Resource, StoreError
from fhirbridge.identity import new_key
from fhirbridge.store import Store
from fhirbridge.store.requests import request
from tests.automation.gate import gate_before
from tests.automation.working import NOW, SERVER, Hospital, work_on
from tests.databases import postgresql_schema as postgresql_schema
from tests.databases import postgresql_server as postgresql_server
from tests.store.making import Make

Put = Callable[[list[tuple[int, Resource]]], None]

MINUTELY = Planned(next(job for job in JOBS if job.kind == "push"), Cron("* * * * *", dt.UTC, setting="schedule_push"))
MARK = Names.of("trial", SERVER).mark
PATIENT = b'"resourceType":"Patient"'


@pytest.fixture
def database(postgresql_schema: str) -> str:
    return postgresql_schema


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.open(database, clock=lambda: NOW) as opened:
        queue_tables.prepare(queue_tables.conninfo(database))
        yield opened


@pytest.fixture
def cohort(store: Store) -> Store:
    """A store with a study of five subjects."""
    with store.transaction() as transaction:
        transaction.put(Make().cohort(5), run="run-1")
    return store


def queued(database: str, task: str = "%") -> list[Any]:
    with psycopg.connect(queue_tables.conninfo(database)) as connection:
        query = "SELECT task_name, args, status::text FROM procrastinate_jobs WHERE task_name LIKE %s ORDER BY id"
        return [row[1] for row in connection.execute(query, [f"fhirbridge.{task}"])]


def drain(app: App) -> None:
    """Enqueue a push and work until nothing is left in the queue, as one worker; the clock has no part in it."""
    app.periodic_registry.periodic_tasks.clear()

    async def working() -> None:
        async with app.open_async():
            await enqueue(app, "push")
            await app.run_worker_async(queues=[f"push-{MARK}"], wait=False, listen_notify=False, delete_jobs="always")

    asyncio.run(working())


@pytest.mark.postgresql
def test_every_subject_is_pushed_once_after_the_study_however_short_the_queue(cohort: Store, database: str) -> None:
    hospital = Hospital(cohort)
    work = work_on(cohort, push=hospital.push)
    drain(application(work, [], queue_tables.conninfo(database), page=2))
    assert hospital.sent == ["", *(f"trial-p{number:03d}" for number in range(5))]
    assert queued(database) == []
    assert [(run.command, run.outcome) for run in cohort.runs("push")] == [("push", "done")]


@pytest.mark.postgresql
def test_no_subject_is_queued_while_the_study_is_not_acknowledged(cohort: Store, database: str) -> None:
    hospital = Hospital(cohort, away=True)
    app = application(work_on(cohort, push=hospital.push), [], queue_tables.conninfo(database))
    drain(app)
    assert hospital.sent == []
    assert [run.outcome for run in cohort.runs("push")] == ["incomplete"]
    hospital.away = False
    drain(application(work_on(cohort, push=hospital.push), [], queue_tables.conninfo(database)))
    assert len(hospital.sent) == 6


@pytest.mark.postgresql
def test_what_is_queued_names_a_pseudonymous_subject_and_nothing_else(cohort: Store, database: str) -> None:
    seen: list[Any] = []
    hospital = Hospital(cohort)

    def push(compartments: Any = None, *, command: str = "push") -> Any:
        seen.extend(queued(database))
        return hospital.push(compartments, command=command)

    drain(application(work_on(cohort, push=push), [], queue_tables.conninfo(database)))
    assert {frozenset(arguments) for arguments in seen} == {frozenset(), frozenset({"compartment"})}


@pytest.mark.postgresql
def test_installations_that_share_a_database_do_not_take_each_others_jobs(cohort: Store, database: str) -> None:
    ours, theirs = Hospital(cohort), Hospital(cohort)
    info = queue_tables.conninfo(database)

    async def theirs_is_queued() -> None:
        async with application(
            work_on(cohort, server="http://other.test", push=theirs.push), [], info
        ).open_async() as app:
            await enqueue(app, "push")

    asyncio.run(theirs_is_queued())
    drain(application(work_on(cohort, push=ours.push), [], info))
    assert (len(ours.sent), theirs.sent) == (6, [])
    assert len(queued(database, "push")) == 1


def deferrer(work: Work, database: str) -> tuple[App, PeriodicDeferrer]:
    app = application(work, [MINUTELY], queue_tables.conninfo(database))
    return app, PeriodicDeferrer(app.periodic_registry)


@pytest.mark.postgresql
def test_two_workers_look_at_the_schedule_once_a_minute_between_them(cohort: Store, database: str) -> None:
    async def both(minutes: int) -> None:
        work = work_on(cohort)
        apps = [deferrer(work, database) for _ in range(2)]
        for app, _ in apps:
            await app.open_async()
        for minute in range(minutes):
            at = (NOW + dt.timedelta(minutes=minute)).timestamp()
            await asyncio.gather(*(one.defer_jobs(one.get_previous_tasks(at=at)) for _, one in apps))
        for app, _ in apps:
            await app.close_async()

    asyncio.run(both(3))
    noon = int(NOW.replace(second=0).timestamp())
    assert queued(database, "tick") == [{"timestamp": noon + minute * 60} for minute in range(3)]


@pytest.mark.postgresql
def test_a_look_at_the_schedule_queues_what_fell_due_in_its_minute_and_nothing_else(
    cohort: Store, database: str
) -> None:
    work = work_on(cohort)
    due = {"push": "0 12 * * *", "reconcile": "1 12 * * *"}
    at_noon = [Planned(job, Cron(due[job.kind], dt.UTC, setting=job.setting)) for job in JOBS if job.kind in due]
    app = application(work, at_noon, queue_tables.conninfo(database))

    async def tick() -> None:
        async with app.open_async():
            await app.tasks["fhirbridge.tick"].defer_async(timestamp=int(NOW.replace(second=0).timestamp()))
            await app.run_worker_async(
                queues=[f"schedule-{MARK}"], wait=False, listen_notify=False, delete_jobs="always"
            )

    app.periodic_registry.periodic_tasks.clear()  # the worker's own clock has no part in this
    asyncio.run(tick())
    assert (len(queued(database, "push")), len(queued(database, "reconcile"))) == (1, 0)


@pytest.mark.postgresql
def test_a_pull_that_the_hospital_asked_for_is_queued_at_the_next_look_and_done(cohort: Store, database: str) -> None:
    [job] = [one for one in JOBS if one.kind == "pull"]
    done: list[str] = []

    def pull() -> Outcome:
        done.append("pull")
        return Outcome()

    work = work_on(cohort, pull=pull)
    app = application(
        work, [Planned(job, Cron("0 0 1 1 *", dt.UTC, setting=job.setting))], queue_tables.conninfo(database)
    )
    request(cohort, "trial", SERVER, NOW - dt.timedelta(minutes=1), settle=dt.timedelta(seconds=10))

    async def look(queue: str) -> None:
        async with app.open_async():
            await app.tasks["fhirbridge.tick"].defer_async(timestamp=int(NOW.replace(second=0).timestamp()))
            for name in ("schedule", queue):
                await app.run_worker_async(
                    queues=[f"{name}-{MARK}"], wait=False, listen_notify=False, delete_jobs="always"
                )

    app.periodic_registry.periodic_tasks.clear()  # the worker's own clock has no part in this
    asyncio.run(look("pull"))
    assert done == ["pull"]


@pytest.mark.postgresql
def test_the_job_of_a_dead_worker_is_put_back_unless_the_same_waits_already(cohort: Store, database: str) -> None:
    info, work = queue_tables.conninfo(database), work_on(cohort)

    async def rescued(app: App, again: bool) -> int:
        async with app.open_async():
            manager = app.job_manager
            await enqueue(app, "push")
            dead = await manager.register_worker()
            assert await manager.fetch_job(queues=[f"push-{MARK}"], worker_id=dead) is not None
            assert await rescue(app, work, Names.of("trial", SERVER), info, 60) == 0  # it lives
            if again:
                await enqueue(app, "push")
            await manager.unregister_worker(dead)
            return await rescue(app, work, Names.of("trial", SERVER), info, 60)

    for again in (False, True):
        hospital = Hospital(cohort)
        app = application(work_on(cohort, push=hospital.push), [], info)
        assert asyncio.run(rescued(app, again)) == 1
        with psycopg.connect(info) as connection:
            assert connection.execute("SELECT status::text FROM procrastinate_jobs").fetchall() == [("todo",)]
            connection.execute("DELETE FROM procrastinate_jobs")


@pytest.mark.postgresql
def test_workers_that_start_at_once_on_an_empty_database_all_find_the_tables(database: str) -> None:
    errors: list[StoreError] = []

    def prepare() -> None:
        try:
            queue_tables.prepare(queue_tables.conninfo(database))
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert queued(database) == []


@pytest.mark.postgresql
def test_tables_of_an_older_procrastinate_are_refused_until_setup_has_brought_them_up_to_date(database: str) -> None:
    info = queue_tables.conninfo(database)
    queue_tables.prepare(info)
    with psycopg.connect(info) as connection:  # as the migration before the last two left them
        connection.execute("ALTER TYPE procrastinate_job_event_type RENAME VALUE 'retried' TO 'unknown'")
        connection.execute("DROP FUNCTION procrastinate_retry_job_v2")
        before = "queue of fhirbridge, as of 03.03.00_01_pre_priority_lock_fetch_job.sql"
        connection.execute(f"COMMENT ON TABLE procrastinate_jobs IS '{before}'")
    with pytest.raises(StoreError, match="worker --setup"):
        queue_tables.prepare(info)
    assert queue_tables.upgrade(info)[0] == "03.04.00_01_pre_add_retry_failed_job_procedure.sql"
    queue_tables.prepare(info)
    assert queue_tables.upgrade(info) == []


def test_with_sqlite_a_worker_says_what_to_use_instead(tmp_path: Path) -> None:
    new_key(tmp_path / "fhirbridge.key")
    with _worker(tmp_path, {"FHIRBRIDGE_HOSPITAL": SERVER}) as one:
        _, said = one.communicate(timeout=60)
    assert one.returncode == 2
    assert "fhirbridge run" in said
    assert "PostgreSQL" in said


@contextmanager
def _worker(folder: Path, environment: dict[str, str], name: str = "worker") -> Iterator[subprocess.Popen[str]]:
    """Run a worker as its user does; it is not left behind."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FHIRBRIDGE_")}
    with subprocess.Popen(
        [sys.executable, "-m", "fhirbridge", "worker"],
        cwd=folder,
        env={**kept, "NO_COLOR": "1", "FHIRBRIDGE_LOG_FILE": str(folder / f"{name}.log"), **environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def loaded(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Workplace]]:
    """A cohort in the store; gives the workplace for a hospital."""
    monkeypatch.chdir(tmp_path)
    new_key(tmp_path / "fhirbridge.key")
    opened = [Workplace(settings.read(database=database))]
    write_cohort(opened[0].study, tmp_path / "cohort", subjects=6)
    load_records(opened[0], tmp_path / "cohort", today=dt.date(2026, 6, 1), quiet=True)

    def at(hospital: str) -> Workplace:
        opened.append(Workplace(settings.read(database=database, hospital=hospital)))
        return opened[-1]

    yield at
    for place in opened:
        place.close()


def environment(place: Workplace) -> dict[str, str]:
    return {
        "FHIRBRIDGE_DATABASE": place.settings.database,
        "FHIRBRIDGE_HOSPITAL": str(place.settings.hospital),
        "FHIRBRIDGE_SCHEDULE_PUSH": "* * * * *",
        "FHIRBRIDGE_SCHEDULE_RECONCILE": "off",
        "FHIRBRIDGE_WORKER_DEAD_AFTER": "2",
    }


def wait_until(reached: Callable[[], bool], workers: list[subprocess.Popen[str]]) -> None:
    for _ in range(1200):
        if reached():
            return
        assert all(worker.poll() is None for worker in workers), [worker.communicate()[1] for worker in workers]
        time.sleep(0.1)
    pytest.fail("the workers did not get there")


def versions(place: Workplace, hospital: str) -> list[str]:
    """The version that the hospital gave each resource: 1 unless it was sent more than once."""
    found = []
    for one in place.store.iterate(place.study.id):
        answer = requests.get(f"{hospital}/{one.type}/{one.id}", timeout=10)
        found.append(answer.json()["meta"]["versionId"])
    return found


@pytest.mark.postgresql
def test_two_workers_push_every_subject_once_and_end_in_good_order(
    loaded: Callable[[str], Workplace], hospital: str, tmp_path: Path
) -> None:
    place = loaded(hospital)
    with _worker(tmp_path, environment(place), "one") as one, _worker(tmp_path, environment(place), "two") as two:
        wait_until(lambda: place.store.backlog(place.server or "", place.study.id).pending == 0, [one, two])
        for worker in (one, two):
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(60) for worker in (one, two)] == [0, 0]
    assert set(versions(place, hospital)) == {"1"}
    logs = [(tmp_path / f"{name}.log").read_text() for name in ("one", "two")]
    assert all("worker_started" in log and "worker_stopped" in log for log in logs)
    assert sum(log.count("job_taken") for log in logs) >= 7


@pytest.mark.postgresql
def test_a_worker_killed_in_the_middle_of_a_job_leaves_it_to_another(
    loaded: Callable[[str], Workplace], hospital: str, tmp_path: Path
) -> None:
    with gate_before(hospital) as (through, gate):
        place = loaded(through)
        gate.holds = lambda body: PATIENT in body
        with _worker(tmp_path, environment(place), "first") as first:
            wait_until(gate.held.is_set, [first])
            first.kill()
            first.wait()
        assert place.store.backlog(place.server or "", place.study.id).pending > 0
        gate.drop()
        with _worker(tmp_path, environment(place), "second") as second:
            wait_until(lambda: place.store.backlog(place.server or "", place.study.id).pending == 0, [second])
            second.send_signal(signal.SIGTERM)
            assert second.wait(60) == 0
    assert "job_rescued" in (tmp_path / "second.log").read_text()
    assert set(versions(place, hospital)) == {"1"}


@pytest.mark.postgresql
def test_a_worker_whose_connections_to_the_database_were_cut_goes_on(
    loaded: Callable[[str], Workplace], hospital: str, tmp_path: Path, database: str
) -> None:
    place, info = loaded(hospital), queue_tables.conninfo(database)
    server, study = place.server or "", place.study.id

    def all_is_there() -> bool:
        return place.store.backlog(server, study).pending == 0

    async def push_again() -> None:
        work = work_on(place.store, study=study, server=server)
        async with application(work, [], info).open_async() as app:
            await enqueue(app, "push")

    with _worker(tmp_path, environment(place)) as worker:
        wait_until(all_is_there, [worker])
        with psycopg.connect(info) as connection:
            named = f"fhirbridge worker {Names.of(study, server).mark}"
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            assert connection.execute(query, [named]).fetchall()
        place.store.forget(server, [one.stored.key for one in place.store.deliveries(server, study, "", every=True)])
        assert not all_is_there()
        asyncio.run(push_again())
        wait_until(all_is_there, [worker])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
