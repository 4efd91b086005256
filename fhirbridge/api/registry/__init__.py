"""The registry's side of the API: FHIR R4 over what is released to it, one file an interaction, read-only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from fhirbridge import fhirjson
from fhirbridge.api.registry import bulk, everything, negotiation, validate, viewdefinition_run
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.batch import batch
from fhirbridge.api.registry.capabilities import AUTHORIZE_PATH, capabilities, statement
from fhirbridge.api.registry.headers import headers
from fhirbridge.api.registry.history import history_instance, history_type
from fhirbridge.api.registry.negotiation import Form
from fhirbridge.api.registry.read import read
from fhirbridge.api.registry.search_type import search_type
from fhirbridge.api.registry.service import Question, Service, Viewed, asked, prefix
from fhirbridge.api.registry.vread import vread

_TEXTS = {
    404: "There is nothing at this address. /metadata names what there is.",
    405: "That cannot be done here: this service answers questions, and takes no data.",
}
_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def registry_routes(service: Service) -> Sequence[Blueprint]:
    """Return the routes of the service's FHIR API, below the path of its base URL."""
    routes, base = Blueprint("registry", __name__), prefix(service.base)

    def add(rule: str, name: str, view: Viewed, *methods: str) -> None:
        routes.add_url_rule((base + rule) or "/", name, view, methods=methods or ("GET",), strict_slashes=False)

    said = cache(lambda: fhirjson.dumps(statement(service)))
    add("/metadata", "capabilities", _public(service, lambda asked: capabilities(asked, service.limits, said)))
    add(AUTHORIZE_PATH, "authorize", _public(service, _nobody_logs_in))
    add("", "batch", service.view("batch", batch), "POST")
    add("/<type>", "search_type", service.view("search-type", search_type))
    add("/<type>/_search", "search_type_post", service.view("search-type", search_type, form=True), "POST")
    add("/<type>/_history", "history_type", service.view("history-type", history_type))
    add("/<type>/<id>", "read", service.view("read", read))
    add("/<type>/<id>/_history", "history_instance", service.view("history-instance", history_instance))
    add("/<type>/<id>/_history/<number>", "vread", service.view("vread", vread))
    routes.after_app_request(headers(service.base, service.settings.api_cors_origins))
    for status in (404, 405):
        routes.app_errorhandler(status)(_unserved(service))
    return (
        routes,
        bulk.routes(service),
        everything.routes(service),
        validate.routes(service),
        viewdefinition_run.routes(service),
    )


def _public(service: Service, handler: Callable[[Question], Answer]) -> Viewed:
    """Return the view of what needs no token and tells nothing of anybody, so that it is not on record."""

    def view() -> Response:
        question, shape = asked(request, service.base), Form()
        try:
            shape = negotiation.chosen(request.headers.get("Accept", ""), question.query)
            answer = handler(question)
        except Exception as error:  # noqa: BLE001  # every error is an OperationOutcome
            answer = service.refused(error, question.id)
        return service.response(answer, shape, question)

    return view


def _nobody_logs_in(_: Question) -> Answer:
    """Refuse what oauth-uris must name, although only systems come here."""
    raise NotFound("No person logs in here. A system asks the token endpoint: SMART Backend Services.")


def _unserved(service: Service) -> Viewed:
    """Return what answers requests that no route is for; a write that was tried below the base is on record."""
    below = prefix(service.base) + "/"

    def view(error: HTTPException) -> Response:
        question, shape = asked(request, service.base), Form()
        if error.description == type(error).description:  # nobody said more than the code does
            error.description = _TEXTS.get(error.code or 0, error.description)
        answer = service.refused(error, question.id)
        try:
            shape = negotiation.chosen(request.headers.get("Accept", ""), question.query)
            if error.code == 405 and request.path.startswith(below) and request.method in _WRITES:
                service.rates.knock(question.address)
                service.rates.refused(question.address)
                answer = service.on_record(answer, question, None, _WRITES[request.method])
        except Exception as other:  # noqa: BLE001  # every error is an OperationOutcome
            answer = service.refused(other, question.id)
        return service.response(answer, shape, question)

    return view
