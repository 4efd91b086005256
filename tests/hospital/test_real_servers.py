"""The client against two real servers: what it writes it finds again, whole, page after page."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import requests

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital, put_entry, transaction_bundle

SYSTEM = "https://example.org/fhir/sid/test"


@pytest.fixture(params=["sekmet", pytest.param("hapi", marks=pytest.mark.hapi)])
def client(request: pytest.FixtureRequest) -> Iterator[Hospital]:
    server = {"sekmet": "lasting_hospital", "hapi": "hapi"}[request.param]
    with Hospital(request.getfixturevalue(server)) as hospital:
        yield hospital


@pytest.fixture
def tag() -> str:
    """A tag of this test's own, so that tests can share a server."""
    return uuid.uuid4().hex


def _patient(tag: str) -> Resource:
    return {"resourceType": "Patient", "id": f"p-{tag}", "meta": {"tag": [{"system": SYSTEM, "code": tag}]}}


def _observation(tag: str, number: int, value: str = "5.50") -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"o{number}-{tag}",
        "meta": {"tag": [{"system": SYSTEM, "code": tag}]},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "63557-3"}]},
        "subject": {"reference": f"Patient/p-{tag}"},
        "effectiveDateTime": "2025-09-01",
        "valueQuantity": {"value": Decimal(value), "unit": "[IU]/mL"},
    }


def _send(client: Hospital, *resources: Resource) -> list[int]:
    entries = [put_entry(resource, base_url=client.base_url) for resource in resources]
    results = client.transaction(transaction_bundle(entries))
    written = [(result.type, result.id) for result in results]
    assert written == [(resource["resourceType"], resource["id"]) for resource in resources]
    return [result.status for result in results]


def test_a_real_server_is_known_as_r4(client: Hospital) -> None:
    found = client.capabilities()
    assert found.fhir_version == "4.0.1"
    assert found.transactions
    assert found.creates_by_update("Observation") is (None if found.software.startswith("HAPI") else True)


def test_what_a_transaction_wrote_is_read_back(client: Hospital, tag: str) -> None:
    observation = _observation(tag, 0)
    assert _send(client, _patient(tag), observation) == [201, 201]
    found = fhirjson.content(client.read("Observation", observation["id"]))
    sent, got = observation.pop("valueQuantity"), found.pop("valueQuantity")
    assert found == observation
    assert got["value"] == sent["value"]


def test_hapi_keeps_trailing_zeros_and_sekmet_loses_them(client: Hospital, tag: str) -> None:
    _send(client, _patient(tag), _observation(tag, 0, "5.50"))
    value = client.read("Observation", f"o0-{tag}")["valueQuantity"]["value"]
    keeps = client.capabilities().software.startswith("HAPI")
    assert str(value) == ("5.50" if keeps else "5.5")


def test_a_search_by_tag_over_many_pages_finds_each_resource_once(client: Hospital, tag: str) -> None:
    observations = [_observation(tag, number) for number in range(23)]
    _send(client, _patient(tag), *observations)
    before = client.traffic.report().requests
    params = {"_tag": f"{SYSTEM}|{tag}", "_count": "5", "_sort": "_id"}
    found = [resource["id"] for resource in client.search("Observation", params)]
    assert client.traffic.report().requests - before == 5
    assert sorted(found) == sorted(observation["id"] for observation in observations)


@pytest.mark.parametrize(
    "kind", ["ResearchStudy", "ResearchSubject", "BodyStructure", "Consent", "Group", "Organization"]
)
def test_every_type_of_the_trial_is_found_by_its_tag(client: Hospital, tag: str, kind: str) -> None:
    resource: Resource = {"resourceType": kind, "id": f"x-{tag}", "meta": {"tag": [{"system": SYSTEM, "code": tag}]}}
    if kind == "Group":
        resource |= {"type": "person", "actual": False}
    if kind == "ResearchSubject":
        resource |= {"status": "candidate"}
    _send(client, resource)
    assert [found["id"] for found in client.search(kind, {"_tag": f"{SYSTEM}|{tag}"})] == [f"x-{tag}"]


def test_one_refused_entry_undoes_the_whole_transaction(client: Hospital, tag: str) -> None:
    good, bad = _patient(tag), {**_patient(tag), "id": f"b-{tag}"}
    _send(client, bad)
    entries = [put_entry(good, base_url=client.base_url), put_entry(bad, base_url=client.base_url, if_match="9")]
    with pytest.raises(FatalHospitalError) as caught:
        client.transaction(transaction_bundle(entries))
    assert caught.value.status in (409, 412)
    with pytest.raises(FatalHospitalError) as caught:
        client.read("Patient", good["id"])
    assert caught.value.status == 404


def test_a_stale_version_is_refused(client: Hospital, tag: str) -> None:
    _send(client, _patient(tag))
    _send(client, {**_patient(tag), "gender": "female"})
    stale = put_entry({**_patient(tag), "gender": "male"}, base_url=client.base_url, if_match="1")
    with pytest.raises(FatalHospitalError) as caught:
        client.transaction(transaction_bundle([stale]))
    assert caught.value.status in (409, 412)
    assert client.read("Patient", f"p-{tag}")["gender"] == "female"


def test_threads_share_one_client(client: Hospital, tag: str) -> None:
    _send(client, _patient(tag))
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: _send(client, _observation(tag, number)), range(24)))
    assert statuses == [[201]] * 24
    assert len(list(client.search("Observation", {"_tag": f"{SYSTEM}|{tag}"}))) == 24


def test_a_search_by_post_finds_every_page_and_names_the_patient_in_no_url(client: Hospital, tag: str) -> None:
    _send(client, _patient(tag), *(_observation(tag, number) for number in range(12)))
    urls: list[str] = []
    session = requests.Session()
    session.hooks["response"].append(lambda answer, **_: urls.append(str(answer.request.url)))
    with Hospital(client.base_url, session=session) as watched:
        found = [one["id"] for one in watched.search("Observation", {"patient": f"p-{tag}", "_count": "5"}, post=True)]
    assert sorted(found) == sorted(f"o{number}-{tag}" for number in range(12))
    assert len(urls) == 3
    assert not any(tag in url for url in urls)


def test_an_unknown_search_parameter_is_refused_or_reported(client: Hospital) -> None:
    with pytest.raises(FatalHospitalError, match="shoe-size"):
        list(client.search("Patient", {"shoe-size": "43"}))


@pytest.mark.hapi
def test_hapi_refuses_a_dangling_reference_and_says_which(hapi: str, tag: str) -> None:
    with Hospital(hapi) as client, pytest.raises(FatalHospitalError, match=f"Patient/p-{tag} not found") as caught:
        _send(client, _observation(tag, 0))
    assert caught.value.status == 400
    assert caught.value.outcome is not None


@pytest.mark.hapi
def test_hapi_writes_no_version_for_identical_content_and_sekmet_does(
    hapi: str, lasting_hospital: str, tag: str
) -> None:
    versions = {}
    for name, base_url in (("hapi", hapi), ("sekmet", lasting_hospital)):
        with Hospital(base_url) as client:
            _send(client, _patient(tag))
            _send(client, _patient(tag))
            versions[name] = client.read("Patient", f"p-{tag}")["meta"]["versionId"]
    assert versions == {"hapi": "1", "sekmet": "2"}
