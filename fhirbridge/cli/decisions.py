"""What the commands have in common by which a person decides: which resource at which hospital, who, and why."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from fhirbridge.cli import console
from fhirbridge.cli.workplace import Workplace
from fhirbridge.hospital.addresses import normalised
from fhirbridge.store import Conflict, Failure
from fhirbridge.sync.naming import Name

LISTED = 50

TypeAndId = Annotated[
    str,
    typer.Argument(metavar="TYPE/ID", help="For example Observation/5vsa2udk; the first letters of an id are enough."),
]
By = Annotated[str | None, typer.Option(help="Who decides; else the name of the user of this machine.")]
Reason = Annotated[str, typer.Option(help="Why, for those who read it later.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many are shown; --json has all of them.")]


def server_of(place: Workplace) -> str:
    """Return the hospital of the settings as sync state names it. Raises ConfigurationError if none is set."""
    return normalised(place.hospital_url)


def user() -> str:
    """Return who is at work; a container may run under a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError until Python 3.12
        return "unknown"


def named(one: Conflict | Failure) -> Name:
    """Return type and id of the resource."""
    return one.type, one.id


def say_rest(rest: int) -> None:
    """Say how many were not shown."""
    if rest > 0:
        console.say(f"… and {rest:,} more: --limit shows more of them, --json all.")
