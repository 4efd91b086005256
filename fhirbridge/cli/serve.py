"""`fhirbridge serve`: the API for registries on this machine, with all that it takes in one process."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import HttpUrl

from fhirbridge.api.door import base_url
from fhirbridge.api.registry.upkeep import Upkeep
from fhirbridge.automation import logs
from fhirbridge.cli import console
from fhirbridge.cli.app import app, working
from fhirbridge.cli.serving import assembled, settled
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import ConfigurationError
from fhirbridge.settings import Settings


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to open; wins over api_address.")] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port to open; wins over api_port. 0 takes a free one.")
    ] = None,
) -> None:
    """Serve the FHIR API to registries until Ctrl-C or SIGTERM, after bringing what is released up to date.

    Behind a proxy that speaks TLS it can stand as it is; docs/api/serving.md says how to run several processes.

    Example: fhirbridge serve --port 8080
    """
    with working(context, service=True, api_address=host, api_port=port) as place:
        place.settings = addressed(place.settings)
        with listening(place) as (server, address, chosen):
            console.remark(f"serving {base_url(place.settings)} on {address} port {chosen}; Ctrl-C ends it")
            settled()
            logs.noting()("api_started", port=chosen)
            server.run()
        logs.noting()("api_stopped", port=chosen)


@contextmanager
def listening(place: Workplace, opened: socket.socket | None = None) -> Iterator[tuple[Any, str, int]]:
    """Bring the releases up to date, open the port, and give the server, its address and port; close it in the end.

    ``opened`` is a port that is open already, and closed in the end too. Raises ConfigurationError for settings that
    cannot be used and for a port that is not to be had.
    """
    chosen = place.settings
    if chosen.api_signing_key is None:
        raise ConfigurationError(
            "api_signing_key is not set, so no registry can be let in. Make a key with `fhirbridge registry key FILE` "
            "and name it there: docs/smart.md."
        )
    made, service = assembled(place)
    assert service is not None  # there is a key
    released(service.upkeep)
    from waitress.server import create_server  # a tenth of a second, rarely needed

    opened = opened or bound(chosen)
    server = create_server(made, sockets=[opened], threads=chosen.api_threads, ident="")
    try:
        service.upkeep.begin()
        yield server, chosen.api_address, opened.getsockname()[1]
    finally:
        server.close()
        server.task_dispatcher.shutdown()
        service.upkeep.end()


def released(upkeep: Upkeep) -> None:
    """Bring the releases of all agreements up to date, and say what was done."""
    for done in upkeep.once():
        let_out = sum(tally.released for tally in done.counts.values())
        gone = sum(tally.deleted for tally in done.counts.values())
        console.remark(
            f"{done.agreement}: {console.many(let_out, 'resource')} released, {gone} withdrawn"
            if done.counts
            else f"{done.agreement}: up to date"
        )


def addressed(settings: Settings) -> Settings:
    """Return settings with an address for the API: on this machine, its own, where none is set."""
    if settings.api_url is not None:
        return settings
    if settings.api_port == 0:
        raise ConfigurationError("api_url is not set, and a free port is to be taken: what would the API's address be?")
    host = "127.0.0.1" if settings.api_address in ("0.0.0.0", "::") else settings.api_address  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return settings.model_copy(update={"api_url": HttpUrl(f"http://{shown}:{settings.api_port}/fhir")})


def bound(settings: Settings) -> socket.socket:
    """Return a socket that listens. Raises ConfigurationError for a port or an address that is not to be had."""
    host, port = settings.api_address, settings.api_port
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        where = f"{host} port {port}"
        if error.errno == errno.EADDRINUSE:
            text = f"{where} is in use, perhaps by another `fhirbridge serve`. End that one, or choose another --port."
        elif error.errno in (errno.EACCES, errno.EPERM):
            text = f"{where} may not be opened by this account. Choose a --port from 1024 on."
        else:
            text = f"{where} cannot be opened ({error.strerror}). Choose another --host or --port."
        raise ConfigurationError(text) from None
