"""One access as an AuditEvent: http://hl7.org/fhir/R4/auditevent.html, with released pseudonyms and nothing beyond."""

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

_QUERY_TYPE = coding(_ENTITY_TYPE, "2", "System Object")
_QUERY_ROLE = coding(_ROLE, "24", "Query")
_PERSON_ROLE = coding(_ROLE, "1", "Patient")


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


def audit_event(access: Access, at: dt.datetime) -> Resource:
    """Return the AuditEvent of an access at this moment."""
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
        agent=[_agent(access)],
        source={"observer": {"display": "fhirbridge"}},
        entity=[_query(access), *(_person(id, records) for id, records in access.people.items())],
    )


def _agent(access: Access) -> Element:
    who = present(
        identifier={"system": CLIENT, "value": access.client} if access.client else None, display=access.registry
    )
    return present(
        who=who,
        requestor=True,
        policy=[f"{AGREEMENT}/{access.agreement}"] if access.agreement else None,
        network={"address": access.address, "type": "2"} if access.address else None,
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
