"""fhir-kit-client for the tests: installed once with npm, by the lock file that lies beside the program."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent / "fhir_kit_client"
OLDEST = 20


class NodeFailed(Exception):
    """npm or the program ended with an error; the text holds its last lines."""


@cache
def node_missing() -> str | None:
    """Say what fhir-kit-client lacks on this machine, None where it lacks nothing."""
    absent = [program for program in ("node", "npm") if shutil.which(program) is None]
    if absent:
        return f"{' and '.join(absent)} not found; install Node.js {OLDEST} or later"
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    number = re.match(r"v(\d+)", found)
    if number is None or int(number[1]) < OLDEST:
        return f"Node.js {found} is too old; install {OLDEST} or later"
    return None


def ask(given: dict[str, Any]) -> Any:
    """Run the program, and return what it saw."""
    _install()
    done = subprocess.run(
        ["node", "asking.mjs"], cwd=PROJECT, input=json.dumps(given), capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        raise NodeFailed(f"asking.mjs failed:\n{_last_lines(done.stderr)}")
    return json.loads(done.stdout)


def _install() -> None:
    """Install what the lock file names unless that was done since it changed; one run at a time."""
    target, lock = PROJECT / "node_modules", PROJECT / "package-lock.json"
    target.mkdir(exist_ok=True)
    listed = target / ".package-lock.json"
    with (PROJECT / ".installing").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if listed.exists() and listed.stat().st_mtime >= lock.stat().st_mtime:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise NodeFailed(f"npm failed in {PROJECT.name}:\n{_last_lines(done.stdout + done.stderr)}")


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-15:])
