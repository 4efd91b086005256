"""Files that hold a secret: read only where not everybody on the machine can read them too, and never quoted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fhirbridge.errors import ConfigurationError

EVERYBODY = 0o007


def check_private(path: Path, setting: str) -> None:
    """Raise ConfigurationError unless ``path`` is a file closed to other users; the owner's group may read it.

    Windows says nothing of this in a file's mode, so nothing is checked there.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read ({error.strerror}).") from None
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{setting}: {path} is a folder. Name the file itself.")
    if os.name == "posix" and mode & EVERYBODY:
        raise ConfigurationError(
            f"{setting}: every user of this machine can use {path}. Close it with `chmod 640 {path}`; where a "
            "container mounts it, set its mode to 0440."
        )


def read_bytes(path: Path, setting: str) -> bytes:
    """Return what a private file holds. Raises ConfigurationError as ``check_private`` does, or where it is empty."""
    check_private(path, setting)
    try:
        held = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read ({error.strerror}).") from None
    if not held.strip():
        raise ConfigurationError(f"{setting}: {path} is empty.")
    return held


def read_line(path: Path, setting: str) -> str:
    """Return the one line of a private file, without the white space around it."""
    try:
        line = read_bytes(path, setting).decode().strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: {path} is not text.") from None
    if not line.isprintable():
        raise ConfigurationError(f"{setting}: {path} must hold one line and nothing else.")
    return line
