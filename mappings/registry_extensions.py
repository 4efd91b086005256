"""The published extensions that carry what R4's ResearchStudy lacks, each in the shape HL7 gives it.

The first kind takes R5 elements back to R4 (package hl7.fhir.uv.xver-r5.r4, https://github.com/HL7/fhir-xver-r5-r4,
with relative URLs inside complex ones); the second is the Extensions Pack's researchStudy-studyRegistration.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirbridge.elements import Element, present

XVER = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy."
STUDY_REGISTRATION = "http://hl7.org/fhir/StructureDefinition/researchStudy-studyRegistration"
PHONE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/contactpoint-extension"


def _complex(url: str, parts: Iterable[tuple[str, str, object]]) -> Element:
    given = [{"url": name, f"value{kind}": value} for name, kind, value in parts if value is not None]
    return {"url": url, "extension": given}


def label(value: str, kind: Element) -> Element:
    """Return another title of the study and what kind of title it is."""
    return _complex(f"{XVER}label", (("type", "CodeableConcept", kind), ("value", "String", value)))


def description_summary(text: str) -> Element:
    """Return the brief summary."""
    return {"url": f"{XVER}descriptionSummary", "valueMarkdown": text}


def study_design(concept: Element) -> Element:
    """Return one feature of the design."""
    return {"url": f"{XVER}studyDesign", "valueCodeableConcept": concept}


def classifier(concept: Element) -> Element:
    """Return one classification of the study, such as regulation by an authority."""
    return {"url": f"{XVER}classifier", "valueCodeableConcept": concept}


def last_changed(date: str) -> Element:
    """Return the date the study's record last changed."""
    return {"url": f"{XVER}date", "valueDateTime": date}


def target_number(count: int) -> Element:
    """Return how many participants are planned."""
    return {"url": f"{XVER}recruitment.targetNumber", "valueUnsignedInt": count}


def actual_number(count: int) -> Element:
    """Return how many participants took part."""
    return {"url": f"{XVER}recruitment.actualNumber", "valueUnsignedInt": count}


def progress_status(state: Element, *, actual: bool | None = None, period: Element | None = None) -> Element:
    """Return a state of the study, when it held, and whether that time is known or only expected."""
    return _complex(
        f"{XVER}progressStatus",
        (("state", "CodeableConcept", state), ("actual", "Boolean", actual), ("period", "Period", period)),
    )


def associated_party(
    role: Element, *, name: str | None = None, classifier: Element | None = None, party: Element | None = None
) -> Element:
    """Return somebody with a part in the study whom R4 has no element for."""
    return _complex(
        f"{XVER}associatedParty",
        (
            ("name", "String", name),
            ("role", "CodeableConcept", role),
            ("classifier", "CodeableConcept", classifier),
            ("party", "Reference", party),
        ),
    )


def outcome_measure(name: str, kind: Element, description: str | None) -> Element:
    """Return an outcome measure; ``kind`` is primary, secondary or exploratory."""
    return _complex(
        f"{XVER}outcomeMeasure",
        (("name", "String", name), ("type", "CodeableConcept", kind), ("description", "Markdown", description)),
    )


def study_registration(activity: Element, *, actual: bool | None, period: Element) -> Element:
    """Return a registration activity and its date."""
    return _complex(
        STUDY_REGISTRATION,
        (("activity", "CodeableConcept", activity), ("actual", "Boolean", actual), ("period", "Period", period)),
    )


def telecom(phone: str | None, extension: str | None, email: str | None) -> list[Element]:
    """Return the ContactPoints of a contact; a phone extension goes into R4's own extension for it."""
    inner = [{"url": PHONE_EXTENSION, "valueString": extension}] if extension else None
    found = [present(extension=inner, system="phone", value=phone)] if phone or inner else []
    return found + ([{"system": "email", "value": email}] if email else [])
