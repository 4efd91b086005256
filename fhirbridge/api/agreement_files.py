"""The data-use agreements of a folder: read anew when a file changes, so that a change counts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from fhirbridge.errors import ConfigurationError
from fhirbridge.release.agreement import Agreement, load_all

LOOK_SECONDS = 1.0
"""How often the folder is looked at, at most."""

_State = tuple[tuple[str, int, int, int], ...]


class AgreementFiles:
    """The agreements of a folder by their ids. ``clock`` gives seconds.

    A folder that cannot be used any more is an error at every request, rather than agreements that may be void.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._state: _State | None = None
        self._agreements: dict[str, Agreement] = {}

    def __call__(self, id: str) -> Agreement | None:
        """Return the agreement with an id, None if there is none. Raises ConfigurationError."""
        return self.all().get(id)

    def all(self) -> dict[str, Agreement]:
        """Return every agreement by its id. Raises ConfigurationError for a file that is none."""
        with self._lock:
            now = self._clock()
            if self._looked is None or now - self._looked >= LOOK_SECONDS:
                state = _state(self._folder)
                if state != self._state:
                    self._state = None  # until they are read: what cannot be read is not replaced by what was
                    self._agreements = load_all(self._folder)
                    self._state = state
                self._looked = now
            return self._agreements


def _state(folder: Path) -> _State:
    try:
        found = [(path, path.stat()) for path in sorted(folder.glob("*.toml"))]
    except OSError as error:
        raise ConfigurationError(f"agreements: {folder} cannot be read ({error.strerror}).") from None
    return tuple((path.name, one.st_ino, one.st_mtime_ns, one.st_size) for path, one in found)
