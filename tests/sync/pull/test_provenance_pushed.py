"""The Provenance of pulled results on two real servers: sekmet-fhir, and HAPI, which looks every reference up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fhirbridge.hospital import Hospital, put_entry
from fhirbridge.identity import Identity
from fhirbridge.store import Store
from fhirbridge.sync.push import PushOptions, PushReport, push
from fhirbridge.sync.reconcile import reconcile
from mappings import resources
from tests.mappings.cases import COPIES, STUDY, SUBJECT, TAKEN_BACK


@pytest.fixture(params=["sekmet", pytest.param("hapi", marks=pytest.mark.hapi)])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("lasting_hospital" if request.param == "sekmet" else "hapi"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


@pytest.mark.parametrize("strategy", ["update", "search"])
def test_a_provenance_that_names_a_result_of_the_same_server_arrives_and_stays_in_step(
    server: str, store: Store, strategy: str
) -> None:
    study = msgspec.structs.replace(STUDY, id=f"origin-{secrets.token_hex(4)}")
    identity = Identity(bytes(range(32)), study.id)
    theirs = {
        "resourceType": "Observation", "id": f"{study.id}-7", "status": "final", "code": {"text": "HBV DNA"},
    }  # fmt: skip

    def put(*records: object) -> None:
        with store.transaction() as transaction:
            ranked = [pair for record in records for pair in resources(record, study, identity)]  # type: ignore[arg-type]
            transaction.put(ranked, run="run-1")

    def sent() -> PushReport:
        options = PushOptions(strategies={"Provenance": strategy})
        report = push(store, hospital, study.id, run="push-1", options=options)
        assert report.complete, list(store.failures(hospital.server_id, study.id))
        return report

    with Hospital(server) as hospital:
        assert hospital.send([put_entry(theirs, base_url=server)], "single")[0].ok
        source = replace(COPIES.source, feed=server, reference=f"Observation/{study.id}-7", version="1")  # type: ignore[type-var]
        put(study, SUBJECT, replace(COPIES, source=source))
        assert sent().fates["created"] == sum(store.counts(study.id).values())
        assert sent().requests == 0
        found = reconcile(store, hospital, study.id, run="look-1", full=True)
        assert found.in_step, found.as_dict()
        back = replace(TAKEN_BACK.source, feed=server, reference=f"Observation/{study.id}-7", version="1")  # type: ignore[type-var]
        put(replace(COPIES, status="entered-in-error", source=replace(back, measured=source.measured)))
        assert sent().fates["updated"] == 4
        found = reconcile(store, hospital, study.id, run="look-2", full=True)
        assert found.in_step, found.as_dict()
