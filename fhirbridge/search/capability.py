"""What the CapabilityStatement says of search, and the SearchParameter resources of the study's own parameters.

Sources: http://hl7.org/fhir/R4/capabilitystatement-definitions.html#CapabilityStatement.rest.resource.searchParam,
http://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from fhirbridge.elements import Element, present
from fhirbridge.errors import Resource
from fhirbridge.search.parameters import Catalogue, Parameter
from fhirbridge.search.table import CATALOGUE, PARAMETERS


def search_parameters(type_: str, catalogue: Catalogue = CATALOGUE) -> list[Element]:
    """Return ``rest.resource.searchParam`` of a type."""
    return [
        {"name": one.code, "definition": one.url, "type": one.kind, "documentation": one.description}
        for one in catalogue.of(type_)
    ]


def includes(type_: str, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """Return ``rest.resource.searchInclude`` of a type."""
    return [f"{type_}:{one.code}" for one in catalogue.references(type_)]


def reverse_includes(type_: str, catalogue: Catalogue = CATALOGUE) -> list[str]:
    """Return ``rest.resource.searchRevInclude`` of a type."""
    return [f"{one.base}:{one.code}" for one in catalogue.pointing_to(type_)]


def own_definitions() -> list[Resource]:
    """Return a SearchParameter resource for each parameter that R4 does not have."""
    return [_definition(one) for one in PARAMETERS if one.expression is not None]


def _definition(one: Parameter) -> Resource:
    return present(
        resourceType="SearchParameter",
        id=f"{one.base}-{one.code}",
        url=one.url,
        version="1.0.0",
        name="".join(part.capitalize() for part in one.code.split("-")) + one.base,
        status="active",
        description=f"{one.description}.",
        code=one.code,
        base=[one.base],
        type=one.kind,
        expression=one.expression,
        target=list(one.targets),
        multipleOr=True,
        multipleAnd=True,
        modifier=[modifier for modifier in one.modifiers if modifier != "identifier"]
        + (["identifier", "type"] if one.kind == "reference" else []),
    )
