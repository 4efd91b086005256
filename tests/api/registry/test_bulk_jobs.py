"""Exports outlive processes: who may work on one, how many there may be, and when they are gone."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from werkzeug.exceptions import TooManyRequests

from fhirbridge.api.registry.bulk_jobs import MOST_KEPT, Asked, Job, Jobs

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Clock:
    at = START

    def now(self) -> dt.datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(tmp_path: Path, clock: Clock) -> Jobs:
    return Jobs(tmp_path / "released", clock.now, running=2, seconds=3600, fsync=False)


def begun(jobs: Jobs, client: str = "c1") -> Job:
    asked = Asked(level="system", types=("Patient", "Observation"))
    return jobs.create(
        client=client,
        agreement="A1",
        rules="r",
        request="https://x/fhir/$export",
        asked=asked,
        at=7,
        transaction_time="2026-03-01T12:00:00.000Z",
    )


def test_an_export_is_known_to_every_process_that_shares_the_folder(jobs: Jobs, tmp_path: Path, clock: Clock) -> None:
    job = begun(jobs)
    other = Jobs(tmp_path / "released", clock.now, running=2, seconds=3600)
    assert other.get(job.id) == job
    assert other.all() == [job]


def test_an_export_is_for_one_worker_at_a_time(jobs: Jobs) -> None:
    job = begun(jobs)
    with jobs.lease(job) as first:
        assert first == job
        with jobs.lease(job) as second:
            assert second is None
    with jobs.lease(job) as third:
        assert third == job


def test_the_export_of_a_worker_that_is_killed_is_free_at_once(jobs: Jobs, tmp_path: Path) -> None:
    job = begun(jobs)
    holder = f"""
import datetime as dt, pathlib, sys
from fhirbridge.api.registry.bulk_jobs import Jobs
start = dt.datetime.fromisoformat({START.isoformat()!r})
jobs = Jobs(pathlib.Path({str(tmp_path / "released")!r}), lambda: start, running=2, seconds=3600)
with jobs.lease(jobs.get({job.id!r})) as held:
    print("held" if held else "not held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "held\n"
        with jobs.lease(job) as mine:
            assert mine is None
        worker.kill()
    with jobs.lease(job) as mine:
        assert mine == job


def test_a_worker_gets_an_export_as_the_one_before_left_it(jobs: Jobs) -> None:
    job = begun(jobs)
    half = msgspec.structs.replace(job, types_done=("Patient",))
    jobs.save(half)
    with jobs.lease(job) as found:
        assert found == half
    jobs.save(jobs.ended(half, "done"))
    with jobs.lease(job) as found:
        assert found is None


def test_a_client_has_only_so_many_exports_under_way_and_another_has_its_own(jobs: Jobs) -> None:
    first = begun(jobs)
    begun(jobs)
    with pytest.raises(TooManyRequests) as raised:
        begun(jobs)
    assert int(dict(raised.value.get_headers())["Retry-After"]) > 0
    begun(jobs, "c2")
    jobs.save(jobs.ended(first, "done"))
    begun(jobs)


def test_a_client_that_never_fetches_cannot_fill_the_disk(jobs: Jobs) -> None:
    for _ in range(MOST_KEPT):
        last = begun(jobs)
        jobs.save(jobs.ended(last, "done"))
    with pytest.raises(TooManyRequests, match="Delete"):
        begun(jobs)
    jobs.delete(last)
    begun(jobs)


def test_a_deleted_export_is_gone_with_its_files_even_while_somebody_works_on_it(jobs: Jobs) -> None:
    job = begun(jobs)
    with jobs.lease(job):
        (jobs.folder(job) / "Patient.1.ndjson").write_bytes(b"{}\n")
        jobs.delete(job)
        assert jobs.get(job.id) is None
        assert not jobs.exists(job)
        with pytest.raises(FileNotFoundError):
            jobs.save(job)
    assert not jobs.folder(job).exists()
    jobs.delete(job)  # once more does no harm


def test_an_export_expires_so_long_after_its_end(jobs: Jobs, clock: Clock) -> None:
    job = begun(jobs)
    clock.at += dt.timedelta(minutes=50)
    jobs.save(jobs.ended(job, "done"))
    clock.at += dt.timedelta(minutes=59)
    assert jobs.get(job.id) is not None
    clock.at += dt.timedelta(minutes=1)
    assert jobs.get(job.id) is None
    begun(jobs)
    assert not jobs.folder(job).exists()


@pytest.mark.parametrize(
    "id", ["", ".", "..", "../released", "lock", "x" * 32 + "/..", "%2e%2e", "a" * 31, "a" * 33, "é" * 32, "\0" * 32]
)
def test_what_is_no_exports_id_is_none_whatever_lies_there(jobs: Jobs, tmp_path: Path, id: str) -> None:
    job = begun(jobs)
    (tmp_path / "job.json").write_bytes((jobs.folder(job) / "job.json").read_bytes())
    assert jobs.get(id) is None


def test_an_export_that_another_version_wrote_is_none_and_goes_when_its_time_is_over(jobs: Jobs, clock: Clock) -> None:
    job = begun(jobs)
    (jobs.folder(job) / "job.json").write_bytes(b'{"id":1}')
    assert jobs.get(job.id) is None
    assert jobs.all() == []
    clock.at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    jobs.sweep()
    assert not jobs.folder(job).exists()


def test_the_folder_is_closed_to_other_users_of_the_machine(jobs: Jobs, tmp_path: Path) -> None:
    job = begun(jobs)
    for folder in (tmp_path / "released", jobs.folder(job)):
        assert folder.stat().st_mode & 0o077 == 0
