"""The demo and the exchange with a hospital, from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_demo_runs_end_to_end_and_its_counts_balance(run: Run) -> None:
    ran = run("demo", "--subjects", "3", "--json")
    assert ran.code == 0, ran.err
    steps = {step["step"]: step for step in ran.json["steps"]}
    assert all(step["balances"] and not step["refused"] for step in steps.values())
    stored, pushed = steps["resources stored"]["total"], steps["pushed"]
    assert stored == pushed["done"] == steps["pushed again"]["unchanged"] == steps["read back"]["done"]
    assert steps["rows written"]["total"] == steps["rows loaded"]["done"]


def test_the_demo_does_not_touch_a_folder_that_is_not_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    ran = run("demo", "--subjects", "1", "--directory", "mine")
    assert ran.code == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def _children(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


def _is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "fhirbridge", "demo", "--subjects", "60"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    servers: list[int] = []
    while not (tmp_path / ".demo" / "fhirbridge.db").exists() and demo.poll() is None:
        time.sleep(0.05)
        servers = _children(demo.pid)
    assert servers
    demo.send_signal(number)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "interrupted" in said
    assert not any(_is_running(server) for server in servers)


def test_push_and_verify_without_a_hospital_say_how_to_name_one(run: Run) -> None:
    ran = run("push")
    assert ran.code == 2
    assert "--hospital" in ran.err


def test_a_hospital_that_does_not_answer_is_the_servers_fault(run: Run) -> None:
    ran = run("push", "--hospital", "http://127.0.0.1:9/fhir", FHIRBRIDGE_HOSPITAL_TIMEOUT="1")
    assert ran.code == 3
    assert "127.0.0.1:9" in ran.err


def test_after_the_demo_its_settings_go_on_working(run: Run) -> None:
    assert run("demo", "--subjects", "1").code == 0
    ran = run("--config", ".demo/fhirbridge.toml", "status", "--json")
    assert ran.code == 0
    assert ran.json["waiting"] == 0
    again = run("--config", ".demo/fhirbridge.toml", "ingest", ".demo/cohort", "--json")
    assert set(again.json["ingested"]["resources"]) == {"unchanged"}
