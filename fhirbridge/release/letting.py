"""What is let out of each type: an element that is not named here is hidden until somebody names it."""

from __future__ import annotations

from fhirbridge.elements import CANONICAL
from fhirbridge.release import kinds as kind
from fhirbridge.release.kinds import Kind, Kinds, parts, reference

_EXTENSION = "http://hl7.org/fhir/StructureDefinition"
_EXTENSION_5 = "http://hl7.org/fhir/5.0/StructureDefinition"

_PATIENT = reference("Patient")
_STUDY = reference("ResearchStudy")

_OF_RESULT = kind.extension(
    {
        f"{_EXTENSION}/workflow-researchStudy": {"valueReference": _STUDY},
        f"{CANONICAL}/StructureDefinition/study-visit": {"valueString": kind.word},
    }
)
_MILESTONES = kind.extension(
    {
        f"{_EXTENSION_5}/extension-ResearchSubject.progress": {
            "extension": kind.extension(
                {
                    "type": {"valueCodeableConcept": kind.concept},
                    "subjectState": {"valueCodeableConcept": kind.concept},
                    "milestone": {"valueCodeableConcept": kind.concept},
                    "reason": {"valueCodeableConcept": kind.concept},
                    "startDate": {"valueDateTime": kind.moment},
                    "endDate": {"valueDateTime": kind.moment},
                }
            )
        }
    }
)
_OF_STUDY = kind.extension(
    {
        f"{_EXTENSION_5}/extension-ResearchStudy.{name}": {"valueUnsignedInt": kind.public, "extension": kind.public}
        for name in ("recruitment.targetNumber", "recruitment.actualNumber", "progressStatus", "studyDesign", "label")
    }
)

_EFFECTIVE: Kinds = {
    "effectiveDateTime": kind.moment,
    "effectivePeriod": kind.period,
    "effectiveInstant": kind.moment,
    "effectiveTiming": kind.timing,
}
_VALUE: Kinds = {
    "valueQuantity": kind.quantity,
    "valueCodeableConcept": kind.concept,
    "valueString": kind.free("value"),
    "valueBoolean": kind.boolean,
    "valueInteger": kind.number,
    "valueRange": kind.range_,
    "valueRatio": kind.ratio,
    "valueDateTime": kind.moment,
    "valuePeriod": kind.period,
}
_RANGE = parts(low=kind.quantity, high=kind.quantity, type=kind.concept, appliesTo=kind.concept, text=kind.word)
_ANSWER: Kinds = {
    **_VALUE,
    "dataAbsentReason": kind.concept,
    "interpretation": kind.concept,
    "referenceRange": _RANGE,
}
_PERMISSION: dict[str, Kind] = {"type": kind.code, "period": kind.period, "purpose": kind.coding}

LET_OUT: dict[str, Kinds] = {
    "Organization": {
        "identifier": kind.public,
        "active": kind.public,
        "type": kind.public,
        "name": kind.public,
        "alias": kind.public,
        "address": parts(city=kind.public, country=kind.public),
        "partOf": reference("Organization"),
    },
    "Location": {
        "identifier": kind.public,
        "status": kind.public,
        "name": kind.public,
        "mode": kind.public,
        "address": parts(city=kind.public, country=kind.public),
        "managingOrganization": reference("Organization"),
    },
    "Group": {
        "identifier": kind.public,
        "active": kind.public,
        "type": kind.public,
        "actual": kind.public,
        "name": kind.public,
        "managingEntity": reference("Organization"),
        "characteristic": kind.public,
    },
    "ResearchStudy": {
        "extension": _OF_STUDY,
        "identifier": kind.public,
        "title": kind.public,
        "status": kind.public,
        "primaryPurposeType": kind.public,
        "phase": kind.public,
        "category": kind.public,
        "focus": kind.public,
        "condition": kind.public,
        "keyword": kind.public,
        "description": kind.public,
        "enrollment": reference("Group"),
        "period": kind.public,
        "sponsor": reference("Organization"),
        "site": reference("Location"),
        "arm": kind.public,
        "objective": kind.public,
    },
    "Patient": {
        "identifier": kind.identifier,
        "gender": kind.code,
        "birthDate": kind.birth_date,
        "deceasedDateTime": kind.deceased,
    },
    "Consent": {
        "identifier": kind.identifier,
        "status": kind.code,
        "scope": kind.concept,
        "category": kind.concept,
        "patient": _PATIENT,
        "dateTime": kind.moment,
        "organization": reference("Organization"),
        "policy": parts(uri=kind.canonical("informed-consent")),
        "provision": parts(
            extension=kind.extension({f"{_EXTENSION}/consent-ResearchStudyContext": {"valueReference": _STUDY}}),
            **_PERMISSION,
            provision=parts(**_PERMISSION),
        ),
    },
    "ResearchSubject": {
        "extension": _MILESTONES,
        "identifier": kind.identifier,
        "status": kind.code,
        "period": kind.period,
        "study": _STUDY,
        "individual": _PATIENT,
        "assignedArm": kind.word,
        "actualArm": kind.word,
        "consent": reference("Consent"),
    },
    "BodyStructure": {
        "identifier": kind.identifier,
        "active": kind.boolean,
        "morphology": kind.concept,
        "location": kind.concept,
        "locationQualifier": kind.concept,
        "description": kind.lesion,
        "patient": _PATIENT,
    },
    "Observation": {
        "extension": _OF_RESULT,
        "identifier": kind.identifier,
        "status": kind.code,
        "category": kind.concept,
        "code": kind.concept,
        "subject": _PATIENT,
        "focus": reference("BodyStructure"),
        **_EFFECTIVE,
        "issued": kind.moment,
        **_ANSWER,
        "note": parts(text=kind.free("note")),
        "bodySite": kind.concept,
        "method": kind.concept,
        "specimen": reference("Specimen"),
        "hasMember": reference("Observation"),
        "derivedFrom": reference("Observation"),
        "component": parts(code=kind.concept, **_ANSWER),
    },
    "DiagnosticReport": {
        "extension": _OF_RESULT,
        "identifier": kind.identifier,
        "status": kind.code,
        "category": kind.concept,
        "code": kind.concept,
        "subject": _PATIENT,
        **_EFFECTIVE,
        "issued": kind.moment,
        "result": reference("Observation"),
        "conclusion": kind.free("conclusion"),
        "conclusionCode": kind.concept,
    },
    "Provenance": {
        "extension": kind.extension({f"{_EXTENSION_5}/extension-Provenance.patient": {"valueReference": _PATIENT}}),
        "target": reference("Observation"),
        "occurredDateTime": kind.moment,
        "occurredPeriod": kind.period,
        "recorded": kind.moment,
        "policy": kind.canonical("mapping", "policy"),
        "reason": parts(coding=kind.coding, text=kind.free("reason")),
        "activity": kind.concept,
        "agent": kind.agent,
        "entity": parts(role=kind.code, what=kind.source),
    },
}
"""By type and element: how it is let out. ``resourceType``, ``id`` and ``meta`` are the view's own."""
