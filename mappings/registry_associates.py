"""Registry record to the people and organisations of its ResearchStudy besides sponsor and sites."""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, reference
from fhirbridge.records.ctgov_record import RegistryRecord
from mappings import registry_extensions as extensions
from mappings.registry_parties import investigator_role, official_roles, organization
from mappings.registry_terms import CLASSES, PARTY_CLASS, PARTY_ROLE, ROLES, worded


def principal_investigator(record: RegistryRecord) -> Element | None:
    """Return the first principal investigator among the officials, else the investigator who is responsible."""
    for word, role in official_roles(record):
        if word == "PRINCIPAL_INVESTIGATOR":
            return reference("PractitionerRole", role["id"])
    responsible = investigator_role(record)
    return reference("PractitionerRole", responsible["id"]) if responsible else None


def associates(record: RegistryRecord) -> Iterator[Element]:
    """Yield the collaborators, the responsible party, and every official but the principal investigator."""
    sponsors, chosen = record.protocol.sponsors, principal_investigator(record)
    for collaborator in sponsors.collaborators:
        kind = collaborator.class_
        yield extensions.associated_party(
            concept(coding(PARTY_ROLE, "collaborator")),
            classifier=worded(kind, PARTY_CLASS, CLASSES.get(kind)) if kind else None,
            party=organization(record, collaborator.name),
        )
    responsible, investigator = sponsors.responsible_party, investigator_role(record)
    if responsible:
        sponsor = sponsors.lead_sponsor.name if sponsors.lead_sponsor and responsible.type == "SPONSOR" else None
        person = reference("PractitionerRole", investigator["id"]) if investigator else None
        word = responsible.type
        yield extensions.associated_party(
            worded(word, PARTY_ROLE, ROLES.get(word)) if word else concept(text="Responsible party"),
            name=responsible.old_name_title,
            classifier=concept(text="Responsible party"),
            party=person or organization(record, responsible.old_organization or sponsor),
        )
    for word, role in official_roles(record):
        who = reference("PractitionerRole", role["id"])
        if who != chosen:
            yield extensions.associated_party(
                worded(word, PARTY_ROLE, ROLES.get(word)) if word else concept(text="Official"), party=who
            )
