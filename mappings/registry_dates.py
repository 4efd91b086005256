"""Registry record to the dates and states of its ResearchStudy, each date with the precision it was given."""

from __future__ import annotations

from collections.abc import Iterator

from fhirbridge.elements import Element, coding, concept, present
from fhirbridge.records.ctgov_modules import DateStruct
from fhirbridge.records.ctgov_record import RegistryRecord
from mappings import registry_extensions as extensions
from mappings.registry_terms import PROGRESS, state


def period(start: DateStruct | None, end: DateStruct | None) -> Element | None:
    """Return the study's period with the precision given.

    Invariant per-1 wants start <= end and has no answer where the dates are equal as far as the shorter one goes;
    there the period keeps its start alone. Either date stands in a progressStatus anyway.
    """
    if start and end:
        shared = min(len(start.date), len(end.date))
        equal = start.date == end.date
        if not equal and start.date[:shared] >= end.date[:shared]:
            end = None
    return present(start=str(start.date) if start else None, end=str(end.date) if end else None) or None


def progress(record: RegistryRecord) -> Iterator[Element]:
    """Yield the registry's own status, the one before it became unknown, and each end of the study with its kind."""
    module = record.protocol.status
    yield extensions.progress_status(state(module.overall_status))
    if module.last_known_status:
        yield extensions.progress_status(concept(text=f"Last known status: {module.last_known_status}"))
    overall = concept(coding(PROGRESS, "overall-study", "Overall study"))
    for what, edge, when in (
        (overall, "start", module.start_date_struct),
        (concept(text="Primary completion"), "end", module.primary_completion_date_struct),
        (overall, "end", module.completion_date_struct),
    ):
        if when:
            yield extensions.progress_status(what, actual=_actual(when), period={edge: str(when.date)})


def registration(record: RegistryRecord) -> Iterator[Element]:
    module = record.protocol.status
    if module.last_update_submit_date:
        yield extensions.last_changed(str(module.last_update_submit_date))
    for activity, found in (
        ("First submitted", module.study_first_submit_date),
        ("First submitted that met quality control criteria", module.study_first_submit_qc_date),
        ("First posted", module.study_first_post_date_struct),
        ("Results first submitted", module.results_first_submit_date),
        ("Results first submitted that met quality control criteria", module.results_first_submit_qc_date),
        ("Results first posted", module.results_first_post_date_struct),
        ("Certification or extension first submitted", module.disp_first_submit_date),
        (
            "Certification or extension first submitted that met quality control criteria",
            module.disp_first_submit_qc_date,
        ),
        ("Certification or extension first posted", module.disp_first_post_date_struct),
        ("Last update posted", module.last_update_post_date_struct),
        ("Record verified", module.status_verified_date),
    ):
        if found:
            date, actual = (str(found.date), _actual(found)) if isinstance(found, DateStruct) else (str(found), None)
            yield extensions.study_registration(
                concept(text=activity), actual=actual, period={"start": date, "end": date}
            )


def _actual(when: DateStruct) -> bool | None:
    return {"ACTUAL": True, "ESTIMATED": False}.get(when.type or "")
