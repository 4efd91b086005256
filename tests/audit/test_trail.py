"""Writing the trail: many threads, several processes, full disks, and processes that die."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from fhirbridge.audit.anchors import NAME
from fhirbridge.audit.event import Access, SignIn, audit_event
from fhirbridge.audit.trail import Trail
from fhirbridge.audit.verifying import verify
from fhirbridge.errors import StoreError
from tests.audit.conftest import ACCESS, NOW, events, trail_files

WRITER = """
import datetime as dt, sys
from pathlib import Path
from fhirbridge.audit.event import Access
from fhirbridge.audit.trail import Trail
trail = Trail(Path(sys.argv[1]), lambda: dt.datetime.now(dt.UTC), sync_every=0.01, anchor_every=0.02)
for number in range(int(sys.argv[2])):
    trail.record(Access(interaction="read", status=200, query=f"GET /Patient/{number}", registry="north"))
    if sys.argv[3] == "often":
        trail.close()
    if number % 50 == 0:
        print(number, flush=True)
if sys.argv[3] == "close":
    trail.close()
"""


def writer(folder: Path, count: int, end: str = "close") -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, folder, str(count), end], stdout=subprocess.PIPE, text=True)


def test_an_access_is_an_audit_event_that_says_who_what_and_whose() -> None:
    event = audit_event(ACCESS, NOW)
    AuditEvent.model_validate(event)
    assert event["recorded"] == "2026-03-01T23:59:30.000Z"
    assert event["agent"][0]["who"] == {
        "identifier": {"system": "https://fhirbridge.github.io/sid/client", "value": "client-1"},
        "display": "north",
    }
    query, *people = event["entity"]
    assert base64.b64decode(query["query"]) == b"GET /Observation?code=42595-9"
    assert {one["what"]["reference"]: one["detail"][0]["valueString"] for one in people} == {
        "Patient/aaa": "3",
        "Patient/bbb": "1",
    }


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        (SignIn(address="192.0.2.7", client="c1", agreement="n-2026", token="t1", scopes="system/*.rs"), "0"),
        (SignIn(address="192.0.2.7", client="", error="invalid_client", reason="another key signed it."), "4"),
    ],
)
def test_a_request_for_a_token_is_an_audit_event_too(asked: SignIn, outcome: str) -> None:
    event = audit_event(asked, NOW)
    AuditEvent.model_validate(event)
    assert (event["subtype"][0]["display"], event["outcome"]) == ("Login", outcome)
    assert event["agent"][0]["network"]["address"] == "192.0.2.7"
    assert event.get("outcomeDesc") == (f"{asked.error}: {asked.reason}" if asked.error else None)
    tokens = [one["what"]["identifier"]["value"] for one in event.get("entity", ())]
    assert tokens == ([asked.token] if asked.token else [])


@pytest.mark.parametrize(("status", "outcome"), [(200, "0"), (304, "0"), (403, "4"), (500, "8")])
def test_what_was_refused_or_failed_is_told_apart(status: int, outcome: str) -> None:
    event = audit_event(Access(interaction="read", status=status, query="GET /Patient/1"), NOW)
    AuditEvent.model_validate(event)
    assert event["outcome"] == outcome


def test_an_access_is_in_the_file_before_it_is_answered(folder: Path, trail: Trail) -> None:
    trail.record(ACCESS)
    assert [event["recorded"] for event in events(folder)] == ["2026-03-01T23:59:30.000Z"]


def test_nobody_is_recorded_and_no_file_is_made_while_nobody_asks(folder: Path, trail: Trail) -> None:
    trail.close()
    assert not folder.exists()


def test_threads_share_one_chain(folder: Path, trail: Trail) -> None:
    threads = [threading.Thread(target=lambda: [trail.record(ACCESS) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trail.close()
    verdict = verify(folder)
    assert (verdict.problems, verdict.remarks, verdict.files, verdict.events) == ([], [], 1, 800)


def test_a_day_has_its_own_file_in_utc(folder: Path, make: Callable[..., Trail]) -> None:
    now = [NOW]
    trail = make(now=lambda: now[0])
    trail.record(ACCESS)
    now[0] = NOW + dt.timedelta(minutes=1)
    trail.record(ACCESS)
    trail.close()
    assert [name.split(".")[0] for name in trail_files(folder)] == ["2026-03-01", "2026-03-02"]
    assert verify(folder).problems == []


def test_a_closed_trail_goes_on_in_another_file(folder: Path, trail: Trail) -> None:
    for _ in range(3):
        trail.record(ACCESS)
        trail.close()
    verdict = verify(folder)
    assert (verdict.problems, verdict.files, verdict.events) == ([], 3, 3)


def test_several_processes_write_at_once(folder: Path) -> None:
    processes = [writer(folder, 300) for _ in range(3)]
    seen = []
    for process in processes:
        seen.append(verify(folder).problems if folder.exists() else [])
        assert process.communicate(timeout=120) and process.returncode == 0  # noqa: PT018
    verdict = verify(folder)
    assert (verdict.problems, verdict.remarks, verdict.files, verdict.events) == ([], [], 3, 900)
    assert seen == [[], [], []]


def test_processes_that_open_and_close_files_at_once_share_one_chain_of_anchors(folder: Path) -> None:
    processes = [writer(folder, 30, "often") for _ in range(3)]
    for process in processes:
        process.communicate(timeout=120)
    verdict = verify(folder)
    assert (verdict.problems, verdict.remarks, verdict.files, verdict.events) == ([], [], 90, 90)


def test_a_process_that_is_killed_loses_nothing_that_it_answered(folder: Path) -> None:
    process = writer(folder, 1_000_000)
    assert process.stdout is not None
    last = 0
    while last < 500:
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with writer(folder, 10) as after:
        after.communicate(timeout=120)
    verdict = verify(folder)
    assert verdict.problems == []
    assert verdict.events >= last + 10


def test_a_forked_process_goes_on_in_a_file_of_its_own(folder: Path, trail: Trail) -> None:
    trail.record(ACCESS)
    done = subprocess.run(
        [sys.executable, "-c", _FORKING, folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    trail.close()
    verdict = verify(folder)
    assert (verdict.problems, verdict.files, verdict.events) == ([], 3, 5)


_FORKING = """
import datetime as dt, os, sys
from pathlib import Path
from fhirbridge.audit.event import Access
from fhirbridge.audit.trail import Trail
trail = Trail(Path(sys.argv[1]), lambda: dt.datetime.now(dt.UTC))
access = Access(interaction="read", status=200, query="GET /Patient/1")
trail.record(access)
child = os.fork()
trail.record(access)
trail.record(access) if child == 0 else None
trail.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit of the file size")
def test_what_cannot_be_written_is_not_answered_and_does_not_hurt_what_was(folder: Path, trail: Trail) -> None:
    for _ in range(3):
        trail.record(ACCESS)
    size = next(path for path in folder.iterdir() if path.name != NAME).stat().st_size
    was, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, was[1]))
        for _ in range(2):
            with pytest.raises(StoreError, match="the audit trail cannot be written"):
                trail.record(ACCESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, handler)
    trail.record(ACCESS)
    trail.close()
    verdict = verify(folder)
    assert (verdict.problems, verdict.remarks, verdict.events) == ([], [], 4)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, make: Callable[..., Trail]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"audit_folder: .* cannot be made"):
        make(folder=tmp_path / "file" / "audit").record(ACCESS)


def test_what_is_known_to_be_on_the_disk_is_anchored_while_it_grows(folder: Path, make: Callable[..., Trail]) -> None:
    trail = make(sync_every=0.01, anchor_every=0.01)
    trail.record(ACCESS)
    trail.record(ACCESS)
    found: list[Any] = []
    for _ in range(1000):
        found = [json.loads(line)["anchor"] for line in (folder / NAME).read_bytes().splitlines()]
        if found[-1]["events"] == 2:
            break
        threading.Event().wait(0.01)
    assert (found[-1]["what"], found[-1]["events"]) == ("grew", 2)


def test_only_the_owner_can_read_the_trail(folder: Path, trail: Trail) -> None:
    trail.record(ACCESS)
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0, 0, 0]
