"""A registry record as FHIR: its resources in the order a server needs them, and what could not be said.

Nothing is left out in silence. The report does not rely on the mapping having thought of everything: it goes
through every value of the record and looks for it in the resources that came out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.records.ctgov_record import RegistryRecord, generic, known_paths, leaves
from mappings.registry_eligibility import group
from mappings.registry_notes import FACTS, fact
from mappings.registry_parties import (
    investigator_role,
    locations,
    official_roles,
    organizations,
    practitioners,
    site_roles,
)
from mappings.registry_paths import CARRIED, IMPLIED, LEFT, place
from mappings.registry_study import research_study
from mappings.registry_terms import words

ORDER = ("Organization", "Location", "Practitioner", "PractitionerRole", "Group", "ResearchStudy")
"""Types in dependency order: none refers to one that comes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrepresented:
    """A value of the record that no resource carries. ``path`` may stand for everything under it (``count`` values)."""

    path: str
    value: str
    why: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.path} = {self.value}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryBundle:
    """What a record became: resources in dependency order, and what they leave out."""

    nct_id: str
    resources: tuple[Resource, ...]
    unrepresented: tuple[Unrepresented, ...]

    def summary(self) -> dict[str, Any]:
        """Return what a line of a bulk import says: number, title, status, resources by type, values left out."""
        study = self.resources[-1]
        counts = {kind: sum(r["resourceType"] == kind for r in self.resources) for kind in ORDER}
        return {
            "record": self.nct_id,
            "title": study.get("title"),
            "status": study["status"],
            "resources": {kind: count for kind, count in counts.items() if count},
            "unrepresented": [{"path": u.path, "value": u.value, "why": u.why} for u in self.unrepresented],
        }


def bundle(record: RegistryRecord) -> RegistryBundle:
    """Map one record. Raises MappingError for a status that FHIR R4 cannot say."""
    study = research_study(record)
    investigator, eligibility = investigator_role(record), group(record)
    roles = [role for _, role in official_roles(record)] + ([investigator] if investigator else []) + site_roles(record)
    found = [
        *organizations(record),
        *locations(record),
        *practitioners(record),
        *{role["id"]: role for role in roles}.values(),
        *([eligibility] if eligibility else []),
        study,
    ]
    return RegistryBundle(
        nct_id=record.nct_id, resources=tuple(found), unrepresented=tuple(unrepresented(record, found))
    )


def unrepresented(record: RegistryRecord, resources: list[Resource]) -> Iterator[Unrepresented]:
    """Yield every value of the record that the resources do not hold; what is left out on purpose by its module."""
    said = {str(value) for _, value in leaves(resources)}
    everything = "\x00".join(sorted(said))
    conditional = dict(_conditional(record))
    left: dict[str, int] = {}
    for path, value in leaves(record.raw):
        where, name = generic(path), None
        out, kept = place(where, LEFT), place(where, CARRIED)
        if out and len(out) > len(kept or ""):
            left[out] = left.get(out, 0) + 1
            continue
        if kept is None or (where not in known_paths() and not _is_fact(where)):
            name = "a field that this version does not know"
        elif isinstance(value, str) and not value.strip():
            name = "holds no text"
        elif path in conditional:
            name = conditional[path]
        elif value not in IMPLIED.get(where, ()) and not _found(where, value, said, everything):
            name = f"goes to {CARRIED[kept]}, which could not take this value"
        if name:
            yield Unrepresented(path=path, value=_brief(value), why=name)
    for path, count in left.items():
        yield Unrepresented(path=path, value=f"{count} value{'s' * (count > 1)}", why=LEFT[path], count=count)


def _found(where: str, value: object, said: set[str], everything: str) -> bool:
    """Tell whether a value stands in the resources: as a whole, within a longer text, or as a noted fact."""
    if _is_fact(where):
        return fact(where, value) in everything
    if where.endswith(("minimumAge", "maximumAge")):
        return all(part in said for part in (str(int(str(value).split(" ")[0])), str(value).split(" ")[1]))
    if isinstance(value, bool | int | Decimal):
        return str(value) in said
    return str(value) in said or str(value) in everything


def _is_fact(where: str) -> bool:
    return where.removeprefix("protocolSection.").startswith(FACTS)


def _conditional(record: RegistryRecord) -> Iterator[tuple[str, str]]:
    """Yield what has a place but not in this record, with the reason."""
    design, arms = record.protocol.design, record.protocol.arms
    if design.study_type == "OBSERVATIONAL":
        for index, _ in enumerate(design.phases):
            yield f"protocolSection.designModule.phases[{index}]", "an observational study has no phase"
    enrollment = design.enrollment_info
    if enrollment and enrollment.type not in ("ACTUAL", "ESTIMATED"):
        why = "the record does not say whether this number is planned or reached"
        yield "protocolSection.designModule.enrollmentInfo.count", why
    listed = {(arm, words(f"{i.type or ''} {i.name}")) for i in arms.interventions for arm in i.arm_group_labels}
    for number, arm in enumerate(arms.arm_groups):
        for index, name in enumerate(arm.intervention_names):
            if (arm.label, words(name)) not in listed:
                path = f"protocolSection.armsInterventionsModule.armGroups[{number}].interventionNames[{index}]"
                yield path, "the record's interventions do not name this arm, and R4's arm has no place for it"


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
