"""Keeps the releases of all agreements up to date with the store, beside the requests and never within one."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Mapping

from fhirbridge.errors import FhirbridgeError
from fhirbridge.release.agreement import Agreement
from fhirbridge.release.view import View
from fhirbridge.store.releases import Position, Refreshed, Releases

BELIEVED_SECONDS = 1.0
"""How long a position that was read is believed."""


class Upkeep:
    """Brings releases up to date: ``once`` when told, or every so many seconds in a thread of this process.

    ``agreements`` gives all there are; ``view`` makes what an agreement shows, once for each state of its file.
    """

    def __init__(
        self,
        releases: Callable[[], Releases],
        agreements: Callable[[], Mapping[str, Agreement]],
        view: Callable[[Agreement], View],
        zone: dt.tzinfo,
        *,
        now: Callable[[], dt.datetime],
        clock: Callable[[], float],
        every: float = 0.0,
        note: Callable[..., None] = lambda _event, **_facts: None,
    ) -> None:
        self._releases = releases
        self._agreements = agreements
        self._view = view
        self._zone = zone
        self._now = now
        self._clock = clock
        self._every = every
        self._note = note
        self._views: dict[str, tuple[Agreement, View]] = {}
        self._positions: dict[str, tuple[float, Position]] = {}
        self._process: int | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def view(self, agreement: Agreement) -> View:
        """Return what an agreement shows."""
        held = self._views.get(agreement.id)
        if held is None or held[0] != agreement:
            held = self._views[agreement.id] = (agreement, self._view(agreement))
        return held[1]

    def once(self) -> list[Refreshed]:
        """Bring the release of every agreement in force up to date; one that fails does not keep back the others.

        Raises the first error, at the end.
        """
        done, failed = list[Refreshed](), list[FhirbridgeError]()
        for agreement in self._agreements().values():
            if agreement.holds(self._now()):
                try:
                    done.append(self._releases().refresh(self.view(agreement), self._zone))
                except FhirbridgeError as error:
                    failed.append(error)
        self._positions.clear()
        if failed:
            raise failed[0]
        return done

    def position(self, agreement: str) -> Position | None:
        """Return where a release stands, as it was known at most a second ago; None before there is one."""
        clock, held = self._clock(), self._positions.get(agreement)
        if held is not None and clock - held[0] < BELIEVED_SECONDS:
            return held[1]
        found = self._releases().position(agreement)
        if found is not None:
            self._positions[agreement] = (clock, found)
        return found

    def begin(self) -> None:
        """See to it that a thread of this very process keeps the releases up to date, if that is wanted at all."""
        if self._every <= 0 or self._process == os.getpid():
            return
        with self._lock:
            if self._process != os.getpid():  # a process that was forked has no threads but its own
                self._process, self._stop = os.getpid(), threading.Event()
                self._thread = threading.Thread(target=self._keep, name="releases", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Let the thread finish what it is at, and begin no other."""
        with self._lock:
            self._every = 0.0
            self._stop.set()
            if self._thread is not None:
                self._thread.join()

    def _keep(self) -> None:
        stop, every = self._stop, self._every
        while not stop.wait(every):
            try:
                self.once()
            except Exception as error:  # noqa: BLE001  # the next look may do better, and nobody else would look
                self._note("release_failed", error=error)
