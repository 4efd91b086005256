"""Stopping in good order: Ctrl-C and SIGTERM ask once, and a second one is obeyed at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; a second one raises KeyboardInterrupt.

    An event that is given is the caller's: it says when to stop, and signals are left alone.

    No exception comes in the middle of anything, so what is under way can be finished. Outside the main thread
    Python has no say over signals, and the event is never set by one.
    """
    if stop is not None:
        yield stop
        return
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
