"""The HTTP side. Today: health for the people who run it; the FHIR interactions come as blueprints beside this."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

import fhirbridge
from fhirbridge import fhirjson
from fhirbridge.errors import FhirbridgeError, Resource
from fhirbridge.store import Store

FHIR_JSON = "application/fhir+json"


def create_app(open_store: Callable[[], Store]) -> Flask:
    """Return the WSGI application; ``open_store`` is called at the first request that needs the store.

    ``/health/live`` answers 200 while the process runs; ``/health/ready`` answers 200 when the store can be read
    and 503 otherwise. Every error, an unknown route included, is an OperationOutcome.
    """
    app = Flask("fhirbridge")
    opened: list[Store] = []

    @app.get("/health/live")
    def live() -> Response:
        return _answer(
            {"status": "ok", "software": "fhirbridge", "version": fhirbridge.__version__}, "application/json"
        )

    @app.get("/health/ready")
    def ready() -> Response:
        if not opened:
            opened.append(open_store())
        studies = opened[0].studies()
        return _answer({"status": "ok", "studies": sorted(studies)}, "application/json")

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
