"""Files of an export: NDJSON, and beside each whose records lie where, so that one who withdraws can be left out.

Two files beside it tell: ``.people``, how many records and bytes are of whom (by the released id of the Patient, ''
for the study's own), for counts and the audit; and ``.runs``, a line for each run of records of one person, for who is
to be left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from fhirbridge.api.registry.bulk_jobs import Made
from fhirbridge.errors import StoreError

LARGEST = 200_000_000
"""Bytes after which the next file of a type is begun."""
CHUNK = 256 * 1024
PEOPLE, RUNS = ".people", ".runs"

_run = msgspec.json.Decoder(tuple[str, int])
_people = msgspec.json.Decoder(dict[str, tuple[int, int]])


class Files:
    """Writes records of one type into as many files as it takes; nothing counts before ``complete``.

    ``called`` is how the files' names begin; what an earlier try left of them is removed.
    """

    def __init__(self, folder: Path, type: str, called: str, *, largest: int = LARGEST, fsync: bool = True) -> None:
        self._folder = folder
        self._type = type
        self._called = called
        self._largest = largest
        self._fsync = fsync
        self._file: _File | None = None
        self.made: list[Made] = []
        for left in folder.glob(f"{called}.*"):
            left.unlink()

    def add(self, person: str, body: bytes) -> None:
        """Add a record, which has no line break; ``person`` is '' for the study's own."""
        file = self._file
        if file is not None and file.size >= self._largest:
            self._close(file)
            file = None
        if file is None:
            name = f"{self._called}.{len(self.made) + 1}.ndjson"
            records, runs, people = ((self._folder / f"{name}{end}").open("wb") for end in ("", RUNS, PEOPLE))
            file = self._file = _File(name, records, runs, people)
        file.add(person, body)

    def complete(self) -> list[Made]:
        """Write what is left to the disk, and return the files; one without a record is none."""
        if self._file is not None:
            self._close(self._file)
        return self.made

    def drop(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()

    def _close(self, file: _File) -> None:
        file.end(fsync=self._fsync)
        self._file = None
        self.made.append(Made(type=self._type, name=file.name, resources=file.resources, bytes=file.size))


@dataclass(slots=True)
class _File:
    name: str
    records: IO[bytes]
    runs: IO[bytes]
    people: IO[bytes]
    resources: int = 0
    size: int = 0
    _of: dict[str, tuple[int, int]] = field(default_factory=dict)
    _waiting: list[bytes] = field(default_factory=list)
    _waits: int = 0
    _person: str = ""
    _run: int = 0

    def add(self, person: str, body: bytes) -> None:
        size = len(body) + 1
        if person != self._person:
            self._note()
            self._person = person
        records, length = self._of.get(person, (0, 0))
        self._of[person] = (records + 1, length + size)
        self._run += size
        self.resources += 1
        self.size += size
        self._waiting.append(body)
        self._waits += size
        if self._waits >= CHUNK:
            self._flush()

    def end(self, *, fsync: bool) -> None:
        self._note()
        self._flush()
        self.people.write(msgspec.json.encode(self._of))
        for file in (self.records, self.runs, self.people):
            file.flush()
            if fsync:
                os.fsync(file.fileno())
        self.close()

    def close(self) -> None:
        for file in (self.records, self.runs, self.people):
            file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._waiting.append(b"")
            self.records.write(b"\n".join(self._waiting))
            self._waiting.clear()
            self._waits = 0

    def _note(self) -> None:
        if self._run:
            self.runs.write(msgspec.json.encode((self._person, self._run)) + b"\n")
            self._run = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """What of a file is sent: its size, how many records of whom ('' is the study itself); and who is left out."""

    bytes: int
    people: Counter[str]
    left_out: frozenset[str]

    @property
    def resources(self) -> int:
        """How many records these are."""
        return self.people.total()

    def everybody(self) -> frozenset[str]:
        """Return all who have records in the file, sent or not."""
        return self.left_out | frozenset(self.people)


def told(folder: Path, name: str, absent: Collection[str]) -> Sent:
    """Return what of a file is sent while these people are absent. Raises StoreError for a file that is not there."""
    try:
        found = _people.decode((folder / f"{name}{PEOPLE}").read_bytes())
    except (OSError, msgspec.DecodeError):
        raise StoreError("A file of an export cannot be read. Begin the export again.") from None
    left_out = frozenset(person for person in found if person in absent)
    kept = {person: of for person, of in found.items() if person not in left_out}
    people = Counter({person: records for person, (records, _) in kept.items()})
    return Sent(sum(length for _, length in kept.values()), people, left_out)


def content(folder: Path, name: str, sent: Sent, absent: Callable[[], Collection[str]]) -> Iterator[bytes]:
    """Yield what is sent of a file. Raises StoreError where it cannot be read, or somebody in it withdraws meanwhile.

    ``absent`` is asked before every part that is read: from the moment that somebody withdraws, what was told of the
    size holds no more, so the answer breaks off, and the next one is right.
    """
    everybody = sent.everybody()
    try:
        with (folder / name).open("rb") as file:
            for keep, length in _stretches(folder, name, sent.left_out) if sent.left_out else [(True, sent.bytes)]:
                if not keep:
                    file.seek(length, os.SEEK_CUR)
                    continue
                while length:
                    if not sent.left_out.issuperset(person for person in absent() if person in everybody):
                        raise StoreError("Somebody withdrew while the file was sent. Fetch it again.")
                    part = file.read(min(CHUNK, length))
                    if not part:
                        raise StoreError("A file of an export is cut short. Begin the export again.")
                    length -= len(part)
                    yield part
    except OSError as error:
        raise StoreError(f"A file of an export cannot be read ({error.strerror}). Begin the export again.") from None


def _stretches(folder: Path, name: str, left_out: Collection[str]) -> Iterator[tuple[bool, int]]:
    """Yield, in turn, whether so many bytes are sent."""
    keep, length = True, 0
    with (folder / f"{name}{RUNS}").open("rb") as file:
        for line in file:
            person, size = _run.decode(line)
            if (person not in left_out) != keep:
                if length:
                    yield keep, length
                keep, length = not keep, 0
            length += size
    if length:
        yield keep, length
