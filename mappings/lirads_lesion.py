"""Observation: one lesion as one MRI saw it: its LI-RADS category, and the features that led to it.

It is about the person (``subject``) and looks at the lesion (``focus``), as mCODE does for tumors. A feature the
record does not mention is absent here too: nothing says whether it was missing or not looked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, identifier, present, quantity, reference, when
from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import ImagingExam, Lesion
from fhirbridge.study import Study
from fhirbridge.terminology import lirads
from fhirbridge.terminology.codes import LIVER, OBSERVATION_CATEGORY, TUMOR_SIZE
from mappings import meta, visit
from mappings.liver_lesion import lesion_reference
from mappings.patient import patient_reference
from mappings.refusal import refusal

PROFILE = "lirads-lesion"

CATEGORY = coding(OBSERVATION_CATEGORY, "imaging", "Imaging")


def logical_id(exam: str, lesion: str, identity: Identity) -> str:
    """Return the Observation's id for this lesion in this exam."""
    return identity.id("Observation", "lesion", exam, lesion)


def finding_reference(exam: str, lesion: str, identity: Identity) -> Element:
    """Return the reference to the Observation of this lesion in this exam."""
    return reference("Observation", logical_id(exam, lesion, identity))


def lirads_lesions(record: ImagingExam, study: Study, identity: Identity) -> Iterator[Resource]:
    """Yield one Observation for each lesion. Raises MappingError for a category, segment or visit without a code."""
    for lesion in record.lesions:
        logical = logical_id(record.exam, lesion.lesion, identity)
        yield present(
            resourceType="Observation",
            id=logical,
            meta=meta.subject_level(PROFILE, study),
            extension=visit.extensions(record_name(record), record.visit, study),
            identifier=[identifier(study.system("finding"), logical)],
            status=record.status,
            category=[concept(CATEGORY)],
            code=_observable("lirads-category"),
            subject=patient_reference(record.subject, identity),
            focus=[lesion_reference(record.subject, lesion.lesion, identity)],
            effectiveDateTime=when(record.performed),
            valueCodeableConcept=category(lesion.category, f"{record_name(record)} lesion {lesion.lesion}"),
            bodySite=_site(record, lesion),
            method=_method(lesion),
            component=_components(lesion),
        )


def record_name(record: ImagingExam) -> str:
    """Return how an error speaks of the record."""
    return f"imaging {record.exam}"


def category(code: str, record: str) -> Element:
    """Return the category as a CodeableConcept. Raises MappingError for one LI-RADS v2018 lacks."""
    if code not in lirads.CATEGORIES:
        raise refusal(
            record,
            "category",
            code,
            "lirads-category",
            "LI-RADS v2018 has no such category",
            f"Write one of {', '.join(lirads.CATEGORIES)}.",
        )
    return concept(coding(lirads.CATEGORY_SYSTEM, code, lirads.CATEGORIES[code]))


def _observable(code: str) -> Element:
    return concept(coding(lirads.OBSERVABLE_SYSTEM, code, lirads.OBSERVABLES[code]))


def _method(lesion: Lesion) -> Element:
    """Return the algorithm that the category belongs to, so that another version of LI-RADS can stand beside it."""
    code = "treatment-response-2018" if lesion.category in lirads.TREATMENT_RESPONSE else "ct-mri-2018"
    return concept(coding(lirads.METHOD_SYSTEM, code, lirads.METHODS[code]))


def _site(record: ImagingExam, lesion: Lesion) -> Element:
    """Return the liver, and the Couinaud segment where the exam told it."""
    if lesion.segment is None:
        return concept(LIVER)
    if lesion.segment not in lirads.SEGMENTS:
        raise refusal(
            f"{record_name(record)} lesion {lesion.lesion}",
            "segment",
            lesion.segment,
            "segment",
            "the liver has no such segment",
            f"Write one of {', '.join(lirads.SEGMENTS)}, or leave it empty.",
        )
    segment = coding(lirads.SEGMENT_SYSTEM, lesion.segment, lirads.SEGMENTS[lesion.segment])
    return concept(LIVER, segment, text=f"Liver, segment {lesion.segment}")


def _components(lesion: Lesion) -> list[Element]:
    size = None if lesion.size_mm is None else quantity(lesion.size_mm, "mm", "mm")
    graded = {"aphe": lesion.aphe, "washout": lesion.washout, "capsule": lesion.capsule}
    asked = {
        "threshold-growth": lesion.threshold_growth,
        "tumor-in-vein": lesion.tumor_in_vein,
        "ancillary-malignant": lesion.ancillary_malignant,
        "ancillary-benign": lesion.ancillary_benign,
        "treated": lesion.treated,
    }
    return [
        *([{"code": concept(TUMOR_SIZE), "valueQuantity": size}] if size else []),
        *(
            {"code": _observable(feature), "valueCodeableConcept": _feature(f"{feature}-{grade}")}
            for feature, grade in graded.items()
            if grade is not None
        ),
        *(
            {"code": _observable(feature), "valueBoolean": answer}
            for feature, answer in asked.items()
            if answer is not None
        ),
    ]


def _feature(code: str) -> Element:
    return concept(coding(lirads.FEATURE_SYSTEM, code, lirads.FEATURES[code]))
