"""What an accepted candidate becomes: its proposal with what a person said instead, held against the table's rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import Refused
from fhirbridge.records import checks, values
from fhirbridge.study import Study

COLUMNS = ("analyte", "visit", "collected", "value", "unit", "absent_reason", "assay")
"""What a proposal says of a row of the laboratory table; None or absent is what it could not say."""


def merged(proposal: Mapping[str, Any], override: Mapping[str, str]) -> dict[str, str]:
    """Return the row (texts by column) that a proposal gives with an override of it, without what is not known.

    A value of a person's own takes the place of a reason for absence, and a word leaves no unit. Another analyte
    leaves no unit or assay of the old one; nothing is converted.
    """
    row = {name: str(proposal[name]) for name in COLUMNS if proposal.get(name) is not None}
    if override.get("analyte", row.get("analyte")) != row.get("analyte"):
        for name in ("unit", "assay"):
            row.pop(name, None)
    if "value" in override:
        row.pop("absent_reason", None)
        if override["value"].strip().lower() in values.ANSWERS:
            row.pop("unit", None)
    return row | dict(override)


def check_recordable(
    proposal: bytes, override: bytes | None, study: Study, today: dt.date, *, candidate: str
) -> dict[str, str]:
    """Return the row that would be recorded. Raises Refused if it breaks a rule of the laboratory table."""
    row = merged(fhirjson.loads(proposal), fhirjson.loads(override) if override else {})
    visits = [visit.name for visit in study.schedule.visits] + [study.schedule.unscheduled]
    for name, known in (("analyte", [one.name for one in study.analytes]), ("visit", visits)):
        if name not in row:
            raise Refused(f"{candidate} has no {name} to be recorded under. `override` it: --{name} says which.")
        if row[name] not in known:
            raise Refused(f"{candidate}: the study has no {name} {row[name]!r}. It has: {', '.join(known)}.")
    if "collected" not in row:
        raise Refused(f"{candidate} does not say when its specimen was taken, so it cannot be recorded. `reject` it.")
    if "value" not in row and "absent_reason" not in row:
        raise Refused(f"{candidate} has no value to be recorded. `override` it: --value says which.")
    for problem in checks.check("laboratory", row, study, today):
        raise Refused(f"{candidate}, {problem.field}: {problem.message} [{problem.rule}]. {problem.remedy}")
    return row
