"""Structured logs: one line per event with the run it belongs to, as text for people or JSON for machines.

Who has something to say gets a ``Note`` and calls ``note("resource_parked", resource="Observation/…", status=422)``;
``facts`` says which events and facts there are; of an exception given as ``error`` its type, place and harmless text
are kept. Libraries' loggers end in the same lines.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Literal

import structlog

from fhirbridge.automation import failing
from fhirbridge.automation.facts import EVENTS, allowed
from fhirbridge.errors import ConfigurationError
from fhirbridge.settings import Settings
from fhirbridge.sync.notes import Note

Line = MutableMapping[str, Any]
Form = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

LOGGER = "fhirbridge.events"
SPOKEN = ("alembic", "apscheduler", "procrastinate")
"""Libraries that speak of schemas, schedules and jobs; of all others only the words without the values are kept."""

_context = structlog.contextvars.get_contextvars
_timestamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp")


def as_set(settings: Settings, *, service: bool = False) -> AbstractContextManager[None]:
    """Write logs as the settings say, while the block runs.

    A command at a terminal (no ``service``) writes none to its screen, unless JSON is asked for: its report says it
    all. Raises ConfigurationError for a file that cannot be written.
    """
    if not service and settings.log_file is None and settings.log_format == "console":
        return silent()
    return written(form=settings.log_format, level=settings.log_level, file=settings.log_file)


@contextmanager
def written(*, form: Form = "console", level: Level = "info", file: Path | None = None) -> Iterator[None]:
    """Write logs to standard error, or append them to a file, while the block runs.

    A file that was moved away (logrotate) is opened anew. Raises ConfigurationError if it cannot be written.
    """
    with _installed(_handler(form, file), level.upper()):
        yield


@contextmanager
def silent() -> Iterator[None]:
    """Write no logs while the block runs: for a command at a terminal, whose report says it all."""
    with _installed(logging.NullHandler(), "WARNING"):
        yield


def noting(**bound: Any) -> Note:
    """Return a ``Note`` that adds these facts to every line, from whichever thread it is called."""
    logger = logging.getLogger(LOGGER)
    writer = structlog.wrap_logger(
        logger,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )

    def note(event: str, /, **facts: Any) -> None:
        known = event if isinstance(event, str) and event in EVENTS else "unknown_event"
        if logger.isEnabledFor(EVENTS[known][0]):
            writer.log(EVENTS[known][0], known, **_guarded({**_context(), **bound, **facts}))

    return note


@contextmanager
def about(**facts: Any) -> Iterator[Note]:
    """Bind facts to everything logged inside the block by this thread, libraries included, and give a ``Note``."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield noting(**facts)


@contextmanager
def _installed(handler: logging.Handler, level: str) -> Iterator[None]:
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def _handler(form: Form, file: Path | None) -> logging.Handler:
    if file is None:
        handler: logging.Handler = _Stderr()
    else:
        try:
            handler = _File(file, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"the log file {file} cannot be written: {error.strerror}. Change `log_file`, or its folder's rights."
            ) from None
    if form == "json":
        renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=file is None and sys.stderr.isatty(), timestamp_key="timestamp", pad_event_to=20
        )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_foreign],
            processors=[_arranged, renderer],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    return handler


class _Reticent(logging.Handler):
    """A handler that, where a line cannot be written, says so without the line: logging would print its values."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Say that a line is lost, and from which logger; a full disk must not end a run."""
        kind = sys.exc_info()[0]
        with suppress(OSError, ValueError):
            sys.stderr.write(f"a log line of {record.name} is lost ({kind.__name__ if kind else 'unknown'})\n")


class _Stderr(_Reticent):
    """Writes to what standard error is when a line is written, not when the handler was made."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  # as every handler does
            self.handleError(record)


class _File(_Reticent, WatchedFileHandler):
    pass


def _guarded(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that may be logged, what may be told of ``error``, and how many facts were withheld."""
    error = facts.pop("error", None)
    kept, withheld = allowed(facts)
    told = failing.told(error) if isinstance(error, BaseException) else {}
    withheld += error is not None and not told
    return {**kept, **told, **({"withheld": withheld} if withheld else {})}


def _foreign(_logger: Any, _method: str, line: Line) -> Line:
    """Tell what a library's logger said, with values only where they cannot be of a patient.

    A URL in a debugging line of an HTTP library can hold a hospital's number in its query. A text that came without
    values may have them worked in, so it is withheld; where it was written is told instead.
    """
    record: logging.LogRecord = line["_record"]
    text, arguments = str(line["event"]), line.pop("positional_args", ())
    if record.name.split(".")[0] in SPOKEN:
        said = text % arguments if arguments else text
    else:
        said = text if arguments else "…"
    bound, _ = allowed(_context())
    exception = (line.get("exc_info") or (None, None))[1]
    told = failing.told(exception) if isinstance(exception, BaseException) else {}
    place = f"{Path(record.pathname).name}:{record.lineno} in {record.funcName}"
    kept = {"event": "library", **bound, "logger": record.name, "text": said, "place": place, **told}
    return kept | {name: line[name] for name in ("_record", "_from_structlog")}


def _arranged(_logger: Any, _method: str, line: Line) -> Line:
    """Put time, level and event first, in every line alike, and take out what only the formatter needs."""
    record: logging.LogRecord = line["_record"]
    rest = {name: value for name, value in line.items() if not name.startswith("_") and name != "event"}
    head: Line = {"level": record.levelname.lower(), "event": line["event"]}
    return {"timestamp": _timestamp(None, "", {})["timestamp"], **head, **rest}
