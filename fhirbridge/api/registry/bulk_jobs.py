"""Exports that outlive the process that began them: one folder each, with what was asked, how far it came, its files.

Several processes share the folder. Whoever holds an export's lock file works on it; the operating system lets go of the
lock when that process dies, so that the next one goes on where the last complete type of resource ended.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from fhirbridge.api.registry.rates import too_many
from fhirbridge.audit.anchors import lock
from fhirbridge.errors import StoreError

MOST_KEPT = 50
"""Exports of one client that are kept at a time, done or not."""
ATTEMPTS = 3
"""How often an export is begun again after an error, before it counts as failed."""
POLL_SECONDS = 1
"""``Retry-After`` while an export runs."""

_ID = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_STATE = "job.json"
_LOCK = "lock"
_GONE = ".gone-"

State = Literal["waiting", "done", "failed"]
Level = Literal["system", "Patient", "Group"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is to hold. ``filters`` are queries like ``Observation?code=…``; empty tuples do not restrict."""

    level: Level
    types: tuple[str, ...]
    group: str | None = None
    since: str | None = None
    elements: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One complete file: its name in the export's folder, its resources and bytes."""

    type: str
    name: str
    resources: int
    bytes: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One export: whose it is, what it holds as of which release (``at``), and how far it came.

    ``rules`` is a digest of the agreement's rules it was made under; ``created`` and ``ended`` are seconds since 1970.
    """

    id: str
    client: str
    agreement: str
    rules: str
    request: str
    asked: Asked
    at: int
    transaction_time: str
    created: float
    state: State = "waiting"
    attempts: int = 0
    types_done: tuple[str, ...] = ()
    files: tuple[Made, ...] = ()
    ended: float | None = None
    reason: str = ""


class Jobs:
    """The exports in a folder that is this service's alone. Raises StoreError where it cannot be written.

    ``running`` is how many unfinished ones a client may have, ``seconds`` how long an export is kept.
    """

    def __init__(
        self, folder: Path, now: Callable[[], dt.datetime], *, running: int, seconds: float, fsync: bool = True
    ) -> None:
        self._folder = folder
        self._now = now
        self._running = running
        self._seconds = seconds
        self._fsync = fsync

    def create(
        self,
        *,
        client: str,
        agreement: str,
        rules: str,
        request: str,
        asked: Asked,
        at: int,
        transaction_time: str,
    ) -> Job:
        """Note an export to be made. Raises TooManyRequests (429) for a client that has enough under way."""
        made = Job(
            id=secrets.token_urlsafe(24),
            client=client,
            agreement=agreement,
            rules=rules,
            request=request,
            asked=asked,
            at=at,
            transaction_time=transaction_time,
            created=self._now().timestamp(),
        )
        with _translated(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sweep()
            with _opened(self._folder / _LOCK) as held:
                lock(held)
                self._check(client)
                self.folder(made).mkdir(mode=0o700)
                self.save(made)
        return made

    def get(self, id: str) -> Job | None:
        """Return an export that is kept, None for what is none, was deleted or has expired."""
        job = self._read(id) if _ID.fullmatch(id) else None
        return None if job is None or self.expires(job) <= self._now() else job

    def all(self) -> list[Job]:
        """Return the exports that are kept, in the order in which they were asked for."""
        found = [self.get(path.name) for path in self._paths()]
        return sorted((job for job in found if job), key=lambda job: (job.created, job.id))

    def save(self, job: Job) -> None:
        """Replace what is known of an export, whole. Raises FileNotFoundError for one that was deleted meanwhile."""
        folder = self.folder(job)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".state-")
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(job))
            file.flush()
            if self._fsync:
                os.fsync(file.fileno())
        Path(name).replace(folder / _STATE)

    def delete(self, job: Job) -> None:
        """Forget an export and its files; whoever works on it stops."""
        gone = self._folder / f"{_GONE}{job.id}"
        with contextlib.suppress(FileNotFoundError), _translated(self._folder):
            self.folder(job).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what has expired, and what a deletion that was cut short left."""
        oldest = self._now().timestamp() - self._seconds
        for path in self._paths():
            job = self._read(path.name)
            if job is not None and self.expires(job) <= self._now():
                self.delete(job)
            elif job is None and path.stat().st_mtime <= oldest:
                shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.glob(f"{_GONE}*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def lease(self, job: Job) -> Iterator[Job | None]:
        """Give an export, as it is now, to work on; None where it is finished, deleted, or in another's hands.

        Nobody else is given it before the block ends or this process does.
        """
        try:
            held = os.open(self.folder(job) / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield None
            return
        try:
            now = self.get(job.id) if _try(held) else None
            yield now if now and now.state == "waiting" else None
        finally:
            os.close(held)

    def exists(self, job: Job) -> bool:
        """Tell whether an export was not deleted."""
        return (self.folder(job) / _STATE).exists()

    def folder(self, job: Job) -> Path:
        """Return the folder of an export."""
        return self._folder / job.id

    def expires(self, job: Job) -> dt.datetime:
        """Return when an export and its files are removed: so long after its end or, unfinished, its beginning."""
        return dt.datetime.fromtimestamp((job.ended or job.created) + self._seconds, dt.UTC)

    def ended(self, job: Job, state: State, reason: str = "") -> Job:
        """Return an export as it is when it came to its end now."""
        return msgspec.structs.replace(job, state=state, reason=reason, ended=self._now().timestamp())

    def _paths(self) -> list[Path]:
        return [path for path in self._folder.glob("*") if _ID.fullmatch(path.name)]

    def _read(self, id: str) -> Job | None:
        try:
            return msgspec.json.decode((self._folder / id / _STATE).read_bytes(), type=Job)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):  # deleted, or of another version of this
            return None
        except OSError as error:
            raise StoreError(f"api_export_folder: export {id} cannot be read ({error.strerror}).") from None

    def _check(self, client: str) -> None:
        own = [job for job in self.all() if job.client == client]
        running = sum(job.state == "waiting" for job in own)
        if running >= self._running:
            raise too_many(f"This client has {running} exports under way.", POLL_SECONDS * 5)
        if len(own) >= MOST_KEPT:
            first = min(self.expires(job) for job in own)
            wait = max(1, int((first - self._now()).total_seconds()))
            raise too_many(f"This client has {len(own)} exports here. Delete those that are fetched.", wait)


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"api_export_folder: {folder} cannot be written ({error.strerror}). Make room, or name another folder."
        ) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield held
    finally:
        os.close(held)


def _try(held: int) -> bool:
    """Take the sole use of an open file if nobody has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(held, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
