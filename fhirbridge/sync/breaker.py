"""The circuit breaker of a hospital's server, kept in the store so that every process and machine heeds it.

Failures in a row that concern the server and no single resource open it. While it is open nothing is sent; then one
question tests the server, and either closes it or opens it again for twice as long, up to a limit. A hospital that is
down for a week is so asked a few times an hour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fhirbridge.store import Store, instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How long a server is left alone: ``first`` seconds, doubled with each further failure, up to ``longest``."""

    after: int = 3
    first: float = 30.0
    longest: float = 900.0


class Breaker:
    """One server's breaker; ``worked`` and ``failed`` are told of every answer that says something about the server."""

    def __init__(
        self, store: Store, server: str, rest: Rest | None = None, clock: Callable[[], datetime] = instants.utc_now
    ) -> None:
        self._store = store
        self._server = server
        self._rest = rest or Rest()
        self._clock = clock
        self._failures: int | None = None

    @property
    def open_until(self) -> datetime | None:
        """The moment until which the server is left alone, None if it may be asked now."""
        until = self._store.server_state(self._server).open_until
        moment = None if until is None else datetime.fromisoformat(until)
        return moment if moment is not None and moment > self._clock() else None

    def worked(self) -> bool:
        """Forget the failures, since the server answered as it should; say whether that closed an open breaker."""
        before = self._known()
        if before == 0:
            return False
        self._failures = 0
        self._store.note_server(self._server, failures=0, open_until=None, last_error=None)
        return before >= self._rest.after

    def failed(self, message: str, *, asked_for: float | None = None) -> bool:
        """Note a failure that concerns the server, and say whether the breaker is open now.

        ``asked_for`` is the Retry-After of the answer in seconds; it opens the breaker for that long at least.
        """
        self._failures = self._known() + 1
        opens = self._failures >= self._rest.after
        until = None
        if opens:
            doubled = self._rest.first * 2.0 ** min(self._failures - self._rest.after, 30)
            pause = max(min(doubled, self._rest.longest), asked_for or 0.0)
            until = instants.written(self._clock() + timedelta(seconds=pause))
        self._store.note_server(self._server, failures=self._failures, open_until=until, last_error=message)
        return opens

    def _known(self) -> int:
        if self._failures is None:
            self._failures = self._store.server_state(self._server).failures
        return self._failures
