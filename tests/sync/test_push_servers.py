"""Push to real servers, also one that is killed in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter

import pytest

from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.sync.push import push
from fhirbridge.sync.verify import verify
from tests.store.making import Make

PUSH = """
import sys
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.sync.push import push

database, server, fault = sys.argv[1:]
if fault == "die before the acknowledgement":
    import os, signal
    Store.acknowledge = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with Store.open(database) as store, Hospital(server) as hospital:
    push(store, hospital, "trial", run="push-1", connections=2, bundle_size=4,
         progress=lambda done, _: print(done, flush=True))
"""


def start(database_url: str, server: str, fault: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PUSH, database_url, server, fault]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def assert_each_once(server: str, make: Make, expected: int) -> None:
    with Hospital(server) as hospital:
        ids = Counter(
            (kind, found["id"])
            for kind in ("ResearchStudy", "Patient", "Observation")
            for found in hospital.search(kind, {"_count": "1000"})
        )
    assert len(ids) == expected
    assert set(ids.values()) == {1}


def test_a_push_killed_again_and_again_loses_and_doubles_nothing(store, database_url, put, make, hospital) -> None:
    put(make.cohort(30, observations=6))
    for bundles in (1, 6, 13):
        with start(database_url, hospital) as process:
            assert process.stdout is not None
            for _ in range(bundles):
                process.stdout.readline()
            process.kill()
        assert process.returncode == -signal.SIGKILL
    left = store.backlog(hospital, "trial").pending
    assert 0 < left < 211
    with Hospital(hospital) as client:
        report = push(store, client, "trial", run="push-2")
        assert report.complete
        assert report.sent == left
        assert verify(store, client, "trial").agrees
        assert push(store, client, "trial", run="push-3").requests == 0
    assert_each_once(hospital, make, 1 + 30 * 7)


def test_a_push_killed_between_the_servers_commit_and_ours_is_repaired(
    store, database_url, put, make, hospital
) -> None:
    put(make.cohort(2))
    with start(database_url, hospital, "die before the acknowledgement") as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert store.backlog(hospital, "trial").pending == 7
    with Hospital(hospital) as client:
        report = push(store, client, "trial", run="push-2")
        assert report.complete
        assert report.entry_statuses == {"200": 1, "201": 6}
        assert verify(store, client, "trial").agrees
    assert_each_once(hospital, make, 7)


def test_two_pushers_at_once_leave_each_resource_once(store, database_url, put, make, hospital) -> None:
    put(make.cohort(12, observations=3))
    processes = [start(database_url, hospital) for _ in range(2)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    assert store.backlog(hospital, "trial").pending == 0
    assert_each_once(hospital, make, 1 + 12 * 4)


def test_a_real_server_refusing_one_resource_does_not_stop_the_others(store, put, make, hospital) -> None:
    put(make.cohort(3))
    put(
        [
            (
                30,
                make.patient("trial-p001")
                | {"resourceType": "Nonsense", "subject": {"reference": "Patient/trial-p001"}},
            )
        ]
    )
    with Hospital(hospital) as client:
        report = push(store, client, "trial", run="push-1")
    assert (report.sent, report.failed, report.balanced) == (7, 4, True)
    [failure] = report.failures
    assert failure.compartment == "trial-p001"
    assert not failure.temporary
    assert failure.remedy


@pytest.mark.hapi
def test_hapi_takes_everything_once_and_gives_it_back(hapi: str, store: Store, put) -> None:
    make = Make("push-to-hapi")
    put(make.cohort(8, observations=30))
    with Hospital(hapi) as client:
        assert push(store, client, make.study, run="push-1", bundle_size=20).complete
        assert push(store, client, make.study, run="push-2").requests == 0
        report = verify(store, client, make.study)
    assert report.agrees
    assert report.total.expected == 1 + 8 * 31
