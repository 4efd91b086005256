"""The root of the command line: the options before a command, and what every command shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import fhirbridge
from fhirbridge import settings
from fhirbridge.automation import logs
from fhirbridge.cli.console import told
from fhirbridge.cli.contents import Contents
from fhirbridge.cli.workplace import Workplace

app = typer.Typer(
    name="fhirbridge",
    cls=Contents,
    help="Study records in, valid FHIR R4 out, a hospital's FHIR server kept in step.",
    epilog="Start with `fhirbridge demo`. Exit codes: 0 done, 1 something was refused, 2 unusable input or "
    "configuration, 3 the hospital's server failed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
HospitalUrl = Annotated[
    str | None, typer.Option("--hospital", metavar="URL", help="FHIR base URL; wins over the settings.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fhirbridge {fhirbridge.__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file; else FHIRBRIDGE_CONFIG, else fhirbridge.toml."),
    ] = None,
    version: Annotated[  # noqa: ARG001  # typer handles it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Study records in, valid FHIR R4 out, a hospital's FHIR server kept in step."""
    context.obj = config


@contextmanager
def working(
    context: typer.Context, as_json: bool = False, *, service: bool = False, **given: object
) -> Iterator[Workplace]:
    """Open the workplace of the settings for one command; ``given`` are the command's own options.

    A ``service`` runs unattended and writes logs; a command at a terminal has its report.
    """
    with told(as_json), logs.as_set(chosen := settings.read(context.obj, **given), service=service):
        place = Workplace(chosen)
        try:
            yield place
        finally:
            place.close()
