"""What every resource of a trial carries in ``meta``: its profile, its study's tag, and its security labels."""

from __future__ import annotations

from fhirbridge.elements import CANONICAL, STUDY_TAG, Element, coding
from fhirbridge.study import Study
from fhirbridge.terminology.codes import HASHED, PSEUDONYMIZED, RESTRICTED


def profile(name: str) -> str:
    """Return the canonical URL of one of the profiles in ``profiles/``."""
    return f"{CANONICAL}/StructureDefinition/{name}"


def study_level(name: str, study: Study) -> Element:
    """Return ``meta`` for a resource about the study itself."""
    return {"profile": [profile(name)], "tag": [coding(STUDY_TAG, study.id)]}


def subject_level(name: str, study: Study, *labels: Element) -> Element:
    """Return ``meta`` for a resource about one person: pseudonymised, ids hashed, restricted, and what ``labels`` add.

    The labels are HL7's (http://terminology.hl7.org/CodeSystem/v3-ObservationValue), each written once.
    """
    return {
        "profile": [profile(name)],
        "security": [PSEUDONYMIZED, HASHED, *labels, RESTRICTED],
        "tag": [coding(STUDY_TAG, study.id)],
    }
