"""What the tests of asking share: results, a study and its laboratories, capabilities and plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mappings
from fhirbridge import study
from fhirbridge.errors import Resource
from fhirbridge.hospital import Capabilities
from fhirbridge.study import Study
from fhirbridge.sync.pull.asking import AskOptions, Plan, plan
from fhirbridge.terminology import laboratory_files
from fhirbridge.terminology.laboratories import Laboratories

SHIPPED = Path(mappings.__file__).parent


def trial() -> Study:
    return study.load(SHIPPED / "studies" / "nct07120750.toml")


def laboratories() -> Laboratories:
    return laboratory_files.load([SHIPPED / "laboratories"])


def result(id: str, patient: str, *, code: str = "63557-3", category: str = "laboratory", **also: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-03-01",
        **also,
    }


def report(id: str, patient: str, status: str) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        "id": id,
        "status": status,
        "code": {"text": "Virology"},
        "subject": {"reference": f"Patient/{patient}"},
    }


def says(software: str = "Breakable", **parameters: tuple[str, ...]) -> Capabilities:
    """Say what a server would: its software, and the search parameters of the types named."""
    listed = [{"type": kind, "searchParam": [{"name": name} for name in names]} for kind, names in parameters.items()]
    rest = [{"mode": "server", "resource": listed}]
    return Capabilities({"fhirVersion": "4.0.1", "software": {"name": software}, "rest": rest})


def planned(capabilities: Capabilities | None = None, **options: Any) -> Plan:
    return plan(capabilities or says(), AskOptions(**options), trial(), laboratories())
