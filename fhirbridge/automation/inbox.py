"""The inbox: a folder where records are dropped; what is complete is loaded and put away, nothing is ever deleted.

    inbox/                     a workbook, a folder of CSV files, or CSV files lying loose: one delivery each
    inbox/working/<when>/      what is being loaded; after a kill it is found here and loaded again
    inbox/done/<run>/          what was loaded and stored, every row of it
    inbox/refused/<run>/       what could not be loaded, or not every row of it: `fhirbridge quarantine --run <run>`

Every move is one rename, so a delivery is in one place at any time. Loading the same rows twice changes nothing.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from fhirbridge.errors import ConfigurationError, Finding, InputError
from fhirbridge.store import Store

OWN = ("working", "done", "refused")
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
"""How programs call a file that they are still writing."""

_TAKING = ".taking-"


class Loaded(Protocol):
    """What is asked of a report on a loading."""

    @property
    def run(self) -> str: ...

    @property
    def refused(self) -> int: ...

    @property
    def unusable(self) -> list[str]: ...


Load = Callable[[Path], Loaded]
"""Loads a folder of CSV files or a workbook into the store. Raises InputError where there is nothing to load."""


class Run(Protocol):
    """A run of a command that is under way."""

    @property
    def id(self) -> str: ...

    def end(self, outcome: str, counts: dict[str, Any]) -> None: ...


Runs = Callable[[str], AbstractContextManager[Run]]
"""Notes a run of a command while a block runs, whatever becomes of it."""


class Ingesting(Protocol):
    """What is needed to load a delivery."""

    @property
    def store(self) -> Store: ...

    @property
    def load(self) -> Load: ...

    @property
    def run(self) -> Runs: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """Files taken out of the inbox: ``folder`` holds them all, ``source`` is what to load of it."""

    folder: Path

    @property
    def source(self) -> Path:
        """The workbook or folder that was delivered, or the folder itself for CSV files that lay loose."""
        entries = list(self.folder.iterdir())
        alone = len(entries) == 1 and (entries[0].is_dir() or entries[0].suffix.lower() != ".csv")
        return entries[0] if alone else self.folder


class Inbox:
    """An inbox folder. Whoever uses it makes sure that nobody else does at the time."""

    def __init__(self, folder: Path, *, quiet: float) -> None:
        self._folder = folder
        self._quiet = quiet
        """Seconds for which nothing may have changed in a delivery before it is taken to be complete."""

    def deliveries(self, *, now: float) -> Iterator[Delivery]:
        """Take and yield what is complete at ``now`` (seconds since the epoch), before it what a kill left behind.

        Raises ConfigurationError for a folder that is not there or cannot be written.
        """
        try:
            self._prepare()
            for folder in sorted((self._folder / "working").iterdir()):
                yield Delivery(folder)
            for entries in self._complete(now):
                yield self._take(entries, now)
        except OSError as error:
            raise ConfigurationError(
                f"the inbox {self._folder} cannot be used: {error.strerror}. Give with `inbox` a folder that exists "
                "and in which fhirbridge may rename files."
            ) from error

    def put_away(self, delivery: Delivery, run: str, *, accepted: bool) -> None:
        """Move a delivery to where its owner looks for it."""
        delivery.folder.rename(self._folder / ("done" if accepted else "refused") / run)

    def _prepare(self) -> None:
        for name in OWN:
            (self._folder / name).mkdir(exist_ok=True)
        for half in (self._folder / "working").glob(f"{_TAKING}*"):  # killed while it took loose files: take them anew
            for entry in half.iterdir():
                _rename_freely(entry, self._folder)
            half.rmdir()

    def _complete(self, now: float) -> list[list[Path]]:
        """Return the deliveries that nobody has changed for a while, the oldest first."""
        entries = [entry for entry in self._folder.iterdir() if _is_offered(entry)]
        loose = [entry for entry in entries if entry.is_file() and entry.suffix.lower() == ".csv"]
        found = [([entry], _changed(entry)) for entry in entries if entry not in loose]
        if loose:
            found.append((loose, max(map(_changed, loose))))
        return [paths for paths, at in sorted(found, key=lambda one: one[1]) if at <= now - self._quiet]

    def _take(self, entries: list[Path], now: float) -> Delivery:
        when = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        taking, folder = (self._folder / "working" / name for name in (_TAKING + when, when))
        taking.mkdir()
        for entry in entries:
            entry.rename(taking / entry.name)
        return Delivery(taking.rename(folder))


def ingest(box: Inbox, delivery: Delivery, work: Ingesting) -> bool:
    """Load a delivery, put it away, and say whether every row was stored.

    What is wrong with the delivery is noted with its run. Any other error is raised, and the delivery stays where it
    is found the next time.
    """
    try:
        loaded = work.load(delivery.source)
    except InputError as error:
        box.put_away(delivery, _refused(work, error), accepted=False)
        return False
    accepted = not (loaded.refused or loaded.unusable)
    box.put_away(delivery, loaded.run, accepted=accepted)
    return accepted


def _refused(work: Ingesting, error: InputError) -> str:
    message, _, remedy = str(error).rstrip(".").partition(". ")
    finding = Finding(record="delivery", rule="unusable", message=message, remedy=f"{remedy or 'Deliver it anew'}.")
    with work.run("ingest") as run:
        work.store.quarantine(run.id, [finding])
        run.end("refused", {"error": type(error).__name__})
    return run.id


def _is_offered(entry: Path) -> bool:
    name = entry.name.lower()
    return not (name in OWN or name.startswith((".", "~$")) or name.endswith(UNFINISHED) or entry.is_symlink())


def _changed(entry: Path) -> float:
    """Return when a file, or anything in a folder, was last changed; a copying program cannot turn back ctime."""
    found = [entry, *(entry.rglob("*") if entry.is_dir() else ())]
    if any(one.name.lower().endswith(UNFINISHED) for one in found):
        return math.inf
    try:
        stats = [one.stat() for one in found]
    except FileNotFoundError:  # renamed while we looked
        return math.inf
    last: float = max(max(stat.st_mtime, stat.st_ctime) for stat in stats)
    return last


def _rename_freely(entry: Path, folder: Path) -> None:
    """Move a file back, beside one of the same name that came meanwhile."""
    target = folder / entry.name
    if target.exists():
        target = folder / f"{secrets.token_hex(4)}-{entry.name}"
    entry.rename(target)
