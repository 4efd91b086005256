"""Access tokens kept in memory: one question for many threads, a new one before the old one ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

MARGIN = 60.0
"""Seconds before its end at which a token is no longer used, since a request takes time to arrive."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and the moment it ends, in seconds since the epoch."""

    value: str = field(repr=False)
    obtained: float
    ends: float

    def usable(self, now: float) -> bool:
        """Say whether it will last; one that lives for less than two margins is used for half of its life."""
        return now < self.ends - min(MARGIN, (self.ends - self.obtained) / 2)


class Tokens:
    """The current token of one client, for any number of threads.

    ``obtain`` asks the token endpoint; while one thread asks, the others wait for its token or its error. ``clock``
    gives seconds since the epoch.
    """

    def __init__(self, obtain: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._obtain = obtain
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._under_way: Future[Token] | None = None

    def current(self) -> str:
        """Return a token that will last. Raises HospitalError where none is to be had."""
        with self._lock:
            if self._token is not None and self._token.usable(self._clock()):
                return self._token.value
            waited_for = self._under_way
            if waited_for is None:
                asked = self._under_way = Future[Token]()
        return self._ask(asked).value if waited_for is None else waited_for.result().value

    def refused(self, value: str) -> bool:
        """Forget a token that the server did not take; say that another one may do."""
        with self._lock:
            if self._token is not None and self._token.value == value:
                self._token = None
        return True

    def _ask(self, asked: Future[Token]) -> Token:
        try:
            token = self._obtain()
        except BaseException as error:
            with self._lock:
                self._under_way = None
            asked.set_exception(error)
            raise
        with self._lock:
            self._token, self._under_way = token, None
        asked.set_result(token)
        return token
