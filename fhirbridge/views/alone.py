"""Runs a view that a stranger wrote, in a process of its own: ``python -m fhirbridge.views.alone``.

An expression of FHIRPath can be made to take any time and memory there is (a pattern, a text that doubles itself), and
nothing in the same process could stop it. Here the operating system does. On standard input come a line that says what
to run (``Order``, JSON), then the resources, one a line; on standard output goes the table. What is wrong with the view
is told as a line of JSON on standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from fhirbridge import fhirjson
from fhirbridge.errors import FhirbridgeError, Resource
from fhirbridge.validation import Validator
from fhirbridge.views.exporting import stream
from fhirbridge.views.faults import ViewError
from fhirbridge.views.view import View
from fhirbridge.views.writing import Format

READY = b"ready\n"
"""What comes before the table, once the view is known to be sound."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: a ViewDefinition as JSON, how to write its rows, at most so many; and within what limits."""

    view: str
    format: Format
    limit: int | None
    definitions: str | None
    seconds: int
    """Of the processor's time."""
    bytes: int
    """Of memory."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a view could not be run: where in it, by which rule, in words."""

    message: str
    place: str = "select"
    rule: str = "structure"


def main(given: IO[bytes], out: IO[bytes], told: IO[bytes]) -> int:
    """Run what is ordered; 0 once the table is complete."""
    try:
        order = msgspec.json.decode(given.readline(), type=Order)
        _bound(order)
        model = Validator.load(definitions=Path(order.definitions) if order.definitions else None).model
        view = View.of(fhirjson.loads(order.view), model)
        out.write(READY)
        out.flush()
        for part in stream(view, _resources(given), order.format, limit=order.limit):
            out.write(part)
            out.flush()
    except ViewError as error:
        return _tell(told, Fault(message=error.message, place=error.place, rule=error.rule))
    except FhirbridgeError as error:
        return _tell(told, Fault(message=str(error)))
    except (MemoryError, RecursionError):
        return _tell(told, Fault(message="it takes more memory than a view may. Simplify it", rule="too-costly"))
    return 0


def _resources(given: IO[bytes]) -> Iterator[Resource]:
    for line in given:
        resource: Any = fhirjson.loads(line)
        yield resource


def _tell(told: IO[bytes], fault: Fault) -> int:
    told.write(msgspec.json.encode(fault) + b"\n")
    told.flush()
    return 1


def _bound(order: Order) -> None:
    """Have the operating system end this process where it takes too much; only POSIX has a way to say so."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (order.seconds, order.seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (order.bytes, order.bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        code = main(sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
        os._exit(code)  # nothing is left to be put away, and standard output may be gone
