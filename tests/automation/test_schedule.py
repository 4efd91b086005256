"""When something is due, and that what is due is done: once, in order, whatever else fails."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from fhirbridge import settings
from fhirbridge.automation import schedule
from fhirbridge.automation.cron import Cron
from fhirbridge.automation.jobs import JOBS, Job, Outcome, Work
from fhirbridge.automation.schedule import Planned, checked, next_times, planned, run_due, run_until_stopped
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import ConfigurationError, StoreError
from fhirbridge.identity import new_key
from fhirbridge.store import Store
from fhirbridge.store.requests import request
from fhirbridge.study import load
from fhirbridge.sync.leasing import Leases
from tests.automation.working import NOW, SERVER, work_on

STUDY = Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml"
BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.open(database, clock=lambda: NOW) as opened:
        yield opened


def environment(**given: str) -> dict[str, str]:
    """The environment of a command with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}
    return {**kept, "NO_COLOR": "1", **{f"FHIRBRIDGE_{name}": value for name, value in given.items()}}


def hourly(kind: str, work: object, *, cron: str = "0 * * * *") -> Planned:
    job = Job(kind=kind, does="what the test says", needs="hospital", work=work)  # type: ignore[arg-type]
    return Planned(job, Cron(cron, dt.UTC, setting=job.setting))


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("*/5 * * * *", "2026-06-01 12:01", "2026-06-01 12:05"),
        ("*/5 * * * *", "2026-06-01 12:05", "2026-06-01 12:10"),
        ("30 3 * * *", "2026-06-01 12:00", "2026-06-02 03:30"),
        ("0 6 * * 0", "2026-06-01 12:00", "2026-06-07 06:00"),  # Sunday, as in cron, not Monday
        ("0 6 * * 7", "2026-06-01 12:00", "2026-06-07 06:00"),
        ("0 6 * * 1-5", "2026-06-05 12:00", "2026-06-08 06:00"),
        ("0 6 * * mon-fri", "2026-06-05 12:00", "2026-06-08 06:00"),
        ("0 6 * * sat-sun", "2026-06-05 12:00", "2026-06-06 06:00"),
        ("0 6 * * 5-7/2", "2026-06-05 12:00", "2026-06-07 06:00"),
        ("0 6 * * */3", "2026-06-01 12:00", "2026-06-03 06:00"),  # 0, 3, 6: Sunday, Wednesday, Saturday
        ("0 6 13 * 5", "2026-06-06 12:00", "2026-06-12 06:00"),  # the 13th or any Friday, as cron has it
        ("0 6 13 * 5", "2026-06-12 12:00", "2026-06-13 06:00"),
        ("0 0 1 jan *", "2026-06-01 12:00", "2027-01-01 00:00"),
        ("30 3 * * *", "2026-03-28 12:00", "2026-03-29 03:30"),  # the night in which clocks go forward
    ],
)
def test_a_cron_expression_means_what_it_means_to_cron(expression: str, after: str, expected: str) -> None:
    found = Cron(expression, BERLIN, setting="schedule_push").next(
        dt.datetime.fromisoformat(after).replace(tzinfo=BERLIN)
    )
    assert f"{found:%Y-%m-%d %H:%M}" == expected


@pytest.mark.parametrize(
    "expression", ["", "hourly", "* * * *", "* * * * * *", "60 * * * *", "* * * * 8", "* * * * mon-fr", "*/0 * * * *"]
)
def test_what_is_no_cron_expression_is_refused_naming_its_setting(expression: str) -> None:
    chosen = settings.read(schedule_reconcile=expression)
    with pytest.raises(ConfigurationError, match=r"'schedule_reconcile'.*five fields"):
        planned(chosen, SHANGHAI)


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'schedule_push'.*never comes"):
        Cron("0 0 31 2 *", SHANGHAI, setting="schedule_push")


def test_times_are_those_of_the_studys_time_zone_and_follow_from_the_settings_alone() -> None:
    chosen = settings.read(schedule_push="30 3 * * *", schedule_reconcile=" Off ")
    times = next_times(chosen, SHANGHAI, now=dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC))
    at = dt.datetime(2026, 6, 1, 19, 30, tzinfo=dt.UTC)
    assert times == {"ingest": None, "pull": None, "push": at, "reconcile": None, "release": None}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "'schedule_push'.*'hospital'"),
        ({"hospital": "http://h.test", "schedule_ingest": "* * * * *"}, "'schedule_ingest'.*'inbox'"),
        ({"schedule_push": "off", "schedule_reconcile": "off"}, "nothing is scheduled"),
    ],
)
def test_a_schedule_that_cannot_be_carried_out_is_refused(given: dict[str, str], named: str) -> None:
    chosen = settings.read(**given)
    with pytest.raises(ConfigurationError, match=named):
        checked(planned(chosen, SHANGHAI), chosen)


def test_every_kind_of_job_has_a_setting_that_says_when() -> None:
    assert {job.setting for job in JOBS} == {name for name in settings.Settings.model_fields if "schedule_" in name}


def test_what_never_ran_is_due_and_what_ran_is_not_until_its_next_time(store: Store) -> None:
    ran: list[str] = []

    def count(work: Work) -> Outcome:
        ran.append("push")
        with work.run("push") as run:
            run.end("done", {})
        return Outcome()

    def at(now: dt.datetime) -> None:
        with Store.open(str(store._engine.url), clock=lambda: now) as later:
            run_due(work_on(later, clock=lambda: now), [hourly("push", count)])

    for minutes in (0, 1, 29, 30, 31):  # NOW is half a minute past noon
        at(NOW + dt.timedelta(minutes=2 * minutes))
    assert len(ran) == 2  # at the start, and after the full hour


def test_a_pull_that_the_hospital_asked_for_is_done_at_once_and_once(store: Store, database: str) -> None:
    [job] = [one for one in JOBS if one.kind == "pull"]
    pulled: list[str] = []

    def pull() -> Outcome:
        with work.run("pull") as run:
            run.end("done", {})
        pulled.append(run.id)
        return Outcome()

    clock = [NOW]
    work = work_on(store, clock=lambda: clock[0], pull=pull)
    plan = [Planned(job, Cron("0 0 1 1 *", dt.UTC, setting=job.setting))]
    assert [one.kind for one, _ in run_due(work, plan)] == ["pull"]  # never done before
    assert run_due(work, plan) == []
    request(store, "trial", SERVER, NOW, settle=dt.timedelta(seconds=10))
    assert run_due(work, plan) == []
    clock[0] = NOW + dt.timedelta(seconds=11)
    with Store.open(database, clock=lambda: clock[0]) as later:
        work = work_on(later, clock=lambda: clock[0], pull=pull)
        assert [one.kind for one, _ in run_due(work, plan)] == ["pull"]
        assert run_due(work, plan) == []
    assert len(pulled) == 2


def test_the_service_does_what_was_asked_for_beside_the_schedule(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "LOOK", 0.1)
    stop, wanted = threading.Event(), threading.Event()

    def work(_: Work) -> Outcome:
        wanted.clear()
        stop.set()
        return Outcome()

    job = Job(kind="pull", does="what the test says", needs="hospital", work=work, wanted=lambda _: wanted.is_set())
    store.finish_run(store.start_run("pull"), "done", {})
    wanted.set()
    run_until_stopped(work_on(store, stop=stop), [Planned(job, Cron("0 0 1 1 *", dt.UTC, setting=job.setting))])
    assert not wanted.is_set()


def test_a_run_that_was_killed_is_due_again(store: Store) -> None:
    store.start_run("push")
    assert hourly("push", Outcome).due(store, NOW)


def test_a_job_that_raises_is_noted_as_a_failed_run_and_the_others_are_done(store: Store) -> None:
    told: list[str] = []

    def broken(work: Work) -> Outcome:
        raise ZeroDivisionError("Zhang San, born 1961")

    work = work_on(store, note=lambda event, **facts: told.append(f"{event} {facts.get('task')}"))
    done = run_due(work, [hourly("push", broken), hourly("reconcile", lambda _: Outcome())])
    assert [(job.kind, outcome.result) for job, outcome in done] == [("push", "failed"), ("reconcile", "done")]
    assert [outcome.exit_code for _, outcome in done] == [70, 0]
    last = store.last_run("push")
    assert last is not None
    assert (last.outcome, last.counts) == ("failed", {"error": "ZeroDivisionError"})
    assert "job_failed push" in told


def test_a_job_that_noted_its_own_failure_is_noted_once(store: Store) -> None:
    def broken(work: Work) -> Outcome:
        with work.run("push"):
            raise StoreError("the disk is full.")

    [(_, outcome)] = run_due(work_on(store), [hourly("push", broken)])
    assert (outcome.result, outcome.exit_code) == ("failed", 2)
    assert [run.outcome for run in store.runs("push")] == ["failed"]


def test_a_job_that_another_process_is_doing_is_left_to_it(store: Store) -> None:
    with Leases(store) as other:
        assert other.take("job:push:trial")
        [(_, outcome)] = run_due(work_on(store), [hourly("push", lambda _: pytest.fail("done twice at a time"))])
    assert outcome.result == "skipped"
    [(_, outcome)] = run_due(work_on(store), [hourly("push", lambda _: Outcome())])
    assert outcome.result == "done"


def every(seconds: float, kind: str, work: object) -> Planned:
    one = hourly(kind, work)
    one.cron.trigger = IntervalTrigger(seconds=seconds, timezone=dt.UTC)
    return one


def test_the_service_goes_on_after_a_failure_and_never_does_one_kind_twice_at_a_time(store: Store) -> None:
    stop = threading.Event()
    under_way, most, ran = 0, 0, 0

    def job(work: Work) -> Outcome:
        nonlocal under_way, most, ran
        under_way, ran = under_way + 1, ran + 1
        most = max(most, under_way)
        time.sleep(0.05)  # longer than until it is due again
        under_way -= 1
        if ran == 3:
            stop.set()
        raise RuntimeError

    run_until_stopped(work_on(store, stop=stop), [every(0.02, "push", job)])
    assert (ran >= 3, most, under_way) == (True, 1, 0)
    assert {run.outcome for run in store.runs("push", limit=100)} == {"failed"}


def test_what_was_missed_while_nothing_ran_is_done_at_the_start_and_finished_before_the_end(store: Store) -> None:
    with Store.open(str(store._engine.url), clock=lambda: NOW - dt.timedelta(hours=3)) as earlier:
        earlier.finish_run(earlier.start_run("push"), "done", {})
    stop, finished = threading.Event(), threading.Event()

    def job(work: Work) -> Outcome:
        stop.set()
        time.sleep(0.1)
        finished.set()
        return Outcome()

    never = hourly("reconcile", lambda _: pytest.fail("never ran, so it was not missed"), cron="0 0 29 2 *")
    run_until_stopped(work_on(store, stop=stop), [hourly("push", job, cron="0 * * * *"), never])
    assert finished.is_set()


def test_what_is_due_is_done_once_in_order_from_the_inbox_to_the_hospital(tmp_path: Path, hospital: str) -> None:
    new_key(tmp_path / "fhirbridge.key")
    write_cohort(load(STUDY), tmp_path / "inbox" / "delivery", subjects=2)

    def run_once() -> dict[str, Any]:
        given = {"HOSPITAL": hospital, "INBOX": "inbox", "INBOX_QUIET": "0", "SCHEDULE_INGEST": "0 0 29 2 *"}
        nightly = {"SCHEDULE_PUSH": "0 0 29 2 *", "SCHEDULE_RECONCILE": "0 0 29 2 *"}
        command = [sys.executable, "-m", "fhirbridge", "run", "--once", "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(**given, **nightly), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    first = run_once()
    assert [(kind, one["result"]) for kind, one in first.items()] == [
        ("ingest", "done"),
        ("push", "done"),
        ("reconcile", "done"),
    ]
    assert first["ingest"]["counts"] == {"done": 1, "refused": 0}
    assert first["push"]["counts"]["sent"] == first["push"]["counts"]["desired"] > 0
    assert run_once() == {}  # until the next 29th of February


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_service_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    new_key(tmp_path / "fhirbridge.key")
    service = subprocess.Popen(
        [sys.executable, "-m", "fhirbridge", "run"],
        cwd=tmp_path,
        env=environment(HOSPITAL="http://127.0.0.1:9/fhir"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert service.stderr is not None
    said = next(line for line in service.stderr if "schedule_started" in line)
    service.send_signal(number)
    _, rest = service.communicate(timeout=60)
    assert (service.returncode, "schedule_stopped" in rest) == (0, True), said + rest
