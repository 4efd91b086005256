"""`fhirbridge demo`: a whole story on a hospital of its own, whose counts balance, and what can be done after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.demo.hospital import running_hospital
from tests.cli.conftest import Run


def test_the_demo_plans_applies_finds_a_foreign_edit_settles_it_and_ends_with_nothing_to_do(
    run: Run, tmp_path: Path
) -> None:
    ran = run("demo", "--subjects", "12", "--json")
    assert ran.code == 0, ran.err
    steps = {step["step"]: step for step in ran.json["steps"]}
    assert all(step["balances"] and not step["refused"] for step in steps.values())
    stored = steps["store as FHIR"]["total"]
    assert steps["write records"]["total"] == steps["load their rows"]["done"]
    assert stored == steps["plan"]["done"] == steps["apply that plan"]["done"]
    for step in ("edit by the hospital", "reconcile: drift", "settle: ours"):
        assert steps[step]["done"] == 1, step
    assert [steps[f"pull, day {day}"]["done"] for day in (1, 2, 3)] == [7, 5, 3]
    pulled = steps["push"]["total"] - stored  # what was accepted of the hospital's results, with its provenance
    assert (steps["record decisions"]["done"], pulled) == (2, 20)
    assert steps["push"]["done"] == pulled + 1
    assert (steps["push again"]["done"], steps["push again"]["unchanged"]) == (0, stored + pulled)
    assert steps["read all back"]["done"] == stored + pulled
    story = (
        "Nothing was sent",
        "Exactly that plan",
        "Somebody at the hospital",
        "Reconciling finds it",
        "It is settled",
        "The enrolment log links 7 subjects",
        "An accepted result is corrected",
        "1 reopened",
        "A registry has a data-use agreement",
        "It asks: Whose HBV DNA",
    )
    assert sorted(story, key=ran.err.index) == list(story)
    _asked_by_a_registry(ran.json["registry"])

    settings = ("--config", ".demo/fhirbridge.toml")
    assert run(*settings, "status", "--json").json["backlog"]["pending"] == 0
    again = run(*settings, "ingest", ".demo/cohort", "--json")
    assert set(again.json["ingested"]["resources"]) == {"unchanged"}
    assert run(*settings, "audit", "verify").code == 0
    disclosed = run(*settings, "audit", "disclosures", "SZ-0001", "--json").json["disclosures"]
    assert {"search-type", "export-file"} & {one["interaction"] for one in disclosed}
    assert run(*settings, "registry", "token", "Demo registry").code == 0
    with running_hospital(tmp_path / ".demo" / "hospital") as base_url:
        assert run(*settings, "push", "--hospital", base_url).code == 0


def _asked_by_a_registry(told: Any) -> None:
    search, include, export = told["questions"]
    assert [one["kind"] for one in told["questions"]] == ["search", "include", "export"]
    assert all(one["as_released"] for one in told["questions"])
    assert 0 < search["people"] < 5
    assert search["told"] == {"Observation": None}  # so few people: the number is withheld
    assert include["people"] >= 5
    assert include["told"] == include["matches"]
    assert include["included"]["Patient"] == include["people"]
    assert export["matches"]["Patient"] == export["people"] == 12
    assert export["told"] == export["matches"]
    assert told["own_names"] == {"looked_for": 36, "found": 0}
    assert told["audit"]["accesses"] == told["audit"]["events"] > 3
    assert told["audit"]["whole"]


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
@pytest.mark.parametrize(
    ("number", "subjects", "reached"),
    [(signal.SIGINT, 60, "fhirbridge.db"), (signal.SIGTERM, 60, "fhirbridge.db"), (signal.SIGINT, 1, "registry")],
    ids=["Ctrl-C", "SIGTERM", "Ctrl-C while a registry asks"],
)
def test_an_interrupted_demo_leaves_no_process_behind(
    tmp_path: Path, number: signal.Signals, subjects: int, reached: str
) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "fhirbridge", "demo", "--subjects", str(subjects)],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    servers: list[int] = []
    while not (tmp_path / ".demo" / reached).exists() and demo.poll() is None:
        time.sleep(0.05)
        servers = _children(demo.pid)
    assert servers
    demo.send_signal(number)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "interrupted" in said
    assert not any(_is_running(server) for server in servers)
