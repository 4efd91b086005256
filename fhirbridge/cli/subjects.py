"""Subjects as the store knows them: all of them, one by its number, or one as it was known at an earlier instant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import InputError, Resource
from fhirbridge.protocol.slots import FollowUp
from fhirbridge.records.types import ResultFacts, SubjectFacts
from fhirbridge.study import Study
from fhirbridge.sync.pull.coverage import followed
from mappings import laboratory_result, research_subject

_TYPES = ("Patient", "Consent", "ResearchSubject")


def facts_of(place: Workplace, patient: str) -> SubjectFacts | None:
    """Return what is known of the subject who is this Patient of ours, None where its records are not all there."""
    stored = place.bound_store.iterate(place.study.id, types=_TYPES, compartment=patient)
    return _facts({one.type: one.content() for one in stored})


def follow_ups_of(place: Workplace, patients: Sequence[str]) -> dict[str, FollowUp]:
    """Return by Patient the dates that decide a subject's windows; without an anchor where it is not known."""
    own: dict[str, dict[str, Resource]] = {patient: {} for patient in patients}
    for one in place.bound_store.of_compartments(place.study.id, patients, _TYPES):
        own[one.compartment][one.type] = one.content()
    return {patient: _followed(place, found) for patient, found in own.items()}


def result_of(content: Resource, study: Study) -> ResultFacts | None:
    """Read back what an Observation of a laboratory result says; None for any other."""
    return laboratory_result.result_facts(content, study)


def number_of(place: Workplace, patient: str) -> str | None:
    """Return the number in the study of the subject who is this Patient of ours, None where the store has none."""
    stored = place.store.iterate(place.study.id, types=["ResearchSubject"], compartment=patient)
    return next((one.content()["identifier"][0]["value"] for one in stored), None)


def every_subject(place: Workplace) -> Iterator[tuple[str, SubjectFacts]]:
    """Yield the id of our Patient and what is known of it, subject after subject."""
    own: dict[str, Resource] = {}
    last = ""
    for one in place.bound_store.iterate(place.study.id, types=_TYPES):
        if one.compartment != last:
            yield from _complete(last, own)
            own, last = {}, one.compartment
        own[one.type] = one.content()
    yield from _complete(last, own)


def numbered(place: Workplace, number: str) -> tuple[str, SubjectFacts]:
    """Return the same of the subject with this number. Raises InputError where there is none."""
    patient = place.identity.id("Patient", number)
    facts = facts_of(place, patient)
    if facts is None:
        raise InputError("no subject of this number is in the store. `fhirbridge ingest` loads the table subjects.")
    return patient, facts


def followed_up_at(place: Workplace) -> Callable[[str, str], FollowUp]:
    """Return what tells a subject's windows as its dates were known at an instant: resources keep every version."""

    def of(patient: str, instant: str) -> FollowUp:
        now = place.bound_store.iterate(place.study.id, types=_TYPES, compartment=patient)
        found: dict[str, Resource] = {}
        for one in now:
            then = (version for version in place.store.history(one.type, one.id) if version.last_updated <= instant)
            version = next(then, None)
            if version is not None:
                found[one.type] = version.content()
        return _followed(place, found)

    return of


def _followed(place: Workplace, found: dict[str, Resource]) -> FollowUp:
    facts = _facts(found)
    return FollowUp(anchor=None) if facts is None else followed(facts, place.study.schedule)


def _complete(patient: str, own: dict[str, Resource]) -> Iterator[tuple[str, SubjectFacts]]:
    facts = _facts(own)
    if facts is not None:
        yield patient, facts


def _facts(found: dict[str, Resource]) -> SubjectFacts | None:
    if "ResearchSubject" not in found or "Consent" not in found:
        return None
    return research_subject.subject_facts(found["ResearchSubject"], found["Consent"], found.get("Patient"))
