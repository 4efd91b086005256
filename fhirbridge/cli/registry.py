"""`fhirbridge registry`: which registries' systems may ask for the study's data, and under which agreement."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.decisions import By, user
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import EXIT_REFUSED, ConfigurationError, InputError
from fhirbridge.store.clients import Client
from fhirbridge.store.instants import utc_now

if TYPE_CHECKING:
    from fhirbridge.release.agreement import Agreement

commands = typer.Typer(help="Which registries' systems may ask for the study's data.", no_args_is_help=True)
app.add_typer(commands, name="registry")

Known = Annotated[str, typer.Argument(metavar="CLIENT", help="Its name, or its id.")]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", re.ASCII)


@commands.command("key")
def key(file: Annotated[Path, typer.Argument(help="Where to write it; never overwritten.")]) -> None:
    """Make the key that access tokens are signed with, readable by you alone."""
    from fhirbridge.api.access_tokens import new_key

    with console.told():
        new_key(file)
        console.remark(f"wrote {file}. Name it in the setting api_signing_key.")


@commands.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called here; letters, digits, spaces and . _ -")],
    agreement: Annotated[str, typer.Option(metavar="ID", help="The data-use agreement that it acts under.")],
    jwks: Annotated[Path | None, typer.Option(metavar="FILE", help="Its public keys, as a JSON Web Key Set.")] = None,
    jwks_uri: Annotated[
        str | None, typer.Option("--jwks-uri", metavar="URL", help="Instead: where it keeps them. Best for new keys.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="The most it gets; several times. Else all that the agreement allows."),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Register a registry's system by its public keys, and print the client id to give to it.

    Example: fhirbridge registry add "HCC registry" --agreement hcc-2026 --jwks hcc.json --scope 'system/*.rs'
    """
    with working(context, as_json) as place:
        made = register(place, name, agreement, jwks=jwks, jwks_uri=jwks_uri, scope=scope or (), by=by or user())
        if as_json:
            console.emit(_told(place, made))
        else:
            console.say(made.id)
            console.remark(
                f"Registered {made.name} under {made.agreement} for {made.scopes}. The line above is its client id."
            )


def register(
    place: Workplace,
    name: str,
    agreement: str,
    *,
    jwks: Path | None,
    jwks_uri: str | None = None,
    scope: Sequence[str] = (),
    by: str,
) -> Client:
    """Register a registry's system as a run that is noted. Raises InputError for what cannot be, Refused for a name."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be a name: up to 64 letters, digits, spaces and . _ - can.")
    agreed = _agreement(place, agreement)
    scopes = _scopes(scope or list(agreed.scopes), agreed)
    keys = _keys(place, jwks, jwks_uri)
    with place.run("registry add") as run:
        made = place.store.clients.add(_id(name), name, agreement=agreed.id, scopes=scopes, by=by, **keys)
        run.end("done", {"client": made.id, "agreement": made.agreement})
    return made


@commands.command("list")
def list_clients(context: typer.Context, as_json: AsJson = False) -> None:
    """List every system that was ever registered, and how it stands."""
    with working(context, as_json) as place:
        found = place.store.clients.all()
        if as_json:
            console.emit({"clients": [_told(place, one) for one in found]})
        elif found:
            zone, now = place.study.schedule.zone, utc_now()
            rows = [
                (one.name, one.id, one.agreement, _standing(place, one), console.moment(one.created, zone, now))
                for one in found
            ]
            console.table("Registries' systems", "name", "client id", "agreement", "stands", "since", rows=rows)
        else:
            console.say("No system is registered. Next: fhirbridge registry add")


@commands.command("show")
def show(context: typer.Context, client: Known, as_json: AsJson = False) -> None:
    """Show one system: its agreement, scopes and keys. Exits 1 if it gets no token as things stand.

    Example: fhirbridge registry show "HCC registry"
    """
    with working(context, as_json) as place:
        found = _known(place, client)
        told = _told(place, found)
        if as_json:
            console.emit(told)
        else:
            console.table(found.name, "what", "is", rows=[(name, _shown(value)) for name, value in told.items()])
        if told["stands"] != "in force":
            raise typer.Exit(EXIT_REFUSED)


@commands.command("revoke")
def revoke(
    context: typer.Context,
    client: Known,
    token: Annotated[
        str | None, typer.Option("--token", metavar="ID", help="Only this access token, by its id (jti).")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take a system's access back for ever, with the tokens it holds; or one token. Exits 1 if that was done before.

    Example: fhirbridge registry revoke "HCC registry"
    """
    from fhirbridge.api.access_tokens import LONGEST_SECONDS

    with working(context, as_json) as place:
        found, who = _known(place, client), by or user()
        with place.run("registry revoke") as run:
            if token is None:
                done = place.store.clients.revoke(found.id, by=who)
            else:
                ends = utc_now() + dt.timedelta(seconds=LONGEST_SECONDS)
                done = place.store.clients.revoke_token(token, expires=ends, by=who)
            run.end("done", {"client": found.id, "token": token, "revoked": int(done)})
        if as_json:
            console.emit({"client": found.id, "token": token, "revoked": done})
        else:
            what = f"{found.name} ({found.id})" if token is None else f"token {token}"
            console.say(f"Revoked: {what}." if done else f"Revoked before: {what}.")
        if not done:
            raise typer.Exit(EXIT_REFUSED)


@commands.command("token")
def token(
    context: typer.Context,
    client: Known,
    scope: Annotated[str, typer.Option(help="What it is to allow, as the system would ask for it.")] = "system/*.rs",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a short access token as the system would get it, to try things out; it is put on record.

    Example: curl -H "Authorization: Bearer $(fhirbridge registry token 'HCC registry')" "$URL/Observation?_count=1"
    """
    from fhirbridge.api import scopes
    from fhirbridge.api.door import token_maker

    with working(context, as_json) as place:
        maker, found = token_maker(place.settings, utc_now), _known(place, client)
        if (stands := _standing(place, found)) != "in force":
            raise InputError(f"{found.name} gets no token: {stands}.")
        agreed = _agreement(place, found.agreement)
        try:
            granted = scopes.granted(scope, found.scopes, agreed)
        except scopes.ScopeError as refused:
            raise InputError(f"--scope: {refused}") from None
        with place.run("registry token") as run:
            text, made = maker.make(found.id, agreed.id, granted, place.settings.api_token_seconds)
            said = {"client": found.id, "token": made.id, "scope": scopes.written(granted)}
            run.end("done", said | {"by": by or user()})
        ends = dt.datetime.fromtimestamp(made.expires, dt.UTC)
        if as_json:
            console.emit({"access_token": text, "expires": ends.isoformat(timespec="seconds"), **said})
        else:
            console.say(text)
            console.remark(f"Token {made.id} of {found.name} for {said['scope']}, until {ends:%H:%M:%S} UTC.")


@commands.command("release")
def release(
    context: typer.Context,
    agreement: Annotated[
        list[str] | None, typer.Argument(metavar="AGREEMENT", help="Only these agreements; else all in force.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring what registries see up to date with the store: changes that are due, and withdrawals always.

    Example: fhirbridge registry release hcc-2026
    """
    from fhirbridge.cli import releasing

    with working(context, as_json) as place:
        done, outcome = releasing.run_release(place, agreement or ())
        if as_json:
            console.emit(releasing.told(done))
        else:
            releasing.show(done)
            if not done:
                console.say("No agreement is in force. Next: docs/release.md")
        if outcome.exit_code:
            raise typer.Exit(outcome.exit_code)


def _agreement(place: Workplace, id: str) -> Agreement:
    from fhirbridge.cli.registries import agreements_of

    known = agreements_of(place).all()
    if (found := known.get(id)) is None:
        raise InputError(f"there is no agreement {id!r}. There is: {', '.join(sorted(known)) or 'none'}.")
    if not found.holds(utc_now()):
        raise InputError(f"agreement {id!r} ended on {found.expires}. Renew it first.")
    return found


def _scopes(given: Sequence[str], agreed: Agreement) -> str:
    from fhirbridge.api import scopes

    try:
        own = scopes.registered(" ".join(given))
        scopes.granted(scopes.written(own), scopes.written(own), agreed)  # or it would never get a token
    except scopes.ScopeError as refused:
        raise InputError(f"--scope: {refused}") from None
    return scopes.written(own)


def _keys(place: Workplace, file: Path | None, uri: str | None) -> dict[str, str | None]:
    """Return what is registered of a client's keys, after looking at them. Raises InputError."""
    from fhirbridge.api import client_keys, fetching
    from fhirbridge.api.door import fetcher

    if (file is None) == (uri is None):
        raise InputError("give its public keys: --jwks FILE or --jwks-uri URL.")
    try:
        if uri is not None:
            client_keys.checked(fetcher(place.settings).fetch(uri))
            return {"jwks": None, "jwks_uri": uri}
        assert file is not None
        text = file.read_text(encoding="utf-8")
        if len(text) > fetching.LARGEST:
            raise InputError(f"{file}: larger than {fetching.LARGEST} bytes, which no set of keys is.")
        client_keys.checked(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({type(error).__name__}).") from None
    except client_keys.KeysError as error:
        raise InputError(f"{file or uri}: {error}") from None
    except fetching.FetchError as error:
        raise InputError(f"--jwks-uri: {error}") from None
    return {"jwks": text, "jwks_uri": None}


def _id(name: str) -> str:
    words = "-".join(re.findall("[a-z0-9]+", name.lower()))
    return f"{words[:40].strip('-') or 'client'}-{secrets.token_hex(4)}"


def _known(place: Workplace, text: str) -> Client:
    if found := place.store.clients.called(text):
        return found[0]
    raise InputError(f"no client is called {text!r}. `fhirbridge registry list` names them.")


def _standing(place: Workplace, client: Client) -> str:
    from fhirbridge.cli.registries import agreements_of

    if client.revoked is not None:
        return f"revoked {client.revoked} by {client.revoked_by}"
    try:
        agreed = agreements_of(place)(client.agreement)
    except ConfigurationError as error:
        return f"no token: {error}"
    if agreed is None:
        return f"there is no agreement {client.agreement}"
    return "in force" if agreed.holds(utc_now()) else f"the agreement ended on {agreed.expires}"


def _told(place: Workplace, client: Client) -> dict[str, Any]:
    from fhirbridge.api import client_keys

    said = asdict(client)
    if (jwks := said.pop("jwks")) is not None:
        said["keys"] = client_keys.checked(jwks)
    said["stands"] = _standing(place, client)
    return {name: value for name, value in said.items() if value is not None}


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
