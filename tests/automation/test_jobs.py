"""The inbox: what is dropped is loaded once it is complete, put away, and never lost, whatever happens on the way."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fhirbridge import settings
from fhirbridge.automation.jobs import JOBS, Outcome, perform
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import StoreError
from fhirbridge.identity import new_key
from tests.automation.working import work_on

INGEST = next(job for job in JOBS if job.kind == "ingest")
TODAY = dt.date(2026, 6, 1)
LATER = dt.timedelta(minutes=1)

Ingest = Callable[..., Outcome]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    monkeypatch.chdir(tmp_path)
    new_key(tmp_path / "fhirbridge.key")
    (tmp_path / "inbox").mkdir()
    opened = Workplace(settings.read(database=f"sqlite:///{tmp_path / 'store.db'}", inbox=tmp_path / "inbox"))
    write_cohort(opened.study, tmp_path / "cohort", subjects=2)
    yield opened
    opened.close()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def ingest(place: Workplace) -> Ingest:
    """Do the job as it would be done a while from now, by when what lies there has long been complete."""

    def job(wait: dt.timedelta = LATER, **given: object) -> Outcome:
        now = dt.datetime.now(dt.UTC) + wait
        loading = {"load": partial(load_records, place, today=TODAY, quiet=True), "run": place.run}
        parts = {"settings": place.settings, "study": place.study.id, "clock": lambda: now, **loading, **given}
        return perform(INGEST, work_on(place.bound_store, **parts))

    return job


def stored(place: Workplace) -> int:
    return sum(place.store.counts(place.study.id).values())


def lying(folder: Path) -> list[str]:
    """What lies in a folder, without the inbox's own folders where they are empty."""
    return sorted(str(found.relative_to(folder)) for found in folder.rglob("*") if found.is_file())


def in_run(name: str, run: str, *files: str) -> list[str]:
    return sorted(f"{name}/{run}/{file}" for file in files)


CSV = ("imaging.csv", "laboratory.csv", "lesions.csv", "subjects.csv")


def test_loose_files_are_one_delivery_loaded_together_and_put_away_under_their_run(
    ingest: Ingest, place: Workplace, box: Path, tmp_path: Path
) -> None:
    for name in CSV:
        shutil.copy(tmp_path / "cohort" / name, box)
    outcome = ingest()
    assert (outcome.result, outcome.counts) == ("done", {"done": 1, "refused": 0})
    [run] = place.store.runs("ingest")
    assert (run.outcome, stored(place) > 0) == ("done", True)
    assert lying(box) == in_run("done", run.id, *CSV)
    assert ingest().counts == {"done": 0, "refused": 0}
    assert len(place.store.runs("ingest")) == 1  # an empty inbox leaves the last loading the last


def test_a_folder_and_a_workbook_are_deliveries_of_their_own_and_the_older_one_comes_first(
    ingest: Ingest, place: Workplace, box: Path, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "cohort", box / "site 3")
    (box / "monday.xlsx").write_bytes(b"not really a workbook")
    outcome = ingest()
    assert (outcome.result, outcome.counts, outcome.exit_code) == ("refused", {"done": 1, "refused": 1}, 1)
    second, first = place.store.runs("ingest")
    assert (first.outcome, second.outcome) == ("done", "refused")
    assert f"done/{first.id}/site 3/subjects.csv" in lying(box)
    assert f"refused/{second.id}/monday.xlsx" in lying(box)
    [finding] = place.store.findings(second.id)
    assert finding.rule == "unusable"
    assert finding.remedy.endswith(".")


def test_a_delivery_with_one_bad_row_is_put_where_its_owner_looks_and_the_good_rows_are_stored(
    ingest: Ingest, place: Workplace, box: Path, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "cohort", box / "delivery")
    file = box / "delivery" / "laboratory.csv"
    first, second, *rest = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([first, second.replace(second.split(",")[5], "much"), *rest]) + "\n", encoding="utf-8")
    assert ingest().result == "refused"
    [run] = place.store.runs("ingest")
    assert f"refused/{run.id}/delivery/laboratory.csv" in lying(box)
    assert stored(place) > 0
    assert [finding.file for finding in place.store.findings(run.id)] == ["laboratory.csv"]


def test_what_may_still_be_written_is_left_alone(ingest: Ingest, box: Path, tmp_path: Path) -> None:
    (box / "coming").mkdir()
    shutil.copy(tmp_path / "cohort" / "subjects.csv", box / "coming" / "subjects.csv.part")
    shutil.copy(tmp_path / "cohort" / "subjects.csv", box / ".subjects.csv.x7Gq")
    shutil.copy(tmp_path / "cohort" / "subjects.csv", box / "~$monday.xlsx")
    (box / "link.xlsx").symlink_to(tmp_path / "elsewhere.xlsx")
    before = lying(box)
    assert ingest().counts == {"done": 0, "refused": 0}
    assert lying(box) == before
    shutil.copy(tmp_path / "cohort" / "subjects.csv", box)
    assert ingest(wait=dt.timedelta(0)).counts == {"done": 0, "refused": 0}  # changed a moment ago
    assert ingest().counts == {"done": 1, "refused": 0}


def test_a_copy_with_an_old_date_is_still_new(ingest: Ingest, box: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "cohort" / "subjects.csv", box)
    os.utime(box / "subjects.csv", (0, 0))
    assert ingest(wait=dt.timedelta(0)).counts == {"done": 0, "refused": 0}


class Killed(BaseException):
    """Ends everything at once, as kill -9 does."""


def test_a_delivery_whose_loading_was_killed_is_loaded_again_and_changes_nothing_twice(
    ingest: Ingest, place: Workplace, box: Path, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "cohort", box / "delivery")

    def killed_at_the_end(source: Path) -> None:
        load_records(place, source, today=TODAY, quiet=True)
        raise Killed

    with pytest.raises(Killed):
        ingest(load=killed_at_the_end)
    before = stored(place)
    assert ingest().counts == {"done": 1, "refused": 0}
    last = place.store.last_run("ingest")
    assert last is not None
    assert last.counts is not None
    assert set(last.counts["ingested"]["resources"]) == {"unchanged"}
    assert stored(place) == before
    assert {name.split("/")[0] for name in lying(box)} == {"done"}


def test_loose_files_taken_half_when_killed_are_taken_again_as_one(
    ingest: Ingest, place: Workplace, box: Path, tmp_path: Path
) -> None:
    half = box / "working" / ".taking-20260601T120000Z-0a1b2c3d"
    half.mkdir(parents=True)
    for name, folder in zip(CSV, (box, half, box, half), strict=True):
        shutil.copy(tmp_path / "cohort" / name, folder)
    assert ingest().counts == {"done": 1, "refused": 0}
    [run] = place.store.runs("ingest")
    assert lying(box) == in_run("done", run.id, *CSV)


def test_a_file_delivered_anew_meanwhile_is_not_overwritten_by_the_one_taken_back(
    ingest: Ingest, box: Path, tmp_path: Path
) -> None:
    half = box / "working" / ".taking-20260601T120000Z-0a1b2c3d"
    half.mkdir(parents=True)
    (half / "subjects.csv").write_text("old")
    (box / "subjects.csv").write_text("new")
    ingest(wait=dt.timedelta(0))
    assert sorted(found.read_text() for found in box.glob("*.csv")) == ["new", "old"]


def test_when_the_store_fails_the_delivery_waits(ingest: Ingest, place: Workplace, box: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "cohort", box / "delivery")

    def fails(source: Path) -> None:
        raise StoreError("the disk is full.")

    assert ingest(load=fails).result == "failed"
    assert [run.outcome for run in place.store.runs("ingest")] == ["failed"]
    assert {name.split("/")[0] for name in lying(box)} == {"working"}
    assert ingest().counts == {"done": 1, "refused": 0}


def test_after_a_signal_no_further_delivery_is_begun(
    ingest: Ingest, place: Workplace, box: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(tmp_path / "cohort", box / name)
    stop = threading.Event()

    def load(source: Path) -> object:
        stop.set()
        return load_records(place, source, today=TODAY, quiet=True)

    outcome = ingest(load=load, stop=stop)
    assert (outcome.result, outcome.counts["done"]) == ("interrupted", 1)
    assert ingest().counts == {"done": 1, "refused": 0}


def test_an_inbox_that_is_not_there_is_a_failed_run_that_names_the_setting(
    ingest: Ingest, place: Workplace, box: Path
) -> None:
    box.rmdir()
    told: list[object] = []
    outcome = ingest(note=lambda event, **facts: told.append(facts.get("error")))
    assert (outcome.result, outcome.exit_code) == ("failed", 2)
    assert any("`inbox`" in str(error) for error in told)
