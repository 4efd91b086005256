"""Codes of HL7, LOINC and SNOMED CT that more than one mapping uses, and this project's own small code systems."""

from __future__ import annotations

from fhirbridge.elements import CANONICAL, LOINC, SNOMED, Element, coding

OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
SECURITY_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
DIAGNOSTIC_SERVICE = "http://terminology.hl7.org/CodeSystem/v2-0074"
DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
PROVENANCE_AGENT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"

PSEUDONYMIZED = coding(SECURITY_VALUE, "PSEUDED", "pseudonymized")
HASHED = coding(SECURITY_VALUE, "CRYTOHASH", "cryptographic hash function")  # HL7's own spelling
ABSTRACTED = coding(SECURITY_VALUE, "ABSTRED", "abstracted")
RESTRICTED = coding(CONFIDENTIALITY, "R", "restricted")
TRIAL_RESEARCH = coding(ACT_REASON, "CLINTRCH", "clinical trial research")

LIVER = coding(SNOMED, "10200004", "Liver structure")

ANSWERS: dict[str, tuple[Element, Element]] = {
    "positive": (coding(SNOMED, "10828004", "Positive"), coding(INTERPRETATION, "POS", "Positive")),
    "negative": (coding(SNOMED, "260385009", "Negative"), coding(INTERPRETATION, "NEG", "Negative")),
    "detected": (coding(SNOMED, "260373001", "Detected"), coding(INTERPRETATION, "DET", "Detected")),
    "not detected": (coding(SNOMED, "260415000", "Not detected"), coding(INTERPRETATION, "ND", "Not detected")),
    "indeterminate": (coding(SNOMED, "82334004", "Indeterminate"), coding(INTERPRETATION, "IND", "Indeterminate")),
}
"""An ordinal answer as a coded value and as an interpretation."""

ABSENT_REASONS = {"not-performed": "Not Performed", "error": "Error", "unknown": "Unknown"}

MRI_PROCEDURES = {
    "liver": coding(LOINC, "30670-4", "MR Liver WO and W contrast IV"),
    "abdomen": coding(LOINC, "24557-1", "MR Abdomen WO and W contrast IV"),
}

TUMOR_SIZE = coding(LOINC, "33728-7", "Size.maximum dimension in Tumor")

RANGE_KIND_SYSTEM = f"{CANONICAL}/CodeSystem/reference-range-kind"
RANGE_KINDS = {"measuring-interval": "Measuring interval of the assay"}

MILESTONE_SYSTEM = f"{CANONICAL}/CodeSystem/study-milestone"
MILESTONES = {"index": "Index date"}
