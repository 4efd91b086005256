"""Writes the trail: one file a process and day, each access in it before it is answered."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec

from fhirbridge import fhirjson
from fhirbridge.audit.anchors import Anchor, Anchors, write_whole
from fhirbridge.audit.chain import Chain
from fhirbridge.audit.event import Access, SignIn, audit_event
from fhirbridge.elements import instant
from fhirbridge.errors import StoreError

SUFFIX = ".ndjson"
HEADER = "opened"
EVENT = "event"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the first line of a file says; it names the last anchor as the line before it."""

    file: str
    at: str
    key: str


class _File:
    """One open file of the trail. Its hash is that of its last whole line."""

    def __init__(self, folder: Path, chain: Chain, anchors: Anchors, now: dt.datetime) -> None:
        self.day = now.date()
        self.name = f"{self.day.isoformat()}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self.events = self.synced = self.anchored = 0
        self.broken = False
        self._chain, self._anchors = chain, anchors
        header = Header(file=self.name, at=instant(now), key=chain.fingerprint)
        with anchors.alone() as held:
            _, previous = anchors.head(held)
            try:
                self._fd = os.open(folder / self.name, _NEW, 0o600)
            except OSError as error:
                raise StoreError(f"audit_folder: no file can be made in {folder} ({error.strerror}).") from None
            line, self.head = chain.line(0, previous, HEADER, msgspec.json.encode(header))
            self._size = len(line)
            try:
                write_whole(self._fd, line)
                os.fsync(self._fd)
                anchors.append(held, self._anchor("opened", now))
            except (OSError, StoreError):
                os.close(self._fd)
                raise

    def append(self, content: bytes) -> None:
        """Write one event. Raises StoreError, and then the file is as it was, or not written to again."""
        line, hash = self._chain.line(self.events + 1, self.head, EVENT, content)
        try:
            write_whole(self._fd, line)
        except StoreError:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                self.broken = True
            raise
        self.events, self.head, self._size = self.events + 1, hash, self._size + len(line)

    def sync(self) -> None:
        """Make sure that every event so far is on the disk."""
        if self.events > self.synced:
            events = self.events
            os.fsync(self._fd)
            self.synced = events

    def anchor(self, now: dt.datetime, events: int, head: str) -> None:
        """Note in the anchor file how far this one goes."""
        if events > self.anchored:
            with self._anchors.alone() as held:
                self._anchors.append(held, self._anchor("grew", now, events, head))
            self.anchored = events

    def close(self, now: dt.datetime) -> None:
        """Make sure of everything, note that there is no more, and close."""
        try:
            self.sync()
            with self._anchors.alone() as held:
                self._anchors.append(held, self._anchor("closed", now))
        finally:
            os.close(self._fd)

    def _anchor(self, what: str, now: dt.datetime, events: int | None = None, head: str | None = None) -> Anchor:
        return Anchor(
            at=instant(now),
            file=self.name,
            what=what,  # type: ignore[arg-type]
            events=self.events if events is None else events,
            head=head or self.head,
            key=self._chain.fingerprint,
        )


class Trail:
    """The audit trail of this process in a folder; threads share it, and a forked process goes on in a file of its own.

    The first access opens a file. A thread makes sure every ``sync_every`` seconds that what was written is on the
    disk, and every ``anchor_every`` seconds notes in the anchor file how far it goes.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], dt.datetime],
        *,
        key: bytes | None = None,
        sync_every: float = 1.0,
        anchor_every: float = 10.0,
    ) -> None:
        self._folder = folder
        self._now = now
        self._chain = Chain(key)
        self._anchors = Anchors(folder, self._chain)
        self._sync_every, self._syncs_to_anchor = sync_every, max(1, round(anchor_every / sync_every))
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_Forked(weakref.ref(self)))

    def _reset(self) -> None:
        """Start with no file: what a parent process has open is the parent's."""
        self._file: _File | None = None
        self._writing, self._disk = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def record(self, what: Access | SignIn) -> None:
        """Write down what was asked; call it before the answer is sent, and send none if it raises StoreError."""
        now = self._now()
        content = fhirjson.dumps(audit_event(what, now))
        try:
            with self._writing:
                self._today(now).append(content)
        except OSError as error:
            raise StoreError(
                f"the audit trail cannot be written ({error.strerror}). Make room or mend the disk."
            ) from None

    def close(self) -> None:
        """Write everything to the disk and end the file; a later access opens another."""
        thread = self._thread
        self._stop.set()
        if thread is not None:
            thread.join()
        with self._writing, self._disk:
            file, self._file = self._file, None
            self._thread, self._stop = None, threading.Event()
            if file is not None:
                file.close(self._now())

    def _today(self, now: dt.datetime) -> _File:
        """Return today's file (UTC), made if there is none; whoever calls holds ``_writing``."""
        now = now.astimezone(dt.UTC)
        file = self._file
        if file is not None and file.day == now.date() and not file.broken:
            return file
        with self._disk:
            self._file = None
            if file is not None:
                file.close(now)  # raises for a disk that failed; the next access then opens a file of its own
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"audit_folder: {self._folder} cannot be made ({error.strerror}).") from None
            self._file = _File(self._folder, self._chain, self._anchors, now)
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="audit", daemon=True)
            self._thread.start()
        return self._file

    def _keep(self) -> None:
        """Run in a thread: sync and anchor until told to stop. A disk that fails is told by the next access."""
        stop, turn = self._stop, 0
        while not stop.wait(self._sync_every):
            turn += 1
            with self._writing:
                file = self._file
                events, head = (file.events, file.head) if file else (0, "")
            with self._disk:
                if file is None or file is not self._file:
                    continue
                try:
                    file.sync()
                    if turn % self._syncs_to_anchor == 0:
                        file.anchor(self._now(), events, head)
                except (OSError, StoreError):
                    file.broken = True


class _Forked:
    """Makes a trail forget its parent's file; keeps no trail alive."""

    def __init__(self, trail: weakref.ref[Trail]) -> None:
        self._trail = trail

    def __call__(self) -> None:
        if (trail := self._trail()) is not None:
            trail._reset()


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
