"""capabilities: what this service can do, public, as a CapabilityStatement. http://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fhirbridge
from fhirbridge.api.registry import negotiation, options
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.service import Question, Service
from fhirbridge.api.smart import TOKEN_PATH
from fhirbridge.elements import CANONICAL, Element, coding, concept, instant, present
from fhirbridge.errors import Resource
from fhirbridge.search.capability import includes, reverse_includes, search_parameters
from fhirbridge.search.parameters import COMMON
from fhirbridge.search.query import Limits
from fhirbridge.search.refused import SearchError
from fhirbridge.search.table import PARAMETERS, SERVED

BULK_DATA = "http://hl7.org/fhir/uv/bulkdata"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
AUTHORIZE_PATH = "/auth/authorize"
"""An address that R4's definition of oauth-uris wants named, although nobody logs in here."""
SECURITY_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"

OPERATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("export", f"{BULK_DATA}/OperationDefinition/export"),
        ("validate", "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
        ("viewdefinition-run", "http://sql-on-fhir.org/OperationDefinition/$viewdefinition-run"),
    ),
    "Patient": (
        ("export", f"{BULK_DATA}/OperationDefinition/patient-export"),
        ("everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything"),
    ),
    "Group": (("export", f"{BULK_DATA}/OperationDefinition/group-export"),),
    "ResearchStudy": (("everything", f"{CANONICAL}/OperationDefinition/ResearchStudy-everything"),),
    "ResearchSubject": (("everything", f"{CANONICAL}/OperationDefinition/ResearchSubject-everything"),),
}
"""Name and definition of the operations there are, by type; those of the whole service under ''."""
VALIDATE = ("validate", "http://hl7.org/fhir/OperationDefinition/Resource-validate")

_INTERACTIONS = ("read", "vread", "history-instance", "history-type", "search-type")


def capabilities(question: Question, limits: Limits, said: Callable[[], bytes]) -> Answer:
    """Return the CapabilityStatement, which ``said`` gives. Raises SearchError for another ``mode`` than full."""
    given = options.given(question, {"mode"}, limits)
    if given.get("mode", "full") != "full":
        raise SearchError("mode", given["mode"], "only the full statement is kept", "Leave it out.", "not-supported")
    return Answer(body=said())


def statement(service: Service) -> Resource:
    """Return the CapabilityStatement of a service, made from the table of search parameters and that of operations."""
    return {
        "resourceType": "CapabilityStatement",
        "id": "fhirbridge",
        "url": f"{service.base}/metadata",
        "version": fhirbridge.__version__,
        "name": "Fhirbridge",
        "title": "fhirbridge: study data for registries",
        "status": "active",
        "experimental": False,
        "date": instant(service.started),
        "publisher": "fhirbridge",
        "description": "Standardised data of a clinical study, as data-use agreements let them out. Read-only.",
        "kind": "instance",
        "instantiates": [f"{BULK_DATA}/CapabilityStatement/bulk-data"],
        "software": {"name": "fhirbridge", "version": fhirbridge.__version__},
        "implementation": {"description": "fhirbridge", "url": service.base},
        "fhirVersion": "4.0.1",
        "format": [negotiation.FHIR_JSON, negotiation.FHIR_XML, "json", "xml"],
        "rest": [_rest(service)],
    }


def _rest(service: Service) -> Element:
    return {
        "mode": "server",
        "documentation": "Every request but this one needs an access token of the token endpoint.",
        "security": _security(service),
        "resource": [_resource(service, type_) for type_ in SERVED],
        "interaction": [{"code": "batch", "documentation": "Reads, searches and histories; no writes."}],
        "searchParam": [
            {"name": one.code, "definition": one.url, "type": one.kind, "documentation": one.description}
            for one in PARAMETERS
            if one.base == COMMON
        ],
        "operation": _operations(""),
    }


def _security(service: Service) -> Element:
    uris = [
        {"url": "authorize", "valueUri": service.base + AUTHORIZE_PATH},
        {"url": "token", "valueUri": service.base + TOKEN_PATH},
    ]
    return {
        "extension": [{"url": OAUTH_URIS, "extension": uris}],
        "cors": bool(service.settings.api_cors_origins),
        "service": [concept(coding(SECURITY_SERVICE, "SMART-on-FHIR", "SMART-on-FHIR"))],
        "description": "SMART Backend Services: client_credentials with private_key_jwt.",
    }


def _resource(service: Service, type_: str) -> Element:
    return present(
        type=type_,
        supportedProfile=list(service.profiles.get(type_, ())),
        interaction=[{"code": code} for code in _INTERACTIONS],
        versioning="versioned",
        readHistory=True,
        updateCreate=False,
        conditionalCreate=False,
        conditionalRead="full-support",
        conditionalUpdate=False,
        conditionalDelete="not-supported",
        referencePolicy=["literal"],
        searchInclude=includes(type_),
        searchRevInclude=reverse_includes(type_),
        searchParam=search_parameters(type_),
        operation=_operations(type_, VALIDATE),
    )


def _operations(type_: str, *more: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "definition": definition} for name, definition in (*OPERATIONS.get(type_, ()), *more)]
