"""What a request to the hospital's server carries as Authorization, and whether a refused one can be renewed."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import secret_files
from fhirbridge.hospital.answers import Answer

HEADER = "Authorization"


class Source(Protocol):
    """Where bearer tokens come from: a token endpoint (``Tokens``) or a file (``TokenFile``)."""

    def current(self) -> str:
        """Return the token to send now."""

    def refused(self, value: str) -> bool:
        """Take note that the server did not take this token; say whether there may be another one now."""


class Bearer(AuthBase):
    """``Authorization: Bearer`` with the current token of a source (RFC 6750)."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[HEADER] = f"Bearer {self._source.current()}"
        return request

    def refused(self, request: PreparedRequest) -> bool:
        """Take note of a request that was answered 401; say whether to try it once more."""
        return self._source.refused(str(request.headers.get(HEADER, "")).removeprefix("Bearer "))


class TokenFile:
    """A token that something else writes into a file; read again whenever the file has changed.

    While the file is being replaced and cannot be read, the last token is used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state = _state(path)
        self._value = _read(path)

    def current(self) -> str:
        """Return what the file holds now."""
        with self._lock:
            state = _state(self._path)
            if state is not None and state != self._state:
                # Half written, or not there for a moment; if it stays so, the server refuses the old token.
                with suppress(ConfigurationError):
                    self._value, self._state = _read(self._path), state
            return self._value

    def refused(self, value: str) -> bool:
        """Read the file once more, whatever its time says; a token that is the same will be refused again."""
        with self._lock:
            self._value, self._state = _read(self._path), _state(self._path)
            return self._value != value


def basic(username: str, password: str) -> AuthBase:
    """Return basic authentication, in UTF-8 (RFC 7617). Raises ConfigurationError for a name with a colon."""
    if ":" in username:
        raise ConfigurationError("hospital_username must hold no colon: basic authentication cannot say it.")
    return HTTPBasicAuth(username.encode(), password.encode())


def without_credentials(answer: Answer, request: PreparedRequest) -> Answer:
    """Return an answer that does not quote what the request was signed with; some servers do when they refuse it."""
    credentials = str(request.headers.get(HEADER, "")).partition(" ")[2].encode()
    if answer.status_code < 400 or not credentials:
        return answer
    return replace(answer, content=answer.content.replace(credentials, b"(hidden)"))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> str:
    token = secret_files.read_line(path, "hospital_token_file")
    if not token.isascii() or " " in token:
        raise ConfigurationError(f"hospital_token_file: {path} must hold a token and nothing else.")
    return token
