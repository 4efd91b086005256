"""Which fault befalls which request: by a seeded chance, or as a test ordered it; and a count of what happened."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

INSTEAD = ("429", "429-date", "500", "503", "html", "502", "cut-before", "401")
"""Kinds for which the request never reaches the server."""

AFTERWARDS = ("504-after", "cut-after", "cut-inside", "slow", "trickle", "truncated", "twice")
"""Kinds for which it does, and something happens to the answer."""

STORM = tuple(kind for kind in INSTEAD + AFTERWARDS if kind not in ("401", "trickle"))
"""Kinds of which a client that tries again survives any number; 401 is for clients with tokens, trickle without end."""


@dataclass(frozen=True)
class Ordered:
    """A fault for the next ``times`` requests of this method (any if empty) whose path and query hold ``path``."""

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1


@dataclass
class Report:
    """What happened: faults by kind, requests seen, and what reached the server.

    ``entries`` counts each write that reached the server, an entry of a Bundle or a request, under "PUT Type/id".
    """

    requests: int = 0
    forwarded: int = 0
    writes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    entries: Counter[str] = field(default_factory=Counter)


class FaultyProxy:
    """The proxy's state; safe to ask and to command while it serves.

    ``watch`` is called for each request that writes and reaches the server: with "arrived" before the server has it
    and "answered" after it did what it did, and the client's port.
    """

    def __init__(
        self, target: str, *, seed: int, rate: float, kinds: Sequence[str], retry_after: int, pause: float
    ) -> None:
        unknown = set(kinds) - set(INSTEAD + AFTERWARDS)
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self.target = target.rstrip("/")
        self.base_url = ""
        self.rate = rate
        self.kinds = tuple(kinds)
        self.retry_after = retry_after
        self.pause = pause
        self.closing = threading.Event()
        self.watch: Callable[[str, int], None] = lambda moment, port: None
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._orders: list[Ordered] = []
        self._report = Report()

    @property
    def counts(self) -> Counter[str]:
        """The faults so far, by kind."""
        return self.report().counts

    @property
    def writes(self) -> int:
        """The requests that may write and reached the server."""
        return self.report().writes

    def report(self) -> Report:
        with self._lock:
            now = self._report
            return Report(now.requests, now.forwarded, now.writes, Counter(now.counts), Counter(now.entries))

    def next(self, kind: str, *, method: str = "", path: str = "", times: int = 1) -> None:
        """Order a fault for the next request that fits; orders come before chance, oldest first."""
        if kind not in INSTEAD + AFTERWARDS:
            raise ValueError(f"no such fault: {kind}")
        with self._lock:
            self._orders.append(Ordered(kind, method, path, times))

    def fault_for(self, method: str, path: str) -> str | None:
        """Count a request and choose the fault that is to befall it."""
        with self._lock:
            self._report.requests += 1
            kind = self._ordered(method, path)
            if kind is None and self.kinds and self._random.random() < self.rate:
                kind = self._random.choice(self.kinds)
            if kind is not None:
                self._report.counts[kind] += 1
            return kind

    def _ordered(self, method: str, path: str) -> str | None:
        for at, order in enumerate(self._orders):
            if order.method in ("", method) and order.path in path:
                left = Ordered(order.kind, order.method, order.path, order.times - 1)
                self._orders[at : at + 1] = [left] if left.times else []
                return order.kind
        return None

    def forwarded(self, method: str, path: str, body: bytes) -> bool:
        """Count a request that reached the server, and what it writes; say whether it writes."""
        writes = list(_writes(method, path.removeprefix(urlsplit(self.target).path).lstrip("/"), body))
        with self._lock:
            self._report.forwarded += 1
            self._report.writes += bool(writes)
            self._report.entries.update(writes)
        return bool(writes)


def _writes(method: str, path: str, body: bytes) -> Iterator[str]:
    if method not in ("PUT", "POST", "PATCH", "DELETE") or path.endswith("_search"):
        return
    if path:
        yield f"{method} {path}"
        return
    for entry in json.loads(body).get("entry", []):
        if entry["request"]["method"] != "GET":
            yield f"{entry['request']['method']} {entry['request']['url']}"
