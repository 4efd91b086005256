"""Finds the files to validate and reads them one resource at a time, so that a file may be of any size."""

from __future__ import annotations

import glob
import gzip
import io
import itertools
import re
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from fhirbridge import fhirjson
from fhirbridge.errors import InputError

MAX_BYTES = 256 * 1024 * 1024
"""A JSON file, and a line of NDJSON, is read whole, so it may not be larger; NDJSON itself may be of any size."""
SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz")
_LINES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_PACKAGES = (".tgz", ".tar.gz")
_NOT_RESOURCES = ("package.json", ".index.json")
_BOM = b"\xef\xbb\xbf"
_BYTE = re.compile(r" \(byte (\d+)\)")

Progress = Callable[[int, int | None], None]
"""Called with the bytes read so far and the bytes there are (None: standard input)."""


@dataclass(frozen=True, slots=True)
class Text:
    """One resource's JSON text, or why there is none. ``line`` counts from 1 and is None for a whole file."""

    file: str
    line: int | None
    content: bytes = b""
    error: InputError | None = None

    def value(self) -> Any:
        """Parse it. Raises InputError that names file, line and what is wrong there."""
        if self.error is not None:
            raise self.error
        try:
            return fhirjson.loads(self.content)
        except InputError as error:
            raise InputError(self._placed(str(error))) from error

    def _placed(self, message: str) -> str:
        """Say line and column where the codec says a byte: people's editors know lines."""
        found = _BYTE.search(message)
        before = self.content[: int(found[1])] if found else self.content.rstrip()
        line, column = before.count(b"\n") + (self.line or 1), len(before) - before.rfind(b"\n")
        where = f"{self.file}:{line}" if self.line or found or "truncated" in message else self.file
        told = _BYTE.sub(f" (line {line}, column {column})", message)
        if "trailing characters" in message and self.line is None:
            told += " One resource a line is NDJSON: call the file .ndjson."
        if self.content.lstrip()[:1] == b"<":
            told += " FHIR's XML is not read here: have it converted to JSON."
        return f"{where}: {told}"


def texts(paths: Iterable[str | Path], progress: Progress | None = None) -> Iterator[Text]:
    """Yield every resource of files, folders (all below them) and glob patterns; ``-`` is standard input.

    Reads .json, .ndjson and .jsonl, each of them with .gz, and all of them in a .tgz that is named itself (a FHIR
    package); standard input is JSON or NDJSON, as its first line shows. What cannot be read is yielded as a Text with
    an error, and the rest goes on.
    """
    files = [file for path in paths for file in _files(path)]
    total = sum(file.stat().st_size for file in files if isinstance(file, Path) and str(file) != "-")
    done = 0
    for file in files:
        if isinstance(file, Text):
            yield file
            continue
        for at, text in _read(file):
            if progress is not None:
                progress(done + at, total if str(file) != "-" else None)
            yield text
        with suppress(OSError):
            done += file.stat().st_size


def _files(path: str | Path) -> Iterator[Path | Text]:
    found = Path(path)
    if str(path) == "-" or found.is_file():
        yield found
    elif found.is_dir():
        inside = [file for file in sorted(found.rglob("*")) if _holds_resources(file.name) and file.is_file()]
        yield from inside
        if not inside:
            yield _no(path, f"the folder holds no {', '.join(SUFFIXES[:3])} file.")
    elif glob.has_magic(str(path)):
        matched = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]  # noqa: PTH207
        yield from matched
        if not matched:
            yield _no(path, "the pattern matches no file.")
    else:
        yield _no(path, "no such file or folder.")


def _holds_resources(name: str) -> bool:
    return name.endswith(SUFFIXES) and name not in _NOT_RESOURCES


def _no(path: str | Path, why: str, line: int | None = None) -> Text:
    place = f"{path}:{line}" if line else str(path)
    return Text(str(path), line, error=InputError(f"{place}: {why}"))


def _empty(name: str) -> Text:
    return _no(name, "nothing came on standard input." if name == "-" else "the file is empty.")


def _read(file: Path) -> Iterator[tuple[int, Text]]:
    name = str(file)
    try:
        if name == "-":
            yield from _standard_input()
            return
        with file.open("rb") as raw:
            if name.endswith(_PACKAGES):
                yield from _package(name, raw)
            else:
                yield from _resources(name, raw, raw.tell)
    except tarfile.TarError as error:
        yield 0, _no(name, f"not a whole .tgz file: {error}.")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield 0, _no(name, f"not a whole gzip file: {error}")
    except OSError as error:
        yield 0, _no(name, f"cannot be read: {error.strerror}.")


def _resources(name: str, raw: IO[bytes], tell: Callable[[], int]) -> Iterator[tuple[int, Text]]:
    stream = cast("IO[bytes]", gzip.open(raw) if name.endswith(".gz") else raw)  # noqa: SIM115
    if name.endswith(_LINES):
        yield from _lines(name, stream, tell)
    else:
        yield 0, _whole(name, stream.read(MAX_BYTES + 1))


def _package(name: str, raw: IO[bytes]) -> Iterator[tuple[int, Text]]:
    """Read what a .tgz holds, member by member; nothing is unpacked to disk."""
    some = False
    with tarfile.open(fileobj=raw, mode="r|gz") as archive:
        for member in archive:
            if member.isfile() and _holds_resources(PurePosixPath(member.name).name):
                some = True
                content = cast("IO[bytes]", archive.extractfile(member))
                for _, text in _resources(f"{name}/{member.name}", content, raw.tell):
                    yield raw.tell(), text
    if not some:
        yield 0, _no(name, f"the package holds no {', '.join(SUFFIXES[:3])} file.")


def _standard_input() -> Iterator[tuple[int, Text]]:
    stream = sys.stdin.buffer
    first = stream.readline(MAX_BYTES + 1)
    second = b""
    with suppress(InputError):
        if isinstance(fhirjson.loads(first.removeprefix(_BOM)), dict):
            second = next((line for line in iter(stream.readline, b"") if line.strip()), b"")
            if second:
                yield from _lines("-", itertools.chain([first, second], stream))  # type: ignore[arg-type]
                return
    yield 0, _whole("-", first + second + stream.read(MAX_BYTES + 1))


def _whole(name: str, content: bytes) -> Text:
    if len(content) > MAX_BYTES:
        return _no(name, f"larger than {MAX_BYTES >> 20} MiB. Split it, or send NDJSON.")
    content = content.removeprefix(_BOM)
    return Text(name, None, content) if content.strip() else _empty(name)


def _lines(name: str, stream: IO[bytes], tell: Callable[[], int] = lambda: 0) -> Iterator[tuple[int, Text]]:
    some = False
    for number, line in enumerate(_long_lines(stream), 1):
        content = line.removeprefix(_BOM) if number == 1 else line
        if content.strip():
            some = True
            if len(content) > MAX_BYTES:
                yield tell(), _no(name, f"the line is larger than {MAX_BYTES >> 20} MiB.", number)
            else:
                yield tell(), Text(name, number, content)
    if not some:
        yield 0, _empty(name)


def _long_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, of a line that is too long only its beginning."""
    if not isinstance(stream, io.IOBase):
        yield from stream
        return
    while line := stream.readline(MAX_BYTES + 1):
        yield line
        while len(line) > MAX_BYTES and not line.endswith(b"\n"):
            line = stream.readline(MAX_BYTES + 1)
