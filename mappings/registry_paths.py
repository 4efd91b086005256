"""Where every field of a registry record goes: the table that the report and docs/registry-import.md follow.

A path in neither table is a field that the registry added since; it is reported, never dropped in silence.
"""

from __future__ import annotations

_P = "protocolSection."
_ID, _STATUS, _SPONSOR = f"{_P}identificationModule.", f"{_P}statusModule.", f"{_P}sponsorCollaboratorsModule."
_DESIGN, _ARMS, _OUT = f"{_P}designModule.", f"{_P}armsInterventionsModule.", f"{_P}outcomesModule."
_WHO, _PLACE, _REF = f"{_P}eligibilityModule.", f"{_P}contactsLocationsModule.", f"{_P}referencesModule."
_IPD = f"{_P}ipdSharingStatementModule."

CARRIED: dict[str, str] = {
    f"{_ID}nctId": "ResearchStudy.identifier (official)",
    f"{_ID}nctIdAliases": "ResearchStudy.identifier (old)",
    f"{_ID}orgStudyIdInfo": "ResearchStudy.identifier (secondary); link: relatedArtifact",
    f"{_ID}secondaryIdInfos": "ResearchStudy.identifier (secondary); link: relatedArtifact",
    f"{_ID}organization": "Organization, as identifier.assigner",
    f"{_ID}briefTitle": "ResearchStudy.title, or extension label where there is an official title",
    f"{_ID}officialTitle": "ResearchStudy.title",
    f"{_ID}acronym": "extension label (acronym)",
    f"{_STATUS}overallStatus": "ResearchStudy.status; the word itself in extension progressStatus",
    f"{_STATUS}lastKnownStatus": "extension progressStatus; ResearchStudy.status where overallStatus is UNKNOWN",
    f"{_STATUS}statusVerifiedDate": "extension researchStudy-studyRegistration",
    f"{_STATUS}whyStopped": "ResearchStudy.reasonStopped",
    f"{_STATUS}startDateStruct": "ResearchStudy.period.start; actual or estimated: extension progressStatus",
    f"{_STATUS}primaryCompletionDateStruct": "extension progressStatus",
    f"{_STATUS}completionDateStruct": "ResearchStudy.period.end; actual or estimated: extension progressStatus",
    f"{_STATUS}lastUpdateSubmitDate": "extension date",
    **{
        f"{_STATUS}{name}": "extension researchStudy-studyRegistration"
        for name in (
            "studyFirstSubmitDate",
            "studyFirstSubmitQcDate",
            "studyFirstPostDateStruct",
            "resultsFirstSubmitDate",
            "resultsFirstSubmitQcDate",
            "resultsFirstPostDateStruct",
            "dispFirstSubmitDate",
            "dispFirstSubmitQcDate",
            "dispFirstPostDateStruct",
            "lastUpdatePostDateStruct",
        )
    },
    f"{_STATUS}delayedPosting": "ResearchStudy.note (facts)",
    f"{_STATUS}resultsWaived": "ResearchStudy.note (facts)",
    f"{_STATUS}expandedAccessInfo": "ResearchStudy.note (facts)",
    f"{_SPONSOR}leadSponsor": "Organization, as ResearchStudy.sponsor",
    f"{_SPONSOR}collaborators": "Organization, in extension associatedParty",
    f"{_SPONSOR}responsibleParty": "extension associatedParty; Practitioner and PractitionerRole of an investigator",
    f"{_P}oversightModule": "ResearchStudy.note (facts); extension classifier where the FDA regulates",
    f"{_P}descriptionModule.briefSummary": "extension descriptionSummary; description where there is no detailed one",
    f"{_P}descriptionModule.detailedDescription": "ResearchStudy.description",
    f"{_P}conditionsModule.conditions": "ResearchStudy.condition",
    f"{_P}conditionsModule.keywords": "ResearchStudy.keyword",
    f"{_DESIGN}studyType": "ResearchStudy.category",
    f"{_DESIGN}phases": "ResearchStudy.phase",
    f"{_DESIGN}patientRegistry": "ResearchStudy.note (facts); category where true",
    f"{_DESIGN}targetDuration": "ResearchStudy.note (facts)",
    f"{_DESIGN}expandedAccessTypes": "ResearchStudy.note (facts)",
    f"{_DESIGN}nPtrsToThisExpAccNctId": "ResearchStudy.note (facts)",
    f"{_DESIGN}designInfo.primaryPurpose": "ResearchStudy.primaryPurposeType",
    f"{_DESIGN}designInfo.observationalModel": "ResearchStudy.category",
    f"{_DESIGN}designInfo.timePerspective": "ResearchStudy.category",
    f"{_DESIGN}designInfo": "extension studyDesign",
    f"{_DESIGN}bioSpec": "ResearchStudy.note",
    f"{_DESIGN}enrollmentInfo": "extension recruitment.targetNumber (estimated) or .actualNumber (actual)",
    f"{_ARMS}armGroups": "ResearchStudy.arm; interventionNames: note of the intervention",
    f"{_ARMS}interventions": "ResearchStudy.focus (name); ResearchStudy.note (all)",
    f"{_OUT}primaryOutcomes": "extension outcomeMeasure (primary)",
    f"{_OUT}secondaryOutcomes": "extension outcomeMeasure (secondary)",
    f"{_OUT}otherOutcomes": "extension outcomeMeasure (no code)",
    f"{_WHO}eligibilityCriteria": "Group.characteristic, whole",
    f"{_WHO}healthyVolunteers": "Group.characteristic",
    f"{_WHO}sex": "Group.characteristic",
    f"{_WHO}genderBased": "Group.characteristic",
    f"{_WHO}genderDescription": "Group.characteristic",
    f"{_WHO}minimumAge": "Group.characteristic (range)",
    f"{_WHO}maximumAge": "Group.characteristic (range)",
    f"{_WHO}studyPopulation": "Group.characteristic",
    f"{_WHO}samplingMethod": "Group.characteristic",
    f"{_PLACE}centralContacts": "ResearchStudy.contact",
    f"{_PLACE}overallOfficials": "PractitionerRole, as principalInvestigator or in extension associatedParty",
    f"{_PLACE}locations.contacts": "PractitionerRole (location), Practitioner",
    f"{_PLACE}locations": "Location and its Organization, as ResearchStudy.site; status: Location.description",
    f"{_REF}references": "ResearchStudy.relatedArtifact (citation)",
    f"{_REF}seeAlsoLinks": "ResearchStudy.relatedArtifact (documentation)",
    f"{_REF}availIpds": "ResearchStudy.relatedArtifact (documentation)",
    f"{_IPD}url": "ResearchStudy.relatedArtifact (documentation)",
    f"{_P}ipdSharingStatementModule": "ResearchStudy.note",
    "derivedSection.conditionBrowseModule.meshes": "coding of a condition, else of a keyword",
    "derivedSection.interventionBrowseModule.meshes": "coding of a focus, else of a keyword",
}
"""Path in the record, to where it goes. A path stands for everything under it that has no longer path of its own."""

LEFT: dict[str, str] = {
    f"{_WHO}stdAges": "the registry derives the age groups from the age limits, which are carried",
    "derivedSection.conditionBrowseModule": "the registry's own indexing, not study data, its MeSH terms apart",
    "derivedSection.interventionBrowseModule": "the registry's own indexing, not study data, its MeSH terms apart",
    "derivedSection.miscInfoModule": "bookkeeping and predictions of the registry, not study data",
    "hasResults": "says whether the registry holds results; results are not imported",
    "resultsSection": "results are not imported: ResearchStudy describes the study, R4 has no element for its results",
    "documentSection": "documents stay at the registry; its API gives their names, not their text",
    "annotationSection": "the registry's notices about posting, not study data",
}
"""Path in the record, to why it is left out."""

IMPLIED: dict[str, tuple[object, ...]] = {
    f"{_STATUS}startDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_STATUS}primaryCompletionDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_STATUS}completionDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_STATUS}studyFirstPostDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_STATUS}resultsFirstPostDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_STATUS}dispFirstPostDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_STATUS}lastUpdatePostDateStruct.type": ("ACTUAL", "ESTIMATED"),
    f"{_DESIGN}enrollmentInfo.type": ("ACTUAL", "ESTIMATED"),
    f"{_PLACE}centralContacts.role": ("CONTACT",),
    f"{_WHO}healthyVolunteers": (True, False),
    f"{_WHO}genderBased": (True, False),
}
"""Values that the element itself says: a date's kind is ``progressStatus.actual``, a contact is a ``contact``."""


def place(path: str, table: dict[str, str]) -> str | None:
    """Return the table's longest path that is this generic path or stands above it, or None."""
    while path and path not in table:
        path = path.rpartition(".")[0]
    return path or None
