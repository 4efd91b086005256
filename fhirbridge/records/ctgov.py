"""Reads ClinicalTrials.gov API v2 records: one file, a folder, NDJSON, a JSON array or an API page, also gzipped.

Records come one at a time, so that thousands need no more memory than one; of a JSON array or an API page only
the text is held. A record that cannot be used becomes a Finding in its place, and reading goes on.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fhirbridge import fhirjson
from fhirbridge.errors import Finding, InputError, RecordError
from fhirbridge.records.ctgov_record import REFETCH, RegistryRecord, finding, parse

SUFFIXES = (".json", ".ndjson", ".jsonl")


def read(*sources: Path) -> Iterator[RegistryRecord | Finding]:
    """Yield every record of files and folders in order, and a Finding for each that cannot be used.

    A folder's files are those ending in .json, .ndjson or .jsonl, also with .gz; a record seen before is refused.
    Raises InputError, before anything is read, for a source that does not exist or a folder without such files.
    """
    seen: dict[str, str] = {}
    for path in [path for source in sources for path in _files(source)]:
        for found in _read_file(path):
            if isinstance(found, RegistryRecord):
                place = f"{found.file}:{found.line}" if found.line else str(found.file)
                first = seen.setdefault(found.nct_id, place)
                if first is not place:
                    yield finding(found.nct_id, "one record a study", f"this study was already read from {first}",
                                   "Keep the newer of the two.", file=found.file, line=found.line)  # fmt: skip
                    continue
            yield found


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"no file or folder {source}. Give a ClinicalTrials.gov API v2 record (JSON or NDJSON).")
    found = sorted(path for path in source.iterdir() if path.is_file() and _kind(path) in SUFFIXES)
    if not found:
        raise InputError(
            f"{source} holds no registry records: no file ends in .json, .ndjson or .jsonl (or these .gz)."
        )
    return found


def _kind(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _read_file(path: Path) -> Iterator[RegistryRecord | Finding]:
    lines = _kind(path) in (".ndjson", ".jsonl")
    try:
        for line, text in _lines(path) if lines else _documents(path):
            yield _one(text, path, line)
    except (OSError, EOFError, zlib.error) as error:
        yield finding(path.name, "a readable file", f"the file breaks off or is damaged: {error}",
                       "Copy it again; what stands before was read.", file=str(path))  # fmt: skip
    except InputError as error:
        yield finding(path.name, "JSON", str(error), REFETCH, file=str(path))


def _one(text: bytes | msgspec.Raw, path: Path, line: int | None) -> RegistryRecord | Finding:
    try:
        return parse(fhirjson.loads(bytes(text)), file=str(path), line=line)
    except RecordError as error:
        return error.finding
    except (InputError, RecursionError) as error:
        return finding("unknown", "JSON", str(error), REFETCH, file=str(path), line=line)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            text = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text
            if text.strip():
                yield number, text


def _documents(path: Path) -> Iterator[tuple[None, bytes | msgspec.Raw]]:
    """Yield the record, or each record of an array or API page, still as text."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        text = file.read().removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise InputError("the file is empty")
    try:
        if text.lstrip().startswith(b"["):
            yield from ((None, item) for item in msgspec.json.decode(text, type=list[msgspec.Raw]))
            return
        page = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        studies = msgspec.json.decode(page["studies"], type=list[msgspec.Raw]) if "studies" in page else [text]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"not a JSON record, array of records or API page: {error}. NDJSON must end in .ndjson"
        ) from error
    yield from ((None, item) for item in studies)
