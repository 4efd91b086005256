"""Has a process of its own run a posted view, and gives the table as it comes: what ``views.alone`` does, asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

import fhirbridge
from fhirbridge import fhirjson
from fhirbridge.views.alone import READY, Fault, Order
from fhirbridge.views.faults import ViewError
from fhirbridge.views.writing import Format

SECONDS = 60
"""Of the processor's time that a posted view may take."""
MEMORY = 1024 * 1024 * 1024
_PART = 64 * 1024
_KEPT = ("HOME", "LANG", "LC_ALL", "PATH", "SYSTEMROOT", "TMPDIR", "USERPROFILE", "XDG_CACHE_HOME")
"""What of the environment goes on; passwords of settings do not."""


def run(
    view: dict[str, Any],
    resources: Iterable[bytes],
    format_: Format,
    *,
    limit: int | None,
    definitions: Path | None,
    seconds: int = SECONDS,
) -> Iterator[bytes]:
    """Yield the table of a view; the first part is empty, and comes once the view is known to be sound.

    Raises ViewError and what ``resources`` raise, midway too. Whoever stops asking ends the process.
    """
    order = Order(
        view=fhirjson.dumps(view).decode(),
        format=format_,
        limit=limit,
        definitions=None if definitions is None else str(definitions.absolute()),
        seconds=seconds,
        bytes=MEMORY,
    )
    name = view.get("name")
    process = _started()
    failed: list[Exception] = []
    feeder = threading.Thread(target=_feed, args=(process.stdin, order, resources, failed), name="view", daemon=True)
    feeder.start()
    try:
        yield from _parts(process, name if isinstance(name, str) else "without a name")
        feeder.join()
        if failed:
            raise failed[0]
    finally:
        process.kill()
        process.wait()
        feeder.join()  # its pipe is broken now, at the latest
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fhirbridge.views.alone"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    )


def _parts(process: subprocess.Popen[bytes], name: str) -> Iterator[bytes]:
    out, told = process.stdout, process.stderr
    if out is None or told is None:
        raise AssertionError("pipes were asked for")
    if out.readline() == READY:
        yield b""
        while part := out.read(_PART):
            yield part
    if process.wait() != 0:
        raise _fault(name, told.read())


def _feed(stream: IO[bytes], order: Order, resources: Iterable[bytes], failed: list[Exception]) -> None:
    """Write everything into a process; what goes wrong on our side is kept for whoever reads its answer."""
    try:
        with suppress(BrokenPipeError):
            stream.write(msgspec.json.encode(order) + b"\n")
            for resource in resources:
                stream.write(resource + b"\n")
    except Exception as error:  # noqa: BLE001  # it is raised again, in the thread that answers
        failed.append(error)
    with suppress(OSError):
        stream.close()


def _fault(name: str, told: bytes) -> ViewError:
    try:
        fault = msgspec.json.decode(told.splitlines()[-1] if told else b"", type=Fault)
    except msgspec.DecodeError:
        return ViewError(name, "select", "too-costly", "it takes more time or memory than a view may. Simplify it")
    return ViewError(name, fault.place, fault.rule, fault.message)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": str(Path(fhirbridge.__file__).parent.parent)}
