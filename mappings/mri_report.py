"""DiagnosticReport: one MRI of the liver, its lesions, and the category of most concern among them."""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, identifier, present, reference, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import ImagingExam
from fhirbridge.study import Study
from fhirbridge.terminology import lirads
from fhirbridge.terminology.codes import DIAGNOSTIC_SERVICE, MRI_PROCEDURES
from mappings import meta, visit
from mappings.lirads_lesion import category, finding_reference, record_name
from mappings.patient import patient_reference

PROFILE = "mri-report"

CATEGORY = coding(DIAGNOSTIC_SERVICE, "RAD", "Radiology")
CONCLUDED = frozenset({"final", "amended", "corrected"})
"""States in which a report without lesions says that there are none, rather than that it is not finished."""


def report_reference(exam: str, identity: Identity) -> Element:
    """Return the reference to the report of this exam."""
    return reference("DiagnosticReport", identity.id("DiagnosticReport", exam))


def mri_report(record: ImagingExam, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield the DiagnosticReport. Raises MappingError for a category or visit without a code."""
    logical = identity.id("DiagnosticReport", record.exam)
    yield present(
        resourceType="DiagnosticReport",
        id=logical,
        meta=meta.subject_level(PROFILE, study),
        extension=visit.extensions(record_name(record), record.visit, study),
        identifier=[identifier(study.system("exam"), logical)],
        status=record.status,
        category=[concept(CATEGORY)],
        code=concept(MRI_PROCEDURES[record.procedure]),
        subject=patient_reference(record.subject, identity),
        effectiveDateTime=when(record.performed),
        result=[finding_reference(record.exam, lesion.lesion, identity) for lesion in record.lesions],
        conclusion=record.conclusion,
        conclusionCode=_conclusion(record),
    )


def _conclusion(record: ImagingExam) -> list[Element]:
    """Return the worst category, or that a finished exam found nothing to report."""
    found = {lesion.category: category(lesion.category, record_name(record)) for lesion in record.lesions}
    if found:
        return [found[lirads.worst(found)]]
    if record.status not in CONCLUDED:
        return []
    return [concept(coding(lirads.CATEGORY_SYSTEM, lirads.NO_OBSERVATION, lirads.NO_OBSERVATION_DISPLAY))]
