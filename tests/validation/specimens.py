"""Valid resources for the mutations: Bundles of every kind, contained resources, and types our profiles do not use."""

from __future__ import annotations

from typing import Any

from fhirbridge.errors import Resource

SITE = "https://example.org/fhir/"
ONE = "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d"
TWO = "urn:uuid:0a3bb1ad-6b0c-4d02-8a2d-2f2b9a6b7c11"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"

PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "p1",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Chan <b>Tai Man</b></div>'},
    "identifier": [
        {"use": "official", "system": SITE + "mrn", "value": "0001", "period": {"start": "2020-01-31"}},
        {"use": "old", "system": "urn:oid:1.2.36.146", "value": "A1", "period": {"start": "2010", "end": "2020-01"}},
    ],
    "active": True,
    "name": [{"use": "official", "family": "Chan", "given": ["Tai", "Man"]}],
    "telecom": [{"system": "phone", "value": "+852 1234 5678", "rank": 1}],
    "gender": "male",
    "birthDate": "1960-02-29",
    "_birthDate": {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                "valueDateTime": "1960-02-29T10:30:00+08:00",
            }
        ]
    },
    "maritalStatus": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}],
        "text": "married",
    },
    "multipleBirthInteger": 2,
    "contact": [{"name": {"family": "Chan"}, "organization": {"reference": "#org"}}],
    "managingOrganization": {"reference": "#org", "display": "A hospital"},
    "contained": [{"resourceType": "Organization", "id": "org", "name": "A hospital", "active": True}],
}
PLAIN_PATIENT: Resource = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1961"}
OBSERVATION: Resource = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
    ],
    "code": {"coding": [{"system": LOINC, "code": "1742-6"}]},
    "subject": {"reference": "Patient/p1"},
    "issued": "2026-01-31T09:30:10.5Z",
    "effectivePeriod": {"start": "2026-01-31T08:30:00+08:00", "end": "2026-01-31T08:40:00+08:00"},
    "valueQuantity": {"value": 31, "comparator": "<", "unit": "U/L", "system": UCUM, "code": "U/L"},
    "referenceRange": [{"low": {"value": 5, "system": UCUM, "code": "U/L"}, "high": {"value": 40, "unit": "U/L"}}],
    "component": [
        {
            "code": {"text": "a"},
            "valueSampledData": {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "E"},
        },
        {"code": {"text": "b"}, "valueTime": "08:30:00"},
        {"code": {"text": "c"}, "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 2}}},
    ],
}


def bundle(type_: str, *entries: dict[str, Any], **more: Any) -> Resource:
    return {"resourceType": "Bundle", "id": type_, "type": type_, **more, "entry": list(entries)}


def entry(resource: Resource, url: str | None = None, **more: Any) -> dict[str, Any]:
    return {"fullUrl": url or f"{SITE}{resource['resourceType']}/{resource['id']}", "resource": resource, **more}


def _unnamed(resource: Resource, **changed: Any) -> Resource:
    return {key: value for key, value in {**resource, **changed}.items() if key != "id"}


COMPOSITION: Resource = {
    "resourceType": "Composition",
    "id": "c1",
    "status": "final",
    "type": {"coding": [{"system": LOINC, "code": "11503-0"}]},
    "subject": {"reference": "Patient/p1"},
    "date": "2026-02",
    "author": [{"reference": "Practitioner/d1"}],
    "title": "Report",
    "section": [{"title": "Laboratory", "entry": [{"reference": "Observation/o1"}]}],
}
PRACTITIONER: Resource = {"resourceType": "Practitioner", "id": "d1", "name": [{"text": "Dr Lee"}]}
MESSAGE_HEADER: Resource = {
    "resourceType": "MessageHeader",
    "id": "m1",
    "eventUri": SITE + "event",
    "source": {"endpoint": "https://example.org/endpoint"},
    "focus": [{"reference": "Patient/p1"}],
}

SPECIMENS: dict[str, Resource] = {
    "patient": PATIENT,
    "observation": OBSERVATION,
    "transaction": bundle(
        "transaction",
        entry(_unnamed(PLAIN_PATIENT), ONE, request={"method": "POST", "url": "Patient"}),
        entry(
            _unnamed(OBSERVATION, subject={"reference": ONE}),
            TWO,
            request={"method": "POST", "url": "Observation", "ifNoneExist": "identifier=x|y"},
        ),
        {"request": {"method": "DELETE", "url": "Patient/p9"}},
    ),
    "batch": bundle(
        "batch",
        {"request": {"method": "GET", "url": "Patient/p1"}},
        entry(PLAIN_PATIENT, request={"method": "PUT", "url": "Patient/p1", "ifMatch": 'W/"1"'}),
    ),
    "collection": bundle("collection", entry(PLAIN_PATIENT), entry(OBSERVATION), entry(PRACTITIONER)),
    "searchset": bundle(
        "searchset",
        entry(OBSERVATION, search={"mode": "match", "score": 1}),
        entry(PLAIN_PATIENT, search={"mode": "include"}),
        total=1,
        link=[{"relation": "self", "url": SITE + "Observation?code=x"}],
    ),
    "history": bundle(
        "history",
        entry(
            PLAIN_PATIENT,
            request={"method": "PUT", "url": "Patient/p1"},
            response={"status": "200 OK", "lastModified": "2026-01-31T08:30:00Z", "etag": 'W/"1"'},
        ),
    ),
    "document": bundle(
        "document",
        entry(COMPOSITION),
        entry(PLAIN_PATIENT),
        entry(PRACTITIONER),
        entry(OBSERVATION),
        identifier={"system": "urn:ietf:rfc:3986", "value": ONE},
        timestamp="2026-01-31T08:30:00Z",
    ),
    "message": bundle("message", entry(MESSAGE_HEADER), entry(PLAIN_PATIENT)),
    "questionnaire": {
        "resourceType": "Questionnaire",
        "id": "q1",
        "url": SITE + "Questionnaire/q1",
        "version": "1.0",
        "status": "draft",
        "subjectType": ["Patient"],
        "item": [
            {"linkId": "1", "text": "Pain", "type": "boolean", "required": True},
            {
                "linkId": "2",
                "type": "group",
                "enableWhen": [{"question": "1", "operator": "=", "answerBoolean": True}],
                "item": [
                    {"linkId": "2.1", "type": "choice", "answerOption": [{"valueString": "a"}, {"valueString": "b"}]},
                    {"linkId": "2.2", "type": "integer", "initial": [{"valueInteger": 3}], "maxLength": 2},
                ],
            },
        ],
    },
    "medication-request": {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "contained": [
            {
                "resourceType": "Medication",
                "id": "med",
                "code": {"text": "entecavir"},
                "manufacturer": {"reference": "#o"},
            },
            {"resourceType": "Organization", "id": "o", "name": "Maker"},
        ],
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": "#med"},
        "subject": {"reference": "Patient/p1", "type": "Patient"},
        "authoredOn": "2026-01-31",
        "dosageInstruction": [
            {
                "sequence": 1,
                "timing": {
                    "repeat": {
                        "frequency": 1,
                        "period": 1,
                        "periodUnit": "d",
                        "boundsDuration": {"value": 30, "unit": "days", "system": UCUM, "code": "d"},
                    }
                },
                "asNeededBoolean": False,
                "doseAndRate": [{"doseQuantity": {"value": 0.5, "unit": "mg", "system": UCUM, "code": "mg"}}],
            }
        ],
        "dispenseRequest": {"numberOfRepeatsAllowed": 3, "validityPeriod": {"start": "2026-01", "end": "2026-12"}},
    },
    "condition": {
        "resourceType": "Condition",
        "id": "c1",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "66071002"}], "text": "hepatitis B"},
        "subject": {"reference": "https://example.org/fhir/Patient/p1"},
        "encounter": {"identifier": {"system": SITE + "visit", "value": "v1"}, "type": "Encounter"},
        "onsetAge": {"value": 30, "unit": "a", "system": UCUM, "code": "a"},
        "note": [{"authorString": "x", "time": "2026-01-31T08:30:00Z", "text": "*seen*"}],
    },
    "document-reference": {
        "resourceType": "DocumentReference",
        "id": "d1",
        "meta": {
            "versionId": "1",
            "lastUpdated": "2026-01-31T08:30:00Z",
            "tag": [{"system": SITE + "tag", "code": "t"}],
        },
        "language": "en",
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3.4"},
        "status": "current",
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "data": "aGVsbG8=",
                    "url": SITE + "Binary/1",
                    "size": 5,
                    "hash": "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
                    "creation": "2026-01-31T08:30:00+08:00",
                }
            }
        ],
        "context": {"related": [{"reference": "DocumentReference/d0"}]},
    },
    "appointment": {
        "resourceType": "Appointment",
        "id": "a1",
        "status": "booked",
        "priority": 5,
        "start": "2026-01-31T08:30:00Z",
        "end": "2026-01-31T09:30:00Z",
        "minutesDuration": 60,
        "participant": [
            {"actor": {"reference": "Patient/p1"}, "required": "required", "status": "accepted"},
            {"actor": {"reference": "Location/l1"}, "status": "tentative"},
        ],
    },
    "parameters": {
        "resourceType": "Parameters",
        "id": "x1",
        "parameter": [
            {"name": "a", "valueUri": "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d"},
            {"name": "b", "part": [{"name": "c", "valueDecimal": 1.5}, {"name": "d", "valueOid": "urn:oid:1.2.3.4"}]},
            {"name": "e", "resource": PLAIN_PATIENT},
        ],
    },
    "value-set-holder": {
        "resourceType": "Task",
        "id": "t1",
        "contained": [{"resourceType": "Patient", "id": "p", "gender": "unknown"}],
        "instantiatesCanonical": SITE + "ActivityDefinition/a|1.0",
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "for": {"reference": "#p"},
        "input": [
            {"type": {"text": "n"}, "valuePositiveInt": 3},
            {"type": {"text": "d"}, "valueDate": "2026-01"},
            {"type": {"text": "m"}, "valueMarkdown": "# head"},
            {"type": {"text": "q"}, "valueCode": "abc"},
            {"type": {"text": "u"}, "valueUuid": "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d"},
        ],
    },
}
"""By name. Nothing in them needs terminology that HAPI lacks offline."""
