"""StudyRecords: what a study's sources say, frozen and typed, before anything is FHIR.

A record is keyed by the business identifier its source gives it; two rows with one key are one record.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from fhirbridge.records.values import LabValue

Sex = Literal["male", "female", "other", "unknown"]
SubjectStatus = Literal[
    "candidate", "eligible", "follow-up", "ineligible", "not-registered", "off-study", "on-study",
    "on-study-intervention", "on-study-observation", "pending-on-study", "potential-candidate", "screening",
    "withdrawn",
]  # fmt: skip
"""http://hl7.org/fhir/R4/valueset-research-subject-status.html"""
ResultStatus = Literal["preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error"]
AbsentReason = Literal["not-performed", "error", "unknown"]
Aphe = Literal["none", "nonrim", "rim"]
Washout = Literal["absent", "nonperipheral", "peripheral"]
Capsule = Literal["absent", "enhancing", "nonenhancing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One enrolled person. Key: ``subject``."""

    subject: str
    """Subject number as the site writes it, never a hospital number."""
    site: str
    """Name of one of the study's sites."""
    sex: Sex
    birth_date: dt.date
    """Full date; only its year leaves this record."""
    status: SubjectStatus
    arm: str | None = None
    """Name of one of the study's arms; absent before assignment."""
    consent_date: dt.date
    consent_withdrawn: dt.date | None = None
    enrolment_date: dt.date | None = None
    """Start of participation."""
    index_date: dt.date | None = None
    """Anchor of the visit schedule and time zero of the endpoints."""
    end_date: dt.date | None = None
    """End of participation."""
    death_date: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultDecision:
    """Who let a hospital's result into the study, or put it out again, and why."""

    action: Literal["accept", "override", "reject"]
    by: str
    """A person's user name, or ``policy`` where the study's own rule accepted it."""
    at: str
    """Instant (ISO 8601)."""
    reason: str
    run: str | None = None
    """The run that decided, where no person did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredValue:
    """The quantity that the laboratory measured, where the study's value is computed from it: copies, a logarithm."""

    loinc: str
    display: str
    unit: str
    """Exact UCUM code."""
    value: LabValue
    rule: str
    """How the study's value follows from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSource:
    """Where a result was pulled from, by which table it was mapped, and who decided that it is study data."""

    feed: str
    """Base URL of the hospital's FHIR server, or ``hl7v2 <application>^<facility>``."""
    reference: str
    """The result there: ``Observation/123``; of an HL7 v2 feed a number that must never leave."""
    version: str
    laboratory: str
    row: str | None
    """The row of the laboratories' files it was mapped by: file and line."""
    mapping: str | None
    """Digest of these files' rows at that time."""
    decision: ResultDecision
    software: str
    """Name and version of what carried it over."""
    measured: MeasuredValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaboratoryResult:
    """One result of one test. Key: ``result``."""

    result: str
    """The laboratory's or the eCRF's own identifier of this result; a correction keeps it."""
    subject: str
    visit: str
    """Name of a planned visit, or ``UNS`` for an unscheduled one."""
    analyte: str
    """Name of one of the study's analytes."""
    collected: dt.date | dt.datetime
    """When the specimen was taken; a time carries the offset of the study's time zone."""
    value: LabValue | None = None
    unit: str | None = None
    """UCUM code, exactly the analyte's; absent where the value has none."""
    absent_reason: AbsentReason | None = None
    """Why there is no value: given exactly where ``value`` is absent."""
    status: ResultStatus = "final"
    assay: str | None = None
    """Name of one of the analyte's assays; absent means its first."""
    reported: str | None = None
    """The value as it stood in the source."""
    comment: str | None = None
    source: ResultSource | None = None
    """Where it was pulled from; None for what people entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One lesion as one exam saw it. Key: the exam and ``lesion``."""

    lesion: str
    """Number that stays with this lesion of this subject over all visits: ``L01``."""
    category: str
    """LI-RADS v2018 category or treatment response: LR-1 … LR-5, LR-M, LR-TIV, LR-NC, LR-TR-V …"""
    segment: str | None = None
    """Couinaud segment: I, II, III, IVa, IVb, V, VI, VII, VIII (IV where a and b are not told apart)."""
    size_mm: int | None = None
    aphe: Aphe | None = None
    washout: Washout | None = None
    capsule: Capsule | None = None
    threshold_growth: bool | None = None
    tumor_in_vein: bool | None = None
    ancillary_malignant: bool | None = None
    ancillary_benign: bool | None = None
    treated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingExam:
    """One MRI with its lesions; an exam without lesions found no reportable observation. Key: ``exam``."""

    exam: str
    """The imaging system's or the eCRF's identifier of this exam, never a hospital accession number."""
    subject: str
    visit: str
    performed: dt.date | dt.datetime
    procedure: Literal["liver", "abdomen"] = "liver"
    status: ResultStatus = "final"
    conclusion: str | None = None
    lesions: tuple[Lesion, ...] = ()


StudyRecord = Subject | LaboratoryResult | ImagingExam


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFacts:
    """What earlier runs know of a subject, for results that come without its row."""

    subject: str
    arm: str | None
    consent_date: dt.date
    consent_withdrawn: dt.date | None = None
    enrolment_date: dt.date | None = None
    index_date: dt.date | None = None
    end_date: dt.date | None = None
    death_date: dt.date | None = None
    """The day, or None: where only its year or month is known, it ends no follow-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFacts:
    """What an Observation of a laboratory result says, read back: for comparing and counting, not for mapping anew."""

    id: str
    """Logical id of the Observation."""
    analyte: str
    visit: str
    collected: dt.date | dt.datetime
    value: LabValue | None
    status: str
