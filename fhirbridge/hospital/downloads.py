"""One file of an export fetched onto disk: in pieces, again where it was cut, and counted against what was promised."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import requests
import urllib3

from fhirbridge.errors import FatalHospitalError, TemporaryHospitalError
from fhirbridge.hospital import failures
from fhirbridge.hospital.answers import Answer
from fhirbridge.hospital.client import Hospital
from fhirbridge.hospital.network import USER_AGENT

_PIECE = 262_144
_GZIP = b"\x1f\x8b"
_COUNTS_TRIED = 3


class NotAsPromised(TemporaryHospitalError):
    """A file that stays damaged or of another length, however often it is fetched: another export may do better."""


def fetch(
    hospital: Hospital, url: str, path: Path, count: int | None, *, elsewhere: Collection[str], signed: bool
) -> int:
    """Fetch a file of ndjson, put it under ``path`` once it is whole, and return its size in bytes.

    ``count`` is how many lines it must have, None if nobody knows. Raises TemporaryHospitalError for a file that keeps
    being cut, NotAsPromised for one of another length, FatalHospitalError for one that is refused or lies on a server
    that is not allowed.
    """
    new, found = path.with_name(f"{path.name}.part"), None
    what = "download of an exported file"
    for _ in range(_COUNTS_TRIED):
        new.unlink(missing_ok=True)
        _whole(hospital, url, new, what, elsewhere, signed)
        found = _counted(new)
        if found is not None and count in (None, found):
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.replace(path)
            return path.stat().st_size
    new.unlink(missing_ok=True)
    if found is None:
        raise NotAsPromised(f"{what}: its compression is damaged.")
    raise NotAsPromised(f"{what}: it holds {found} resources, and the server promised {count}.")


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that are not empty, one at a time; it may be compressed as it came."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        with gzip.open(file) if packed else file as stream:
            for line in stream:
                if line := line.strip():
                    yield line


def _counted(path: Path) -> int | None:
    """Return how many lines there are, None if the file is compressed and damaged."""
    try:
        return sum(1 for _ in lines(path))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None


def _whole(hospital: Hospital, url: str, new: Path, what: str, elsewhere: Collection[str], signed: bool) -> None:
    """Fetch it into ``new``, going on where it was cut if the server can, and from the start if not."""
    validator: list[str] = []

    def attempt() -> None:
        here = new.stat().st_size if validator and new.exists() else 0
        headers = {"Accept": "application/fhir+ndjson, application/x-ndjson, */*;q=0.1", "User-Agent": USER_AGENT}
        if here:
            headers |= {"Range": f"bytes={here}-", "If-Range": validator[0], "Accept-Encoding": "identity"}
        with hospital.streamed(url, what, headers, elsewhere=elsewhere, signed=signed) as response:
            _check(response, what)
            goes_on = response.status_code == 206
            if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
                validator.clear()
                raise TemporaryHospitalError(f"{what}: the server sent another part than the one asked for.")
            validator[:] = _validator(response)
            _append(response, new, "ab" if goes_on else "wb")

    hospital.again(attempt)


def _check(response: requests.Response, what: str) -> None:
    if not 200 <= response.status_code < 300:
        body = response.raw.read(100_000, decode_content=True)
        failure = failures.from_response(Answer(response.status_code, response.headers, body), what)
        raise failure or FatalHospitalError(f"{what}: refused.")
    if "html" in failures.content_type(response):
        raise TemporaryHospitalError(f"{what}: answered by a web page.", status=response.status_code)


def _append(response: requests.Response, new: Path, mode: str) -> None:
    try:
        with new.open(mode) as file:
            new.chmod(0o600)
            # read() and stream() would lose what came before a cut.
            while piece := response.raw.read1(_PIECE, decode_content=True):
                file.write(piece)
    except urllib3.exceptions.DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error, request=response.request) from error


def _validator(response: requests.Response) -> list[str]:
    """Return what proves that a later part is of the same file; nothing where parts cannot be put together."""
    if response.headers.get("Content-Encoding") or response.headers.get("Accept-Ranges", "").lower() == "none":
        return []
    tag = response.headers.get("ETag", "")
    return [tag] if tag and not tag.startswith("W/") else []
