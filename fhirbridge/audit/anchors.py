"""The anchor file: which trail files there are and how far each was known to go, in a chain of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from fhirbridge import fhirjson
from fhirbridge.audit.chain import START, Chain
from fhirbridge.errors import InputError, StoreError

NAME = "anchors.ndjson"
_TAIL = 65_536


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """That a trail file was opened, had grown, or was closed, with so many events and this last hash."""

    at: str
    file: str
    what: Literal["opened", "grew", "closed"]
    events: int
    head: str
    key: str
    """Fingerprint of the key that the hashes are made with."""


class Anchors:
    """Appends to the anchor file of a folder, one process at a time."""

    def __init__(self, folder: Path, chain: Chain) -> None:
        self._path = folder / NAME
        self._chain = chain

    @contextmanager
    def alone(self) -> Iterator[int]:
        """Open the file and hold it against every other process; raises StoreError if it cannot be opened."""
        try:
            held = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise StoreError(f"audit_folder: {self._path} cannot be opened ({error.strerror}).") from None
        try:
            lock(held)
            yield held
        finally:
            os.close(held)

    def head(self, held: int) -> tuple[int, str]:
        """Return the number that the next anchor takes and the hash that it names as the one before it."""
        size = os.fstat(held).st_size
        os.lseek(held, max(0, size - _TAIL), os.SEEK_SET)
        for line in reversed(_read(held).split(b"\n")):
            if (link := self._chain.read(line)) is not None:
                return link.number + 1, link.hash
        return 0, START

    def append(self, held: int, anchor: Anchor) -> None:
        """Add an anchor and make sure that it is on the disk; a line that a crash cut short is left as it is."""
        number, previous = self.head(held)
        line, _ = self._chain.line(number, previous, "anchor", msgspec.json.encode(anchor))
        size = os.fstat(held).st_size
        os.lseek(held, max(0, size - 1), os.SEEK_SET)
        torn = size > 0 and os.read(held, 1) != b"\n"
        write_whole(held, b"\n" + line if torn else line)
        os.fsync(held)


def anchor_of(content: bytes) -> Anchor | None:
    """Return the anchor in a line's content, None where it is none."""
    try:
        return msgspec.convert(fhirjson.loads(content), Anchor)
    except (msgspec.ValidationError, InputError):
        return None


def write_whole(held: int, line: bytes) -> None:
    """Write every byte or raise StoreError."""
    try:
        written = os.write(held, line)
    except OSError as error:
        raise StoreError(f"the audit trail cannot be written ({error.strerror}). Make room or mend the disk.") from None
    if written < len(line):
        raise StoreError("the audit trail cannot be written (the disk is full). Make room.")


def lock(held: int) -> None:
    """Wait for the sole use of an open file; closing it gives it up."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(held, 0, os.SEEK_SET)
        msvcrt.locking(held, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)


def _read(held: int) -> bytes:
    found = b""
    while part := os.read(held, _TAIL):
        found += part
    return found
