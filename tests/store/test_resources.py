"""Putting resources and reading them back, with their versions."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import StoreError
from fhirbridge.store import Store

WRITER = """
import collections, json, sys
from fhirbridge.elements import STUDY_TAG
from fhirbridge.store import Store

url, name = sys.argv[1:]
outcomes = collections.Counter()
with Store.open(url) as store:
    for turn in range(20):
        meta = {"tag": [{"system": STUDY_TAG, "code": "trial"}]}
        patient = {"resourceType": "Patient", "id": "p1", "meta": meta, "language": f"{name}-{turn}"}
        shared = {"resourceType": "Patient", "id": f"s{turn}", "meta": meta}
        with store.transaction() as transaction:
            outcomes.update(transaction.put([(1, patient)], run=name))
            outcomes.update(f"shared {outcome}" for outcome in transaction.put([(1, shared)], run=name))
print(json.dumps(outcomes))
"""


def test_put_says_what_became_of_each_resource(put, make) -> None:
    assert put((1, make.patient("p1")), (2, make.observation("o1", "p1"))) == ["created", "created"]
    assert put((1, make.patient("p1")), (2, make.observation("o1", "p1", "6.00"))) == ["unchanged", "updated"]


def test_the_same_content_makes_no_new_version(put, store: Store, make) -> None:
    put((1, make.patient("p1", gender="male", active=True)))
    reordered = dict(reversed(make.patient("p1", gender="male", active=True).items()))
    assert put((1, reordered)) == ["unchanged"]
    assert [found.version for found in store.history("Patient", "p1")] == [1]


def test_what_a_server_writes_into_meta_is_no_content(put, store: Store, make) -> None:
    put((1, make.patient("p1")))
    served = make.patient("p1")
    served["meta"] = {**served["meta"], "versionId": "7", "lastUpdated": "2026-01-01T00:00:00Z", "source": "#x"}
    assert put((1, served)) == ["unchanged"]


def test_a_change_makes_a_version_and_keeps_the_one_before(put, store: Store, make) -> None:
    put((1, make.patient("p1", gender="male")))
    put((1, make.patient("p1", gender="female")))
    assert [(found.version, found.content()["gender"]) for found in store.history("Patient", "p1")] == [
        (2, "female"),
        (1, "male"),
    ]
    assert store.read("Patient", "p1").content()["gender"] == "female"
    assert store.vread("Patient", "p1", 1).content()["gender"] == "male"
    assert store.vread("Patient", "p1", 3) is None


def test_a_change_and_its_reversal_are_three_versions(put, store: Store, make) -> None:
    for gender in ("male", "female", "male"):
        put((1, make.patient("p1", gender=gender)))
    first, second, third = reversed(store.history("Patient", "p1"))
    assert first.hash == third.hash != second.hash


def test_a_resource_put_twice_in_one_batch_ends_as_the_later_one(put, store: Store, make) -> None:
    outcomes = put(*[(1, make.patient("p1", gender=gender)) for gender in ("male", "male", "female", "female")])
    assert outcomes == ["created", "unchanged", "updated", "unchanged"]
    assert [found.version for found in store.history("Patient", "p1")] == [2, 1]
    assert store.read("Patient", "p1").content()["gender"] == "female"


def test_batches_larger_than_one_query_are_stored_whole(put, store: Store, make) -> None:
    assert set(put(*make.subject("p1", observations=1201))) == {"created"}
    assert set(put(*make.subject("p1", observations=1201))) == {"unchanged"}
    assert store.counts("trial") == {"Observation": 1201, "Patient": 1}


def test_resources_of_two_types_may_have_one_id(put, store: Store, make) -> None:
    put((1, make.patient("x")), (2, make.observation("x", "x")))
    assert store.read("Patient", "x").type == "Patient"
    assert store.read("Observation", "x").type == "Observation"


@pytest.mark.parametrize(
    "digits", ["5.50", "6.10", "1.7E+8", "0.000", "10", "10.0", "123456789012345678901234567890.10"]
)
def test_decimals_keep_their_digits(put, store: Store, make, digits: str) -> None:
    put((1, make.observation("o1", "p1", digits)))
    assert str(store.read("Observation", "o1").content()["valueQuantity"]["value"]) == digits
    assert put((1, make.observation("o1", "p1", digits))) == ["unchanged"]


def test_more_digits_are_another_content(put, make) -> None:
    put((1, make.observation("o1", "p1", "5.5")))
    assert put((1, make.observation("o1", "p1", "5.50"))) == ["updated"]


def test_a_read_resource_carries_version_and_time_and_its_own_meta(database_url: str, make) -> None:
    with Store.open(database_url, clock=lambda: datetime(2026, 3, 1, 8, 0, tzinfo=UTC)) as store:
        with store.transaction() as transaction:
            transaction.put([(1, make.observation("o1", "p1"))], run="run-1")
        found = store.read("Observation", "o1")
    read = found.resource()
    assert read.pop("meta") == {"versionId": "1", "lastUpdated": "2026-03-01T08:00:00.000Z", **make.meta()}
    assert list(read)[:2] == ["resourceType", "id"]
    assert read["valueQuantity"]["value"] == Decimal("5.50")
    assert found.hash == fhirjson.content_hash(make.observation("o1", "p1"))
    assert found.run == "run-1"


def test_an_unknown_id_reads_as_nothing(store: Store) -> None:
    assert store.read("Patient", "nobody") is None
    assert store.history("Patient", "nobody") == []


def test_an_error_in_a_transaction_undoes_all_of_it(put, store: Store, make) -> None:
    with pytest.raises(StoreError, match=r"without the study in meta\.tag"):
        put(
            (1, make.patient("p1")),
            *[(1, make.patient(f"p{n}")) for n in range(600)],
            (1, {"resourceType": "Patient", "id": "x"}),
        )
    assert store.counts("trial") == {}


def test_a_resource_without_an_id_is_refused(put, make) -> None:
    with pytest.raises(StoreError, match="without resourceType or id"):
        put((1, {"resourceType": "Patient", "meta": make.meta()}))


@pytest.mark.parametrize(
    ("kind", "elements", "compartment"),
    [
        ("Patient", {}, "x"),
        ("Observation", {"subject": {"reference": "Patient/p1"}}, "p1"),
        ("BodyStructure", {"patient": {"reference": "Patient/p1"}}, "p1"),
        ("ResearchSubject", {"individual": {"reference": "Patient/p1/_history/2"}}, "p1"),
        ("Organization", {}, ""),
        ("Observation", {"subject": {"reference": "Location/l1"}}, ""),
        ("PlanDefinition", {"subjectCodeableConcept": {"text": "adults"}}, ""),
    ],
)
def test_the_compartment_is_the_patient_a_resource_is_about(put, store, make, kind, elements, compartment) -> None:
    put((1, {"resourceType": kind, "id": "x", "meta": make.meta(), **elements}))
    assert store.read(kind, "x").compartment == compartment


def test_iterate_goes_by_compartment_and_then_by_rank(put, store: Store, make) -> None:
    put(*make.subject("p2"), *make.subject("p1"), (5, make.study_resource()))
    expected = ["trial", "p1", "p1-0", "p1-1", "p2", "p2-0", "p2-1"]
    assert [found.id for found in store.iterate("trial")] == expected
    assert [found.id for found in store.iterate("trial", page=2)] == expected
    assert [found.id for found in store.iterate("trial", types=["Patient", "ResearchStudy"])] == ["trial", "p1", "p2"]
    assert [found.id for found in store.iterate("trial", compartment="p1")] == ["p1", "p1-0", "p1-1"]
    assert [found.id for found in store.iterate("trial", compartment="")] == ["trial"]
    assert list(store.iterate("another")) == []


def test_a_new_rank_moves_a_resource_without_a_new_version(put, store: Store, make) -> None:
    put((10, make.patient("p1")), (20, make.observation("o1", "p1")))
    assert put((30, make.patient("p1"))) == ["unchanged"]
    assert [(found.id, found.version) for found in store.iterate("trial")] == [("o1", 1), ("p1", 1)]


def test_identities_yield_every_id_of_a_type(put, store: Store, make) -> None:
    put(*make.subject("p1", observations=5))
    assert {id for _, id in store.identities("trial", "Observation", page=2)} == {f"p1-{number}" for number in range(5)}


def test_studies_are_kept_apart(put, store: Store, make) -> None:
    put((1, make.patient("p1")), (1, {"resourceType": "Patient", "id": "p2", "meta": make.meta("another")}))
    assert store.studies() == ["another", "trial"]
    assert store.counts("another") == {"Patient": 1}
    assert [found.id for found in store.iterate("trial")] == ["p1"]


def test_two_processes_writing_the_same_subject_lose_and_repeat_no_version(database_url: str) -> None:
    Store.open(database_url).close()
    command = [sys.executable, "-c", WRITER, database_url]
    writers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE) for name in ("one", "two")]
    said = [json.loads(writer.communicate()[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    with Store.open(database_url) as store:
        history = store.history("Patient", "p1")
        shared = [len(store.history("Patient", f"s{turn}")) for turn in range(20)]
    made = sum(one.get("created", 0) + one.get("updated", 0) for one in said)
    assert made == 40
    assert [found.version for found in history] == list(range(made, 0, -1))
    assert len({found.hash for found in history}) == made
    assert {found.run for found in history} == {"one", "two"}
    assert shared == [1] * 20
    assert sum(one.get("shared created", 0) for one in said) == 20
