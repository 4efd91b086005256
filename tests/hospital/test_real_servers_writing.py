"""Writing to two real servers in every mode: what each of them does with ids, versions and deletions."""

from __future__ import annotations

import uuid

import pytest

from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import (
    EntryResult,
    Hospital,
    Mode,
    conditional_put_entry,
    create_entry,
    delete_entry,
    identifier_query,
    put_entry,
)

from .test_real_servers import SYSTEM
from .test_real_servers import client as client
from .test_real_servers import tag as tag

MODES = pytest.mark.parametrize("mode", ["transaction", "batch", "single"])


def _identifier(tag: str) -> Resource:
    return {"system": SYSTEM, "value": f"S,{tag}|1"}


def _patient(tag: str, **more: object) -> Resource:
    meta = {"tag": [{"system": SYSTEM, "code": tag}]}
    return {"resourceType": "Patient", "id": f"p-{tag}", "meta": meta, "identifier": [_identifier(tag)], **more}


def _observation(tag: str, subject: str) -> Resource:
    code = {"coding": [{"system": "http://loinc.org", "code": "63557-3"}]}
    return {
        "resourceType": "Observation",
        "id": f"o-{tag}",
        "status": "final",
        "code": code,
        "subject": {"reference": subject},
    }


def _put(client: Hospital, *resources: Resource, mode: Mode, if_match: str | None = None) -> list[EntryResult]:
    entries = [put_entry(resource, base_url=client.base_url, if_match=if_match) for resource in resources]
    return client.send(entries, mode)


def _status(client: Hospital, entry: Resource, mode: Mode) -> int | None:
    """The status of an entry, or of the transaction that it was refused with."""
    try:
        return client.send([entry], mode)[0].status
    except FatalHospitalError as error:
        return error.status


def _is_hapi(client: Hospital) -> bool:
    return client.capabilities().software.startswith("HAPI")


@MODES
def test_what_is_written_says_where_it_is_and_of_which_version(client: Hospital, tag: str, mode: Mode) -> None:
    first = _put(client, _patient(tag), _observation(tag, f"Patient/p-{tag}"), mode="transaction")
    assert [(one.status, one.type, one.id, one.version) for one in first] == [
        (201, "Patient", f"p-{tag}", "1"),
        (201, "Observation", f"o-{tag}", "1"),
    ]
    [second] = _put(client, _patient(tag, gender="female"), mode=mode, if_match="1")
    assert (second.status, second.id, second.version) == (200, f"p-{tag}", "2")
    assert client.read("Patient", f"p-{tag}")["meta"]["versionId"] == "2"


@MODES
def test_a_stale_version_is_412_where_hapi_says_409(client: Hospital, tag: str, mode: Mode) -> None:
    _put(client, _patient(tag), mode=mode)
    _put(client, _patient(tag, gender="female"), mode=mode)
    stale = put_entry(_patient(tag, gender="male"), base_url=client.base_url, if_match="1")
    assert _status(client, stale, mode) == (409 if _is_hapi(client) else 412)
    assert client.read("Patient", f"p-{tag}")["gender"] == "female"


@MODES
def test_a_refused_entry_leaves_the_others_but_for_a_transaction(client: Hospital, tag: str, mode: Mode) -> None:
    _put(client, _patient(tag), mode=mode)
    other = {**_patient(tag), "id": f"q-{tag}", "identifier": []}
    entries = [
        put_entry(_patient(tag, gender="male"), base_url=client.base_url, if_match="7"),
        put_entry({name: value for name, value in other.items() if value}, base_url=client.base_url),
    ]
    if mode == "transaction":
        with pytest.raises(FatalHospitalError):
            client.send(entries, mode)
    else:
        refused, taken = client.send(entries, mode)
        assert isinstance(refused.failure(), FatalHospitalError)
        assert refused.outcome is not None
        assert (taken.status, taken.id) == (201, f"q-{tag}")
    found = {one["id"] for one in client.lookup("Patient", [f"p-{tag}", f"q-{tag}"])}
    assert found == ({f"p-{tag}"} if mode == "transaction" else {f"p-{tag}", f"q-{tag}"})


@MODES
def test_a_conditional_create_happens_once_and_names_what_is_there(client: Hospital, tag: str, mode: Mode) -> None:
    query = identifier_query(_identifier(tag))
    create = create_entry(_patient(tag), full_url=f"urn:uuid:{uuid.uuid4()}", if_none_exist=query)
    [first] = client.send([create], mode)
    [second] = client.send([create], mode)
    assert (first.status, second.status) == (201, 200)
    assert first.type == "Patient"
    assert first.id not in (None, f"p-{tag}")
    assert (second.id, second.version) == (first.id, "1")
    assert len(list(client.search("Patient", {"_tag": f"{SYSTEM}|{tag}"}))) == 1


@MODES
def test_a_conditional_update_creates_and_then_updates_the_same(client: Hospital, tag: str, mode: Mode) -> None:
    query = identifier_query(_identifier(tag))
    urn = f"urn:uuid:{uuid.uuid4()}"
    [first] = client.send([conditional_put_entry(_patient(tag), query, full_url=urn)], mode)
    [second] = client.send([conditional_put_entry(_patient(tag, gender="male"), query, full_url=urn)], mode)
    assert (first.status, second.status) == (201, 200)
    assert (second.id, second.version) == (first.id, "2")
    assert first.id is not None
    assert client.read("Patient", first.id)["gender"] == "male"


def test_inside_a_transaction_a_urn_becomes_the_id_that_the_server_chose(client: Hospital, tag: str) -> None:
    urn = f"urn:uuid:{uuid.uuid4()}"
    query = identifier_query(_identifier(tag))
    entries = [
        create_entry(_patient(tag), full_url=urn, if_none_exist=query),
        create_entry(_observation(tag, urn), full_url=f"urn:uuid:{uuid.uuid4()}", if_none_exist=None),
    ]
    patient, observation = client.send(entries, "transaction")
    assert observation.id is not None
    assert client.read("Observation", observation.id)["subject"]["reference"] == f"Patient/{patient.id}"


@MODES
def test_what_was_deleted_is_gone_and_may_be_deleted_again(client: Hospital, tag: str, mode: Mode) -> None:
    _put(client, _patient(tag), mode=mode)
    for _ in range(2):
        [deleted] = client.send([delete_entry("Patient", f"p-{tag}", if_match="1")], mode)
        assert (deleted.gone, deleted.ok, deleted.type, deleted.id) == (True, True, "Patient", f"p-{tag}")
    with pytest.raises(FatalHospitalError) as caught:
        client.read("Patient", f"p-{tag}")
    assert caught.value.status in (404, 410)
    [again] = _put(client, _patient(tag), mode=mode)
    assert (again.status, again.version) == (201, "3")


def test_a_lookup_finds_those_that_are_there_with_the_elements_asked_for(client: Hospital, tag: str) -> None:
    patients = [{**_patient(f"{tag}{number}"), "gender": "male"} for number in range(60)]
    _put(client, *patients, mode="transaction")
    ids = [patient["id"] for patient in patients]
    found = list(client.lookup("Patient", [*ids, f"absent-{tag}"], elements=("identifier", "meta")))
    assert sorted(one["id"] for one in found) == sorted(ids)
    assert all("identifier" in one and "gender" not in one for one in found)
    assert {one["meta"]["versionId"] for one in found} == {"1"}


def test_what_the_servers_say_they_can_do(client: Hospital) -> None:
    said = client.capabilities()
    assert (said.transactions, said.updates("Patient"), said.creates("Patient"), said.deletes("Patient")) == (True,) * 4
    assert (said.conditional_create("Patient"), said.conditional_update("Patient")) == (True, True)
    assert said.versioned_update("Patient")
    assert not said.read_only("Patient")
    assert said.searchable("Patient", "identifier") is True
    assert said.searchable("Patient", "shoe-size") is False
