"""The demo's hospital starts where it is told, keeps its data, and never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhirbridge.demo.hospital import running_hospital
from fhirbridge.errors import FatalHospitalError
from fhirbridge.hospital import Hospital, put_entry, transaction_bundle

PARENT = """
import os, sys, time
from pathlib import Path
from fhirbridge.demo.hospital import running_hospital
with running_hospital(Path(sys.argv[1]), port=0) as base_url:
    if sys.argv[2] == "forked" and os.fork() == 0:
        time.sleep(120)  # holds a copy of the pipe, as a worker process would
        os._exit(0)
    print(base_url.split(":")[2].split("/")[0], flush=True)
    time.sleep(120)
"""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("forked", ["alone", "forked"])
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_hospital_dies_with_its_parent(tmp_path: Path, death: signal.Signals, forked: str) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), forked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert _listens(port)
        try:
            parent.send_signal(death)
            parent.wait(60)
            deadline = time.monotonic() + 60
            while _listens(port) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not _listens(port)
        finally:
            os.killpg(parent.pid, signal.SIGKILL) if forked == "forked" else parent.kill()


def test_the_same_directory_gives_the_same_data_under_the_same_address(tmp_path: Path) -> None:
    patient = {"resourceType": "Patient", "id": "p1"}
    with running_hospital(tmp_path) as first, Hospital(first) as hospital:
        hospital.transaction(transaction_bundle([put_entry(patient, base_url=first)]))
    with running_hospital(tmp_path) as second, Hospital(second) as hospital:
        assert second == first
        assert hospital.read("Patient", "p1")["id"] == "p1"


def test_a_port_in_use_is_told_with_the_last_lines_of_the_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        expected = "did not start(.|\n)*Address already in use"
        with pytest.raises(FatalHospitalError, match=expected), running_hospital(tmp_path, taken.getsockname()[1]):
            pass
