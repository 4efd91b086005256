"""What lets registries in, opened from the settings: the agreements, the door, and the door's routes."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint

from fhirbridge.api.agreement_files import AgreementFiles
from fhirbridge.api.door import Door, door
from fhirbridge.api.smart import smart
from fhirbridge.audit.event import SignIn
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import ConfigurationError
from fhirbridge.release.agreement import TYPES
from fhirbridge.store import instants


def agreements_of(place: Workplace) -> AgreementFiles:
    """Return the data-use agreements of the settings' folder. Raises ConfigurationError if none is set."""
    if place.settings.agreements is None:
        raise ConfigurationError(
            "agreements is not set: the folder with one TOML file for each data-use agreement. See docs/release.md."
        )
    return AgreementFiles(place.settings.agreements, time.monotonic)


def door_of(place: Workplace) -> Door | None:
    """Return what lets registries in, None where no key is set to sign tokens with. Raises ConfigurationError.

    A mistake in the settings, the key or an agreement is told here, and not to who comes first.
    """
    if place.settings.api_signing_key is None:
        return None
    agreements = agreements_of(place)
    agreements.all()
    return door(place.settings, lambda: place.store.clients, agreements, now=instants.utc_now, clock=time.monotonic)


def door_routes(opened: Door | None, heard: Callable[[SignIn], None]) -> list[Blueprint]:
    """Return the routes by which registries find and get their tokens; ``heard`` is told of each request for one."""
    return [] if opened is None else [smart(opened.endpoint, TYPES, heard)]
