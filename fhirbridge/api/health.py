"""What the people who run the service ask it: does it live, is it ready, how do things stand; and its metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

import fhirbridge
from fhirbridge import fhirjson
from fhirbridge.store import Store

Standing = Callable[[], dict[str, Any]]
"""Returns how things stand as plain JSON values; raises StoreError if the store cannot be read."""
Metrics = Callable[[], tuple[bytes, str]]
"""Returns metrics as text, and its media type."""


def health(open_store: Callable[[], Store], standing: Standing | None, metrics: Metrics | None) -> Blueprint:
    """Return the routes; what they tell is numbers, instants and ids of runs, and nothing of a subject.

    ``/health/live`` answers 200 while the process runs, ``/health/ready`` when the store can be read and 503
    otherwise. ``/health/status`` and ``/metrics`` are there if there is something to ask; the first answers 503 only
    if the store cannot be read: a hospital that is down is no reason to restart this service.
    """
    routes = Blueprint("health", __name__)

    @routes.get("/health/live")
    def live() -> Response:
        return _json({"status": "ok", "software": "fhirbridge", "version": fhirbridge.__version__})

    @routes.get("/health/ready")
    def ready() -> Response:
        return _json({"status": "ok", "studies": sorted(open_store().studies())})

    if standing is not None:

        @routes.get("/health/status")
        def status() -> Response:
            return _json({"status": "ok", **standing()})

    if metrics is not None:

        @routes.get("/metrics")
        def scraped() -> Response:
            text, media_type = metrics()
            return Response(text, content_type=media_type)

    return routes


def _json(body: object) -> Response:
    return Response(fhirjson.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})
