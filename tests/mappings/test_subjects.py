"""What leaves of a person: a pseudonym, a year, an arm, a consent; and what never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhirbridge import fhirjson
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import MappingError, Resource
from fhirbridge.identity import Identity
from fhirbridge.records.types import SubjectFacts
from mappings import resources
from mappings.research_subject import subject_facts
from tests.mappings.cases import (
    DECEASED,
    EXAM,
    HBV_DNA,
    IDENTITY,
    SCREENED,
    STUDY,
    SUBJECT,
    WITHDRAWN,
    following,
    mapped,
)

EVERYTHING = [*mapped(SUBJECT), *mapped(EXAM), *mapped(HBV_DNA)]


def test_a_patient_holds_neither_number_nor_birthday_nor_name() -> None:
    (patient,) = following(mapped(SUBJECT), "trial-patient")
    text = fhirjson.dumps(patient).decode()
    assert "SZ-0001" not in text
    assert "1971-03-14" not in text
    assert patient["birthDate"] == "1971"
    assert set(patient) == {"resourceType", "id", "meta", "identifier", "gender", "birthDate"}
    assert [found["type"]["coding"][0]["code"] for found in patient["identifier"]] == ["PSEUDED"]


def test_the_subject_number_stands_in_the_research_subject_alone_and_other_business_numbers_nowhere() -> None:
    telling = [found["resourceType"] for found in EVERYTHING if "SZ-0001" in fhirjson.dumps(found).decode()]
    assert telling == ["ResearchSubject"]
    for found in EVERYTHING:
        text = fhirjson.dumps(found).decode()
        assert "M-2001" not in text
        assert "L-1001" not in text


@pytest.mark.parametrize("resource", EVERYTHING, ids=lambda found: found["meta"]["profile"][0].rsplit("/", 1)[-1])
def test_everything_about_a_person_is_tagged_with_the_study_and_labelled_once(resource: Resource) -> None:
    codes = [found["code"] for found in resource["meta"]["security"]]
    assert {"PSEUDED", "CRYTOHASH", "R"} <= set(codes)
    assert len(codes) == len(set(codes))
    assert resource["meta"]["tag"] == [{"system": STUDY_TAG, "code": "nct07120750"}]
    assert ("ABSTRED" in codes) == (resource["resourceType"] == "Patient")


def test_ids_depend_on_the_record_the_study_and_the_key_alone() -> None:
    again = [found["id"] for record in (SUBJECT, EXAM, HBV_DNA) for found in mapped(record)]
    assert again == [found["id"] for found in EVERYTHING]
    other = Identity(bytes(range(1, 33)), STUDY.id)
    changed = [found["id"] for record in (SUBJECT, EXAM, HBV_DNA) for _, found in resources(record, STUDY, other)]
    assert not set(changed) & set(again)
    assert len(set(again)) == len(again)


def test_every_reference_leads_to_a_resource_that_was_made() -> None:
    study_level = mapped(STUDY)
    there = {f"{found['resourceType']}/{found['id']}" for found in [*study_level, *EVERYTHING]}
    for found in [*study_level, *EVERYTHING]:
        assert references(found) <= there


def test_a_resource_refers_only_to_resources_of_a_lower_rank() -> None:
    ranked = [pair for record in (STUDY, SUBJECT, EXAM, HBV_DNA) for pair in resources(record, STUDY, IDENTITY)]
    rank_of = {f"{found['resourceType']}/{found['id']}": rank for rank, found in ranked}
    for rank, found in ranked:
        assert all(rank_of[target] < rank for target in references(found))


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_arms_are_exactly_those_of_the_study() -> None:
    (study,) = following(mapped(STUDY), "trial-research-study")
    assert [arm["name"] for arm in study["arm"]] == ["NA", "NA+PegIFN"]
    (subject,) = following(mapped(SUBJECT), "trial-research-subject")
    assert (subject["assignedArm"], subject["actualArm"]) == ("NA+PegIFN", "NA+PegIFN")


@pytest.mark.parametrize("arm", ["na", "NA + PegIFN", "NA+PegIFN ", ""])
def test_an_arm_the_study_lacks_is_refused(arm: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(replace(SUBJECT, arm=arm))
    assert (caught.value.finding.field, caught.value.finding.value) == ("arm", arm)
    assert "'NA+PegIFN'" in caught.value.finding.remedy


def test_a_site_the_study_lacks_is_refused() -> None:
    with pytest.raises(MappingError, match="no such site"):
        mapped(replace(SUBJECT, site="ELSEWHERE"))


def test_before_treatment_an_arm_is_assigned_but_not_yet_followed() -> None:
    (subject,) = following(mapped(replace(SCREENED, arm="NA")), "trial-research-subject")
    assert subject["assignedArm"] == "NA"
    assert "actualArm" not in subject


def test_withdrawal_makes_the_consent_inactive_and_ends_it_on_its_day() -> None:
    (consent,) = following(mapped(WITHDRAWN), "trial-consent")
    assert consent["status"] == "inactive"
    assert consent["provision"]["period"] == {"start": "2025-09-03", "end": "2026-05-20"}
    (subject,) = following(mapped(WITHDRAWN), "trial-research-subject")
    assert subject["status"] == "withdrawn"


def test_a_death_keeps_its_day() -> None:
    (patient,) = following(mapped(DECEASED), "trial-patient")
    assert patient["deceasedDateTime"] == "2028-02-29"


@pytest.mark.parametrize("record", [SUBJECT, WITHDRAWN, SCREENED, DECEASED], ids=lambda found: found.subject)
def test_facts_about_a_subject_can_be_read_back(record: object) -> None:
    found = mapped(record)  # type: ignore[arg-type]
    names = ("trial-research-subject", "trial-consent", "trial-patient")
    facts = subject_facts(*(following(found, name)[0] for name in names))
    assert facts == SubjectFacts(
        subject=record.subject,  # type: ignore[attr-defined]
        arm=record.arm,  # type: ignore[attr-defined]
        consent_date=record.consent_date,  # type: ignore[attr-defined]
        consent_withdrawn=record.consent_withdrawn,  # type: ignore[attr-defined]
        enrolment_date=record.enrolment_date,  # type: ignore[attr-defined]
        index_date=record.index_date,  # type: ignore[attr-defined]
        end_date=record.end_date,  # type: ignore[attr-defined]
        death_date=record.death_date,  # type: ignore[attr-defined]
    )
