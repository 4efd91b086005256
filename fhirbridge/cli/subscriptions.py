"""`fhirbridge subscriptions`: has the hospital's server tell of new results between scheduled pulls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, HospitalUrl, app, working
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, ConfigurationError
from fhirbridge.hospital import secret_files
from fhirbridge.sync.contact import contact
from fhirbridge.sync.pull import subscribing
from fhirbridge.sync.pull.asking import AskOptions, plan
from fhirbridge.sync.pull.subscribing import Subscribed

commands = typer.Typer(help="Have the hospital's server tell of new results.", no_args_is_help=True)
app.add_typer(commands, name="subscriptions")


@commands.command("create")
def create(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, help="How long they last.")] = 90,
    hospital: HospitalUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make the Subscriptions that are missing, failed or about to end; those in use stay.

    Example: fhirbridge subscriptions create --days 365
    """
    with working(context, as_json, hospital=hospital) as place:
        endpoint, token = _endpoint(place), _token(place)
        with place.hospital() as server:
            said = contact(place.store, server)
            subscribing.check_offered(said)
            asked = plan(said, AskOptions.of(place.settings), place.study, place.laboratories)
            lasting = dt.timedelta(days=days)
            _tell(subscribing.subscribe(server, asked, endpoint, token, lasting=lasting), as_json)


@commands.command("list")
def list_all(context: typer.Context, hospital: HospitalUrl = None, as_json: AsJson = False) -> None:
    """List ours, as the hospital's server has them. Exits 1 if one of them does not work."""
    with working(context, as_json, hospital=hospital) as place, place.hospital() as server:
        found = subscribing.subscriptions(server, _endpoint(place))
        _tell(found, as_json)
        if any(one.state in ("error", "off") for one in found):
            raise typer.Exit(EXIT_REFUSED)


@commands.command("delete")
def delete(context: typer.Context, hospital: HospitalUrl = None, as_json: AsJson = False) -> None:
    """Delete ours; pulls are made on schedule only."""
    with working(context, as_json, hospital=hospital) as place, place.hospital() as server:
        _tell(subscribing.unsubscribe(server, _endpoint(place)), as_json)


def _tell(found: Sequence[Subscribed], as_json: bool) -> None:
    if as_json:
        console.emit({"subscriptions": [asdict(one) for one in found]})
        return
    for one in found:
        until = f" until {one.end}" if one.end else ""
        console.say(f"{one.action}: Subscription/{one.id}, {one.state}{until}: {one.criteria}")
        if one.error:
            console.say(f"    the server says: {one.error}")
    if not found:
        console.say("No Subscriptions of ours. Next: fhirbridge subscriptions create")


def _endpoint(place: Workplace) -> str:
    if place.settings.notifications_url is None:
        raise ConfigurationError(
            "notifications_url is not set: the address of our API's /notifications as the hospital's server reaches it."
        )
    return str(place.settings.notifications_url).rstrip("/")


def _token(place: Workplace) -> str:
    if place.settings.notifications_token is None:
        raise ConfigurationError("notifications_token is not set: a file with the secret that notifications bear.")
    return secret_files.read_line(place.settings.notifications_token, "notifications_token")
