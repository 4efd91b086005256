"""Registry record to Group: who may take part, the criteria kept whole as the sponsor wrote them."""

from __future__ import annotations

from typing import Any

from fhirbridge.elements import UCUM, Element, concept, present
from fhirbridge.errors import Resource
from fhirbridge.records.ctgov_record import RegistryRecord
from fhirbridge.records.ctgov_values import Age
from mappings.registry_parties import meta, prefix
from mappings.registry_terms import GENDER, worded

_UCUM_AGE = {"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min"}


def group(record: RegistryRecord) -> Resource | None:
    """Return the Group that ResearchStudy.enrollment names, or None where the record has no eligibility module."""
    module = record.protocol.eligibility
    if module is None:
        return None
    characteristics = [
        *_ages(module.minimum_age, module.maximum_age),
        _characteristic("Sex", valueCodeableConcept=_sex(module.sex)),
        _characteristic("Eligibility is based on gender", valueBoolean=module.gender_based),
        _characteristic("Gender", valueCodeableConcept=_text(module.gender_description)),
        _characteristic("Healthy volunteers accepted", valueBoolean=module.healthy_volunteers),
        _characteristic("Study population", valueCodeableConcept=_text(module.study_population)),
        _characteristic("Sampling method", valueCodeableConcept=_text(module.sampling_method)),
        _characteristic("Eligibility criteria", valueCodeableConcept=_text(module.eligibility_criteria)),
    ]
    return present(
        resourceType="Group",
        id=group_id(record),
        meta=meta(record, "registry-eligibility"),
        type="person",
        actual=False,
        name=f"Eligibility for {record.nct_id}",
        characteristic=[found for found in characteristics if found],
    )


def group_id(record: RegistryRecord) -> str:
    """Return the Group's logical id."""
    return f"{prefix(record)}-eligibility"


def _sex(word: str | None) -> Element | None:
    """Return the sex; ALL has no code among administrative genders."""
    return worded(word, GENDER, word.lower() if word in ("MALE", "FEMALE") else None) if word else None


def _text(text: str | None) -> Element | None:
    return concept(text=text) if text else None


def _characteristic(code: str, **value: Any) -> Element | None:
    """Return a characteristic that the group's members have, or None where nothing is said of it."""
    given = present(**value)
    return {"code": concept(text=code)} | given | {"exclude": False} if given else None


def _ages(low: Age | None, high: Age | None) -> list[Element | None]:
    """Return the age range; two where the units differ, for a validator compares a range's ends as bare numbers."""
    if low and high and low.unit != high.unit:
        return [
            _characteristic("Age", valueRange={"low": _age(low)}),
            _characteristic("Age", valueRange={"high": _age(high)}),
        ]
    return [_characteristic("Age", valueRange=present(low=_age(low), high=_age(high)) or None)]


def _age(age: Age | None) -> Element | None:
    if age is None:
        return None
    return {"value": age.number, "unit": age.partition(" ")[2], "system": UCUM, "code": _UCUM_AGE[age.unit]}
