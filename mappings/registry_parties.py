"""Registry record to Organization, Location, Practitioner and PractitionerRole: sponsors, sites and people.

A name is not an identity, so every resource belongs to one study: its id is the study's plus a hash of the name,
and the same hospital in two studies is two resources that nobody has to keep in step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal

from fhirbridge.elements import STUDY_TAG, Element, coding, concept, present, reference
from fhirbridge.errors import Resource
from fhirbridge.records.ctgov_modules import Contact, Site
from fhirbridge.records.ctgov_record import RegistryRecord
from mappings.meta import profile
from mappings.registry_extensions import telecom
from mappings.registry_terms import CLASSES, PARTY_CLASS, PARTY_ROLE, ROLES, worded

Mention = tuple[str, str | None]
"""A name and what goes with it: an organisation's class."""


def prefix(record: RegistryRecord) -> str:
    """Return what the ids of all the study's resources begin with, which is also its ResearchStudy's id."""
    return record.nct_id.lower()


def meta(record: RegistryRecord, name: str) -> Element:
    """Return the meta of one of the study's resources; ``name`` is its profile's."""
    return {"profile": [profile(name)], "tag": [coding(STUDY_TAG, prefix(record))]}


def party_id(record: RegistryRecord, kind: str, *names: str | None) -> str:
    """Return the id of what bears these names, whatever their letter case and spacing."""
    folded = "\x1f".join(" ".join((name or "").split()).casefold() for name in names)
    return f"{prefix(record)}-{kind}-{hashlib.sha256(folded.encode()).hexdigest()[:12]}"


def organization(record: RegistryRecord, name: str | None) -> Element | None:
    """Return the Reference to the organisation of this name."""
    return reference("Organization", party_id(record, "org", name)) if name else None


def organizations(record: RegistryRecord) -> list[Resource]:
    """Return every organisation the record names, each once; other spellings of its name are aliases."""
    found: dict[str, list[Mention]] = {}
    for name, kind in _mentions(record):
        found.setdefault(party_id(record, "org", name), []).append((name, kind))
    return [_organization(record, id_, mentions) for id_, mentions in found.items()]


def _organization(record: RegistryRecord, id_: str, mentions: list[Mention]) -> Resource:
    names = list(dict.fromkeys(name for name, _ in mentions))
    kinds = dict.fromkeys(kind for _, kind in mentions if kind)
    return present(
        resourceType="Organization",
        id=id_,
        meta=meta(record, "registry-organization"),
        type=[worded(kind, PARTY_CLASS, CLASSES.get(kind)) for kind in kinds],
        name=names[0],
        alias=names[1:],
    )


def _mentions(record: RegistryRecord) -> Iterator[Mention]:
    protocol = record.protocol
    registering, responsible = protocol.identification.organization, protocol.sponsors.responsible_party
    given: list[tuple[str | None, str | None]] = []
    if protocol.sponsors.lead_sponsor:
        given.append((protocol.sponsors.lead_sponsor.name, protocol.sponsors.lead_sponsor.class_))
    given += [(party.name, party.class_) for party in protocol.sponsors.collaborators]
    if registering:
        given.append((registering.full_name, registering.class_))
    if responsible:
        given += [(responsible.investigator_affiliation, None), (responsible.old_organization, None)]
    given += [(official.affiliation, None) for official in protocol.contacts.overall_officials]
    given += [(site.facility, None) for site in protocol.contacts.locations]
    yield from ((name, kind) for name, kind in given if name)


def location_id(record: RegistryRecord, site: Site) -> str:
    """Return the id of a site, which its facility and address make."""
    return party_id(record, "site", site.facility, site.city, site.state, site.zip, site.country)


def locations(record: RegistryRecord) -> list[Resource]:
    """Return one Location per site; a site listed twice is one, with the recruitment states of both."""
    found: dict[str, list[Site]] = {}
    for site in record.protocol.contacts.locations:
        found.setdefault(location_id(record, site), []).append(site)
    return [_location(record, id_, sites) for id_, sites in found.items()]


def _location(record: RegistryRecord, id_: str, sites: list[Site]) -> Resource:
    site, point = sites[0], sites[0].geo_point
    states = dict.fromkeys(site.status for site in sites if site.status)
    return present(
        resourceType="Location",
        id=id_,
        meta=meta(record, "registry-location"),
        name=site.facility,
        # R4 has no recruitment state of a site, and no published extension holds one.
        description=f"Recruitment at this site: {', '.join(states)}" if states else None,
        address=present(city=site.city, state=site.state, postalCode=site.zip, country=site.country),
        position={"longitude": Decimal(point.lon), "latitude": Decimal(point.lat)} if point else None,
        managingOrganization=organization(record, site.facility),
    )


def practitioners(record: RegistryRecord) -> list[Resource]:
    """Return everybody the record names with a role of their own, each once."""
    contacts = record.protocol.contacts
    responsible = record.protocol.sponsors.responsible_party
    names = [responsible.investigator_full_name] if responsible else []
    names += [official.name for official in contacts.overall_officials]
    names += [contact.name for site in contacts.locations for contact in site.contacts]
    found: dict[str, list[str]] = {}
    for name in names:
        if name:
            found.setdefault(party_id(record, "person", name), []).append(name)
    return [
        {
            "resourceType": "Practitioner",
            "id": id_,
            "meta": meta(record, "registry-practitioner"),
            "name": [{"text": text} for text in dict.fromkeys(spellings)],
        }
        for id_, spellings in found.items()
    ]


def official_roles(record: RegistryRecord) -> list[tuple[str | None, Resource]]:
    """Return the study's officials in their order, each as their role's word and a PractitionerRole."""
    return [
        (official.role, practitioner_role(record, official.name, official.affiliation, official.role))
        for official in record.protocol.contacts.overall_officials
    ]


def investigator_role(record: RegistryRecord) -> Resource | None:
    """Return the PractitionerRole of the investigator who is the responsible party, if one is."""
    found = record.protocol.sponsors.responsible_party
    if found is None or found.investigator_full_name is None:
        return None
    return practitioner_role(
        record, found.investigator_full_name, found.investigator_affiliation, found.type, title=found.investigator_title
    )


def site_roles(record: RegistryRecord) -> list[Resource]:
    """Return one PractitionerRole per contact of a site."""
    return [
        practitioner_role(record, contact.name, None, contact.role, site=site, contact=contact)
        for site in record.protocol.contacts.locations
        for contact in site.contacts
    ]


def practitioner_role(
    record: RegistryRecord,
    name: str | None,
    affiliation: str | None,
    role: str | None,
    *,
    title: str | None = None,
    site: Site | None = None,
    contact: Contact | None = None,
) -> Resource:
    """Return somebody's part in the study: for whom, as what, and where."""
    place = location_id(record, site) if site else None
    reach = telecom(contact.phone, contact.phone_ext, contact.email) if contact else []
    how = [str(value) for point in reach for value in point.values()]
    return present(
        resourceType="PractitionerRole",
        id=party_id(record, "role", name, affiliation, role, title, place, *how),
        meta=meta(record, "registry-practitioner-role"),
        practitioner=reference("Practitioner", party_id(record, "person", name)) if name else None,
        organization=organization(record, affiliation),
        code=([worded(role, PARTY_ROLE, ROLES.get(role))] if role else []) + ([concept(text=title)] if title else []),
        location=[reference("Location", place)] if place else None,
        telecom=reach,
    )
