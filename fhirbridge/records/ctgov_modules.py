"""The modules of a ClinicalTrials.gov API v2 record as types, so that a wrong type is found where it stands.

Fields and names follow https://clinicaltrials.gov/data-api/about-api/study-data-structure. Enumerations stay text:
the registry adds words now and then, and only the mapping can say which of them it knows.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fhirbridge.records.ctgov_values import Age, Degrees, PartialDate


class Module(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A piece of a record: immutable; fields unknown here stay in the raw record and are reported."""


class DateStruct(Module, frozen=True, kw_only=True):
    date: PartialDate
    type: str | None = None


class StudyId(Module, frozen=True, kw_only=True):
    id: str
    type: str | None = None
    domain: str | None = None
    link: str | None = None


class Party(Module, frozen=True, kw_only=True):
    name: str
    class_: str | None = msgspec.field(name="class", default=None)


class RegisteringOrganization(Module, frozen=True, kw_only=True):
    full_name: str | None = None
    class_: str | None = msgspec.field(name="class", default=None)


class Identification(Module, frozen=True, kw_only=True):
    nct_id: str
    nct_id_aliases: tuple[str, ...] = ()
    org_study_id_info: StudyId | None = None
    secondary_id_infos: tuple[StudyId, ...] = ()
    organization: RegisteringOrganization | None = None
    brief_title: str | None = None
    official_title: str | None = None
    acronym: str | None = None


class ExpandedAccess(Module, frozen=True, kw_only=True):
    has_expanded_access: bool | None = None
    nct_id: str | None = None
    status_for_nct_id: str | None = None


class Status(Module, frozen=True, kw_only=True):
    overall_status: str
    last_known_status: str | None = None
    status_verified_date: PartialDate | None = None
    why_stopped: str | None = None
    delayed_posting: bool | None = None
    expanded_access_info: ExpandedAccess | None = None
    start_date_struct: DateStruct | None = None
    primary_completion_date_struct: DateStruct | None = None
    completion_date_struct: DateStruct | None = None
    study_first_submit_date: PartialDate | None = None
    study_first_submit_qc_date: PartialDate | None = None
    study_first_post_date_struct: DateStruct | None = None
    results_waived: bool | None = None
    results_first_submit_date: PartialDate | None = None
    results_first_submit_qc_date: PartialDate | None = None
    results_first_post_date_struct: DateStruct | None = None
    disp_first_submit_date: PartialDate | None = None
    disp_first_submit_qc_date: PartialDate | None = None
    disp_first_post_date_struct: DateStruct | None = None
    last_update_submit_date: PartialDate | None = None
    last_update_post_date_struct: DateStruct | None = None


class ResponsibleParty(Module, frozen=True, kw_only=True):
    type: str | None = None
    investigator_full_name: str | None = None
    investigator_title: str | None = None
    investigator_affiliation: str | None = None
    old_name_title: str | None = None
    old_organization: str | None = None


class SponsorCollaborators(Module, frozen=True, kw_only=True):
    responsible_party: ResponsibleParty | None = None
    lead_sponsor: Party | None = None
    collaborators: tuple[Party, ...] = ()


class Oversight(Module, frozen=True, kw_only=True):
    oversight_has_dmc: bool | None = None
    is_fda_regulated_drug: bool | None = None
    is_fda_regulated_device: bool | None = None
    is_unapproved_device: bool | None = None
    is_ppsd: bool | None = None
    is_us_export: bool | None = None
    fdaaa801_violation: bool | None = None


class Description(Module, frozen=True, kw_only=True):
    brief_summary: str | None = None
    detailed_description: str | None = None


class Conditions(Module, frozen=True, kw_only=True):
    conditions: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


class ExpandedAccessTypes(Module, frozen=True, kw_only=True):
    individual: bool | None = None
    intermediate: bool | None = None
    treatment: bool | None = None


class Masking(Module, frozen=True, kw_only=True):
    masking: str | None = None
    masking_description: str | None = None
    who_masked: tuple[str, ...] = ()


class DesignInfo(Module, frozen=True, kw_only=True):
    allocation: str | None = None
    intervention_model: str | None = None
    intervention_model_description: str | None = None
    primary_purpose: str | None = None
    observational_model: str | None = None
    time_perspective: str | None = None
    masking_info: Masking | None = None


class BioSpec(Module, frozen=True, kw_only=True):
    retention: str | None = None
    description: str | None = None


class Enrollment(Module, frozen=True, kw_only=True):
    count: int | None = None
    type: str | None = None


class Design(Module, frozen=True, kw_only=True):
    study_type: str | None = None
    n_ptrs_to_this_exp_acc_nct_id: int | None = None
    expanded_access_types: ExpandedAccessTypes | None = None
    patient_registry: bool | None = None
    target_duration: str | None = None
    phases: tuple[str, ...] = ()
    design_info: DesignInfo | None = None
    bio_spec: BioSpec | None = None
    enrollment_info: Enrollment | None = None


class ArmGroup(Module, frozen=True, kw_only=True):
    label: str
    type: str | None = None
    description: str | None = None
    intervention_names: tuple[str, ...] = ()


class Intervention(Module, frozen=True, kw_only=True):
    name: str
    type: str | None = None
    description: str | None = None
    arm_group_labels: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()


class ArmsInterventions(Module, frozen=True, kw_only=True):
    arm_groups: tuple[ArmGroup, ...] = ()
    interventions: tuple[Intervention, ...] = ()


class Outcome(Module, frozen=True, kw_only=True):
    measure: str
    description: str | None = None
    time_frame: str | None = None


class Outcomes(Module, frozen=True, kw_only=True):
    primary_outcomes: tuple[Outcome, ...] = ()
    secondary_outcomes: tuple[Outcome, ...] = ()
    other_outcomes: tuple[Outcome, ...] = ()


class Eligibility(Module, frozen=True, kw_only=True):
    eligibility_criteria: str | None = None
    healthy_volunteers: bool | None = None
    sex: str | None = None
    gender_based: bool | None = None
    gender_description: str | None = None
    minimum_age: Age | None = None
    maximum_age: Age | None = None
    std_ages: tuple[str, ...] = ()
    study_population: str | None = None
    sampling_method: str | None = None


class Contact(Module, frozen=True, kw_only=True):
    name: str | None = None
    role: str | None = None
    phone: str | None = None
    phone_ext: str | None = None
    email: str | None = None


class Official(Module, frozen=True, kw_only=True):
    name: str | None = None
    affiliation: str | None = None
    role: str | None = None


class GeoPoint(Module, frozen=True, kw_only=True):
    lat: Degrees
    lon: Degrees


class Site(Module, frozen=True, kw_only=True):
    facility: str | None = None
    status: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None
    contacts: tuple[Contact, ...] = ()
    geo_point: GeoPoint | None = None


class ContactsLocations(Module, frozen=True, kw_only=True):
    central_contacts: tuple[Contact, ...] = ()
    overall_officials: tuple[Official, ...] = ()
    locations: tuple[Site, ...] = ()


class Retraction(Module, frozen=True, kw_only=True):
    pmid: str | None = None
    source: str | None = None


class Publication(Module, frozen=True, kw_only=True):
    pmid: str | None = None
    type: str | None = None
    citation: str | None = None
    retractions: tuple[Retraction, ...] = ()


class Link(Module, frozen=True, kw_only=True):
    label: str | None = None
    url: str | None = None


class AvailableIpd(Module, frozen=True, kw_only=True):
    id: str | None = None
    type: str | None = None
    url: str | None = None
    comment: str | None = None


class References(Module, frozen=True, kw_only=True):
    references: tuple[Publication, ...] = ()
    see_also_links: tuple[Link, ...] = ()
    avail_ipds: tuple[AvailableIpd, ...] = ()


class IpdSharing(Module, frozen=True, kw_only=True):
    ipd_sharing: str | None = None
    description: str | None = None
    info_types: tuple[str, ...] = ()
    time_frame: str | None = None
    access_criteria: str | None = None
    url: str | None = None


class Protocol(Module, frozen=True, kw_only=True):
    """The protocolSection: what the sponsor registered. An absent module is an empty one."""

    identification: Identification = msgspec.field(name="identificationModule")
    status: Status = msgspec.field(name="statusModule")
    sponsors: SponsorCollaborators = msgspec.field(name="sponsorCollaboratorsModule", default=SponsorCollaborators())
    oversight: Oversight = msgspec.field(name="oversightModule", default=Oversight())
    description: Description = msgspec.field(name="descriptionModule", default=Description())
    conditions: Conditions = msgspec.field(name="conditionsModule", default=Conditions())
    design: Design = msgspec.field(name="designModule", default=Design())
    arms: ArmsInterventions = msgspec.field(name="armsInterventionsModule", default=ArmsInterventions())
    outcomes: Outcomes = msgspec.field(name="outcomesModule", default=Outcomes())
    eligibility: Eligibility | None = msgspec.field(name="eligibilityModule", default=None)
    contacts: ContactsLocations = msgspec.field(name="contactsLocationsModule", default=ContactsLocations())
    references: References = msgspec.field(name="referencesModule", default=References())
    ipd_sharing: IpdSharing = msgspec.field(name="ipdSharingStatementModule", default=IpdSharing())


class MeshTerm(Module, frozen=True, kw_only=True):
    id: str
    term: str


class Browse(Module, frozen=True, kw_only=True):
    meshes: tuple[MeshTerm, ...] = ()


class Derived(Module, frozen=True, kw_only=True):
    """What the registry's indexing adds; only the MeSH terms matter to a study."""

    conditions: Browse = msgspec.field(name="conditionBrowseModule", default=Browse())
    interventions: Browse = msgspec.field(name="interventionBrowseModule", default=Browse())


class Study(Module, frozen=True, kw_only=True):
    """A whole record."""

    protocol: Protocol = msgspec.field(name="protocolSection")
    derived: Derived = msgspec.field(name="derivedSection", default=Derived())
    has_results: bool | None = None
    results_section: dict[str, Any] | None = None
    document_section: dict[str, Any] | None = None
    annotation_section: dict[str, Any] | None = None
