"""Group: whom the study may enrol, one characteristic for each criterion.

R4 has no AND and OR between characteristics and no free text as a value: a criterion that takes judgement is a
boolean whose code carries the text, and an age range is a Range in years (http://hl7.org/fhir/R4/group.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from fhirbridge.elements import Element, coding, concept, present, quantity, reference
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.study import Criterion, Study
from mappings import meta, organization

PROFILE = "eligibility-group"


def eligibility_reference(study: Study) -> Element:
    """Return the reference to the study's eligibility Group."""
    return reference("Group", f"{study.id}-eligibility")


def eligibility_group(study: Study, _study: Study, _identity: Identity) -> Iterator[Resource]:
    """Yield the one Group that describes who is eligible; it lists criteria, never people."""
    yield present(
        resourceType="Group",
        id=f"{study.id}-eligibility",
        meta=meta.study_level(PROFILE, study),
        active=True,
        type="person",
        actual=False,
        name=f"Eligibility for {study.id.upper()}",
        managingEntity=organization.organization_reference(study, study.sponsor),
        characteristic=[_characteristic(criterion, study) for criterion in study.eligibility],
    )


def _characteristic(criterion: Criterion, study: Study) -> Element:
    """Return the characteristic; ``exclude`` true means that having it keeps a person out."""
    return {
        "code": concept(coding(study.system("criterion"), criterion.code), text=criterion.text),
        **_value(criterion),
        "exclude": criterion.exclude,
    }


def _value(criterion: Criterion) -> Element:
    if criterion.minimum is None and criterion.maximum is None:
        return {"valueBoolean": True}
    low = None if criterion.minimum is None else quantity(Decimal(criterion.minimum), "years", "a")
    high = None if criterion.maximum is None else quantity(Decimal(criterion.maximum), "years", "a")
    return {"valueRange": present(low=low, high=high)}
