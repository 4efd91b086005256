"""Commands run as a user runs them: a process of their own, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from fhirbridge.cli.main import app
from fhirbridge.identity import new_key


class Ran(NamedTuple):
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]
Validate = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``fhirbridge`` with a key and an empty store in the test's folder."""
    new_key(tmp_path / "fhirbridge.key")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}

    def command(*arguments: str | Path, **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "fhirbridge", *map(str, arguments)],
            cwd=tmp_path,
            env={**kept, "COLUMNS": "200", "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return command


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Run ``fhirbridge validate`` inside this process (a tenth of the time), in the test's folder, on 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in [name for name in os.environ if name.startswith("FHIRBRIDGE_")]:
        monkeypatch.delenv(name)

    def command(*arguments: str | Path) -> Result:
        ran = CliRunner().invoke(app, ["validate", *map(str, arguments)])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    return command
