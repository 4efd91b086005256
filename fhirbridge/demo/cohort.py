"""The synthetic cohort: simulated subjects of NCT07120750 written as the study's four tables, and the truth beside."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.attendance import Contact, Exit, civil, contacts, leaving
from fhirbridge.demo.imaging import detection, exams
from fhirbridge.demo.laboratory import results
from fhirbridge.demo.people import Person, person
from fhirbridge.demo.tumour import TumourCourse, tumour_course
from fhirbridge.demo.virology import SurfaceAntigen, surface_antigen, viral_load
from fhirbridge.errors import ConfigurationError
from fhirbridge.records.types import ImagingExam, LaboratoryResult, Subject, SubjectStatus
from fhirbridge.study import Study

SEED = 7120750

COLUMNS = {
    "subjects": (
        "subject", "site", "sex", "birth_date", "status", "arm", "consent_date", "consent_withdrawn",
        "enrolment_date", "index_date", "end_date", "death_date",
    ),
    "laboratory": (
        "result", "subject", "visit", "analyte", "collected", "value", "unit", "absent_reason", "status", "assay",
        "comment",
    ),
    "imaging": ("exam", "subject", "visit", "performed", "procedure", "status", "conclusion"),
    "lesions": (
        "exam", "lesion", "category", "segment", "size_mm", "aphe", "washout", "capsule", "threshold_growth",
        "tumor_in_vein", "ancillary_malignant", "ancillary_benign", "treated",
    ),
}  # fmt: skip
"""The tables and their columns, in the order written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSummary:
    """What was written: rows per table, and subjects whose recurrence an MRI detected by the data cut."""

    directory: Path
    subjects: int
    laboratory: int
    imaging: int
    lesions: int
    recurrences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One subject with its records, and the truth that no record of a real study would hold."""

    subject: Subject
    laboratory: tuple[LaboratoryResult, ...]
    imaging: tuple[ImagingExam, ...]
    truth: dict[str, Any]
    detected: bool


def write_cohort(
    study: Study, directory: Path, *, subjects: int = 332, seed: int = SEED, as_of: dt.date = rate.AS_OF
) -> CohortSummary:
    """Write subjects.csv, laboratory.csv, imaging.csv, lesions.csv and truth.json into the directory.

    The same arguments give the same bytes on every machine; fewer subjects give the first ones of the same cohort.
    Nothing dated after ``as_of`` is written, subjects without consent by then included. Raises ConfigurationError
    for a study that is not NCT07120750 and for a number of subjects below 1.
    """
    if subjects < 1:
        raise ConfigurationError(f"{subjects} subjects: a cohort has at least one. Give a number from 1.")
    directory.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys(COLUMNS, 0)
    truths = []
    recurrences = 0
    with ExitStack() as files:
        tables = {}
        for name, columns in COLUMNS.items():
            file = files.enter_context((directory / f"{name}.csv").open("w", encoding="utf-8", newline=""))
            tables[name] = csv.writer(file, lineterminator="\n")
            tables[name].writerow(columns)
        for participant in participants(study, subjects=subjects, seed=seed, as_of=as_of):
            for name, row in _rows(participant):
                tables[name].writerow(row)
                rows[name] += 1
            truths.append(participant.truth)
            recurrences += participant.detected
    truth = {"planted": _planted(), "seed": seed, "as_of": as_of.isoformat(), "subjects": truths}
    with (directory / "truth.json").open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(truth, ensure_ascii=False, indent=1) + "\n")
    return CohortSummary(directory=directory, recurrences=recurrences, **rows)


def participants(
    study: Study, *, subjects: int = 332, seed: int = SEED, as_of: dt.date = rate.AS_OF
) -> Iterator[Participant]:
    """Simulate subjects one by one; those who had not consented by ``as_of`` are left out."""
    for number in range(1, subjects + 1):
        who = person(study, number, seed)
        if who.consent <= as_of:
            yield _participant(study, who, seed, as_of)


def _participant(study: Study, who: Person, seed: int, as_of: dt.date) -> Participant:
    course = tumour_course(who, seed)
    antigen = surface_antigen(who, seed)
    leaves = leaving(study, who, course, seed)
    visits = contacts(study, who, leaves, seed)
    laboratory = results(study, who, (viral_load(who, seed), antigen), visits, seed)
    imaging = tuple(exam for exam in exams(who, course, visits, seed) if civil(exam.performed) <= as_of)
    found = detection(who, course, imaging)
    return Participant(
        subject=_subject_as_of(study, who, leaves, visits, as_of),
        laboratory=tuple(result for result in laboratory if civil(result.collected) <= as_of),
        imaging=imaging,
        truth=_truth(who, course, antigen, found),
        detected=found is not None,
    )


def _subject(study: Study, who: Person, leaves: Exit | None, visits: tuple[Contact, ...]) -> Subject:
    """Return the subject record as it stands when everything is over."""
    dates = [civil(date) for visit in visits for date in (visit.laboratory, visit.imaging) if date]
    reason = leaves.reason if leaves else None
    if leaves is None:
        end = max([*dates, study.schedule.target(study.schedule.visits[-1], who.index)])
    else:
        end = max([*dates, who.index]) if reason == "lost" else leaves.date
    return Subject(
        subject=who.subject,
        site=who.site,
        sex=who.sex,
        birth_date=who.birth_date,
        status="withdrawn" if reason == "withdrawn" else "off-study",
        arm=who.arm.name,
        consent_date=who.consent,
        consent_withdrawn=end if reason == "withdrawn" else None,
        enrolment_date=who.enrolment,
        index_date=who.index,
        end_date=end,
        death_date=end if reason == "died" else None,
    )


def _subject_as_of(
    study: Study, who: Person, leaves: Exit | None, visits: tuple[Contact, ...], as_of: dt.date
) -> Subject:
    """Return the subject record as it stood on a day; a loss shows only once it is known."""
    final = _subject(study, who, leaves, visits)
    over = leaves.date if leaves else final.end_date
    if over is None or over <= as_of:
        return final
    status: SubjectStatus = who.arm.on_study_status  # type: ignore[assignment]  # the study file's word
    running = replace(final, status=status, end_date=None, consent_withdrawn=None, death_date=None)
    if as_of >= who.index:
        return running
    if as_of >= who.enrolment:
        return replace(running, status="pending-on-study", index_date=None)
    return replace(running, status="screening", arm=None, enrolment_date=None, index_date=None)


def _rows(participant: Participant) -> Iterator[tuple[str, list[str]]]:
    """Yield the table and the cells of each row of one subject."""
    yield "subjects", _cells("subjects", participant.subject)
    for result in participant.laboratory:
        cells = _cells("laboratory", result)
        cells[COLUMNS["laboratory"].index("value")] = result.reported or ""
        yield "laboratory", cells
    for exam in participant.imaging:
        yield "imaging", _cells("imaging", exam)
        for lesion in exam.lesions:
            cells = _cells("lesions", lesion, skip="exam")
            yield "lesions", [exam.exam, *cells]


def _cells(table: str, record: object, skip: str | None = None) -> list[str]:
    return [_cell(getattr(record, column)) for column in COLUMNS[table] if column != skip]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


def _planted() -> dict[str, str]:
    """Return what the simulation put in, as text so that no float is formatted by a machine's taste."""
    return {
        "hazard_ratio": str(rate.HAZARD_RATIO),
        "hazard_ratio_per_decade_of_age": str(rate.HAZARD_RATIO_PER_DECADE),
        "hazard_ratio_per_log10_hbsag": str(rate.HAZARD_RATIO_PER_LOG10_HBSAG),
    }


def _truth(who: Person, course: TumourCourse, antigen: SurfaceAntigen, found: ImagingExam | None) -> dict[str, Any]:
    """Return what only the simulation knows; days count from the index day, ``event_day`` regardless of follow-up."""
    return {
        "subject": who.subject,
        "arm": who.arm.name,
        "age_years": f"{who.age_years:.2f}",
        "hbsag_log10": f"{who.hbsag_log10:.3f}",
        "treatment": "resection" if who.resected else "ablation",
        "event_day": course.event_day,
        "route": course.route,
        "detected_exam": found.exam if found else None,
        "detected_day": who.day(civil(found.performed)) if found else None,
        "hbsag_loss_day": None if antigen.loss_week is None else round(antigen.loss_week * 7),
        "hbsag_reversion_day": None if antigen.reverts_week is None else round(antigen.reverts_week * 7),
    }
