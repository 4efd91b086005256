"""From a row that its schema accepts to the typed record it stands for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import cast

from fhirbridge.records import values
from fhirbridge.records.columns import Values
from fhirbridge.records.types import ImagingExam, LaboratoryResult, Lesion, Subject
from fhirbridge.study import Study


def day(text: str | None) -> dt.date | None:
    """Return a date that the schema has accepted."""
    return dt.date.fromisoformat(text) if text else None


def moment(text: str, study: Study) -> dt.date | dt.datetime:
    """Return a date, or a time with the offset that the study's time zone has on that day.

    Raises ValueError for a local time that the zone skips or has twice, because clocks change there.
    """
    if len(text) == 10:
        return dt.date.fromisoformat(text)
    time = dt.datetime.fromisoformat(text)
    zone = study.schedule.zone
    if time.tzinfo is not None:
        return time.astimezone(zone)
    local = time.replace(tzinfo=zone)
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise ValueError("is skipped, or comes twice, as the clocks change there on that day")
    return local


def civil(when: dt.date | dt.datetime) -> dt.date:
    """Return the civil date of a moment that is in the study's time zone."""
    return when.date() if isinstance(when, dt.datetime) else when


def subject(row: Values) -> Subject:
    """Return the subject of a row."""
    return Subject(
        subject=row["subject"],
        site=row["site"],
        sex=row["sex"],
        birth_date=dt.date.fromisoformat(row["birth_date"]),
        status=row["status"],
        arm=row.get("arm"),
        consent_date=dt.date.fromisoformat(row["consent_date"]),
        consent_withdrawn=day(row.get("consent_withdrawn")),
        enrolment_date=day(row.get("enrolment_date")),
        index_date=day(row.get("index_date")),
        end_date=day(row.get("end_date")),
        death_date=day(row.get("death_date")),
    )


def laboratory(row: Values, study: Study) -> LaboratoryResult:
    """Return the result of a row. Raises ValueError where its value or its time is none."""
    analyte = study.analyte(row["analyte"])
    reported = row.get("value")
    return LaboratoryResult(
        result=row["result"],
        subject=row["subject"],
        visit=row["visit"],
        analyte=row["analyte"],
        collected=moment(row["collected"], study),
        value=values.parse(reported, analyte.scale) if reported is not None and analyte else None,
        unit=row.get("unit"),
        absent_reason=row.get("absent_reason"),
        status=row.get("status", "final"),
        assay=row.get("assay"),
        reported=reported,
        comment=row.get("comment"),
    )


def lesion(row: Values) -> Lesion:
    """Return the lesion of a row."""
    return Lesion(**cast(dict[str, str], {name: value for name, value in row.items() if name != "exam"}))  # type: ignore[arg-type]


def exam(row: Values, study: Study, lesions: Sequence[Lesion]) -> ImagingExam:
    """Return the exam of a row with its lesions. Raises ValueError where its time is none."""
    return ImagingExam(
        exam=row["exam"],
        subject=row["subject"],
        visit=row["visit"],
        performed=moment(row["performed"], study),
        procedure=row.get("procedure", "liver"),
        status=row.get("status", "final"),
        conclusion=row.get("conclusion"),
        lesions=tuple(lesions),
    )
