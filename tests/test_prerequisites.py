"""Tests that cannot run here are skipped, and the last lines of the run say so; where they must run, they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEEDS_NODE = "tests/api/clients/test_fhir_kit_client.py::test_results_come_newest_first"
NEEDS_JAVA = "tests/hospital/test_real_servers.py::test_hapi_refuses_a_dangling_reference_and_says_which"


def _run_without_programs(test: str = NEEDS_JAVA, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_REQUIRE_")}
    environment = {**inherited, **environment, "PATH": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_without_java_the_last_lines_say_what_did_not_run_and_what_to_install() -> None:
    done = _run_without_programs()
    assert done.returncode == 0
    said = "1 HAPI TESTS DID NOT RUN: java and mvn not found; install Java 17 and Maven 3.8 or later"
    assert said in done.stdout.splitlines()[-2:]


def test_without_java_the_run_fails_where_java_is_required() -> None:
    done = _run_without_programs(FHIRBRIDGE_REQUIRE_JAVA="1")
    assert done.returncode == 1
    assert "FHIRBRIDGE_REQUIRE_JAVA=1, but java and mvn not found" in done.stdout


def test_without_node_the_last_lines_say_what_did_not_run_and_what_to_install() -> None:
    done = _run_without_programs(NEEDS_NODE)
    assert done.returncode == 0
    said = "1 NODE TESTS DID NOT RUN: node and npm not found; install Node.js 20 or later"
    assert said in done.stdout.splitlines()[-2:]


def test_without_node_the_run_fails_where_node_is_required() -> None:
    done = _run_without_programs(NEEDS_NODE, FHIRBRIDGE_REQUIRE_NODE="1")
    assert done.returncode == 1
    assert "FHIRBRIDGE_REQUIRE_NODE=1, but node and npm not found" in done.stdout
