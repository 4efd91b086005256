"""What a study's records mean in FHIR: the explicit table of mappings, in the order their references need.

A mapping is a pure function: the same record, study and key give the same resources on every machine. It does not
validate; what FHIR cannot say raises MappingError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import ImagingExam, LaboratoryResult, StudyRecord, Subject
from fhirbridge.study import Study
from mappings import (
    consent,
    eligibility_group,
    laboratory_log10,
    laboratory_result,
    lirads_lesion,
    liver_lesion,
    location,
    measured_result,
    mri_report,
    organization,
    patient,
    provenance,
    research_study,
    research_subject,
)
from mappings.meta import profile


class Mapping(NamedTuple):
    """One row: the record it reads, the resource it writes, and the profile that resource promises to follow.

    A laboratory result may name a profile derived from that one, if the study file gives its analyte one.
    """

    record: type
    resource_type: str
    profile: str
    resources: Callable[[Any, Study, Identity], Iterator[Resource]]


MAPPINGS: tuple[Mapping, ...] = (
    Mapping(Study, "Organization", profile(organization.PROFILE), organization.organizations),
    Mapping(Study, "Location", profile(location.PROFILE), location.locations),
    Mapping(Study, "Group", profile(eligibility_group.PROFILE), eligibility_group.eligibility_group),
    Mapping(Study, "ResearchStudy", profile(research_study.PROFILE), research_study.research_study),
    Mapping(Subject, "Patient", profile(patient.PROFILE), patient.patient),
    Mapping(Subject, "Consent", profile(consent.PROFILE), consent.consent),
    Mapping(Subject, "ResearchSubject", profile(research_subject.PROFILE), research_subject.research_subject),
    Mapping(ImagingExam, "BodyStructure", profile(liver_lesion.PROFILE), liver_lesion.liver_lesions),
    Mapping(ImagingExam, "Observation", profile(lirads_lesion.PROFILE), lirads_lesion.lirads_lesions),
    Mapping(ImagingExam, "DiagnosticReport", profile(mri_report.PROFILE), mri_report.mri_report),
    Mapping(LaboratoryResult, "Observation", profile(measured_result.PROFILE), measured_result.measured_result),
    Mapping(LaboratoryResult, "Observation", profile(laboratory_result.PROFILE), laboratory_result.laboratory_result),
    Mapping(LaboratoryResult, "Observation", profile(laboratory_log10.PROFILE), laboratory_log10.laboratory_log10),
    Mapping(LaboratoryResult, "Provenance", profile(provenance.PROFILE), provenance.provenance),
)
"""Each row refers only to resources of rows above it."""


def resources(record: StudyRecord | Study, study: Study, identity: Identity) -> list[tuple[int, Resource]]:
    """Return every resource the record means, each with its rank: the row of MAPPINGS it comes from.

    Written by rank, a resource never comes before what it refers to. A Study is mapped as its own record. Raises
    MappingError, and then returns nothing of the record.
    """
    kind = type(record)
    return [
        (rank, resource)
        for rank, mapping in enumerate(MAPPINGS)
        if mapping.record is kind
        for resource in mapping.resources(record, study, identity)
    ]
