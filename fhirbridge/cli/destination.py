"""Where a command writes: standard output, or a file that is there when it is complete."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fhirbridge.errors import InputError


@contextmanager
def destination(output: Path | None) -> Iterator[IO[str]]:
    """Open standard output, or a file that appears under its name only when it is complete.

    A pipe or a device is written to, never replaced. Raises InputError where nothing can be written.
    """
    if output is None:
        yield sys.stdout
        return
    special = output.exists() and not output.is_file()
    made: Path | None = None
    try:
        if special:
            with output.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream
            return
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        made = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(handle)
        made.chmod(0o644)
        made.replace(output)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        if made is not None:
            made.unlink(missing_ok=True)
