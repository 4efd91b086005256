"""BodyStructure: one lesion of one person, the thing that all exams of it have in common.

It holds only what stays the same whichever exam is read first: that it lies in the liver. The segment is what an
exam saw, may be told differently by the next, and stands in that exam's Observation.bodySite.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, concept, identifier, present, reference
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import ImagingExam
from fhirbridge.study import Study
from fhirbridge.terminology.codes import LIVER
from mappings import meta
from mappings.patient import patient_reference

PROFILE = "liver-lesion"


def logical_id(subject: str, lesion: str, identity: Identity) -> str:
    """Return the BodyStructure's id for this lesion of this person."""
    return identity.id("BodyStructure", subject, lesion)


def lesion_reference(subject: str, lesion: str, identity: Identity) -> Element:
    """Return the reference to this lesion of this person."""
    return reference("BodyStructure", logical_id(subject, lesion, identity))


def liver_lesions(record: ImagingExam, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield one BodyStructure for each lesion of the exam, the same one on every visit."""
    for lesion in record.lesions:
        logical = logical_id(record.subject, lesion.lesion, identity)
        yield present(
            resourceType="BodyStructure",
            id=logical,
            meta=meta.subject_level(PROFILE, study),
            identifier=[identifier(study.system("lesion"), logical)],
            active=True,
            location=concept(LIVER),
            description=f"Lesion {lesion.lesion}",
            patient=patient_reference(record.subject, identity),
        )
