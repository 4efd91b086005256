"""Words that say nothing of anybody: what the study's file and the code systems in use give every person alike.

A text of a resource is let out where it is one of these, and is free text anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirbridge.elements import CANONICAL, LOINC, SNOMED
from fhirbridge.study import Analyte, Study
from fhirbridge.terminology import codes, lirads

_SYSTEM = re.compile(
    rf"{re.escape(LOINC)}|{re.escape(SNOMED)}|http://hl7\.org/fhir/sid/icd-10(?:-[a-z]+)?"
    r"|http://terminology\.hl7\.org/CodeSystem/[A-Za-z0-9-]+|http://hl7\.org/fhir/[a-z-]+"
    rf"|{re.escape(CANONICAL)}/CodeSystem/[A-Za-z0-9-]+",
    re.ASCII,
)
_CODE = re.compile(r"[!-~]{1,64}")

_DISPLAYS = (
    "Laboratory", "Imaging", "Radiology", "Research", "Privacy policy acknowledgment Document", "Anonymous identifier",
    "create", "nullify", "Author", "Verifier", "Assembler", "Masked", "fhirbridge",
    "Detected", "Not detected", "Negative", "Positive", "Indeterminate",
)  # fmt: skip
"""Displays that mappings write as constants."""


def is_code(system: object, code: object) -> bool:
    """Say whether this is a code of a public code system, or of one of this project."""
    return (
        isinstance(system, str)
        and isinstance(code, str)
        and _SYSTEM.fullmatch(system) is not None
        and _CODE.fullmatch(code) is not None
    )


def vocabulary(study: Study) -> frozenset[str]:
    """Return every text that is let out of any resource of this study."""
    return frozenset(text for text in (*_DISPLAYS, *_of_codes(), *_of_lirads(), *_of_study(study)) if text)


def _of_codes() -> Iterator[str]:
    fixed = (codes.PSEUDONYMIZED, codes.HASHED, codes.ABSTRACTED, codes.RESTRICTED, codes.TRIAL_RESEARCH, codes.LIVER,
             codes.TUMOR_SIZE, *codes.MRI_PROCEDURES.values())  # fmt: skip
    yield from (one["display"] for one in fixed)
    for answers in codes.ANSWERS.values():
        yield from (one["display"] for one in answers)
    for table in (codes.ABSENT_REASONS, codes.RANGE_KINDS, codes.MILESTONES):
        yield from table.values()


def _of_lirads() -> Iterator[str]:
    for table in (lirads.CATEGORIES, lirads.OBSERVABLES, lirads.FEATURES, lirads.METHODS, lirads.SEGMENTS):
        yield from table.values()
    yield lirads.NO_OBSERVATION_DISPLAY
    yield from (f"Liver, segment {segment}" for segment in lirads.SEGMENTS)


def _of_study(study: Study) -> Iterator[str]:
    yield study.schedule.unscheduled
    yield from (visit.name for visit in study.schedule.visits)
    yield from (arm.name for arm in study.arms)
    for analyte in study.analytes:
        yield from _of_analyte(analyte)


def _of_analyte(analyte: Analyte) -> Iterator[str]:
    yield from (analyte.title, f"{analyte.title}, as measured", analyte.display)
    yield from (analyte.unit or "", analyte.unit_title or "")
    if analyte.specimen:
        yield from (analyte.specimen.display or "", analyte.specimen.code)
    if analyte.log10:
        yield from (analyte.log10.title, analyte.log10.display, analyte.log10.unit, analyte.log10.unit_title)
    for assay in analyte.assays:
        yield from (assay.name, f"Limits of quantification of {assay.name}")
