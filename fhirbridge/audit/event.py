"""One access, or request for a token, as an AuditEvent (http://hl7.org/fhir/R4/auditevent.html): no names of people."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from fhirbridge.elements import Element, coding, concept, instant, present, reference
from fhirbridge.errors import Resource
from fhirbridge.terminology.codes import ACT_REASON

CLIENT = "https://fhirbridge.github.io/sid/client"
"""System of the ids of registries' clients."""

AGREEMENT = "https://fhirbridge.github.io/sid/agreement"
"""Followed by a slash and its id: the data-use agreement that an access was under."""

_EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"

_QUERY_TYPE = coding(_ENTITY_TYPE, "2", "System Object")
_QUERY_ROLE = coding(_ROLE, "24", "Query")
_PERSON_ROLE = coding(_ROLE, "1", "Patient")
_TOKEN_ROLE = coding(_ROLE, "13", "Security Resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What was asked and answered: ``interaction`` is a code of http://hl7.org/fhir/R4/valueset-restful-interaction.html.

    ``people`` counts the records answered by released Patient id; ``records`` counts all of them, the study's own too.
    ``query`` is method, path and query as they were asked. Who was refused may have no client, registry or agreement.
    """

    interaction: str
    status: int
    query: str
    client: str | None = None
    registry: str | None = None
    agreement: str | None = None
    purpose: str | None = None
    operation: str | None = None
    records: int = 0
    people: Mapping[str, int] = field(default_factory=dict)
    address: str | None = None
    request: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What became of a request for an access token: ``client`` is proved only if ``token``, the id of one, is set.

    ``error`` is a code of RFC 6749 (5.2), ``reason`` its explanation in our own words.
    """

    address: str
    client: str
    agreement: str | None = None
    token: str | None = None
    scopes: str = ""
    error: str | None = None
    reason: str = ""


def audit_event(what: Access | SignIn, at: dt.datetime) -> Resource:
    """Return the AuditEvent of an access, or of a request for a token, at this moment."""
    return _signed_in(what, at) if isinstance(what, SignIn) else _accessed(what, at)


def _signed_in(asked: SignIn, at: dt.datetime) -> Resource:
    return present(
        resourceType="AuditEvent",
        type=coding(_DICOM, "110114", "User Authentication"),
        subtype=[coding(_DICOM, "110122", "Login")],
        action="E",
        recorded=instant(at),
        outcome="0" if asked.token else "4",
        outcomeDesc=f"{asked.error}: {asked.reason}" if asked.error else None,
        agent=[_agent(asked, None)],
        source={"observer": {"display": "fhirbridge"}},
        entity=[
            {
                "what": {"identifier": {"value": asked.token}},
                "type": _QUERY_TYPE,
                "role": _TOKEN_ROLE,
                "detail": [{"type": "scope", "valueString": asked.scopes}],
            }
        ]
        if asked.token
        else None,
    )


def _accessed(access: Access, at: dt.datetime) -> Resource:
    return present(
        resourceType="AuditEvent",
        type=coding(_EVENT_TYPE, "rest", "RESTful Operation"),
        subtype=[
            coding(_INTERACTION, access.interaction),
            *([{"display": access.operation}] if access.operation else []),
        ],
        action="E" if access.interaction in ("operation", "batch", "search-type", "search-system") else "R",
        recorded=instant(at),
        outcome="0" if access.status < 400 else "4" if access.status < 500 else "8",
        outcomeDesc=f"HTTP {access.status}",
        purposeOfEvent=[concept(coding(ACT_REASON, access.purpose))] if access.purpose else None,
        agent=[_agent(access, access.registry)],
        source={"observer": {"display": "fhirbridge"}},
        entity=[_query(access), *(_person(id, records) for id, records in access.people.items())],
    )


def _agent(asked: Access | SignIn, registry: str | None) -> Element:
    client = {"system": CLIENT, "value": asked.client} if asked.client else None
    return present(
        who=present(identifier=client, display=registry),
        requestor=True,
        policy=[f"{AGREEMENT}/{asked.agreement}"] if asked.agreement else None,
        network={"address": asked.address, "type": "2"} if asked.address else None,
    )


def _query(access: Access) -> Element:
    details = {"records": str(access.records)} | ({"request": access.request} if access.request else {})
    return {
        "type": _QUERY_TYPE,
        "role": _QUERY_ROLE,
        "query": base64.b64encode(access.query.encode("utf-8", "surrogateescape")).decode(),
        "detail": [{"type": name, "valueString": value} for name, value in details.items()],
    }


def _person(id: str, records: int) -> Element:
    return {
        "what": reference("Patient", id),
        "role": _PERSON_ROLE,
        "detail": [{"type": "records", "valueString": str(records)}],
    }
