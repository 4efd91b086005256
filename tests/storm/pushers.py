"""Several `fhirbridge push` at once, as processes that are killed with -9 while they write and started again."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

KILLED = -9
SETTLED = (0, 1)
"""Exit codes after which a pusher has nothing left to do: all is there, or what is left waits for a person."""

MOMENTS = ("arrived", "answered", "soon after")
"""A kill befalls the pusher whose request the server is about to get, whose answer is on its way, or has come."""


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "fhirbridge", "--config", str(config), *arguments]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FHIRBRIDGE_")}


def kill_points(chance: random.Random, kills: int, bundles: int) -> list[tuple[int, str]]:
    """Choose so many of the writing requests seen at the proxy, and for each the moment of the kill."""
    chosen = sorted(chance.sample(range(1, max(bundles, kills + 1)), kills))
    return [(number, chance.choice(MOMENTS)) for number in chosen]


@dataclass
class Pushers:
    """Keeps so many pushers going, each started again until it says that nothing is left; hears the proxy's ``watch``.

    ``ends`` counts their exit codes. A pusher that was started ``most`` times gives up.
    """

    config: Path
    points: Sequence[tuple[int, str]]
    seed: int = 0
    most: int = 200
    ends: Counter[int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        self._left = list(self.points)
        self._chance = random.Random(self.seed)
        self._alive: dict[int, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()
        self._closing = False

    def work(self, workers: int) -> None:
        """Have them push until each of them ended in good order."""
        keepers = [threading.Thread(target=self._keep, daemon=True) for _ in range(workers)]
        try:
            for keeper in keepers:
                keeper.start()
            for keeper in keepers:
                keeper.join()
        finally:
            self._close()

    def _keep(self) -> None:
        for _ in range(self.most):
            with self._lock:
                if self._closing:
                    return
                process = self._start()
            _, err = process.communicate()
            with self._lock:
                del self._alive[process.pid]
                self.ends[process.returncode] += 1
                if process.returncode != KILLED:
                    self.errors.append(err)
            if process.returncode in SETTLED:
                return

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(self.config, "push"),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._alive[process.pid] = process
        return process

    def _close(self) -> None:
        with self._lock:
            self._closing = True
            for process in self._alive.values():
                process.kill()

    def watch(self, moment: str, port: int) -> None:
        """Hear of a writing request from the proxy, and kill who made it if its turn has come."""
        with self._lock:
            self.requests += moment == "arrived"
            if not self._left or self.requests < self._left[0][0]:
                return
            wanted = self._left[0][1]
            if moment != ("answered" if wanted == "soon after" else wanted):
                return
            victim = self._at(port)
            if victim is None:
                return
            del self._left[0]
            self.kills[wanted] += 1
            if wanted == "soon after":
                threading.Timer(self._chance.uniform(0.0, 0.05), victim.kill).start()
            else:
                victim.kill()

    def _at(self, port: int) -> subprocess.Popen[str] | None:
        """Find the pusher that has this end of a connection."""
        return next((process for pid, process in self._alive.items() if port in _ports(pid)), None)


def _ports(pid: int) -> Iterator[int]:
    with contextlib.suppress(psutil.Error):
        yield from (connection.laddr.port for connection in psutil.Process(pid).net_connections("tcp"))
