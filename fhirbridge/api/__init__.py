"""The HTTP side. Today: health for the people who run it; the FHIR interactions come as blueprints beside this."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from fhirbridge import fhirjson
from fhirbridge.api.health import Metrics, Standing, health
from fhirbridge.errors import FhirbridgeError, Resource
from fhirbridge.store import Store

FHIR_JSON = "application/fhir+json"


def create_app(
    open_store: Callable[[], Store], *, standing: Standing | None = None, metrics: Metrics | None = None
) -> Flask:
    """Return the WSGI application; ``open_store`` is called at the first request that needs the store.

    ``standing`` and ``metrics`` add what ``health`` says. Every error, an unknown route included, is an
    OperationOutcome.
    """
    app = Flask("fhirbridge")
    app.register_blueprint(health(cache(open_store), standing, metrics))

    @app.errorhandler(FhirbridgeError)
    def refused(error: FhirbridgeError) -> Response:
        status = 503 if error.http_status == 500 else error.http_status
        return _answer(_outcome(error.issue_code, str(error)), FHIR_JSON, status)

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> Response:
        code = {404: "not-found", 405: "not-supported"}.get(error.code or 500, "processing")
        return _answer(_outcome(code, error.description or error.name), FHIR_JSON, error.code or 500)

    return app


def _answer(body: object, media_type: str, status: int = 200) -> Response:
    return Response(fhirjson.dumps(body), status, content_type=media_type)


def _outcome(code: str, text: str) -> Resource:
    issue = {"severity": "error", "code": code, "details": {"text": text}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
