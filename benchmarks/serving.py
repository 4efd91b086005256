"""A study released to a registry and served by gunicorn, for the benchmarks of the API."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from fhirbridge import identity
from fhirbridge.api import scopes
from fhirbridge.api.access_tokens import new_key
from fhirbridge.api.door import token_maker
from fhirbridge.cli.registries import agreements_of
from fhirbridge.cli.registry import register
from fhirbridge.cli.releasing import release
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import participants
from fhirbridge.demo.registry import Registry
from fhirbridge.errors import FhirbridgeError
from fhirbridge.release.agreement import TYPES
from fhirbridge.store.instants import utc_now

ROOT = Path(__file__).parent.parent
AGREEMENT = "benchmark"
TOKEN_SECONDS = 3600
TOGETHER = 20
"""Subjects that are put into the store in one transaction."""
START_SECONDS = 60.0
CLASS = ("--worker-class", "gthread", "--threads", "2", "--keep-alive", "30", "--reuse-port")
"""As docs/api/serving.md has it. Threads, so that connections stay open between requests; more of them would only wait
for one interpreter. A socket for each worker: at one that all share, the worker that wakes first takes most of them."""


def keys(folder: Path) -> dict[str, str]:
    """Make the keys and the agreement; the same ones give the same ids in every database."""
    folder.mkdir(parents=True)
    new_key(folder / "api.key")
    for name in ("pseudonym", "release", "audit"):
        identity.new_key(folder / f"{name}.key")
    (folder / "agreements").mkdir()
    types = ", ".join(f'"{one}"' for one in TYPES)
    (folder / "agreements" / f"{AGREEMENT}.toml").write_text(
        f'id = "{AGREEMENT}"\nregistry = "{AGREEMENT}"\nstudy = "nct07120750"\npurpose = "HRESCH"\n'
        f"types = [{types}]\nexpires = {dt.datetime.now(dt.UTC).year + 1}-12-31\n",
        encoding="utf-8",
    )
    names = {f"{name}_key": f"{name}.key" for name in ("pseudonym", "release", "audit")}
    names |= {"api_signing_key": "api.key", "agreements": "agreements"}
    return {setting: str(folder / name) for setting, name in names.items()}


def chosen(secrets: dict[str, str], folder: Path, database: str) -> dict[str, str]:
    """Return the settings of one service, on a free port; what it writes lies in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return secrets | {
        "study": "nct07120750",
        "database": database,
        "api_url": f"http://127.0.0.1:{port}/fhir",
        "api_export_folder": str(folder / "exports"),
        "api_requests_per_minute": "0",  # one client asks for all
        "audit_folder": str(folder / "audit"),
        "log_level": "warning",
    }


def fill(place: Workplace, subjects: int) -> float:
    """Put the cohort into the store and release it under the agreement; return the seconds that the release took."""
    waiting = list(place.map(place.study))
    with place.bound_store.transaction() as transaction:
        transaction.put(waiting, run="filled")
    waiting.clear()
    for number, one in enumerate(participants(place.study, subjects=subjects), 1):
        for record in (one.subject, *one.laboratory, *one.imaging):
            waiting += place.map(record)
        if number % TOGETHER == 0:
            _put(place, waiting)
            waiting.clear()
    _put(place, waiting)
    started = time.perf_counter()
    done = release(place, [AGREEMENT])[AGREEMENT]
    if isinstance(done, FhirbridgeError):
        raise done
    return time.perf_counter() - started


def _put(place: Workplace, resources: list[tuple[int, dict[str, object]]]) -> None:
    if resources:
        with place.store.transaction() as transaction:
            transaction.put(resources, run="filled")


def token(place: Workplace, folder: Path) -> str:
    """Register a client and return an access token for it."""
    registry = Registry(folder / "registry")
    registry.write_jwks(folder / "jwks.json")
    registry.close()
    client = register(place, f"Benchmark {time.monotonic_ns()}", AGREEMENT, jwks=folder / "jwks.json", by="benchmark")
    agreed = agreements_of(place).all()[AGREEMENT]
    granted = scopes.granted("system/*.rs", client.scopes, agreed)
    return token_maker(place.settings, utc_now).make(client.id, AGREEMENT, granted, TOKEN_SECONDS)[0]


@contextmanager
def served(given: dict[str, str], folder: Path, workers: int) -> Iterator[psutil.Process]:
    """Serve the API with gunicorn until the block ends; give the process whose children the workers are."""
    if importlib.util.find_spec("gunicorn") is None:
        raise SystemExit("gunicorn is not installed. Next: pip install -c constraints.txt -e '.[bench]'")
    base = given["api_url"]
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--chdir", str(ROOT), "--workers", str(workers)]
    command += ["--bind", base.split("/")[2], "--log-level", "warning", "--limit-request-line", "0", *CLASS]
    named = {f"FHIRBRIDGE_{name.upper()}": value for name, value in given.items()}
    with (
        (folder / "gunicorn.log").open("ab") as log,
        subprocess.Popen(command, env=os.environ | named, stdout=log, stderr=log) as process,
    ):
        try:
            _wait(base, process, folder / "gunicorn.log")
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if requests.get(f"{base}/metadata", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise SystemExit(f"gunicorn did not start:\n{log.read_text(errors='replace')[-2000:]}")
