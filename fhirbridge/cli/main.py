"""The entry point: every module whose commands there are (`contents` has the order in which they are listed)."""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType

from fhirbridge.cli import (
    audit,
    automation,
    conflicts,
    coverage,
    deadletters,
    demo,
    exchange,
    export,
    inbox,
    laboratories,
    linking,
    listen,
    messages,
    planning,
    pull,
    reconciling,
    records,
    registry,
    replay,
    serve,
    setup,
    status,
    studies,
    subscriptions,
    validate,
)
from fhirbridge.cli.app import app
from fhirbridge.errors import EXIT_BUG, EXIT_INTERRUPTED

COMMANDS = (
    *(demo, setup, records, status, planning, exchange, reconciling, conflicts, deadletters),
    *(linking, pull, inbox, laboratories, coverage, replay),
    *(listen, messages, subscriptions, automation, export, registry, serve, audit, validate, studies),
)
"""Importing a module adds its commands."""


def main() -> None:
    """Run the command line; a termination signal ends a command as Ctrl-C does, with everything put away."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_INTERRUPTED)
    except Exception:  # noqa: BLE001  # the last resort: a script must not take a bug for a refusal (1)
        traceback.print_exc()
        sys.stderr.write("error: this is a bug in fhirbridge; please report the lines above.\n")
        sys.exit(EXIT_BUG)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
