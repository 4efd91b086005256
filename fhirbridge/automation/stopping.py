"""Ending a service in good order: the first signal asks, what is under way is finished; the second one is the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fhirbridge.errors import EXIT_INTERRUPTED
from fhirbridge.sync.notes import Note

TICK = 0.2
"""Seconds between two looks whether to stop. A wait on the event itself could deadlock with the handler's ``set``."""


@contextmanager
def stopping(note: Note) -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; only for the main thread.

    A second one ends the process at once with exit code 130: threads at work could not be ended otherwise, and
    whatever they were at is safe, since nothing here relies on being finished.
    """
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os.write(2, b"interrupted: what was finished is kept, start it again to go on\n")
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        note("stop_requested", signal=signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
