"""The API put together from the settings: for `fhirbridge serve`, and for whatever WSGI server runs wsgi.py."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

import mappings
from fhirbridge.api import create_app
from fhirbridge.api.door import Door, base_url
from fhirbridge.api.registry import registry_routes
from fhirbridge.api.registry.rates import Rates
from fhirbridge.api.registry.service import Service
from fhirbridge.api.registry.subset import Subsets
from fhirbridge.api.registry.upkeep import Upkeep
from fhirbridge.automation import logs
from fhirbridge.cli.registries import agreements_of, door_of, door_routes
from fhirbridge.cli.workplace import PROFILES, Workplace
from fhirbridge.elements import CANONICAL
from fhirbridge.search.values import ValueSets
from fhirbridge.store import instants
from fhirbridge.store.release_remembering import Remembered
from fhirbridge.study import Study
from fhirbridge.validation.terminology import Terminology
from mappings.meta import profile


def application(place: Workplace) -> Flask:
    """Return the API of a workplace. Raises ConfigurationError for what is wrong with it, before anybody asks."""
    return assembled(place)[0]


def assembled(place: Workplace) -> tuple[Flask, Service | None]:
    """Return the API of a workplace, and its registries' side: None where no key for their tokens is set."""
    door = door_of(place)
    service = None if door is None else service_of(place, door)
    app = create_app(
        lambda: place.store,
        standing=place.standing,
        metrics=place.metrics.text if place.settings.metrics and place.metrics else None,
        also=(
            *place.notified_routes,
            *place.inbox_routes,
            *door_routes(door, lambda asked: place.trail.record(asked)),
            *(registry_routes(service) if service else ()),
        ),
    )
    if place.settings.api_proxies:  # they say who asks; what the address of the API is, the settings say
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=place.settings.api_proxies, x_proto=0, x_host=0, x_port=0, x_prefix=0
        )
    return app, service


def settled() -> None:
    """Have the garbage collector never look again at what there is now: it stays as long as the process."""
    gc.collect()
    gc.freeze()


def service_of(place: Workplace, door: Door) -> Service:
    """Return what the interactions of the registries' side need. Raises ConfigurationError."""
    chosen = place.settings
    place.release_key  # noqa: B018  # a key that is missing is told now, and not to who comes first
    model = cache(lambda: place.validator.model)
    return Service(
        base=base_url(chosen),
        settings=chosen,
        releases=place.store.releases,
        authoriser=door.authoriser,
        record=place.trail.record,
        upkeep=Upkeep(
            lambda: place.store.releases,
            agreements_of(place).all,
            place.release_view,
            place.study.schedule.zone,
            now=instants.utc_now,
            clock=time.monotonic,
            every=chosen.api_release_seconds,
            note=logs.noting(),
        ),
        rates=Rates(time.monotonic, per_minute=chosen.api_requests_per_minute, costly=chosen.api_costly),
        subsets=Subsets(model),
        model=model,
        zone=place.study.schedule.zone,
        now=instants.utc_now,
        value_sets=value_sets(lambda: place.validator.terminology),
        validator=lambda: place.validator,
        withdrawn=place.store.withdrawn,
        views=PROFILES / "views",
        started=instants.utc_now(),
        profiles=profiles(place.study),
        pages=Remembered(chosen.api_remembered_mib * 2**20),
        note=logs.noting(),
    )


def profiles(study: Study) -> dict[str, list[str]]:
    """Return the profiles that a study's resources follow, by type: tighter ones of its analytes included."""
    named = [(mapping.resource_type, mapping.profile) for mapping in mappings.MAPPINGS]
    for analyte in study.analytes:
        followed = [analyte.profile, *([analyte.log10.profile] if analyte.log10 else [])]
        named += [("Observation", profile(name)) for name in followed]
    found: dict[str, list[str]] = defaultdict(list)
    for type_, url in dict.fromkeys(named):
        found[type_].append(url)
    return dict(found)


def value_sets(terminology: Callable[[], Terminology]) -> ValueSets:
    """Return what gives the codes of the project's own value sets, for ``:in``."""

    def codes(url: str) -> frozenset[tuple[str, str]] | None:
        if not url.startswith(f"{CANONICAL}/ValueSet/"):
            return None
        found = terminology().expansion(url)
        if found is None or found.open or found.unknown:
            return None
        listed = (system for system in found.codes if not system.endswith("#lower"))
        return frozenset((system, code) for system in listed for code in found.codes[system])

    return codes
