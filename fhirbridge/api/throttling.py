"""Bounding what one who fails may try: so many failures in a window of time, counted by whatever names the one."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from functools import lru_cache

MOST_KEYS = 10_000
"""Of more than these the one that failed longest ago is forgotten: memory is bounded whoever knocks."""


class Throttle:
    """Failures of the last ``seconds``, at most ``most`` for each key, in this process. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float], *, most: int, seconds: float) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._failures: OrderedDict[Hashable, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: Hashable) -> float:
        """Return the seconds until this one may try again, 0 if at once."""
        with self._lock:
            failures = self._failures.get(key)
            if failures is None or len(failures) < self._most:
                return 0.0
            return max(0.0, failures[0] + self._seconds - self._clock())

    def failed(self, key: Hashable) -> None:
        """Count a failure; the last ``most`` of them are what matters."""
        with self._lock:
            failures = self._failures.setdefault(key, deque(maxlen=self._most))
            failures.append(self._clock())
            self._failures.move_to_end(key)
            while len(self._failures) > MOST_KEYS:
                self._failures.popitem(last=False)


@lru_cache(maxsize=MOST_KEYS)
def neighbourhood(address: str | None) -> str:
    """Return what stands for who asks from an address: of IPv6 the network of one line, since a line has many."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
