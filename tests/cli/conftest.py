"""Commands run as a user runs them: in a folder of their own, as a process, or ten times as fast inside this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

import mappings
from fhirbridge import study
from fhirbridge.cli.main import app
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.identity import new_key
from fhirbridge.store import Store
from tests.sync.breakable_hospital import BASE, BreakableHospital


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
    if not (tmp_path / "fhirbridge.key").exists():
        new_key(tmp_path / "fhirbridge.key")
    kept = _without_settings()

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


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, the records of one subject, and a store that holds them."""
    folder = tmp_path_factory.mktemp("filled")
    new_key(folder / "fhirbridge.key")
    shipped = Path(mappings.__file__).parent / "studies" / "nct07120750.toml"
    write_cohort(study.load(shipped), folder / "cohort", subjects=1)
    command = [sys.executable, "-m", "fhirbridge", "ingest", "cohort"]
    subprocess.run(command, cwd=folder, env=_without_settings(), check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture
def loaded(filled: Path, tmp_path: Path) -> Path:
    """The test's folder, with a key and a store that holds one subject."""
    for name in ("fhirbridge.key", "fhirbridge.db"):
        shutil.copy(filled / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def quick(loaded: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``fhirbridge`` inside this process, in a folder whose store holds one subject, on 80 columns."""
    monkeypatch.chdir(loaded)
    for name in [name for name in os.environ if name.startswith("FHIRBRIDGE_")]:
        monkeypatch.delenv(name)

    def command(*arguments: str | Path, **environment: str) -> Ran:
        ran = CliRunner().invoke(app, [*map(str, arguments)], env=environment)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return Ran(ran.exit_code, ran.stdout, ran.stderr)

    return command


@pytest.fixture
def breakable(monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakableHospital]:
    """The hospital of ``quick``'s settings: it works until the test breaks it."""
    server = BreakableHospital()
    server.says(kinds=tuple(sorted({one.resource_type for one in mappings.MAPPINGS})), versioning="versioned-update")
    monkeypatch.setenv("FHIRBRIDGE_HOSPITAL", BASE)
    with server.connected():
        yield server


@pytest.fixture
def stored(loaded: Path) -> Callable[[str], list[str]]:
    """Return a function that gives the ids of the stored resources of a type."""

    def ids(kind: str) -> list[str]:
        with Store.open(f"sqlite:///{loaded / 'fhirbridge.db'}") as store:
            return sorted(id for _, id in store.identities("nct07120750", kind))

    return ids


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


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}
