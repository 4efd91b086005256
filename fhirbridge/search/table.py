"""The rows: every search parameter of the served types, and why what R4 has besides is not served.

A path names elements as JSON does, and ends in the FHIR type of its values. Nothing in here is checked at run time:
tests/search compares each row with R4's own definitions.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import CANONICAL
from fhirbridge.search.parameters import COMMON, Catalogue, Kind, Parameter, Path

SERVED = (
    "Organization", "Location", "Group", "ResearchStudy", "Patient", "Consent", "ResearchSubject", "BodyStructure",
    "Observation", "DiagnosticReport", "Provenance",
)  # fmt: skip
"""The types that registries see."""

_HL7 = "http://hl7.org/fhir"
_VISIT = f"extension[url={CANONICAL}/StructureDefinition/study-visit].valueString:string"
_STUDY = f"extension[url={_HL7}/StructureDefinition/workflow-researchStudy].valueReference:Reference"
_CONSENTED = (
    f"provision.extension[url={_HL7}/StructureDefinition/consent-ResearchStudyContext].valueReference:Reference"
)
_AGENTS = ("Practitioner", "Organization", "Device", "Patient", "PractitionerRole", "RelatedPerson")
_STAFF = ("Practitioner", "Organization", "CareTeam", "PractitionerRole")
_SUBJECTS = ("Group", "Device", "Patient", "Location")
_ORDERS = ("CarePlan", "MedicationRequest", "NutritionOrder", "ServiceRequest", "ImmunizationRecommendation")


class _Type:
    """Writes the rows of one type; ``definition`` is the part of an R4 definition's URL before the code."""

    def __init__(self, base: str, definition: str | None = None) -> None:
        self.base, self.definition = base, definition or base

    def __call__(
        self, code: str, kind: Kind, paths: str, description: str, targets: tuple[str, ...] = (),
        *, system: str | None = None, parts: tuple[str, ...] = (), url: str | None = None,
    ) -> Parameter:  # fmt: skip
        made = tuple(Path.of(path) for path in paths.split())
        where = url or f"{_HL7}/SearchParameter/{self.definition}-{code}"
        bound = f"{_HL7}/{system}" if system else None
        return Parameter(self.base, code, kind, made, where, description, targets, parts, bound)

    def address(self) -> Iterator[Parameter]:
        """The parameters of an address."""
        yield self("address", "string", "address:Address", "Any part of the address")
        yield self("address-city", "string", "address.city:string", "City")
        yield self("address-country", "string", "address.country:string", "Country")
        yield self("address-postalcode", "string", "address.postalCode:string", "Postal code")
        yield self("address-state", "string", "address.state:string", "State or province")
        yield self("address-use", "token", "address.use:code", "Use of the address", system="address-use")


def _own(base: str, code: str, kind: Kind, path: str, expression: str, description: str, *targets: str) -> Parameter:
    """Write a parameter of the study's own, which R4 does not have."""
    url = f"{CANONICAL}/SearchParameter/{base}-{code}"
    paths = tuple(Path.of(one) for one in path.split())
    return Parameter(base, code, kind, paths, url, description, targets, expression=expression)


def _common() -> Iterator[Parameter]:
    row = _Type(COMMON)
    yield row("_id", "token", "id:id", "Logical id", url=f"{_HL7}/SearchParameter/Resource-id")
    yield row("_lastUpdated", "date", "meta.lastUpdated:instant", "When this version was released",
              url=f"{_HL7}/SearchParameter/Resource-lastUpdated")  # fmt: skip
    yield row("_profile", "uri", "meta.profile:canonical", "Profile that the resource follows",
              url=f"{_HL7}/SearchParameter/Resource-profile")  # fmt: skip
    yield row("_security", "token", "meta.security:Coding", "Security label",
              url=f"{_HL7}/SearchParameter/Resource-security")  # fmt: skip
    yield row("_source", "uri", "meta.source:uri", "Where the resource comes from",
              url=f"{_HL7}/SearchParameter/Resource-source")  # fmt: skip
    yield row("_tag", "token", "meta.tag:Coding", "Tag", url=f"{_HL7}/SearchParameter/Resource-tag")


def _organization() -> Iterator[Parameter]:
    row = _Type("Organization")
    yield row("active", "token", "active:boolean", "Whether the organisation is active")
    yield from row.address()
    yield row("endpoint", "reference", "endpoint:Reference", "Technical endpoint", ("Endpoint",))
    yield row("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("name", "string", "name:string alias:string", "Name or alias")
    yield row("partof", "reference", "partOf:Reference", "Organisation it is part of", ("Organization",))
    yield row("type", "token", "type:CodeableConcept", "Kind of organisation")


def _location() -> Iterator[Parameter]:
    row = _Type("Location")
    yield from row.address()
    yield row("endpoint", "reference", "endpoint:Reference", "Technical endpoint", ("Endpoint",))
    yield row("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("name", "string", "name:string alias:string", "Name or alias")
    yield row("operational-status", "token", "operationalStatus:Coding", "Operational status")
    yield row("organization", "reference", "managingOrganization:Reference", "Who runs it", ("Organization",))
    yield row("partof", "reference", "partOf:Reference", "Location it is part of", ("Location",))
    yield row("status", "token", "status:code", "Status", system="location-status")
    yield row("type", "token", "type:CodeableConcept", "Kind of location")


def _group() -> Iterator[Parameter]:
    row = _Type("Group")
    yield row("actual", "token", "actual:boolean", "Whether it has members or only says who may be one")
    yield row("characteristic", "token", "characteristic.code:CodeableConcept", "Kind of characteristic")
    yield row("characteristic-value", "composite", "", "A characteristic and its value",
              parts=("characteristic", "value"))  # fmt: skip
    yield row("code", "token", "code:CodeableConcept", "Kind of members")
    yield row("exclude", "token", "characteristic.exclude:boolean", "Whether a characteristic excludes")
    yield row("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("managing-entity", "reference", "managingEntity:Reference", "Who keeps the group",
              ("Practitioner", "Organization", "PractitionerRole", "RelatedPerson"))  # fmt: skip
    yield row("member", "reference", "member.entity:Reference", "Member",
              ("Practitioner", "Group", "Device", "Medication", "Patient", "Substance",
               "PractitionerRole"))  # fmt: skip
    yield row("type", "token", "type:code", "Type of members", system="group-type")
    yield row("value", "token",
              "characteristic.valueCodeableConcept:CodeableConcept characteristic.valueBoolean:boolean",
              "Value of a characteristic")  # fmt: skip


def _research_study() -> Iterator[Parameter]:
    row = _Type("ResearchStudy")
    yield row("category", "token", "category:CodeableConcept", "Classification")
    yield row("date", "date", "period:Period", "When the study runs")
    yield row("focus", "token", "focus:CodeableConcept", "Drugs or devices under study")
    yield row("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("keyword", "token", "keyword:CodeableConcept", "Keyword")
    yield row("location", "token", "location:CodeableConcept", "Region")
    yield row("partof", "reference", "partOf:Reference", "Study it is part of", ("ResearchStudy",))
    yield row("principalinvestigator", "reference", "principalInvestigator:Reference", "Principal investigator",
              ("Practitioner", "PractitionerRole"))  # fmt: skip
    yield row("protocol", "reference", "protocol:Reference", "Protocol", ("PlanDefinition",))
    yield row("site", "reference", "site:Reference", "Site", ("Location",))
    yield row("sponsor", "reference", "sponsor:Reference", "Sponsor", ("Organization",))
    yield row("status", "token", "status:code", "Status", system="research-study-status")
    yield row("title", "string", "title:string", "Title")


def _patient() -> Iterator[Parameter]:
    row, person = _Type("Patient"), _Type("Patient", "individual")
    yield row("active", "token", "active:boolean", "Whether the record is active")
    yield from person.address()
    yield person("birthdate", "date", "birthDate:date", "Date of birth, as coarse as it is released")
    yield row("death-date", "date", "deceasedDateTime:dateTime", "Date of death")
    yield row("deceased", "token", "deceased:exists", "Whether the patient is dead")
    yield person("email", "token", "telecom[system=email]:ContactPoint", "E-mail address")
    yield person("family", "string", "name.family:string", "Family name")
    yield person("gender", "token", "gender:code", "Gender", system="administrative-gender")
    yield row("general-practitioner", "reference", "generalPractitioner:Reference", "General practitioner",
              ("Practitioner", "Organization", "PractitionerRole"))  # fmt: skip
    yield person("given", "string", "name.given:string", "Given name")
    yield row("identifier", "token", "identifier:Identifier", "Identifier: the registry's pseudonym")
    yield row("language", "token", "communication.language:CodeableConcept", "Language")
    yield row("link", "reference", "link.other:Reference", "Other record of this patient", ("Patient", "RelatedPerson"))
    yield row("name", "string", "name:HumanName", "Any part of the name")
    yield row("organization", "reference", "managingOrganization:Reference", "Who keeps the record", ("Organization",))
    yield person("phone", "token", "telecom[system=phone]:ContactPoint", "Telephone number")
    yield person("telecom", "token", "telecom:ContactPoint", "Any contact")


def _consent() -> Iterator[Parameter]:
    row, clinical = _Type("Consent"), _Type("Consent", "clinical")
    yield row("action", "token", "provision.action:CodeableConcept", "What is permitted or denied")
    yield row("actor", "reference", "provision.actor.reference:Reference", "Whom it is permitted or denied",
              ("Practitioner", "Group", "Organization", "CareTeam", "Device", "Patient", "PractitionerRole",
               "RelatedPerson"))  # fmt: skip
    yield row("category", "token", "category:CodeableConcept", "Classification")
    yield row("consentor", "reference", "performer:Reference", "Who agrees",
              ("Practitioner", "Organization", "Patient", "PractitionerRole", "RelatedPerson"))  # fmt: skip
    yield row("data", "reference", "provision.data.reference:Reference", "Data that it is about")
    yield clinical("date", "date", "dateTime:dateTime", "When consent was given or changed")
    yield clinical("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("organization", "reference", "organization:Reference", "Keeper of the consent", ("Organization",))
    yield clinical("patient", "reference", "patient:Reference", "Whose consent it is", ("Patient",))
    yield row("period", "date", "provision.period:Period", "From when to when it holds")
    yield row("purpose", "token", "provision.purpose:Coding", "Purpose")
    yield row("scope", "token", "scope:CodeableConcept", "Research, privacy, treatment …")
    yield row("security-label", "token", "provision.securityLabel:Coding", "Security label of data it is about")
    yield row("source-reference", "reference", "sourceReference:Reference", "Where it is written down",
              ("Consent", "Contract", "QuestionnaireResponse", "DocumentReference"))  # fmt: skip
    yield row("status", "token", "status:code", "Status", system="consent-state-codes")
    yield _own("Consent", "study", "reference", _CONSENTED,
               f"Consent.provision.extension('{_HL7}/StructureDefinition/consent-ResearchStudyContext').value",
               "Study that the consent is for", "ResearchStudy")  # fmt: skip


def _research_subject() -> Iterator[Parameter]:
    row = _Type("ResearchSubject")
    yield _own("ResearchSubject", "arm", "token", "assignedArm:string actualArm:string",
               "ResearchSubject.assignedArm | ResearchSubject.actualArm",
               "Arm, assigned or actual, by its exact name")  # fmt: skip
    yield row("date", "date", "period:Period", "From when to when the subject takes part")
    yield row("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("individual", "reference", "individual:Reference", "The patient", ("Patient",))
    yield row("patient", "reference", "individual:Reference", "The patient", ("Patient",))
    yield row("status", "token", "status:code", "Status", system="research-subject-status")
    yield row("study", "reference", "study:Reference", "The study", ("ResearchStudy",))


def _body_structure() -> Iterator[Parameter]:
    row = _Type("BodyStructure")
    yield row("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("location", "token", "location:CodeableConcept", "Body site")
    yield row("morphology", "token", "morphology:CodeableConcept", "Kind of structure")
    yield row("patient", "reference", "patient:Reference", "Whose it is", ("Patient",))


def _observation() -> Iterator[Parameter]:
    row, clinical = _Type("Observation"), _Type("Observation", "clinical")
    yield row("based-on", "reference", "basedOn:Reference", "Order that it fulfils", (*_ORDERS, "DeviceRequest"))
    yield row("category", "token", "category:CodeableConcept", "laboratory, imaging …")
    yield clinical("code", "token", "code:CodeableConcept", "What was measured")
    yield clinical("date", "date",
                   "effectiveDateTime:dateTime effectivePeriod:Period effectiveTiming:Timing effectiveInstant:instant",
                   "When it was true of the subject")  # fmt: skip
    yield row("derived-from", "reference", "derivedFrom:Reference", "What it was derived from",
              ("Media", "Observation", "ImagingStudy", "MolecularSequence", "QuestionnaireResponse",
               "DocumentReference"))  # fmt: skip
    yield row("device", "reference", "device:Reference", "Device", ("Device", "DeviceMetric"))
    yield clinical("encounter", "reference", "encounter:Reference", "Encounter", ("Encounter", "EpisodeOfCare"))
    yield row("focus", "reference", "focus:Reference", "What it is about where not the subject, as a lesion")
    yield row("has-member", "reference", "hasMember:Reference", "Observation that belongs to it",
              ("Observation", "MolecularSequence", "QuestionnaireResponse"))  # fmt: skip
    yield clinical("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("method", "token", "method:CodeableConcept", "Method")
    yield row("part-of", "reference", "partOf:Reference", "Event that it is part of",
              ("Immunization", "MedicationDispense", "MedicationAdministration", "Procedure", "ImagingStudy",
               "MedicationStatement"))  # fmt: skip
    yield clinical("patient", "reference", "subject:Reference(Patient)", "The patient", ("Patient",))
    yield row("performer", "reference", "performer:Reference", "Who measured", (*_STAFF, "Patient", "RelatedPerson"))
    yield row("specimen", "reference", "specimen:Reference", "Specimen", ("Specimen",))
    yield row("status", "token", "status:code", "Status", system="observation-status")
    yield _own("Observation", "study", "reference", _STUDY,
               f"Observation.extension('{_HL7}/StructureDefinition/workflow-researchStudy').value",
               "Study that it was made for", "ResearchStudy")  # fmt: skip
    yield row("subject", "reference", "subject:Reference", "The subject", _SUBJECTS)
    yield _own("Observation", "visit", "token", _VISIT,
               f"Observation.extension('{CANONICAL}/StructureDefinition/study-visit').value",
               "Visit of the study's schedule, by its exact name")  # fmt: skip
    yield from _values(row)


def _values(row: _Type) -> Iterator[Parameter]:
    """The values of an Observation: its own, those of its components, and both."""
    concept, component = "valueCodeableConcept:CodeableConcept", "component.valueCodeableConcept:CodeableConcept"
    number, numbers = "valueQuantity:Quantity", "component.valueQuantity:Quantity"
    yield row("code-value-concept", "composite", "", "Code and coded value", parts=("code", "value-concept"))
    yield row("code-value-date", "composite", "", "Code and time value", parts=("code", "value-date"))
    yield row("code-value-quantity", "composite", "", "Code and quantity", parts=("code", "value-quantity"))
    yield row("code-value-string", "composite", "", "Code and text value", parts=("code", "value-string"))
    yield row("combo-code", "token", "code:CodeableConcept component.code:CodeableConcept", "Code, components' too")
    yield row("combo-code-value-concept", "composite", "", "Code and coded value of one component or the whole",
              parts=("combo-code", "combo-value-concept"))  # fmt: skip
    yield row("combo-code-value-quantity", "composite", "", "Code and quantity of one component or the whole",
              parts=("combo-code", "combo-value-quantity"))  # fmt: skip
    yield row("combo-data-absent-reason", "token",
              "dataAbsentReason:CodeableConcept component.dataAbsentReason:CodeableConcept",
              "Why a value is missing, components' too")  # fmt: skip
    yield row("combo-value-concept", "token", f"{concept} {component}", "Coded value, components' too")
    yield row("combo-value-quantity", "quantity", f"{number} {numbers}", "Quantity, components' too")
    yield row("component-code", "token", "component.code:CodeableConcept", "Code of a component")
    yield row("component-code-value-concept", "composite", "", "Code and coded value of one component",
              parts=("component-code", "component-value-concept"))  # fmt: skip
    yield row("component-code-value-quantity", "composite", "", "Code and quantity of one component",
              parts=("component-code", "component-value-quantity"))  # fmt: skip
    yield row("component-data-absent-reason", "token", "component.dataAbsentReason:CodeableConcept",
              "Why a component's value is missing")  # fmt: skip
    yield row("component-value-concept", "token", component, "Coded value of a component")
    yield row("component-value-quantity", "quantity", numbers, "Quantity of a component")
    yield row("data-absent-reason", "token", "dataAbsentReason:CodeableConcept", "Why the value is missing")
    yield row("value-concept", "token", concept, "Coded value")
    yield row("value-date", "date", "valueDateTime:dateTime valuePeriod:Period", "Time value")
    yield row(
        "value-quantity", "quantity", number, "Quantity; a result below or above a limit is found by what it may be"
    )
    yield row("value-string", "string", "valueString:string valueCodeableConcept.text:string", "Text value")


def _diagnostic_report() -> Iterator[Parameter]:
    row, clinical = _Type("DiagnosticReport"), _Type("DiagnosticReport", "clinical")
    yield row("based-on", "reference", "basedOn:Reference", "Order that it fulfils", _ORDERS)
    yield row("category", "token", "category:CodeableConcept", "Service that made it")
    yield clinical("code", "token", "code:CodeableConcept", "What was examined")
    yield row("conclusion", "token", "conclusionCode:CodeableConcept", "Coded conclusion")
    yield clinical("date", "date", "effectiveDateTime:dateTime effectivePeriod:Period", "When the exam was")
    yield clinical("encounter", "reference", "encounter:Reference", "Encounter", ("Encounter", "EpisodeOfCare"))
    yield clinical("identifier", "token", "identifier:Identifier", "Identifier")
    yield row("issued", "date", "issued:instant", "When it was issued")
    yield row("media", "reference", "media.link:Reference", "Key image", ("Media",))
    yield clinical("patient", "reference", "subject:Reference(Patient)", "The patient", ("Patient",))
    yield row("performer", "reference", "performer:Reference", "Who is responsible for it", _STAFF)
    yield row("result", "reference", "result:Reference", "Observation in it", ("Observation",))
    yield row("results-interpreter", "reference", "resultsInterpreter:Reference", "Who interpreted it", _STAFF)
    yield row("specimen", "reference", "specimen:Reference", "Specimen", ("Specimen",))
    yield row("status", "token", "status:code", "Status", system="diagnostic-report-status")
    yield _own("DiagnosticReport", "study", "reference", _STUDY,
               f"DiagnosticReport.extension('{_HL7}/StructureDefinition/workflow-researchStudy').value",
               "Study that it was made for", "ResearchStudy")  # fmt: skip
    yield row("subject", "reference", "subject:Reference", "The subject", _SUBJECTS)
    yield _own("DiagnosticReport", "visit", "token", _VISIT,
               f"DiagnosticReport.extension('{CANONICAL}/StructureDefinition/study-visit').value",
               "Visit of the study's schedule, by its exact name")  # fmt: skip


def _provenance() -> Iterator[Parameter]:
    row = _Type("Provenance")
    yield row("agent", "reference", "agent.who:Reference", "Who took part", _AGENTS)
    yield row("agent-role", "token", "agent.role:CodeableConcept", "Role of who took part")
    yield row("agent-type", "token", "agent.type:CodeableConcept", "How they took part")
    yield row("entity", "reference", "entity.what:Reference", "What it was made from")
    yield row("location", "reference", "location:Reference", "Where", ("Location",))
    yield row("patient", "reference", "target:Reference(Patient)", "Patient that it is about", ("Patient",))
    yield row("recorded", "date", "recorded:instant", "When it was recorded")
    yield row("signature-type", "token", "signature.type:Coding", "Kind of signature")
    yield row("target", "reference", "target:Reference", "What it tells the origin of")
    yield row("when", "date", "occurredDateTime:dateTime", "When it happened")


PARAMETERS: tuple[Parameter, ...] = (
    *_common(), *_organization(), *_location(), *_group(), *_research_study(), *_patient(), *_consent(),
    *_research_subject(), *_body_structure(), *_observation(), *_diagnostic_report(), *_provenance(),
)  # fmt: skip

CATALOGUE = Catalogue(PARAMETERS, SERVED)

_GENETIC = "No profile of a study here carries the genetics extensions"
_EXAMPLE = "An extension that no served profile has"
NOT_SERVED: dict[str, str] = {
    "Organization.phonetic": "Sounds are a matter of language; name is searched without case and accents",
    "Patient.phonetic": "Sounds are a matter of language, and no name is ever released",
    "Location.near": "Sites have no position in a study",
    "Patient.age": _EXAMPLE,
    "Patient.birthOrderBoolean": _EXAMPLE,
    "Patient.mothersMaidenName": _EXAMPLE,
    "Patient.part-agree": "An example of the specification's",
    "Observation.amino-acid-change": _GENETIC,
    "Observation.dna-variant": _GENETIC,
    "Observation.gene-amino-acid-change": _GENETIC,
    "Observation.gene-dnavariant": _GENETIC,
    "Observation.gene-identifier": _GENETIC,
    "DiagnosticReport.assessed-condition": _GENETIC,
    "Resource._content": "Free text is suppressed in a release",
    "Resource._text": "Narrative is suppressed in a release",
    "Resource._filter": "Its expressions have no bound on the work they ask for",
    "Resource._query": "There are no named queries",
}
"""R4's parameters of the served types that are not served, and why."""
