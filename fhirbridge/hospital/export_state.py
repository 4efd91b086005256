"""How far an export has come, kept in a file with the question that it answers, so that a killed one goes on."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from fhirbridge.elements import instant
from fhirbridge.errors import ConfigurationError, InputError, Resource

Level = Literal["system", "patient", "group"]
Part = Literal["output", "deleted", "error"]

STATE = "export.json"
SORTED = "by-patient.db"
"""What whoever uses the files may put beside them, to be removed with them."""


class ExportQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported: all patients, those of a Group (``group`` is its id), or the whole system."""

    level: Level = "patient"
    group: str | None = None
    types: tuple[str, ...] = ()
    since: dt.datetime | None = None
    type_filters: tuple[str, ...] = ()
    """Each a search like ``Observation?category=laboratory``."""
    output_format: str = "application/fhir+ndjson"

    @property
    def path(self) -> str:
        """Return the operation's path below the base URL."""
        if self.level == "group":
            return f"Group/{self.group}/$export"
        return "Patient/$export" if self.level == "patient" else "$export"

    def params(self) -> list[tuple[str, str]]:
        """Return the parameters; a filter each, for a comma may stand inside one."""
        asked = [("_outputFormat", self.output_format)]
        if self.types:
            asked.append(("_type", ",".join(self.types)))
        if self.since is not None:
            asked.append(("_since", instant(self.since)))
        return asked + [("_typeFilter", one) for one in self.type_filters]


class ExportFile(msgspec.Struct, kw_only=True):
    """One file of a manifest; ``count`` None where the server names none, ``got`` its size once it is here whole."""

    part: Part
    type: str
    url: str
    name: str
    count: int | None = None
    got: int | None = None


class State(msgspec.Struct, kw_only=True):
    """All that is kept. ``files`` is None until the server is done."""

    question: ExportQuestion
    status_url: str | None = None
    transaction_time: str | None = None
    needs_token: bool = True
    files: list[ExportFile] | None = None
    released: bool = False
    """Whether the server was told that we have everything."""


@dataclass(slots=True)
class Folder:
    """The folder of one export, which nobody else can read."""

    path: Path
    _file: Path = field(init=False)

    def __post_init__(self) -> None:
        self._file = self.path / STATE
        self._make()

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be used for exports: {error.strerror}.") from error

    def load(self, question: ExportQuestion) -> State:
        """Return the state kept, or a new one. Raises ConfigurationError for that of another question."""
        kept = self.kept()
        if kept is None:
            return State(question=question)
        if kept.question != question:
            raise ConfigurationError(
                f"{self.path} holds an unfinished export of another question. Finish or abandon that first."
            )
        return kept

    def kept(self) -> State | None:
        """Return the state kept, of whatever question. Raises InputError for a file that is none."""
        if not self._file.exists():
            return None
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=State)
        except (msgspec.DecodeError, OSError) as error:
            raise InputError(f"{self._file} cannot be read as the state of an export. Remove the folder.") from error

    def save(self, state: State) -> None:
        """Replace the state on disk, whole or not at all."""
        self._make()
        new = self._file.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def remove(self) -> None:
        """Remove everything that an export put here; the folder goes too if that was all."""
        self._file.unlink(missing_ok=True)  # first: without it the rest is of no export
        for path in (*self.path.glob("*.ndjson*"), *self.path.glob(f"{SORTED}*")):
            path.unlink()
        self._file.with_suffix(".new").unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


def listed(manifest: Resource, start: int) -> Iterator[ExportFile]:
    """Yield the files of one page of a manifest, numbered from ``start``."""
    parts: tuple[Part, ...] = ("output", "deleted", "error")
    for part in parts:
        for one in manifest.get(part) or []:
            kind, count = _word(one.get("type")), one.get("count")
            yield ExportFile(
                part=part,
                type=kind,
                url=str(one.get("url", "")),
                name=f"{start:05}-{part}-{kind}.ndjson",
                count=count if isinstance(count, int) else None,
            )
            start += 1


def _word(said: Any) -> str:
    """Return a type that can be part of a file's name: v3 need not name one."""
    return said if isinstance(said, str) and said.isascii() and said.isalpha() else "any"
