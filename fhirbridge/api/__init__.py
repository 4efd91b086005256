"""The HTTP side. Today: health for the people who run it; the FHIR interactions come as blueprints beside this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

from fhirbridge import fhirjson
from fhirbridge.api.health import Metrics, Standing, health
from fhirbridge.errors import FhirbridgeError, Resource
from fhirbridge.store import Store

FHIR_JSON = "application/fhir+json"

_CODES = {400: "structure", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 413: "too-long"}


def create_app(
    open_store: Callable[[], Store],
    *,
    standing: Standing | None = None,
    metrics: Metrics | None = None,
    also: Sequence[Blueprint] = (),
) -> Flask:
    """Return the WSGI application; ``open_store`` is called at the first request that needs the store.

    ``standing`` and ``metrics`` add what ``health`` says, ``also`` further routes. Every error, an unknown route
    included, is an OperationOutcome.
    """
    app = Flask("fhirbridge")
    app.url_map.merge_slashes = False  # it would redirect to the host that a request names
    for routes in (health(cache(open_store), standing, metrics), *also):
        app.register_blueprint(routes)

    @app.errorhandler(FhirbridgeError)
    def refused(error: FhirbridgeError) -> Response:
        status = 503 if error.http_status == 500 else error.http_status
        return _answer(_outcome(error.issue_code, str(error)), FHIR_JSON, status)

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> Response:
        status = error.code or 500
        answer = _answer(_outcome(_CODES.get(status, "processing"), error.description or error.name), FHIR_JSON, status)
        for name, value in error.get_headers():
            answer.headers.setdefault(name, value)  # how to log in, which methods there are
        return answer

    return app


def _answer(body: object, media_type: str, status: int = 200) -> Response:
    return Response(fhirjson.dumps(body), status, content_type=media_type)


def _outcome(code: str, text: str) -> Resource:
    issue = {"severity": "error", "code": code, "details": {"text": text}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
