"""LI-RADS CT/MRI v2018 as codes: categories, treatment response, features, liver segments, and an order of concern.

No published code system holds them (searched: LOINC, SNOMED CT, RadLex), so they are this project's own, kept equal
to ``profiles/CodeSystem-lirads-*.json`` and ``profiles/CodeSystem-liver-segment.json`` by a test.
Source: American College of Radiology, CT/MRI LI-RADS v2018 Core
(https://www.acr.org/Clinical-Resources/Clinical-Tools-and-Reference/Reporting-and-Data-Systems/LI-RADS).
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirbridge.elements import CANONICAL

CATEGORY_SYSTEM = f"{CANONICAL}/CodeSystem/lirads-category"
OBSERVABLE_SYSTEM = f"{CANONICAL}/CodeSystem/lirads-observable"
FEATURE_SYSTEM = f"{CANONICAL}/CodeSystem/lirads-feature"
METHOD_SYSTEM = f"{CANONICAL}/CodeSystem/lirads-method"
SEGMENT_SYSTEM = f"{CANONICAL}/CodeSystem/liver-segment"

DIAGNOSTIC = {
    "LR-NC": "Not categorizable",
    "LR-1": "Definitely benign",
    "LR-2": "Probably benign",
    "LR-3": "Intermediate probability of malignancy",
    "LR-4": "Probably hepatocellular carcinoma",
    "LR-5": "Definitely hepatocellular carcinoma",
    "LR-M": "Probably or definitely malignant, not specific for hepatocellular carcinoma",
    "LR-TIV": "Tumor in vein",
}
"""Categories of an untreated lesion."""

TREATMENT_RESPONSE = {
    "LR-TR-NE": "Treated, nonevaluable",
    "LR-TR-NV": "Treated, nonviable",
    "LR-TR-E": "Treated, equivocal",
    "LR-TR-V": "Treated, viable",
}
"""Categories of a treated lesion."""

CATEGORIES = DIAGNOSTIC | TREATMENT_RESPONSE

NO_OBSERVATION = "no-reportable-observation"
NO_OBSERVATION_DISPLAY = "No reportable observation"
"""What an exam says that shows no lesion worth a category: an answer for the report, never for a lesion."""

OBSERVABLES = {
    "lirads-category": "LI-RADS category",
    "aphe": "Arterial phase hyperenhancement",
    "washout": "Washout",
    "capsule": "Capsule",
    "threshold-growth": "Threshold growth",
    "tumor-in-vein": "Tumor in vein",
    "ancillary-malignant": "Ancillary features favoring malignancy",
    "ancillary-benign": "Ancillary features favoring benignity",
    "treated": "Lesion treated before this exam",
}
"""What is observed: the code of the lesion Observation and of its components."""

FEATURES = {
    "aphe-none": "No arterial phase hyperenhancement",
    "aphe-nonrim": "Nonrim arterial phase hyperenhancement",
    "aphe-rim": "Rim arterial phase hyperenhancement",
    "washout-absent": "No washout",
    "washout-nonperipheral": "Nonperipheral washout",
    "washout-peripheral": "Peripheral washout",
    "capsule-absent": "No capsule",
    "capsule-enhancing": "Enhancing capsule",
    "capsule-nonenhancing": "Nonenhancing capsule",
}
"""Answers to the features that are not yes or no; a code is the observable, a hyphen and the record's word."""

METHODS = {
    "ct-mri-2018": "CT/MRI LI-RADS v2018, diagnostic algorithm",
    "treatment-response-2018": "CT/MRI LI-RADS v2018, treatment response algorithm",
}

SEGMENTS = {
    segment: f"Liver segment {segment}" for segment in ("I", "II", "III", "IV", "IVa", "IVb", "V", "VI", "VII", "VIII")
}
"""Couinaud segments; IV where a and b are not told apart."""

CONCERN = (
    "LR-TIV", "LR-5", "LR-TR-V", "LR-M", "LR-4", "LR-TR-E", "LR-3",
    "LR-NC", "LR-TR-NE", "LR-2", "LR-TR-NV", "LR-1",
)  # fmt: skip
"""All categories, the worst first: vascular invasion and certain or viable cancer, then falling probability of
malignancy; what could not be judged stands above what was judged benign. LI-RADS ranks no category against a
treatment response, so this order is the project's proposal, for the investigator to confirm (docs/clinical-model.md).
"""


def worst(categories: Iterable[str]) -> str:
    """Return the category of most concern. Raises ValueError for none at all or an unknown one."""
    return min(categories, key=CONCERN.index)
