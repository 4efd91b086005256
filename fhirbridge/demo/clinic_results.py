"""The results of the synthetic clinic as FHIR resources: Observations as laboratories send them, and their reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fhirbridge.demo.clinic_laboratories import LABORATORIES, ClinicLaboratory, Printed
from fhirbridge.elements import STUDY_TAG, coding, concept, present, reference, when
from fhirbridge.errors import Resource

Status = Literal["registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error"]

_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Where and when a specimen was taken, and when the laboratory was done with it."""

    patient: str
    """Logical id of the hospital's Patient."""
    laboratory: ClinicLaboratory
    collected: dt.date
    """A date, or a time with its offset."""
    issued: dt.datetime


def observation(id: str, sample: Sample, printed: Printed, *, status: Status = "final") -> Resource:
    """Return an Observation of the clinic."""
    laboratory, test = sample.laboratory, printed.test
    return present(
        resourceType="Observation",
        id=id,
        status=status,
        category=[concept(coding(_CATEGORY, "laboratory", "Laboratory"))],
        code=concept(coding(laboratory.system, test.code, test.label), text=test.label),
        subject=reference("Patient", sample.patient),
        effectiveDateTime=when(sample.collected),
        issued=sample.issued.isoformat(timespec="seconds"),
        performer=[reference("Organization", laboratory.id) | {"display": laboratory.name}],
        **printed.value,
        note=[{"text": printed.note}] if printed.note else None,
    )


def report(id: str, sample: Sample, results: Sequence[Resource], *, status: Status = "final") -> Resource:
    """Return the DiagnosticReport that gathers the results of one sample."""
    return present(
        resourceType="DiagnosticReport",
        id=id,
        status=status,
        category=[concept(coding(_SECTION, "LAB", "Laboratory"))],
        code=concept(text="检验报告" if not sample.laboratory.decimal_comma else "Laborbefund"),
        subject=reference("Patient", sample.patient),
        effectiveDateTime=when(sample.collected),
        issued=sample.issued.isoformat(timespec="seconds"),
        performer=[reference("Organization", sample.laboratory.id) | {"display": sample.laboratory.name}],
        result=[reference("Observation", result["id"]) for result in results],
    )


def ours(resource: Resource, study: str) -> Resource:
    """Return the Observation as if a push of this study had written it: with the study's tag."""
    return resource | {"meta": {"tag": [coding(STUDY_TAG, study)]}}


def organizations() -> list[Resource]:
    """Return the laboratories themselves."""
    return [
        {"resourceType": "Organization", "id": laboratory.id, "active": True, "name": laboratory.name}
        for laboratory in LABORATORIES
    ]


def ordered(laboratory: ClinicLaboratory, analyte: str) -> Printed:
    """Return a test as ordered, with nothing found yet."""
    return Printed(laboratory.tests[analyte], {})
