"""The registry's words and what FHIR calls them: status, phase, purpose, roles, arm types.

Whatever a table says, the registry's own word is kept as the text beside the code.
"""

from __future__ import annotations

from fhirbridge.elements import Element, coding, concept
from fhirbridge.errors import Finding, MappingError
from fhirbridge.records.ctgov_record import RegistryRecord

PROGRESS = "http://terminology.hl7.org/CodeSystem/research-study-status"
PHASE = "http://terminology.hl7.org/CodeSystem/research-study-phase"
PURPOSE = "http://terminology.hl7.org/CodeSystem/research-study-prim-purp-type"
OUTCOME = "http://terminology.hl7.org/CodeSystem/research-study-objective-type"
TITLE = "http://hl7.org/fhir/title-type"
GENDER = "http://hl7.org/fhir/administrative-gender"
MESH = "https://www.nlm.nih.gov/mesh"
PARTY_ROLE = "http://hl7.org/fhir/research-study-party-role"
PARTY_CLASS = "http://hl7.org/fhir/research-study-party-organization-type"
ARM_TYPE = "http://hl7.org/fhir/research-study-arm-type"
CLASSIFIER = "http://hl7.org/fhir/research-study-classifiers"

STATUS = {
    "NOT_YET_RECRUITING": ("approved", "not-yet-recruiting"),
    "RECRUITING": ("active", "recruiting"),
    "ENROLLING_BY_INVITATION": ("active", "enrolling-by-invitation"),
    "ACTIVE_NOT_RECRUITING": ("closed-to-accrual", "active-but-not-recruiting"),
    "SUSPENDED": ("temporarily-closed-to-accrual", "temporarily-closed-to-accrual"),
    "COMPLETED": ("completed", "completed"),
    "TERMINATED": ("administratively-completed", "terminated"),
    "WITHDRAWN": ("withdrawn", "withdrawn"),
    # Expanded access: people are treated outside a trial, so that R4's words for accrual fit, those for ends do not.
    "AVAILABLE": ("active", None),
    "TEMPORARILY_NOT_AVAILABLE": ("temporarily-closed-to-accrual", None),
    "NO_LONGER_AVAILABLE": ("closed-to-accrual", None),
    "APPROVED_FOR_MARKETING": ("closed-to-accrual", None),
}
"""overallStatus to ResearchStudy.status and to the code of the progress state, None where HL7 has none."""

STILL_OPEN = ("NOT_YET_RECRUITING", "RECRUITING", "ENROLLING_BY_INVITATION", "ACTIVE_NOT_RECRUITING", "SUSPENDED")
"""The last known states from which a study can become UNKNOWN; none of them is an end."""

PHASES = {
    ("NA",): "n-a",
    ("EARLY_PHASE1",): "early-phase-1",
    ("PHASE1",): "phase-1",
    ("PHASE1", "PHASE2"): "phase-1-phase-2",
    ("PHASE2",): "phase-2",
    ("PHASE2", "PHASE3"): "phase-2-phase-3",
    ("PHASE3",): "phase-3",
    ("PHASE4",): "phase-4",
}
PURPOSES = ("TREATMENT", "PREVENTION", "DIAGNOSTIC", "SUPPORTIVE_CARE", "SCREENING", "HEALTH_SERVICES_RESEARCH",
            "BASIC_SCIENCE", "DEVICE_FEASIBILITY")  # fmt: skip
ROLES = {
    "PRINCIPAL_INVESTIGATOR": "primary-investigator",
    "SPONSOR_INVESTIGATOR": "sponsor-investigator",
    "SUB_INVESTIGATOR": "sub-investigator",
    "STUDY_DIRECTOR": "study-director",
    "STUDY_CHAIR": "study-chair",
    "SPONSOR": "sponsor",
}
CLASSES = {"NIH": "nih", "FED": "government", "OTHER_GOV": "government", "INDUSTRY": "industry"}
ARM_TYPES = {
    "EXPERIMENTAL": "experimental",
    "ACTIVE_COMPARATOR": "active-comparator",
    "PLACEBO_COMPARATOR": "placebo-comparator",
    "SHAM_COMPARATOR": "sham-comparator",
    "NO_INTERVENTION": "no-intervention",
    "OTHER": "other-arm-type",
}


def worded(word: str, system: str, code: str | None) -> Element:
    """Return the concept for a registry word: its code where there is one, the word itself always."""
    return concept(coding(system, code), text=word) if code else concept(text=word)


def status(record: RegistryRecord) -> str:
    """Return the ResearchStudy.status.

    UNKNOWN means that nobody confirmed the record for two years: the last known state is what is still known, and
    it is never an end. Raises MappingError for a status that R4 has no honest word for.
    """
    module = record.protocol.status
    word, field = module.overall_status, "overallStatus"
    if word == "UNKNOWN":
        word, field = module.last_known_status or "", "lastKnownStatus"
        if word not in STILL_OPEN:
            raise _no_status(
                record, field, module.last_known_status, "the status is UNKNOWN and no open state is known before it"
            )
    if word == "WITHHELD":
        raise _no_status(record, field, word, "the registry withholds this record's status")
    if word not in STATUS:
        raise _no_status(record, field, word, "the registry's data structure had no such status when this was written")
    return STATUS[word][0]


def _no_status(record: RegistryRecord, field: str, value: str | None, message: str) -> MappingError:
    return MappingError(
        Finding(
            record=record.nct_id,
            field=f"protocolSection.statusModule.{field}",
            value=value,
            rule="ResearchStudy.status 1..1, http://hl7.org/fhir/R4/valueset-research-study-status.html",
            message=message,
            remedy="Ask the sponsor for the state of the study, or add the word to mappings/registry_terms.py.",
            file=record.file,
            line=record.line,
        )
    )


def state(word: str) -> Element:
    """Return the state of progress that this registry status stands for."""
    return worded(word, PROGRESS, STATUS.get(word, (None, None))[1])


def phase(phases: tuple[str, ...]) -> Element | None:
    """Return the phase, several as one: PHASE1 and PHASE2 are phase-1-phase-2. None where none is given."""
    return worded(", ".join(phases), PHASE, PHASES.get(tuple(sorted(phases)))) if phases else None


def purpose(word: str | None) -> Element | None:
    """Return the primary purpose; ECT and OTHER have no code in R4 and stay text."""
    return worded(word, PURPOSE, word.lower().replace("_", "-") if word in PURPOSES else None) if word else None


def words(text: str) -> tuple[str, ...]:
    """Return a term's words in alphabetical order: MeSH writes "Carcinoma, Hepatocellular", sponsors do not."""
    return tuple(sorted("".join(c if c.isalnum() else " " for c in text.casefold()).split()))
