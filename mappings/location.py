"""Location: a site where the study is carried out (ResearchStudy.site accepts nothing else in R4)."""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, present, reference
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.study import Study
from mappings import meta, organization

PROFILE = "trial-location"


def location_reference(study: Study, site: str) -> Element:
    """Return the reference to one of the study's sites."""
    return reference("Location", organization.logical_id(study, site))


def locations(study: Study, _study: Study, _identity: Identity) -> Iterator[Resource]:
    """Yield one Location for each site, managed by the organisation of the same name."""
    for site in study.sites:
        yield present(
            resourceType="Location",
            id=organization.logical_id(study, site.name),
            meta=meta.study_level(PROFILE, study),
            status="active",
            name=site.title,
            mode="instance",
            address=organization.address(site),
            managingOrganization=organization.organization_reference(study, site.name),
        )
