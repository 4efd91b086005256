"""Who may work in the inbox over HTTP: names with the digests of their tokens, in a file; no token is kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fhirbridge.errors import ConfigurationError, InputError
from fhirbridge.store.decisions import MACHINES

READ_ONLY = "read-only"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EVERYBODY_WRITES = 0o002


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Who bears a token; one who is not ``decides`` may look only."""

    name: str
    digest: str
    decides: bool


def read(path: Path) -> list[Bearer]:
    """Return those named in a file of lines ``name sha256-of-token [read-only]``; # begins a comment.

    Raises ConfigurationError naming the line, and for a file that every user of the machine could add a name to.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"inbox_tokens: {path} cannot be read ({type(error).__name__}).") from None
    if os.name == "posix" and mode & _EVERYBODY_WRITES:
        raise ConfigurationError(f"inbox_tokens: every user of this machine can write {path}. `chmod o-w {path}`.")
    lines = ((number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1))
    return [_bearer(words, number, path) for number, words in lines if words]


def _bearer(words: list[str], number: int, path: Path) -> Bearer:
    name, digest, *rest = [*words, ""] if len(words) == 1 else words
    if not _DIGEST.fullmatch(digest) or rest not in ([], [READ_ONLY]) or not _usable(name):
        raise ConfigurationError(
            f"inbox_tokens: line {number} of {path} is not `name sha256-of-token` with or without `{READ_ONLY}`. "
            "`fhirbridge inbox token NAME` writes such lines."
        )
    return Bearer(name=name, digest=digest, decides=not rest)


def who(path: Path, token: str) -> Bearer | None:
    """Return who bears a token, None if nobody does; the file is read anew, so that a name taken out is out at once."""
    digest, found = _digest(token), None
    for bearer in read(path):
        if hmac.compare_digest(bearer.digest, digest):
            found = bearer  # and go on: how long it takes says nothing of who it is
    return found


def add(path: Path, name: str, *, decides: bool) -> tuple[str, bool]:
    """Give somebody a token, instead of the one they had; return it, and whether they had one. It is kept nowhere.

    Raises InputError for a name that nobody can bear, ConfigurationError for a file that cannot be read or written.
    """
    if not _usable(name):
        raise InputError(
            f"{name!r} cannot be a name here: letters, digits and . _ @ - are, up to 64 of them, and "
            f"neither of {', '.join(MACHINES)}."
        )
    before = read(path) if path.exists() else []
    token = secrets.token_urlsafe(32)
    kept = [one for one in before if one.name != name]
    _write(path, [*kept, Bearer(name=name, digest=_digest(token), decides=decides)])
    return token, len(kept) < len(before)


def _write(path: Path, bearers: list[Bearer]) -> None:
    """Replace the file whole, so that who reads it meanwhile has all of the old one or all of the new."""
    lines = [f"{one.name} {one.digest}{'' if one.decides else f' {READ_ONLY}'}\n" for one in bearers]
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).chmod(mode)
        Path(file.name).replace(path)
    except OSError as error:
        raise ConfigurationError(f"inbox_tokens: {path} cannot be written ({error.strerror}).") from None


def _usable(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and name not in MACHINES


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
