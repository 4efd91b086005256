"""The faulty proxy: each fault reaches our client as what it is, and none doubles or loses what was written."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from fhirbridge.errors import FatalHospitalError, HospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import Hospital, Retries, put_entry, transaction_bundle
from fhirbridge.hospital import client as client_module
from tests.faults import AFTERWARDS, INSTEAD, STORM
from tests.faulty_proxy import FaultyProxy, faulty_proxy

ROOT = Path(__file__).parent.parent
SYSTEM = "https://example.org/fhir/sid/test"


@pytest.fixture
def tag() -> str:
    return uuid.uuid4().hex


@contextmanager
def connected(base_url: str, attempts: int = 1) -> Iterator[Hospital]:
    retries = Retries(attempts=attempts)
    with Hospital(base_url, timeout=(10.0, 60.0), retries=retries, sleep=lambda _: None) as client:
        yield client


def patient(tag: str, number: int = 0) -> Resource:
    return {"resourceType": "Patient", "id": f"p{number}-{tag}", "meta": {"tag": [{"system": SYSTEM, "code": tag}]}}


def write(client: Hospital, *resources: Resource) -> list[int]:
    entries = [put_entry(resource, base_url=client.base_url) for resource in resources]
    return [result.status for result in client.transaction(transaction_bundle(entries))]


def versions(base_url: str, resource: Resource) -> int:
    """How often a server wrote a resource; 0 if it does not have it."""
    with connected(base_url) as client:
        try:
            return int(client.read(resource["resourceType"], resource["id"])["meta"]["versionId"])
        except FatalHospitalError:
            return 0


def test_without_faults_it_is_not_there_at_all(lasting_hospital: str, tag: str) -> None:
    with faulty_proxy(lasting_hospital) as proxy, connected(proxy.base_url) as client:
        assert client.capabilities().fhir_version == "4.0.1"
        assert write(client, *(patient(tag, number) for number in range(7))) == [201] * 7
        params = {"_tag": f"{SYSTEM}|{tag}", "_count": "3", "_sort": "_id"}
        assert len(list(client.search("Patient", params))) == 7
        report = proxy.report()
        assert (report.requests, report.forwarded, report.writes) == (5, 5, 1)
        assert report.entries == {f"PUT Patient/p{number}-{tag}": 1 for number in range(7)}
        assert not report.counts


@pytest.mark.hapi
def test_hapis_pages_and_faults_come_through_it_too(hapi: str, tag: str) -> None:
    with faulty_proxy(hapi, pause=0.0) as proxy, connected(proxy.base_url, attempts=2) as client:
        proxy.next("cut-after", method="POST")
        assert write(client, *(patient(tag, number) for number in range(7))) == [200] * 7
        proxy.next("cut-inside", method="GET", path="_getpages")
        params = {"_tag": f"{SYSTEM}|{tag}", "_count": "3", "_sort": "_id"}
        assert len({found["id"] for found in client.search("Patient", params)}) == 7
        assert proxy.counts == {"cut-after": 1, "cut-inside": 1}
        assert client.traffic.report().retries == 2
    assert versions(hapi, patient(tag)) == 1


def test_addresses_are_the_proxys_outside_and_the_servers_inside(lasting_hospital: str, tag: str) -> None:
    with faulty_proxy(lasting_hospital) as proxy, connected(proxy.base_url) as client:
        general = f"{proxy.base_url}/Practitioner/g-{tag}"
        write(client, patient(tag) | {"generalPractitioner": [{"reference": general}]})
        through = client.read("Patient", f"p0-{tag}")["generalPractitioner"][0]["reference"]
        location = requests.put(f"{proxy.base_url}/Patient/p1-{tag}", json=patient(tag, 1), timeout=60).headers[
            "Location"
        ]
    with connected(lasting_hospital) as client:
        direct = client.read("Patient", f"p0-{tag}")["generalPractitioner"][0]["reference"]
    assert through.removeprefix(f"{proxy.base_url}/") == direct.removeprefix(f"{lasting_hospital}/")
    assert not direct.startswith(proxy.base_url)
    assert location.startswith(f"{proxy.base_url}/Patient/p1-{tag}")


@pytest.mark.parametrize(
    ("kind", "raised", "status", "said"),
    [
        ("429", TemporaryHospitalError, 429, "Too Many Requests"),
        ("429-date", TemporaryHospitalError, 429, "Too Many Requests"),
        ("500", TemporaryHospitalError, 500, "a fault made for a test"),
        ("503", TemporaryHospitalError, 503, "a fault made for a test"),
        ("html", TemporaryHospitalError, 200, "the answer is a web page"),
        ("502", TemporaryHospitalError, 502, "no OperationOutcome but text/html"),
        ("cut-before", TemporaryHospitalError, None, "the connection to"),
        ("401", FatalHospitalError, 401, "Unauthorized"),
        ("504-after", TemporaryHospitalError, 504, "Gateway Timeout"),
        ("cut-after", TemporaryHospitalError, None, "the connection to"),
        ("cut-inside", TemporaryHospitalError, None, "cut short or garbled"),
        ("truncated", TemporaryHospitalError, 200, "not complete JSON"),
    ],
)
def test_each_fault_is_told_as_what_it_is_and_reaches_the_server_or_not(
    lasting_hospital: str, tag: str, kind: str, raised: type[HospitalError], status: int | None, said: str
) -> None:
    with faulty_proxy(lasting_hospital) as proxy, connected(proxy.base_url) as client:
        proxy.next(kind)
        with pytest.raises(raised, match=said) as caught:
            write(client, patient(tag))
        assert caught.value.status == status
        assert proxy.counts == {kind: 1}
        assert proxy.writes == versions(lasting_hospital, patient(tag)) == (kind in AFTERWARDS)
        if kind.startswith("429"):
            assert isinstance(caught.value, TemporaryHospitalError)
            assert caught.value.retry_after == 1.0
        assert write(client, patient(tag)) == [200 if kind in AFTERWARDS else 201]


@pytest.mark.parametrize("kind", [kind for kind in STORM if kind != "429"])
def test_after_each_fault_a_second_try_succeeds(lasting_hospital: str, tag: str, kind: str) -> None:
    with faulty_proxy(lasting_hospital, pause=0.0) as proxy, connected(proxy.base_url, attempts=2) as client:
        proxy.next(kind)
        write(client, patient(tag))
        proxy.next(kind, method="GET")
        found = list(client.search("Patient", {"_tag": f"{SYSTEM}|{tag}"}))
        assert [resource["id"] for resource in found] == [f"p0-{tag}"]
        assert proxy.counts == {kind: 2}


def test_a_put_that_the_network_delivers_twice_is_there_once(lasting_hospital: str, tag: str) -> None:
    with faulty_proxy(lasting_hospital) as proxy, connected(proxy.base_url) as client:
        proxy.next("twice", method="POST")
        assert write(client, patient(tag)) == [200]
        assert proxy.report().entries == {f"PUT Patient/p0-{tag}": 2}
        assert len(list(client.search("Patient", {"_tag": f"{SYSTEM}|{tag}"}))) == 1


def test_a_body_that_trickles_without_end_is_given_up(lasting_hospital: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WHOLE_ANSWER", 0.005)
    with faulty_proxy(lasting_hospital, pause=0.01) as proxy, connected(proxy.base_url) as client:
        proxy.next("trickle")
        with pytest.raises(TemporaryHospitalError, match=r"not complete within 0\.3 seconds"):
            list(client.search("Patient", {"_id": "nobody"}))


def test_an_order_waits_for_the_request_that_it_is_for(lasting_hospital: str, tag: str) -> None:
    with faulty_proxy(lasting_hospital) as proxy, connected(proxy.base_url) as client:
        proxy.next("500", method="GET", path=f"/Patient/p1-{tag}", times=2)
        write(client, patient(tag, 0), patient(tag, 1))
        client.read("Patient", f"p0-{tag}")
        for _ in range(2):
            with pytest.raises(TemporaryHospitalError):
                client.read("Patient", f"p1-{tag}")
        assert client.read("Patient", f"p1-{tag}")["id"] == f"p1-{tag}"


def test_an_unknown_fault_is_refused(lasting_hospital: str) -> None:
    with faulty_proxy(lasting_hospital) as proxy, pytest.raises(ValueError, match="no such fault: 418"):
        proxy.next("418")
    with pytest.raises(ValueError, match="no such fault: 418"), faulty_proxy(lasting_hospital, kinds=["418"]):
        pass


def _storm(target: str, tag: str, seed: int) -> FaultyProxy:
    with (
        faulty_proxy(target, seed=seed, rate=0.5, retry_after=0, pause=0.0) as proxy,
        connected(proxy.base_url, attempts=40) as client,
    ):
        for number in range(30):
            write(client, patient(tag, number))
        return proxy


def test_chance_is_seeded_and_a_client_that_tries_again_gets_everything_there(lasting_hospital: str, tag: str) -> None:
    first, second = (_storm(lasting_hospital, f"{tag}{run}", seed=5) for run in range(2))
    assert first.counts == second.counts
    assert len(first.counts) > 5
    assert set(first.counts) <= set(INSTEAD + AFTERWARDS) - {"401", "trickle"}
    with connected(lasting_hospital) as client:
        assert len(list(client.search("Patient", {"_tag": f"{SYSTEM}|{tag}0", "_sort": "_id"}))) == 30


def test_a_process_of_its_own_takes_orders_and_reports_over_http(lasting_hospital: str, tag: str) -> None:
    command = [sys.executable, "-m", "tests.faulty_proxy", lasting_hospital, "--rate", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        origin = base_url.removesuffix("/fhir")
        with connected(base_url) as client:
            requests.post(f"{origin}/-/next", json={"kind": "cut-after", "method": "POST"}, timeout=60)
            with pytest.raises(TemporaryHospitalError):
                write(client, patient(tag))
        report = json.loads(requests.get(f"{origin}/-/report", timeout=60).content)
        assert (report["counts"], report["writes"]) == ({"cut-after": 1}, 1)
        process.stdin.close() if process.stdin else None
        assert process.wait(30) == 0
