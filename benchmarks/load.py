"""wrk as the load generator: what a server answers to a file of questions, in closed loop at so many clients."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

SCRIPT = Path(__file__).with_name("load.lua")
THREADS = 1
"""Of wrk: one asks far more than the servers answer, and leaves them the machine."""

PARTS = 3
"""By chance most connections may be one worker's (gunicorn with a socket for each), so it is tried several times."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: requests answered and how fast; percentiles are milliseconds."""

    requests: int
    seconds: float
    bytes: int
    p50: float
    p95: float
    p99: float
    refused: int
    """Answers that were no 2xx or 3xx."""
    broken: int
    """Connections that failed, and answers that took longer than a minute."""

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Server:
    """A server to be asked: its base URL, and the headers that every request takes."""

    name: str
    base: str
    headers: Mapping[str, str]


def need_wrk() -> None:
    """End with a message where wrk is absent."""
    if shutil.which("wrk") is None:
        raise SystemExit(
            "wrk is not installed: it is the load generator. Next: apt-get install wrk, or brew install wrk"
        )


def ask(server: Server, asked: Path, clients: int, seconds: float) -> Load:
    """Ask a server what stands in a file, one question a line, for so long. Ends with a message if it refuses any.

    The time is spent in parts, each with connections of its own and from another place in the file on; percentiles
    are the mean of theirs.
    """
    of_each = max(1, round(seconds / PARTS))  # wrk knows whole seconds
    parts = [_part(server, asked, clients, of_each, part / PARTS) for part in range(PARTS)]
    p50, p95, p99 = (fmean(getattr(part, name) for part in parts) for name in ("p50", "p95", "p99"))
    return Load(
        requests=sum(part.requests for part in parts),
        seconds=sum(part.seconds for part in parts),
        bytes=sum(part.bytes for part in parts),
        p50=p50,
        p95=p95,
        p99=p99,
        refused=0,
        broken=0,
    )


def _part(server: Server, asked: Path, clients: int, seconds: int, begin: float) -> Load:
    host, _, path = server.base.partition("://")[2].partition("/")
    headers = [text for header in server.headers.items() for text in header]
    options = [f"-t{THREADS}", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "--latency", "-s", str(SCRIPT)]
    command = ["wrk", *options, f"http://{host}/", "--", str(asked), f"/{path}", f"{begin:g}", *headers]
    done = subprocess.run(command, capture_output=True, text=True)
    told = next((line for line in done.stdout.splitlines() if line.startswith("{")), None)
    if done.returncode or told is None:
        raise SystemExit(f"wrk failed at {server.name}: {done.stderr or done.stdout}")
    load = Load(**json.loads(told))
    if load.refused or load.broken or not load.requests:
        raise SystemExit(f"{server.name} did not answer all of {asked.stem}: {load}")
    return load
