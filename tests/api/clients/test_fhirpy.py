"""fhirpy, a Python client for FHIR: what its user sees of the service."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, OperationOutcome, ResourceNotFound

from tests.api.clients.live import CORRECTED, LOINC, Live, busiest_code, cohort, day


@pytest.fixture
def client(live: Live) -> SyncFHIRClient:
    return SyncFHIRClient(live.base, authorization=f"Bearer {live.token}")


def test_all_pages_together_hold_every_resource_once(client: SyncFHIRClient) -> None:
    for type_, made in cohort().items():
        found = client.resources(type_).limit(37).fetch_all()
        assert len({one.id for one in found}) == len(found) == len(made), type_
        assert client.resources(type_).count() == len(made), type_


def test_the_asynchronous_client_reads_all_pages_too(live: Live) -> None:
    async def every() -> list[Any]:
        client = AsyncFHIRClient(live.base, authorization=f"Bearer {live.token}")
        return [one async for one in client.resources("Observation").limit(50)]

    assert len({one.id for one in asyncio.run(every())}) == len(cohort()["Observation"])


def test_a_code_of_one_patient_is_found_newest_first(client: SyncFHIRClient) -> None:
    code, number = busiest_code()
    found = Counter[str]()
    for patient in client.resources("Patient").fetch_all():
        results = client.resources("Observation").search(subject=patient, code=f"{LOINC}|{code}").sort("-date")
        dates = [day(one["effectiveDateTime"]) for one in results]
        assert dates == sorted(dates, reverse=True)
        found[patient.id] = len(dates)
    assert found.total() == number
    assert len(found) == len(cohort()["Patient"])


def test_chains_prefixes_and_modifiers_find_what_they_say(client: SyncFHIRClient) -> None:
    men = [one for one in cohort()["Patient"] if one["gender"] == "male"]
    assert client.resources("Patient").search(gender="male").count() == len(men)
    assert client.resources("Patient").search(gender__not="male").count() == len(cohort()["Patient"]) - len(men)
    theirs = {f"Patient/{one['id']}" for one in men}
    of_men = [one for one in cohort()["Observation"] if one["subject"]["reference"] in theirs]
    assert client.resources("Observation").search(subject__Patient__gender="male").count() == len(of_men)
    (corrected,) = client.resources("Observation").search(
        value_quantity__gt=CORRECTED - 1, value_quantity__lt=CORRECTED + 1
    )
    assert corrected["valueQuantity"]["value"] == CORRECTED


def test_includes_stand_beside_the_matches_and_references_can_be_followed(client: SyncFHIRClient) -> None:
    bundle = client.resources("Observation").include("Observation", "subject").limit(10).fetch_raw()
    modes = Counter(one.search.mode for one in bundle.entry)
    assert modes["match"] == 10
    assert 1 <= modes["include"] <= 10
    included = {one.resource.id: one.resource for one in bundle.entry if one.search.mode == "include"}
    for entry in bundle.entry[:10]:
        subject = entry.resource["subject"].to_resource()
        assert subject == included[subject.id]
    assert bundle.total == len(cohort()["Observation"])
    reverse = client.resources("Patient").revinclude("ResearchSubject", "individual").fetch_raw()
    types = Counter(one.resource.resource_type for one in reverse.entry)
    assert types == {"Patient": len(cohort()["Patient"]), "ResearchSubject": len(cohort()["ResearchSubject"])}


def test_what_is_read_again_unchanged_is_not_sent_again(client: SyncFHIRClient, live: Live) -> None:
    patient = client.reference("Patient", client.resources("Patient").first().id).to_resource()
    _, status = client._do_request(
        "get",
        f"Patient/{patient.id}",
        extra_headers={"If-None-Match": patient["meta"]["versionId"]},
        returning_status=True,
    )
    assert status == 304
    before = dict(patient)
    assert dict(patient.refresh()) == before
    old = client.resource("Observation", **client.execute(f"Observation/{live.corrected}/_history/1", method="get"))
    assert old.refresh()["valueQuantity"]["value"] == CORRECTED


def test_the_history_of_a_corrected_result_has_both_versions(client: SyncFHIRClient, live: Live) -> None:
    history = client.execute(f"Observation/{live.corrected}/_history", method="get")
    assert [one.resource.meta.versionId for one in history.entry] == ["2", "1"]
    values = [one.resource.valueQuantity.value for one in history.entry]
    assert values[0] == CORRECTED != values[1]


def test_a_batch_answers_each_of_its_questions(client: SyncFHIRClient) -> None:
    patient = client.resources("Patient").first()
    urls = [patient.reference, "Observation?_count=3", "Patient/nobody"]
    asked = [{"request": {"method": "GET", "url": url}} for url in urls]
    answer = client.execute("", data={"resourceType": "Bundle", "type": "batch", "entry": asked})
    assert [one.response.status[:3] for one in answer.entry] == ["200", "200", "404"]
    assert answer.entry[0].resource.id == patient.id
    assert len(answer.entry[1].resource.entry) == 3


@pytest.mark.parametrize("method", ["get", "post"])
def test_everything_of_a_patient_is_all_that_searches_find_of_them(client: SyncFHIRClient, method: str) -> None:
    patient = client.resources("Patient").first()
    page = patient.execute("$everything", method=method)
    found = Counter[str]()
    while True:
        found.update(one.resource.resourceType for one in page.entry if one.search.mode == "match")
        link = next((one.url for one in page.link if one.relation == "next"), None)
        if link is None:
            break
        page = client.execute(link, method="get")
    assert found["Observation"] == client.resources("Observation").search(subject=patient).count() > 0
    assert found["Patient"] == found["ResearchSubject"] == 1


def test_a_released_resource_is_valid_and_a_broken_one_is_not(client: SyncFHIRClient) -> None:
    patient = client.resources("Patient").first()
    assert patient.is_valid()
    patient["gender"] = "mail"
    with pytest.raises(OperationOutcome, match="gender"):
        patient.is_valid(raise_exception=True)


def test_what_is_refused_is_told_in_the_clients_own_errors(client: SyncFHIRClient, live: Live) -> None:
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", "nobody").to_resource()
    with pytest.raises(ResourceNotFound):
        client.resources("Patient").search(_id="nobody").get()
    with pytest.raises(OperationOutcome, match="takes no data"):
        client.resource("Patient", gender="male").save()
    with pytest.raises(OperationOutcome, match="birthdate"):
        client.resources("Patient").search(birthdate="2026-99").fetch()
    with pytest.raises(AuthorizationError):
        SyncFHIRClient(live.base, authorization="Bearer nothing").resources("Patient").fetch()
