"""`fhirbridge serve`: from a fresh cohort to a registry's client that reads it, and what is said where that fails."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fhirbridge.api.access_tokens import new_key
from fhirbridge.cli import serve
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import ConfigurationError
from fhirbridge.identity import new_key as new_secret
from fhirbridge.settings import Settings
from tests.api.registering import EC_KEY, jwks, public_jwk
from tests.mappings.cases import STUDY

RUN = [sys.executable, "-m", "fhirbridge"]
AGREEMENT = """id = "north-2026"
registry = "north"
study = "nct07120750"
purpose = "HRESCH"
types = ["Patient", "Observation"]
expires = 2099-12-31
"""


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """The environment of a site with everything that serving takes but data."""
    (tmp_path / "agreements").mkdir()
    (tmp_path / "agreements" / "north.toml").write_text(AGREEMENT)
    for name in ("a.key", "b.key"):
        new_secret(tmp_path / name)
    new_key(tmp_path / "api.key")
    return os.environ | {
        "FHIRBRIDGE_DATABASE": f"sqlite:///{tmp_path / 'store.db'}",
        "FHIRBRIDGE_PSEUDONYM_KEY": str(tmp_path / "a.key"),
        "FHIRBRIDGE_RELEASE_KEY": str(tmp_path / "b.key"),
        "FHIRBRIDGE_AGREEMENTS": str(tmp_path / "agreements"),
        "FHIRBRIDGE_API_SIGNING_KEY": str(tmp_path / "api.key"),
        "FHIRBRIDGE_AUDIT_FOLDER": str(tmp_path / "audit"),
        "FHIRBRIDGE_API_EXPORT_FOLDER": str(tmp_path / "released"),
    }


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def serving(site: dict[str, str], port: int, folder: Path) -> Iterator[str]:
    """Serve until the block ends; give the base URL once it answers."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*RUN, "serve", "--port", str(port)], env=site, cwd=folder, stderr=log, stdout=log)
        try:
            base = f"http://127.0.0.1:{port}/fhir"
            for _ in range(600):
                assert process.poll() is None, (folder / "log").read_text()
                with contextlib.suppress(requests.ConnectionError):
                    requests.get(f"{base}/metadata", timeout=10)
                    break
                time.sleep(0.1)
            yield base
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, 130)
        finally:
            process.kill()
            process.wait()


def command(site: dict[str, str], folder: Path, *words: str) -> str:
    done = subprocess.run([*RUN, *words], env=site, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_registry_reads_what_was_loaded_a_moment_ago(site: dict[str, str], tmp_path: Path) -> None:
    write_cohort(STUDY, tmp_path / "cohort", subjects=3)
    command(site, tmp_path, "ingest", "cohort")
    (tmp_path / "jwks.json").write_text(jwks(public_jwk(EC_KEY, "ec")))
    command(site, tmp_path, "registry", "add", "North", "--agreement", "north-2026", "--jwks", "jwks.json")
    port = free_port()
    with serving(site, port, tmp_path) as base:
        token_site = site | {"FHIRBRIDGE_API_URL": base}
        token = command(token_site, tmp_path, "registry", "token", "North").strip().splitlines()[-1]
        asked = {"Authorization": f"Bearer {token}"}
        found = requests.get(f"{base}/Patient", headers=asked, timeout=30)
        assert found.status_code == 200
        assert len(found.json()["entry"]) == 3
        assert found.json()["link"][0]["url"].startswith(base)
        assert "Server" not in found.headers
        too_long = requests.get(f"{base}/Patient?a={'b' * 10_000}", headers=asked, timeout=30)
        assert (too_long.status_code, too_long.json()["resourceType"]) == (400, "OperationOutcome")
        other = subprocess.run(
            [*RUN, "serve", "--port", str(port)], env=site, cwd=tmp_path, capture_output=True, text=True
        )
        assert other.returncode == 2
        assert "is in use" in other.stderr
    log = (tmp_path / "log").read_text()
    assert "north-2026" in log
    assert "Traceback" not in log
    command(site, tmp_path, "audit", "verify")


def test_what_is_missing_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="registry key"), serve.listening(Workplace(Settings())):
        pass


def test_the_address_is_the_own_machines_where_none_is_set() -> None:
    assert str(serve.addressed(Settings(api_port=8123)).api_url) == "http://127.0.0.1:8123/fhir"
    assert str(serve.addressed(Settings(api_address="0.0.0.0")).api_url) == "http://127.0.0.1:8000/fhir"
    assert str(serve.addressed(Settings(api_address="::1")).api_url) == "http://[::1]:8000/fhir"
    given = Settings(api_url="https://fhir.example.org/fhir")
    assert serve.addressed(given) is given
    with pytest.raises(ConfigurationError, match="api_url"):
        serve.addressed(Settings(api_port=0))


def test_a_port_in_use_and_an_address_of_nobody_are_told_plainly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="is in use"):
            serve.bound(Settings(api_port=taken.getsockname()[1]))
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        serve.bound(Settings(api_address="192.0.2.1", api_port=1))
