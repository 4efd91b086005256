"""Reads files to validate, one resource at a time, and shows what was found as a table."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from fhirbridge import fhirjson
from fhirbridge.errors import InputError, Resource
from fhirbridge.validation.outcome import has_errors
from fhirbridge.validation.validator import Validator

MAX_BYTES = 256 * 1024 * 1024
"""A JSON file is read whole, so it may not be larger; NDJSON is read by line and may be of any size."""
_SUFFIXES = (".json", ".ndjson", ".jsonl")
_STYLE = {"fatal": "bold red", "error": "red", "warning": "yellow", "information": "dim"}


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What came of one resource, or of a file or line that holds none (then ``error`` says why).

    ``line`` counts from 1 and is None for a file that is one resource.
    """

    file: str
    line: int | None
    outcome: Resource = field(default_factory=dict)
    label: str = ""
    error: InputError | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the resource could be read and no error was found."""
        return self.error is None and not has_errors(self.outcome)

    @property
    def place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def validate_paths(
    validator: Validator, paths: Iterable[str | Path], profiles: Sequence[str] = ()
) -> Iterator[FileOutcome]:
    """Validate files, folders (every .json, .ndjson, .jsonl below them) and glob patterns; ``-`` is standard input.

    A file or line that cannot be used yields an outcome with an InputError, and the rest goes on. Raises
    ProfileError for a profile that is not loaded or is broken.
    """
    for path in paths:
        for file in _files(path):
            if isinstance(file, InputError):
                yield FileOutcome(str(path), None, error=file)
                continue
            for line, resource in _read(file):
                yield _judge(validator, str(file), line, resource, profiles)


def _judge(validator: Validator, file: str, line: int | None, resource: Any, profiles: Sequence[str]) -> FileOutcome:
    where = file if line is None else f"{file}:{line}"
    if isinstance(resource, InputError):
        return FileOutcome(file, line, error=InputError(f"{where}: {resource}"))
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return FileOutcome(
            file,
            line,
            error=InputError(f"{where}: no FHIR resource: a JSON object with a resourceType is needed."),
        )
    label = f"{resource['resourceType']}/{resource.get('id', '?')}"
    return FileOutcome(file, line, validator.validate(resource, profiles), label)


def _files(path: str | Path) -> Iterator[Path | InputError]:
    found = Path(path)
    if str(path) == "-" or found.is_file():
        yield found
    elif found.is_dir():
        inside = [file for file in sorted(found.rglob("*")) if file.suffix in _SUFFIXES and file.is_file()]
        yield from inside
        if not inside:
            yield InputError(f"{path}: the folder holds no {', '.join(_SUFFIXES)} file.")
    elif glob.has_magic(str(path)):
        matched = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]  # noqa: PTH207
        yield from matched
        if not matched:
            yield InputError(f"{path}: the pattern matches no file.")
    else:
        yield InputError(f"{path}: no such file or folder.")


def _read(file: Path) -> Iterator[tuple[int | None, Any]]:
    try:
        if file.suffix in (".ndjson", ".jsonl"):
            yield from _lines(file)
        else:
            yield None, _whole(file)
    except OSError as error:
        yield None, InputError(f"cannot be read: {error.strerror}.")


def _whole(file: Path) -> Any:
    if str(file) == "-":
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    elif file.stat().st_size > MAX_BYTES:
        return InputError(f"larger than {MAX_BYTES >> 20} MiB. Split it, or send NDJSON.")
    else:
        content = file.read_bytes()
    return _parsed(content)


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    some = False
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                some = True
                yield number, _parsed(line)
    if not some:
        yield 1, InputError("the file is empty.")


def _parsed(content: bytes) -> Any:
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        return InputError("the file is empty.")
    try:
        return fhirjson.loads(content)
    except InputError as error:
        return error
    except RecursionError:
        return InputError("nested too deep to be read.")


def table(outcomes: Iterable[FileOutcome], limit: int | None = None) -> Table:
    """Return a Rich table of what was found, errors first; at most ``limit`` rows, the rest counted in the caption."""
    rows = sorted((row for one in outcomes for row in _rows(one)), key=lambda row: (_SEVERITIES.index(row[0]), row[1]))
    shown = Table(title="Validation", show_lines=False, expand=True)
    for name in ("severity", "where", "rule", "what is wrong", "what to do"):
        shown.add_column(name, overflow="fold")
    for severity, where, rule, text, remedy in rows[:limit]:
        shown.add_row(severity, where, rule, text, remedy, style=_STYLE[severity])
    if limit is not None and len(rows) > limit:
        shown.caption = f"… and {len(rows) - limit} more"
    return shown


_SEVERITIES = ("fatal", "error", "warning", "information")


def _rows(one: FileOutcome) -> Iterator[tuple[str, str, str, str, str]]:
    if one.error is not None:
        yield "fatal", one.place, "input", str(one.error), ""
        return
    for issue in one.outcome["issue"]:
        details = issue.get("details", {})
        rule = (details.get("coding") or [{}])[0].get("code", "")
        where = " ".join([one.place, *issue.get("expression", [one.label])])
        yield issue["severity"], where, rule, details.get("text", ""), issue.get("diagnostics", "")
