"""The breakable hospital keeps the rules of RESTful FHIR until it is told not to; what tests rest on is tested here."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhirbridge.errors import FatalHospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import Hospital, conditional_put_entry, create_entry, delete_entry, put_entry
from tests.sync.breakable_hospital import BASE

TAG = {"system": "urn:study", "code": "trial"}


def patient(id: str = "p1", **more: object) -> Resource:
    identifier = {"system": "urn:subject", "value": f"S-{id}"}
    return {"resourceType": "Patient", "id": id, "meta": {"tag": [TAG]}, "identifier": [identifier], **more}


def observation(subject: str) -> Resource:
    return {"resourceType": "Observation", "id": "o1", "subject": {"reference": subject}}


def put(*resources: Resource, if_match: str | None = None) -> list[Resource]:
    return [put_entry(resource, base_url=BASE, if_match=if_match) for resource in resources]


def answers(hospital: Hospital, entries: list[Resource], mode: str = "transaction") -> list[tuple[int, str, str]]:
    return [(one.status, one.id, one.version) for one in hospital.send(entries, mode)]


MODES = pytest.mark.parametrize("mode", ["transaction", "batch", "single"])


@MODES
def test_every_write_makes_a_version_and_a_deletion_too(breakable, mode: str) -> None:
    with breakable.connected() as hospital:
        assert answers(hospital, put(patient()), mode) == [(201, "p1", "1")]
        assert answers(hospital, put(patient()), mode) == [(200, "p1", "2")]
        assert hospital.read("Patient", "p1")["meta"]["versionId"] == "2"
        assert answers(hospital, [delete_entry("Patient", "p1", if_match="2")], mode) == [(204, "p1", None)]
        with pytest.raises(FatalHospitalError) as caught:
            hospital.read("Patient", "p1")
        assert caught.value.status == 410
        assert answers(hospital, put(patient()), mode) == [(201, "p1", "4")]
        breakable.keeps_version_of_identical = True
        assert answers(hospital, put(patient()), mode) == [(200, "p1", "4")]


@pytest.mark.parametrize("stale", [412, 409])
@pytest.mark.parametrize("atomic", [True, False])
def test_a_stale_version_is_refused_and_takes_its_transaction_with_it_if_atomic(
    breakable, stale: int, atomic: bool
) -> None:
    breakable.put(patient())
    breakable.stale, breakable.atomic = stale, atomic
    entries = put(patient("p2")) + put(patient(gender="male"), if_match="9")
    with breakable.connected() as hospital:
        if atomic:
            with pytest.raises(FatalHospitalError) as caught:
                hospital.send(entries, "transaction")
            assert caught.value.status == stale
        else:
            assert [one.status for one in hospital.send(entries, "transaction")] == [201, stale]
        assert [one.status for one in hospital.send([delete_entry("Patient", "p1", if_match="9")], "batch")] == [stale]
        absent = hospital.send(put(patient("p3"), if_match="1"), "single")
    assert ("Patient/p2" in breakable.kept, breakable.version("Patient/p1")) == (not atomic, 1)
    assert absent[0].status == (412 if stale == 412 else 201)


def test_a_server_may_not_look_at_if_match(breakable) -> None:
    breakable.put(patient())
    breakable.stale = None
    with breakable.connected() as hospital:
        assert answers(hospital, put(patient(), if_match="9")) == [(200, "p1", "2")]


@MODES
@pytest.mark.parametrize("refusal", [400, 404, 405])
def test_a_server_that_assigns_ids_refuses_ours(breakable, mode: str, refusal: int) -> None:
    breakable.assigns_ids, breakable.unknown_put, breakable.atomic = True, refusal, False
    with breakable.connected() as hospital:
        assert [one.status for one in hospital.send(put(patient()), mode)] == [refusal]
        [created] = hospital.send([create_entry(patient(), full_url="urn:uuid:1", if_none_exist=None)], mode)
        assert (created.status, created.id) == (201, "1001")
        assert answers(hospital, put(patient("1001")), mode) == [(200, "1001", "2")]


@MODES
def test_conditional_writes_find_their_match_or_make_one(breakable, mode: str) -> None:
    query = "identifier=urn%3Asubject%7CS-p1"
    with breakable.connected() as hospital:
        for expected in ((201, "1001", "1"), (200, "1001", "1")):
            assert answers(hospital, [create_entry(patient(), full_url="urn:uuid:1", if_none_exist=query)], mode) == [
                expected
            ]
        assert answers(hospital, [conditional_put_entry(patient(), query, full_url="urn:uuid:1")], mode) == [
            (200, "1001", "2")
        ]
        breakable.put(patient("twin") | {"identifier": patient()["identifier"]})
        breakable.atomic = False
        [many] = hospital.send([conditional_put_entry(patient(), query, full_url="urn:uuid:1")], "single")
        assert many.status == 412


def test_references_inside_a_transaction_become_the_ids_that_were_chosen(breakable) -> None:
    breakable.needs_targets = True
    subject = observation("urn:uuid:1")
    entries = [
        create_entry(subject, full_url="urn:uuid:2", if_none_exist=None),
        create_entry(patient(), full_url="urn:uuid:1", if_none_exist="identifier=urn%3Asubject%7CS-p1"),
    ]
    with breakable.connected() as hospital:
        made, of = hospital.send(entries, "transaction")
        assert breakable.kept[f"Observation/{made.id}"]["subject"] == {"reference": f"Patient/{of.id}"}
        with pytest.raises(FatalHospitalError, match="Patient/nobody is not here"):
            hospital.send(put(observation("Patient/nobody")), "transaction")
    assert "Observation/o1" not in breakable.kept


def test_medplum_takes_eight_entries_if_one_is_conditional(breakable) -> None:
    breakable.says(software="Medplum")
    many = [patient(f"p{number}") for number in range(8)]
    conditional = create_entry(patient("c"), full_url="urn:uuid:1", if_none_exist="identifier=a")
    with breakable.connected() as hospital:
        assert hospital.capabilities().software == "Medplum"
        with pytest.raises(FatalHospitalError, match="more than 8 entries"):
            hospital.send([*put(*many), conditional], "transaction")
        assert len(hospital.send([*put(*many[1:]), conditional], "transaction")) == 8


def test_it_says_what_it_is_told_to_say(breakable) -> None:
    breakable.says(system=("batch",), interactions=("read", "create"), updateCreate=False, versioning="no-version")
    with breakable.connected() as hospital:
        said = hospital.capabilities()
    assert (said.transactions, said.batches, said.updates("Patient")) == (False, True, False)
    assert (said.creates_by_update("Patient"), said.versioned_update("Patient")) == (False, False)


def test_a_kind_of_bundle_that_is_not_taken_and_a_type_that_is_not_written_are_refused(breakable) -> None:
    breakable.takes, breakable.unwritable = {"batch"}, {"Observation"}
    with breakable.connected() as hospital:
        with pytest.raises(FatalHospitalError, match="no Bundle of type transaction"):
            hospital.send(put(patient()), "transaction")
        statuses = [one.status for one in hospital.send(put(patient(), observation("Patient/p1")), "batch")]
    assert statuses == [201, 405]


@MODES
def test_an_answer_may_be_lost_after_the_server_took_the_write(breakable, mode: str) -> None:
    breakable.lose_next = 1
    with breakable.connected(attempts=1) as hospital, pytest.raises(TemporaryHospitalError):
        hospital.send(put(patient()), mode)
    assert breakable.version("Patient/p1") == 1
    assert breakable.bundles == [["Patient/p1"]]


def test_a_failure_may_say_when_to_come_back(breakable) -> None:
    breakable.fail_next = [(429, {"Retry-After": "3600"})]
    with breakable.connected() as hospital, pytest.raises(TemporaryHospitalError) as caught:
        hospital.send(put(patient()), "transaction")
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"_id": "p1,p3"}, ["p1", "p3"]),
        ({"identifier": "urn:subject|S-p2"}, ["p2"]),
        ({"identifier": "S-p2,S-p3"}, ["p2", "p3"]),
        ({"identifier": "urn:other|S-p2"}, []),
        ({"_tag": "urn:study|trial", "_sort": "-_id"}, ["p3", "p2", "p1"]),
        ({"_tag": "urn:study|other"}, []),
        ({"_lastUpdated": "ge2026-01-02T00:00:00Z"}, ["p2", "p3"]),
        ({"_lastUpdated": "lt2026-01-02T00:00:00Z"}, ["p1"]),
    ],
)
def test_it_is_searched_as_fhir_says(breakable, params: dict[str, str], found: list[str]) -> None:
    for day in (1, 2, 3):
        breakable.clock = lambda day=day: datetime(2026, 1, day, tzinfo=UTC)
        breakable.put(patient(f"p{day}"))
    with breakable.connected() as hospital:
        assert [one["id"] for one in hospital.search("Patient", params)] == found


def test_a_search_may_ask_for_elements(breakable) -> None:
    breakable.put(patient(gender="male"))
    with breakable.connected() as hospital:
        [part] = hospital.lookup("Patient", ["p1"], elements=("identifier",))
    assert part.keys() == {"resourceType", "id", "meta", "identifier"}
    assert part["meta"]["tag"][0] == TAG
    assert part["meta"]["versionId"] == "1"
