"""Organization: a sponsor or site of a study."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirbridge.elements import Element, present, reference
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.study import Organisation, Study
from mappings import meta

PROFILE = "trial-organization"


def logical_id(study: Study, name: str) -> str:
    """Return the readable id of an organisation of a study by the name records use: ``nct07120750-sztph``.

    The same hospital in two studies is two resources: each carries its own study's tag.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{study.id}-{readable}"[:64]


def organization_reference(study: Study, name: str) -> Element:
    """Return the reference to the organisation of this name."""
    return reference("Organization", logical_id(study, name))


def address(organisation: Organisation) -> Element | None:
    """Return city and country (ISO 3166), or None where neither is known."""
    return present(city=organisation.city, country=organisation.country) or None


def organizations(study: Study, _study: Study, _identity: Identity) -> Iterator[Resource]:
    """Yield each organisation of the study once, by name; what is said of it as an organisation wins over as a site."""
    by_name = {found.name: found for found in (*study.sites, *study.organisations)}
    for organisation in sorted(by_name.values(), key=lambda found: found.name):
        home = address(organisation)
        yield present(
            resourceType="Organization",
            id=logical_id(study, organisation.name),
            meta=meta.study_level(PROFILE, study),
            active=True,
            name=organisation.title,
            alias=[organisation.name] if organisation.name != organisation.title else None,
            address=[home] if home else None,
        )
