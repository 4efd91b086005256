"""Keeps what many senders sent at once in one go: whoever waits is in the next transaction, and hears after it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from fhirbridge.records.hl7v2.reader import Reading

Handler = Callable[[Sequence[tuple[bytes, Reading]]], None]
"""Keeps messages durably, all of them or none, or raises. Called by one thread, whatever the number of senders.

It gets those that wait at that moment, at least one, in the order in which they came: what is answered AA, and what is
answered AE for its content (its readable results, and the rest to be looked at). What is answered AR it never sees.
"""

MOST = 256
"""Messages in one call; of the longest ones these are still only what the connections can hold at once."""


class _Waiting:
    """One message of a sender that waits for its answer."""

    def __init__(self, raw: bytes, reading: Reading) -> None:
        self.message = raw, reading
        self.done = threading.Event()
        self.error: Exception | None = None


class Writer:
    """One thread that calls the handler. A commit costs the same for one message as for all that wait meanwhile."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="mllp-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """How many messages wait to be kept, without those at hand."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to take messages."""
        self._thread.start()

    def stop(self) -> None:
        """Keep what waits, and end."""
        self._queue.put(None)
        self._thread.join()

    def keep(self, raw: bytes, reading: Reading) -> None:
        """Return once the message is durably kept; raise what the handler raised."""
        waiting = _Waiting(raw, reading)
        self._queue.put(waiting)
        waiting.done.wait()
        if waiting.error is not None:
            raise waiting.error

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            together, ended = [first], False
            while len(together) < MOST and not ended:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ended = True
                else:
                    together.append(following)
            self._keep(together)
            if ended:
                return

    def _keep(self, together: Sequence[_Waiting]) -> None:
        try:
            self._handler([one.message for one in together])
        except Exception as error:  # noqa: BLE001  # whatever it was: its sender must hear of it, and others go on
            if len(together) > 1:
                # None is kept: the one at fault must not take the others with it.
                for one in together:
                    self._keep([one])
                return
            together[0].error = error
        for one in together:
            one.done.set()
