"""SMART's fhirclient for Python: it finds the token endpoint by itself, and reads everything into classes of R4."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import Any

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.diagnosticreport import DiagnosticReport
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.models.researchsubject import ResearchSubject
from fhirclient.server import FHIRNotFoundException
from requests import HTTPError

from fhirbridge.release.agreement import TYPES
from tests.api.clients.live import CORRECTED, LOINC, Live, busiest_code, cohort, day


def connected(live: Live) -> FHIRClient:
    """Return the client after it has looked the token endpoint up and got itself a token there."""
    made = FHIRClient(
        settings={
            "app_id": live.client,
            "api_base": live.base,
            "scope": "system/*.read",
            "jwt_token": live.rsa_statement(f"{live.base}/auth/token"),
        }
    )
    assert not made.prepare()
    made.authorize()
    assert made.ready
    return made


@pytest.fixture(scope="module")
def server(live: Live) -> Any:
    return connected(live).server


def model(type_: str) -> Any:
    return getattr(import_module(f"fhirclient.models.{type_.lower()}"), type_)


@pytest.mark.parametrize("type_", sorted(cohort()))
def test_every_resource_of_every_page_is_one_of_the_clients_classes(server: Any, type_: str) -> None:
    found = list(model(type_).where({"_count": "40"}).perform_resources_iter(server))
    assert len({one.id for one in found}) == len(found) == len(cohort()[type_])
    assert {type(one) for one in found} == {model(type_)}


def test_it_understands_what_the_service_says_it_can_do(server: Any) -> None:
    said = server.capabilityStatement
    assert said.software.name == "fhirbridge"
    assert {one.type for one in said.rest[0].resource} == set(TYPES)
    assert said.fhirVersion == "4.0.1"


def test_a_patient_is_read_with_pseudonym_and_year_of_birth(server: Any) -> None:
    found = next(Patient.where({}).perform_resources_iter(server))
    read = Patient.read(found.id, server)
    assert read.as_json() == found.as_json()
    assert read.name is None
    assert len(read.as_json()["birthDate"]) == 4
    with pytest.raises(FHIRNotFoundException):
        Patient.read("nobody", server)


def test_results_of_a_code_come_with_their_patients(server: Any) -> None:
    code, number = busiest_code()
    asked = {"code": f"{LOINC}|{code}", "_sort": "date", "_count": "30"}
    search = Observation.where(asked).include("subject")
    matches, people, dates = 0, set(), []
    for page in search.perform_iter(server):
        for entry in page.entry:
            if entry.search.mode == "match":
                matches += 1
                dates.append(day(entry.resource.effectiveDateTime.isostring))
            else:
                people.add(entry.resource.id)
        assert {one.resource.subject.reference for one in page.entry if one.search.mode == "match"} <= {
            f"Patient/{one.resource.id}" for one in page.entry if one.search.mode == "include"
        }
        assert page.total == number
    assert matches == number
    assert dates == sorted(dates)
    assert len(people) == len(cohort()["Patient"])


def test_its_own_operators_reach_the_search(server: Any) -> None:
    low, high = CORRECTED - 1, CORRECTED + 1  # its $gt would write >, which R4 has no more
    asked = {"value-quantity": {"$and": [f"gt{low}", f"lt{high}"]}}
    (found,) = Observation.where(asked).perform_resources_iter(server)
    assert found.valueQuantity.value == CORRECTED
    men = list(Patient.where({"gender": "male"}).perform_resources_iter(server))
    assert len(men) == sum(one["gender"] == "male" for one in cohort()["Patient"])


def test_references_resolve_to_objects(server: Any) -> None:
    subject = next(ResearchSubject.where({}).perform_resources_iter(server))
    assert subject.individual.resolved(Patient).id == subject.individual.reference.removeprefix("Patient/")
    report = next(DiagnosticReport.where({}).perform_resources_iter(server))
    results = [one.resolved(Observation) for one in report.result or ()]
    assert all(one.subject.reference == report.subject.reference for one in results)


def test_history_and_everything_are_bundles_of_objects(server: Any, live: Live) -> None:
    history = Bundle.read_from(f"Observation/{live.corrected}/_history", server)
    assert [one.resource.meta.versionId for one in history.entry] == ["2", "1"]
    assert history.entry[0].resource.valueQuantity.value == CORRECTED
    person = history.entry[0].resource.subject.reference
    page, found = Bundle.read_from(f"{person}/$everything?_count=50", server), Counter[str]()
    while True:
        found.update(one.resource.resource_type for one in page.entry)
        link = next((one.url for one in page.link if one.relation == "next"), None)
        if link is None:
            break
        page = Bundle.read_from(link, server)
    theirs = len(list(Observation.where({"subject": person}).perform_resources_iter(server)))
    assert found["Observation"] == theirs > 0
    assert found["Patient"] == 1


def test_a_batch_is_posted_to_the_base_and_answered(server: Any, live: Live) -> None:
    batch = Bundle({"resourceType": "Bundle", "type": "batch"})
    batch.entry = []
    for url in (f"Observation/{live.corrected}", "Patient?gender=male"):
        batch.entry.append(BundleEntry({"request": BundleEntryRequest({"method": "GET", "url": url}).as_json()}))
    answer = Bundle(batch.create(server))
    assert [one.response.status[:3] for one in answer.entry] == ["200", "200"]
    assert isinstance(answer.entry[0].resource, Observation)


def test_a_write_is_refused_as_not_allowed(server: Any) -> None:
    with pytest.raises(HTTPError, match="405"):
        Patient({"gender": "male"}).create(server)
