"""One writer per subject, across processes and machines: a lease in the store, renewed while its holder lives.

A holder that was killed lets its leases run out; on the same machine they are taken over at once, because there one
can see that it is dead. If-Match fences what a holder that only slept might still send.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal

import psutil

from fhirbridge.store import Store

SECONDS = 60.0

_NO_MORE = "-no-more"
"""Ends the name of a holder that left a lease behind, so that it does not renew that."""

Taken = Literal["free", "left behind"]
"""``left behind``: its last holder died or lost it, or an answer to it, so what it did may not have been noted."""


class Leases:
    """The leases of one run; use it as a context manager, which renews them and gives them back at the end."""

    def __init__(self, store: Store, *, seconds: float = SECONDS) -> None:
        self.holder = f"{_this_process()}/{secrets.token_hex(4)}"
        self.lost = threading.Event()
        """Set once a lease could not be renewed: somebody else may write now, so stop."""
        self._store = store
        self._seconds = seconds
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Leases:
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._renewing.join()
        if kind is None:
            self._store.release(self.holder)
        else:  # a thread may be in the middle of something
            for name in list(self._held):
                self.leave_behind(name)

    def take(self, name: str) -> Taken | None:
        """Take the lease, and say how it was found; None if somebody alive holds it."""
        with self._lock:
            before = self._store.holder_of(name)
            free = self._store.lease(name, self.holder, self._seconds)
            if not free and not self._take_from_the_dead(name):
                return None
            self._held.add(name)
            return "free" if free and before is None else "left behind"

    def give_back(self, name: str) -> None:
        """Let others have it."""
        with self._lock:
            self._held.discard(name)
            self._store.release(self.holder, [name])

    def leave_behind(self, name: str) -> None:
        """Let others have it, and let them know that what was done under it may not have been noted."""
        with self._lock:
            self._held.discard(name)
            self._store.steal(name, f"{self.holder}{_NO_MORE}", self.holder, 0.0)

    def _take_from_the_dead(self, name: str) -> bool:
        held = self._store.holder_of(name)
        return held is not None and _is_dead(held[0]) and self._store.steal(name, self.holder, held[0], self._seconds)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 3):
            with self._lock:
                if self._held and self._store.renew(self.holder, self._seconds) < len(self._held):
                    self.lost.set()


def _this_process() -> str:
    return f"{_machine()}/{os.getpid()}/{_began(os.getpid())}"


def _machine() -> str:
    """Name this machine as it runs now, and on Linux the numbering of processes, which a container has of its own."""
    boot, numbering = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    booted = boot.read_text().strip() if boot.is_file() else ""
    return f"{socket.gethostname()}:{booted}:{numbering.stat().st_ino if numbering.exists() else ''}"


def _is_dead(holder: str) -> bool:
    """Say whether a holder was a process of this machine that is no more; of another machine nothing is known."""
    machine, pid, began = holder.rsplit("/", 3)[:3]
    return machine == _machine() and _began(int(pid)) != began


def _began(pid: int) -> str | None:
    """Return what tells a living process from a later one with its number; None if it ended.

    On Linux that is the clock tick of its start, which does not move when somebody sets the clock (proc(5), field 22).
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        stat = Path(f"/proc/{pid}/stat")
        return stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else f"{process.create_time():.2f}"
    except (psutil.NoSuchProcess, OSError):
        return None
