"""Patient: a person under a pseudonym, and no more of them than the study's questions need.

No name, address, telephone or hospital number ever enters: the record has none. The birth date leaves as a year
and the subject number not at all; the link between the two stays with whoever holds the pseudonym key.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, concept, identifier, present, reference, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import Subject
from fhirbridge.study import Study
from fhirbridge.terminology.codes import ABSTRACTED, PSEUDONYMIZED
from mappings import meta

PROFILE = "trial-patient"


def logical_id(subject: str, identity: Identity) -> str:
    """Return the Patient's id for this subject number."""
    return identity.id("Patient", subject)


def patient_reference(subject: str, identity: Identity) -> Element:
    """Return the reference to the Patient with this subject number."""
    return reference("Patient", logical_id(subject, identity))


def patient(record: Subject, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the Patient. A death keeps its day, because survival is counted in days."""
    yield present(
        resourceType="Patient",
        id=logical_id(record.subject, identity),
        meta=meta.subject_level(PROFILE, study, ABSTRACTED),
        identifier=[
            identifier(
                study.system("pseudonym"),
                identity.pseudonym(record.subject),
                use="secondary",
                kind=concept(PSEUDONYMIZED),
            )
        ],
        gender=record.sex,
        birthDate=f"{record.birth_date.year:04d}",
        deceasedDateTime=when(record.death_date) if record.death_date else None,
    )
