"""Tables of resources: in files that appear only when all of them are complete, or as a stream of bytes.

Both take any iterator of resources: those of the store, or those that a registry may see.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import RawIOBase
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from fhirbridge.errors import InputError, Resource
from fhirbridge.views.view import View
from fhirbridge.views.writing import Format, Table, opened

_CHUNK = 64 * 1024


@dataclass(slots=True)
class Written:
    """One table: its view, the file it came to lie in, and what went into it."""

    view: str
    path: Path
    resources: int = 0
    rows: int = 0
    bytes: int = 0


def export(
    resources: Iterable[Resource], views: Sequence[View], folder: Path, format_: Format, *, ready: Callable[[], None]
) -> list[Written]:
    """Write one file a view, named after it, into a folder, in one pass; one that is there already is replaced.

    No file appears before all are complete and ``ready`` returned: it is the caller's last chance to raise. Raises
    ViewError, ConfigurationError (no pyarrow), InputError (nothing can be written there).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = [_File(stack, view, folder / f"{view.name}.{format_}", format_) for view in views]
            by_type: dict[str, list[_File]] = {}
            for file in files:
                by_type.setdefault(file.view.resource, []).append(file)
            for resource in resources:
                for file in by_type.get(resource["resourceType"], ()):
                    file.take(resource)
            for file in files:
                file.complete()
            ready()
            for file in files:
                file.appear()
            return [file.written for file in files]
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}. Name another folder.") from error


class _File:
    """A table in the making, under a name of its own beside the one it will have."""

    def __init__(self, stack: ExitStack, view: View, path: Path, format_: Format) -> None:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is there and is no file. Move it away, or name another folder.")
        self.view, self.written = view, Written(view.name, path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._made = Path(name)
        stack.callback(self._made.unlink, missing_ok=True)
        self._stream: IO[bytes] = stack.enter_context(os.fdopen(handle, "wb"))
        self._table: Table = opened(view, format_, self._stream)
        stack.callback(self._table.drop)

    def take(self, resource: Resource) -> None:
        rows = self.view.rows(resource)
        for row in rows:
            self._table.write(row)
        self.written.resources += bool(rows)
        self.written.rows += len(rows)

    def complete(self) -> None:
        self._table.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.written.bytes = self._made.stat().st_size

    def appear(self) -> None:
        self._made.replace(self.written.path)


def stream(view: View, resources: Iterable[Resource], format_: Format, *, limit: int | None = None) -> Iterator[bytes]:
    """Yield the table of one view as it is written, some 64 kB at a time, with ``limit`` rows at most.

    Raises as ``export`` does, midway too.
    """
    taken = _Taken()
    table = opened(view, format_, cast("IO[bytes]", taken))
    for row in islice(view.table(resources), limit):
        table.write(row)
        if taken.size >= _CHUNK:
            yield taken.take()
    table.close()
    if taken.size:
        yield taken.take()


class _Taken(RawIOBase):
    """A stream that can only be written to, whose bytes are taken away as they come; it knows its place."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._place = 0
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._place += len(part)
        self.size += len(part)
        return len(part)

    def take(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return found
