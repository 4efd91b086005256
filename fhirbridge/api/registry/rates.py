"""Bounding what one client may ask of this process: requests in a minute, and costly ones at the same time.

429 is https://www.rfc-editor.org/rfc/rfc6585#section-4; every refusal says in ``Retry-After`` when to come again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

from werkzeug.exceptions import TooManyRequests

from fhirbridge.api.throttling import Throttle, neighbourhood

MOST_CLIENTS = 10_000
"""Of more than these the one that asked longest ago is forgotten."""
REFUSALS = 300
"""Requests without a token that counts, in a minute and from one address."""
BUSY_SECONDS = 2
"""What ``Retry-After`` says where nobody can tell when another costly request will be over."""


class Rates:
    """The limits of one process. ``per_minute`` requests by client, 0 for no limit, spent at once or evenly.

    ``costly`` is how many costly requests one client may have under way; ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float], *, per_minute: int, costly: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._costly = costly
        self._refusals = Throttle(clock, most=REFUSALS, seconds=60.0)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    def admit(self, client: str) -> None:
        """Count a request of a client. Raises TooManyRequests (429) for one too many."""
        if not self._per_minute:
            return
        with self._lock:
            now, rate = self._clock(), self._per_minute / 60.0
            left, at = self._left.get(client, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - at) * rate)
            admitted = left >= 1.0
            self._left[client] = (left - 1.0 if admitted else left, now)
            self._left.move_to_end(client)
            while len(self._left) > MOST_CLIENTS:
                self._left.popitem(last=False)
        if not admitted:
            raise too_many(f"More than {self._per_minute} requests in a minute.", ceil((1.0 - left) / rate))

    def knock(self, address: str | None) -> None:
        """Raise TooManyRequests for an address from which too many came with no token that counts."""
        if wait := self._refusals.wait(neighbourhood(address)):
            raise too_many("Too many requests from this address had no token that counts.", ceil(wait))

    def refused(self, address: str | None) -> None:
        """Count a request that had no token that counts."""
        self._refusals.failed(neighbourhood(address))

    @contextmanager
    def costly(self, client: str) -> Iterator[None]:
        """Hold a place for a costly request. Raises TooManyRequests where a client has all of its own in use."""
        self.take(client)
        try:
            yield
        finally:
            self.give_back(client)

    def take(self, client: str) -> None:
        """Take a place, to be given back by ``give_back``: for an answer that is streamed. Raises as ``costly``."""
        with self._lock:
            running = self._running.get(client, 0)
            if running >= self._costly:
                raise too_many(f"This client has {running} costly requests under way.", BUSY_SECONDS)
            self._running[client] = running + 1

    def give_back(self, client: str) -> None:
        """Give back a place that was taken."""
        with self._lock:
            running = self._running.get(client, 0) - 1
            if running > 0:
                self._running[client] = running
            else:
                self._running.pop(client, None)


class Streaming:
    """A costly answer on its way: its place is given back when it has arrived, or when nobody wants it any more."""

    def __init__(self, parts: Iterator[bytes], rates: Rates, client: str) -> None:
        self._parts, self._rates, self._client = parts, rates, client
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:
            self.close()  # at its end, too
            raise

    def close(self) -> None:
        """End it, and what its parts come from; WSGI servers call this in any case."""
        if self._open:
            self._open = False
            self._rates.give_back(self._client)
            if close := getattr(self._parts, "close", None):
                close()


def too_many(why: str, seconds: int) -> TooManyRequests:
    """Return the refusal of one request too many, which says when to come again."""
    return TooManyRequests(f"{why} Try again in {seconds} seconds.", retry_after=max(1, seconds))
