"""A laboratory's file as a FHIR ConceptMap, for systems that read those: http://hl7.org/fhir/R4/conceptmap.html."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

from fhirbridge.elements import CANONICAL, LOINC, Element, present
from fhirbridge.errors import Resource
from fhirbridge.terminology.laboratories import Laboratories, LaboratoryTest

UNIT_PROPERTY = f"{CANONICAL}/laboratory-unit"
"""What a target depends on where one code means two LOINC codes, each in its own unit."""


def concept_map(laboratories: Laboratories, laboratory: str, on: dt.date) -> Resource:
    """Return what the laboratory's codes mean on a day. Rows without a code have no place in a ConceptMap.

    A factor is nowhere in it: ConceptMap relates codes, not values. Where results are converted to another property
    (mass to amount of substance), the codes are not equivalent and a comment says so.
    """
    rows = [row for row in laboratories.rows if row.laboratory == laboratory and row.code and row.valid_on(on)]
    slug = re.sub(r"[^a-z0-9]+", "-", laboratory.lower()).strip("-") or "laboratory"
    return present(
        resourceType="ConceptMap",
        id=f"laboratory-{slug}"[:64],
        url=f"{CANONICAL}/ConceptMap/laboratory-{slug}",
        name="Laboratory" + "".join(part.capitalize() for part in slug.split("-")),
        title=f"Codes of {laboratory} as LOINC",
        status="active",
        date=on.isoformat(),
        group=[_group(system, rows) for system in sorted({row.system for row in rows})],
    )


def _group(system: str, rows: list[LaboratoryTest]) -> Element:
    codes = dict.fromkeys(row.code for row in rows if row.system == system)
    return {
        "source": system,
        "target": LOINC,
        "element": [_element([row for row in rows if (row.system, row.code) == (system, code)]) for code in codes],
    }


def _element(rows: list[LaboratoryTest]) -> Element:
    """One code; its targets name their units only where there is more than one LOINC code to choose from."""
    names = {row.loinc: row.loinc_name for row in rows}
    targets = []
    for loinc, name in names.items():
        meant = [row for row in rows if row.loinc == loinc]
        units = [unit for row in meant for unit in row.units if unit] if len(names) > 1 else []
        same = all(_power_of_ten(row.factor) for row in meant)
        for unit in dict.fromkeys(units) or [None]:
            depends = [{"property": UNIT_PROPERTY, "value": unit}] if unit else []
            target = present(code=loinc, display=name, equivalence="equivalent" if same else "inexact")
            targets.append(target | present(comment=None if same else _CONVERTED, dependsOn=depends))
    label = rows[0].labels[0] if rows[0].labels else None
    return present(code=rows[0].code, display=label, target=targets)


def _power_of_ten(factor: Decimal) -> bool:
    return factor.normalize().as_tuple().digits == (1,)


_CONVERTED = "Reported in a unit of another property, and converted to this one with an explicit factor."
