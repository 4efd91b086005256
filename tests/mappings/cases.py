"""Study records of one invented subject, and the golden file each resource of theirs is compared with."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from fhirbridge.errors import Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import (
    ImagingExam,
    LaboratoryResult,
    Lesion,
    MeasuredValue,
    ResultDecision,
    ResultSource,
    Subject,
)
from fhirbridge.records.values import Censored, Number, Ordinal
from fhirbridge.study import Study, load
from mappings import resources
from mappings.meta import profile

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
STUDY_FILE = ROOT / "mappings" / "studies" / "nct07120750.toml"
STUDY = load(STUDY_FILE)
IDENTITY = Identity(bytes(range(32)), STUDY.id)

SUBJECT = Subject(
    subject="SZ-0001",
    site="SZTPH",
    sex="male",
    birth_date=dt.date(1971, 3, 14),
    status="on-study-intervention",
    arm="NA+PegIFN",
    consent_date=dt.date(2025, 9, 3),
    enrolment_date=dt.date(2025, 9, 5),
    index_date=dt.date(2025, 9, 10),
)
WITHDRAWN = replace(
    SUBJECT,
    subject="SZ-0002",
    status="withdrawn",
    arm="NA",
    consent_withdrawn=dt.date(2026, 5, 20),
    end_date=dt.date(2026, 5, 20),
)
SCREENED = Subject(
    subject="SZ-0003",
    site="SZTPH",
    sex="female",
    birth_date=dt.date(1960, 12, 31),
    status="screening",
    consent_date=dt.date(2025, 10, 8),
)
DECEASED = replace(
    SUBJECT, subject="SZ-0004", status="off-study", end_date=dt.date(2028, 2, 29), death_date=dt.date(2028, 2, 29)
)

HBV_DNA = LaboratoryResult(
    result="L-1001",
    subject="SZ-0001",
    visit="W000",
    analyte="HBV-DNA",
    collected=dt.datetime(2025, 9, 10, 8, 30, tzinfo=ZoneInfo("Asia/Shanghai")),
    value=Number(Decimal("5.50E3")),
    unit="[IU]/mL",
    reported="5.50E3",
)
BELOW_LLOQ = replace(
    HBV_DNA,
    result="L-1002",
    visit="W012",
    collected=dt.date(2025, 12, 3),
    value=Censored("<", Decimal("10")),
    reported="<10",
)
NOT_DETECTED = replace(BELOW_LLOQ, result="L-1003", value=Ordinal("not detected"), unit=None, reported="TND")
ABOVE_ULOQ = replace(HBV_DNA, result="L-1004", value=Censored(">", Decimal("1.7E8")), reported=">1.7E8")
MISSING = replace(
    BELOW_LLOQ,
    result="L-1005",
    value=None,
    unit=None,
    absent_reason="error",
    reported=None,
    comment="Haemolysed, drawn again on the next day",
)
HBSAG = replace(HBV_DNA, result="L-1006", analyte="HBSAG", value=Number(Decimal("5.50")), reported="5.50")
HBSAG_LOST = replace(HBSAG, result="L-1007", visit="UNS", value=Censored("<", Decimal("0.05")), reported="<0.05")
PULLED = replace(
    HBV_DNA,
    result="L-1008",
    reported="5.50E3 IU/ml",
    source=ResultSource(
        feed="https://fhir.hospital.example/r4",
        reference="Observation/123",
        version="4",
        laboratory="north-hospital",
        row="north-hospital.csv:2",
        mapping="0c5d7a1f",
        decision=ResultDecision(action="accept", by="li.wei", at="2025-09-12T01:15:00Z", reason="as on the sheet"),
        software="fhirbridge 0.1.0",
    ),
)
BY_POLICY = replace(
    PULLED,
    result="L-1009",
    source=replace(
        PULLED.source,  # type: ignore[type-var]
        feed="hl7v2 LAB^SOUTH",
        reference="F-77/1^42595-9",
        version="2",
        decision=ResultDecision(action="accept", by="policy", at="2025-09-12T01:15:00Z", reason="", run="r-9"),
    ),
)
TAKEN_BACK = replace(
    PULLED,
    status="entered-in-error",
    source=replace(
        PULLED.source,  # type: ignore[type-var]
        version="5",
        decision=ResultDecision(
            action="reject", by="li.wei", at="2025-09-20T01:15:00Z", reason="the laboratory took it back"
        ),
    ),
)
COPIES = replace(
    PULLED,
    result="L-1010",
    value=Number(Decimal("945")),
    reported="5500 copies/mL",
    source=replace(
        PULLED.source,  # type: ignore[type-var]
        measured=MeasuredValue(
            loinc="29615-2",
            display="Hepatitis B virus DNA [#/volume] (viral load) in Serum or Plasma by Probe and target "
            "amplification method",
            unit="{copies}/mL",
            value=Number(Decimal("5500")),
            rule="5.82 copies to an IU (COBAS TaqMan HBV Test)",
        ),
    ),
)
LOGARITHM = replace(
    PULLED,
    result="L-1011",
    value=Number(Decimal("3.2E+3")),
    reported="3.5 log IU/mL",
    source=replace(
        PULLED.source,  # type: ignore[type-var]
        measured=MeasuredValue(
            loinc="48398-2",
            display="Hepatitis B virus DNA [log units/volume] (viral load) in Serum or Plasma by NAA with probe "
            "detection",
            unit="{Log_IU}/mL",
            value=Number(Decimal("3.5")),
            rule="antilogarithm",
        ),
    ),
)
OVERRIDDEN = replace(
    PULLED,
    result="L-1012",
    value=Censored("<", Decimal("10")),
    source=replace(
        PULLED.source,  # type: ignore[type-var]
        decision=ResultDecision(
            action="override", by="li.wei", at="2025-09-12T01:15:00Z", reason="limit misprinted, telephoned"
        ),
    ),
)

GROWING = Lesion(
    lesion="L01",
    category="LR-5",
    segment="VI",
    size_mm=14,
    aphe="nonrim",
    washout="nonperipheral",
    capsule="absent",
    threshold_growth=True,
    tumor_in_vein=False,
    ancillary_malignant=True,
    ancillary_benign=False,
)
ABLATED = Lesion(lesion="L02", category="LR-TR-NV", treated=True)
EXAM = ImagingExam(
    exam="M-2001",
    subject="SZ-0001",
    visit="W024",
    performed=dt.date(2026, 2, 25),
    conclusion="New lesion in segment VI; ablation zone without viable tumor.",
    lesions=(GROWING, ABLATED),
)
CLEAR_EXAM = ImagingExam(
    exam="M-2002", subject="SZ-0001", visit="W012", performed=dt.date(2025, 12, 3), procedure="abdomen"
)

GOLDEN_FILES: dict[str, tuple[Study | Subject | LaboratoryResult | ImagingExam, str, int]] = {
    "organization": (STUDY, "trial-organization", 0),
    "location": (STUDY, "trial-location", 0),
    "eligibility-group": (STUDY, "eligibility-group", 0),
    "research-study": (STUDY, "trial-research-study", 0),
    "patient": (SUBJECT, "trial-patient", 0),
    "patient-deceased": (DECEASED, "trial-patient", 0),
    "consent": (SUBJECT, "trial-consent", 0),
    "consent-withdrawn": (WITHDRAWN, "trial-consent", 0),
    "research-subject": (SUBJECT, "trial-research-subject", 0),
    "research-subject-screening": (SCREENED, "trial-research-subject", 0),
    "research-subject-withdrawn": (WITHDRAWN, "trial-research-subject", 0),
    "hbv-dna": (HBV_DNA, "hbv-dna", 0),
    "hbv-dna-below-lloq": (BELOW_LLOQ, "hbv-dna", 0),
    "hbv-dna-not-detected": (NOT_DETECTED, "hbv-dna", 0),
    "hbv-dna-above-uloq": (ABOVE_ULOQ, "hbv-dna", 0),
    "hbv-dna-missing": (MISSING, "hbv-dna", 0),
    "hbv-dna-log10": (HBV_DNA, "hbv-dna-log10", 0),
    "hbv-dna-log10-below-lloq": (BELOW_LLOQ, "hbv-dna-log10", 0),
    "hbsag-quantitative": (HBSAG, "hbsag-quantitative", 0),
    "hbsag-quantitative-negative": (HBSAG_LOST, "hbsag-quantitative", 0),
    "hbv-dna-in-copies": (COPIES, "laboratory-result", 0),
    "hbv-dna-from-copies": (COPIES, "hbv-dna", 0),
    "hbv-dna-measured-as-logarithm": (LOGARITHM, "laboratory-result", 0),
    "result-provenance": (PULLED, "result-provenance", 0),
    "result-provenance-by-policy": (BY_POLICY, "result-provenance", 0),
    "result-provenance-from-copies": (COPIES, "result-provenance", 0),
    "result-provenance-overridden": (OVERRIDDEN, "result-provenance", 0),
    "result-provenance-taken-back": (TAKEN_BACK, "result-provenance", 0),
    "liver-lesion": (EXAM, "liver-lesion", 0),
    "lirads-lesion": (EXAM, "lirads-lesion", 0),
    "lirads-lesion-treated": (EXAM, "lirads-lesion", 1),
    "mri-report": (EXAM, "mri-report", 0),
    "mri-report-nothing-found": (CLEAR_EXAM, "mri-report", 0),
}
"""File name, the record, the profile its resource follows, and which of several."""


def mapped(record: Study | Subject | LaboratoryResult | ImagingExam) -> list[Resource]:
    """Return the record's resources in the order they would be written."""
    return [resource for _, resource in resources(record, STUDY, IDENTITY)]


def following(found: list[Resource], name: str) -> list[Resource]:
    """Return those of the resources that follow this profile."""
    return [resource for resource in found if resource["meta"]["profile"] == [profile(name)]]


def golden_resource(file: str) -> Resource:
    """Return what the mappings make today of the case with this file name."""
    record, name, index = GOLDEN_FILES[file]
    return following(mapped(record), name)[index]
