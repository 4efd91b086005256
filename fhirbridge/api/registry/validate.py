"""``$validate``: is a resource right? Nothing is stored. http://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, request
from werkzeug.exceptions import NotFound

from fhirbridge import fhirjson
from fhirbridge.api.registry import answers, parameters
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.service import ID, Asking, Service, prefix
from fhirbridge.search.refused import shortened
from fhirbridge.store.releases import Released
from fhirbridge.validation import operation
from fhirbridge.validation.operation import Instance

LARGEST = 1_048_576
"""Bytes of a resource, with its Parameters."""
MOST_ISSUES = 1_000


class Validate:
    """The handler of the operation: one resource at a time in a process, as it is the processor that it takes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._alone = threading.Lock()

    def answer(self, asking: Asking, type: str | None = None, id: str | None = None) -> Answer:
        """Answer with an OperationOutcome: 200 if it is about the resource, 400 if the question cannot be answered."""
        if type is not None and not self._is_type(type):
            raise NotFound(f"{shortened(type)} is no type of resource.")
        if id is not None and not ID.fullmatch(id):
            raise NotFound(f"There is no such {type} here.")
        given = dict(parameters.from_url(asking.question.query, LARGEST))
        text = parameters.body(LARGEST, self._service.model) if request.method == "POST" else b""
        body = fhirjson.loads(text) if text else None
        mode = _mode(body, given)
        if mode == "delete":
            return Answer(
                body=answers.outcome("not-supported", "Nothing can be deleted here: this service only answers.")
            )
        stored = self._stored(asking, type, id) if mode == "profile" else None
        with self._service.rates.costly(asking.access.client), self._alone:
            found = operation.validate(
                self._service.validator(),
                body,
                type=type,
                instance=_instance(type, id, stored),
                mode=given.get("mode"),
                profile=given.get("profile"),
                text=text or None,
                limit=MOST_ISSUES,
            )
        return Answer(
            status=200 if operation.answered(found) else 400,
            body=fhirjson.dumps(found),
            records=1 if stored else 0,
            people=answers.people([stored]) if stored else {},
        )

    def _is_type(self, type: str) -> bool:
        definitions = self._service.model().snapshots.definitions
        found = definitions.structure(f"http://hl7.org/fhir/StructureDefinition/{type}") if type.isalpha() else None
        return found is not None and found.get("kind") == "resource" and not found.get("abstract")

    def _stored(self, asking: Asking, type: str | None, id: str | None) -> Released | None:
        """Return what is released under an id, for the one mode that looks at it."""
        if type is None or id is None:
            return None
        asking.require("read", type)
        found = self._service.releases.read(asking.agreement.id, type, id)
        return found if found is not None and found.body is not None else None


def routes(service: Service) -> Blueprint:
    """Return the routes of the operation."""
    made, base, handler = Blueprint("validate", __name__), prefix(service.base), Validate(service).answer
    view = service.view("operation", handler, operation="validate")
    made.add_url_rule(f"{base}/$validate", "validate-system", view, methods=["POST"])
    made.add_url_rule(f"{base}/<type>/$validate", "validate-type", view, methods=["POST"])
    made.add_url_rule(f"{base}/<type>/<id>/$validate", "validate-instance", view, methods=["GET", "POST"])
    return made


def _instance(type: str | None, id: str | None, stored: Released | None) -> Instance | None:
    if type is None or id is None:
        return None
    body = fhirjson.loads(stored.body) if stored and stored.body else None
    return Instance(type, id, stored=body)


def _mode(body: Any, given: dict[str, str]) -> str | None:
    """Return the mode that is asked for, in the URL or in Parameters."""
    if "mode" in given or not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        return given.get("mode")
    found = body.get("parameter")
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and one.get("name") == "mode":
            return next((one[kind] for kind in ("valueCode", "valueString") if isinstance(one.get(kind), str)), None)
    return None
