"""The MRIs of a synthetic subject, and which of them detects the recurrence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.attendance import Contact, civil
from fhirbridge.demo.draws import Draws
from fhirbridge.demo.lesions import Reading
from fhirbridge.demo.people import Person
from fhirbridge.demo.tumour import TumourCourse
from fhirbridge.records.types import ImagingExam, Lesion, ResultStatus

_RECURRENCE = frozenset({"LR-5", "LR-TIV", "LR-M", "LR-TR-V"})


def exams(who: Person, course: TumourCourse, visits: Sequence[Contact], seed: int) -> tuple[ImagingExam, ...]:
    """Return one exam per visit with an MRI, in order, read as the course stands on that day."""
    draws = Draws(seed, who.number, "imaging")
    reading = Reading(course, draws)
    since: int | None = None
    found = []
    for visit in visits:
        if visit.imaging is None:
            continue
        day = who.day(civil(visit.imaging))
        if day >= course.event_day:
            since = 0 if since is None else since + 1
        found.append(_exam(who, visit.visit, visit.imaging, reading.read(day, since), draws, detects=since == 0))
    return tuple(found)


def detection(who: Person, course: TumourCourse, done: Sequence[ImagingExam]) -> ImagingExam | None:
    """Return the exam that detected the recurrence: the first one on or after the day of the event."""
    return next((exam for exam in done if who.day(civil(exam.performed)) >= course.event_day), None)


def _exam(
    who: Person, visit: str, performed: dt.date, lesions: tuple[Lesion, ...], draws: Draws, *, detects: bool
) -> ImagingExam:
    status: ResultStatus = "amended" if draws.chance(rate.AMENDED_REPORT) else "final"
    return ImagingExam(
        exam=f"{who.subject}-{visit}-MRI",
        subject=who.subject,
        visit=visit,
        performed=performed,
        procedure="abdomen" if draws.chance(rate.WHOLE_ABDOMEN) else "liver",
        status=status,
        conclusion=_conclusion(lesions, detects),
        lesions=lesions,
    )


def _conclusion(lesions: tuple[Lesion, ...], detects: bool) -> str:
    if not lesions:
        return "There are no reportable LI-RADS observations."
    listed = "; ".join(
        f"{lesion.lesion} {lesion.category}"
        + (f", {lesion.size_mm} mm" if lesion.size_mm is not None else "")
        + (f", segment {lesion.segment}" if lesion.segment else "")
        for lesion in lesions
    )
    if not detects:
        return f"{listed}."
    proof = ", biopsy-proven" if any(lesion.category == "LR-M" for lesion in lesions) else ""
    return f"{listed}. Recurrence of hepatocellular carcinoma{proof}."


def shows_recurrence(exam: ImagingExam) -> bool:
    """Tell whether an exam holds a category by which this cohort's recurrences show."""
    return any(lesion.category in _RECURRENCE for lesion in exam.lesions)
