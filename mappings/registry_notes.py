"""Registry record to the notes of its ResearchStudy: what a reader wants and no element or extension holds."""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.records.ctgov_modules import Intervention
from fhirbridge.records.ctgov_record import RegistryRecord, leaves

FACTS = (
    "oversightModule",
    "statusModule.expandedAccessInfo",
    "statusModule.delayedPosting",
    "statusModule.resultsWaived",
    "designModule.expandedAccessTypes",
    "designModule.nPtrsToThisExpAccNctId",
    "designModule.patientRegistry",
    "designModule.targetDuration",
)
"""Fields of the protocolSection that are noted as ``name: value``; false and absent are not the same."""


def fact(path: str, value: object) -> str:
    """Return the line that notes one value: ``oversightHasDmc: false``."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{path.rpartition('.')[2]}: {text}"


def notes(record: RegistryRecord) -> Iterator[str]:
    """Yield each note's text (markdown)."""
    protocol = record.protocol
    yield from map(_intervention, protocol.arms.interventions)
    specimens, sharing = protocol.design.bio_spec, protocol.ipd_sharing
    if specimens:
        yield from _note("Biospecimens", (("Retention", specimens.retention), ("Description", specimens.description)))
    yield from _note(
        "Sharing of individual participant data",
        (
            ("Plan", sharing.ipd_sharing),
            ("Description", sharing.description),
            ("Information", "; ".join(sharing.info_types)),
            ("Time frame", sharing.time_frame),
            ("Access", sharing.access_criteria),
        ),
    )
    facts = [
        fact(path, value)
        for path, value in leaves(record.raw["protocolSection"])
        if path.startswith(FACTS) and str(value).strip()
    ]
    if facts:
        yield "\n".join(("From the registry", *facts))


def _intervention(found: Intervention) -> str:
    kind = f"{found.type.replace('_', ' ').title()}: " if found.type else ""
    lines = [f"Intervention {kind}{found.name}"]
    if found.type:
        lines.append(f"Type: {found.type}")
    if found.other_names:
        lines.append(f"Other names: {'; '.join(found.other_names)}")
    if found.arm_group_labels:
        lines.append(f"Arms: {'; '.join(found.arm_group_labels)}")
    return "\n".join(lines) + (f"\n\n{found.description}" if found.description else "")


def _note(title: str, parts: tuple[tuple[str, str | None], ...]) -> Iterator[str]:
    given = [f"{name}: {text}" for name, text in parts if text]
    if given:
        yield "\n\n".join((title, *given))
