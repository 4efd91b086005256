"""Saved plans: NDJSON with a header, a line per change, and a last line with the counts and a digest of it all.

A plan holds the values of fields that change, so it is as confidential as the store: the file is made for its owner
alone, and is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.sync.differences import ABSENT, FieldChange
from fhirbridge.sync.plan import PlanCounts
from fhirbridge.sync.planning import Change

FORMAT = "fhirbridge plan"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which server and study a plan is for, under which withdrawal policy, and when it was made."""

    server: str
    study: str
    withdrawal: str
    made: str


def save(path: Path, header: Header, changes: Iterable[Change], counts: PlanCounts) -> None:
    """Write a plan. ``counts`` is read after the last change. Raises InputError if the file cannot be written."""
    digest = hashlib.sha256()
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            for line in _lines(header, changes):
                digest.update(line)
                file.write(line)
            file.write(_line({"counts": counts.as_dict(), "sha256": digest.hexdigest()}))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write the plan to {path}: {error.strerror}. Name a file that can be written."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _lines(header: Header, changes: Iterable[Change]) -> Iterator[bytes]:
    about = {"server": header.server, "study": header.study, "withdrawal": header.withdrawal, "made": header.made}
    yield _line({"format": FORMAT, "version": VERSION, **about})
    yield from (_line(change.as_dict()) for change in changes)


def _line(value: dict[str, Any]) -> bytes:
    return fhirjson.dumps(value) + b"\n"


class SavedPlan:
    """A plan read from a file; it was checked to be whole and unchanged. Raises InputError where it is not.

    In memory there are only the places where compartments begin.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self.header, self.counts = self._checked()

    @property
    def compartments(self) -> list[str]:
        """The compartments that the plan touches, in its order."""
        return list(self._places)

    def group(self, compartment: str) -> list[Change]:
        """Return what is planned for one compartment."""
        if compartment not in self._places:
            return []
        start, lines = self._places[compartment]
        with self._path.open("rb") as file:
            file.seek(start)
            return [_change(fhirjson.loads(line)) for line in islice(file, lines)]

    def _checked(self) -> tuple[Header, dict[str, Any]]:
        digest, last, first, place = hashlib.sha256(), b"", b"", 0
        for line in self._read():
            if last:
                digest.update(last)
            if b'"action"' in line[:12]:
                self._note_place(line, place)
            first, last, place = first or line, line, place + len(line)
        head, end = self._object(first), self._object(last)
        if head.get("format") != FORMAT or head.get("version") != VERSION:
            raise InputError(f"{self._path} is no plan that this fhirbridge can read. Make one with `fhirbridge plan`.")
        if end.get("sha256") != digest.hexdigest():
            raise InputError(f"{self._path} was cut short or changed after it was made. Make the plan anew.")
        return Header(**{name: head[name] for name in ("server", "study", "withdrawal", "made")}), end["counts"]

    def _note_place(self, line: bytes, place: int) -> None:
        compartment = self._object(line).get("compartment", "")
        start, lines = self._places.get(compartment, (place, 0))
        self._places[compartment] = start, lines + 1

    def _read(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                yield from file
        except OSError as error:
            raise InputError(f"cannot read the plan {self._path}: {error.strerror}.") from None

    def _object(self, line: bytes) -> dict[str, Any]:
        try:
            found = fhirjson.loads(line)
        except InputError:
            found = None
        return found if isinstance(found, dict) else {}


def _change(saved: dict[str, Any]) -> Change:
    fields = tuple(
        FieldChange(one["path"], one.get("old", ABSENT), one.get("new", ABSENT)) for one in saved.pop("fields", ())
    )
    return Change(**{"sent": None, **saved}, fields=fields)
