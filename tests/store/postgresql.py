"""A PostgreSQL server for one run of the tests, as a child process that cannot outlive it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

# Stops when our end of its standard input closes, so that no server outlives the run, however that ends.
SUPERVISOR = '"$@" & server=$!; read -r _; kill -QUIT $server; wait $server'


class PostgresqlMissing(Exception):
    """No PostgreSQL server here; the text says what to do."""

    def __str__(self) -> str:
        return f"no PostgreSQL server: {super().__str__()}"


def programs() -> Path | None:
    """Find initdb and postgres: on the PATH, where Debian puts them, or in the wheel of pgserver."""
    found = [Path(name).parent for name in [shutil.which("initdb")] if name]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    wheel = importlib.util.find_spec("pgserver")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


@contextlib.contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a server and give the URL of a database on it. Raises PostgresqlMissing where none can be started."""
    found = programs()
    if found is None:
        raise PostgresqlMissing("set FHIRBRIDGE_TEST_POSTGRESQL=postgresql://…, or pip install pgserver")
    with tempfile.TemporaryDirectory(prefix="fhirbridge-pg-") as folder:  # short: a socket's path has 107 bytes
        identity = _not_root(folder)
        data = f"{folder}/data"
        create = [found / "initdb", "-D", data, "-U", "fhirbridge", "-A", "trust", "-E", "UTF8", "--no-sync"]
        try:
            subprocess.run(create, check=True, capture_output=True, cwd=folder, **identity)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PostgresqlMissing(f"{found / 'initdb'} does not run here: {error}") from error
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        serve = ["sh", "-c", SUPERVISOR, "sh", found / "postgres", "-D", data, *options]
        with (
            Path(folder, "log").open("wb") as log,
            subprocess.Popen(
                serve, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, start_new_session=True, **identity
            ) as server,
        ):
            url = f"postgresql://fhirbridge@/postgres?host={folder}"
            try:
                _wait_until_up(url, server, Path(folder, "log"))
                yield url
            finally:
                assert server.stdin is not None
                server.stdin.close()


def _not_root(folder: str) -> dict[str, Any]:
    """Give the folder to an ordinary user where we are root, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_until_up(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise PostgresqlMissing(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
