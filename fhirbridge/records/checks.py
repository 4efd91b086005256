"""What a row must hold beyond its schema: values by the scale of their test, units, assays, and dates in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from fhirbridge.records import build, values
from fhirbridge.records.columns import Values
from fhirbridge.records.refusals import Problem
from fhirbridge.study import Analyte, Study
from fhirbridge.terminology.judging import unsaid_of_assay

_ORDER = (
    ("birth_date", "consent_date"),
    ("birth_date", "index_date"),
    ("consent_date", "consent_withdrawn"),
    ("consent_date", "enrolment_date"),
    ("consent_date", "end_date"),
    ("enrolment_date", "end_date"),
    ("index_date", "end_date"),
    ("consent_date", "death_date"),
    ("enrolment_date", "death_date"),
    ("index_date", "death_date"),
)
"""Pairs of a subject's dates of which the first comes first, or both are one day (a birth day is never shared)."""


def check(table: str, row: Values, study: Study, today: dt.date) -> list[Problem]:
    """Return what is wrong with a row that its schema accepts."""
    if table == "subjects":
        return [*_future(row, today), *_order(row)]
    if table == "laboratory":
        return [*_moment(row, "collected", study, today), *_laboratory(row, study)]
    if table == "imaging":
        return [*_moment(row, "performed", study, today)]
    return []


def outside_consent(name: str, day: str, consent: str, withdrawn: str | None) -> Problem | None:
    """Return what is wrong with a row dated before its subject's consent or after its withdrawal.

    All dates are civil dates of the study as ISO text, which sorts like the days they are.
    """
    if day < consent:
        return Problem(
            "before-consent",
            name,
            f"{name} is before the subject's consent ({consent})",
            "Correct the date here or the consent's; what was found before consent is not study data.",
        )
    if withdrawn is not None and day > withdrawn:
        return Problem(
            "after-withdrawal",
            name,
            f"{name} is after the consent was withdrawn ({withdrawn})",
            "Correct the date here or the withdrawal's; what was found after it is not study data.",
        )
    return None


def _order(row: Values) -> Iterator[Problem]:
    """Compare a subject's dates, which as ISO text sort like the days they are; one problem for each later date."""
    told = set()
    for earlier, later in _ORDER:
        first, second = row.get(earlier), row.get(later)
        if first is None or second is None or later in told:
            continue
        if first > second or (first == second and earlier == "birth_date"):
            told.add(later)
            yield Problem("order", later, f"{later} comes before {earlier}", f"Correct {later} or {earlier}.")


def _future(row: Values, today: dt.date) -> Iterator[Problem]:
    for name, value in row.items():
        if (name.endswith("_date") or name == "consent_withdrawn") and value > today.isoformat():
            yield _too_late(name, today)


def _too_late(name: str, today: dt.date) -> Problem:
    return Problem("future", name, f"{name} is in the future", f"Give what has happened, up to {today.isoformat()}.")


def _moment(row: Values, name: str, study: Study, today: dt.date) -> Iterator[Problem]:
    try:
        when = build.moment(row[name], study)
    except ValueError as error:
        yield Problem(
            "format", name, f"the local time of {name} {error}", "Write the offset, for example 2026-02-28T08:30+08:00."
        )
        return
    if build.civil(when) > today:
        yield _too_late(name, today)


def _laboratory(row: Values, study: Study) -> Iterator[Problem]:
    analyte = study.analyte(row["analyte"])
    if analyte is None:  # the schema's enumeration comes from the same study
        return
    reported, reason = row.get("value"), row.get("absent_reason")
    if reported is None and reason is None:
        yield Problem("value", "value", "there is neither a value nor a reason for its absence", "Give one of the two.")
    if reported is not None and reason is not None:
        yield Problem(
            "value", "absent_reason", "there is a value and a reason for its absence", "Remove the one that is wrong."
        )
    quantity, comparator = False, None
    if reported is not None:
        try:
            value = values.parse(reported, analyte.scale)
            quantity = isinstance(value, (values.Number, values.Censored))
            comparator = value.comparator if isinstance(value, values.Censored) else None
        except ValueError as error:
            yield _value(reported, str(error))
            quantity = analyte.scale == "Qn"
    yield from _unit(row.get("unit"), analyte, quantity, reported)
    if row.get("assay") is not None and analyte.assay(row["assay"]) is None:
        known = ", ".join(assay.name for assay in analyte.assays) or "none"
        yield Problem("unknown-assay", "assay", f"assay is none of {analyte.name}'s", f"Use one of: {known}.")
    if unsaid_of_assay(comparator, analyte, analyte.assay(row.get("assay"))):
        yield Problem(
            "unsaid-of-assay",
            "value",
            "value is below a limit, and the study file does not say of this assay whether that means detected",
            "Name the assay at its analyte in the study file, with tells_not_detected if it says so in words; or give "
            "`not detected` as the value, if that was reported.",
        )


def _value(reported: str, error: str) -> Problem:
    what, _, how = error.partition(": ")
    remedy = f"{how[0].upper()}{how[1:]}." if how else "Give the value as the laboratory reported it."
    if "," in reported:
        remedy = "Write a point for the fraction and nothing between thousands: 1200, 5.50, 1.7E8."
    return Problem("value", "value", f"value {what}", remedy)


def _unit(unit: str | None, analyte: Analyte, quantity: bool, reported: str | None) -> Iterator[Problem]:
    if quantity and unit != analyte.unit:
        found = "there is no unit" if unit is None else f"the unit is not that of {analyte.name}"
        yield Problem(
            "unit", "unit", found, f"Give the value in {analyte.unit}, and that as its unit; nothing is converted here."
        )
    if not quantity and unit is not None:
        what = "the value is a word" if reported is not None else "no value"
        yield Problem("unit", "unit", f"there is a unit, but {what}", "Leave the unit empty.")
