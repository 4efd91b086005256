"""A store of an older fhirbridge: what it holds is still there after it was opened."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.store import Backlog, Store
from fhirbridge.store.migrations.versions import v0001_first
from tests.store.making import Make
from tests.store.raw import connected, migrate
from tests.store.sending import HERE, of, send_all


def insert(connection: Connection, table: str, **values: Any) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(values)})"), values)


def store_versions(connection: Connection, key: int, rank: int, compartment: str, *versions: Resource) -> None:
    for number, resource in enumerate(versions, 1):
        given = {"hash": bytes.fromhex(fhirjson.content_hash(resource)), "last_updated": f"2026-03-{key:02}T0{number}"}
        if number == 1:
            about = {"type": resource["resourceType"], "id": resource["id"], "study": "trial", "rank": rank}
            insert(connection, "resource", key=key, compartment=compartment, version=len(versions), **about, **given)
        else:
            change = "UPDATE resource SET hash = :hash, last_updated = :last_updated WHERE key = :key"
            connection.execute(text(change), {"key": key, **given})
        body = fhirjson.dumps(fhirjson.content(resource))
        insert(connection, "version", resource=key, version=number, body=body, run="run-1", **given)


@pytest.fixture
def old(database_url: str, make: Make) -> str:
    """The URL of a database at the first migration, with something in every table."""
    with connected(database_url) as connection:
        migrate(connection, v0001_first.revision)
        found = connection.execute(text("SELECT version_num FROM fhirbridge_schema")).scalar()
        assert found == "0001"
        store_versions(connection, 1, 10, "p1", make.patient("p1"), make.patient("p1", gender="male"))
        store_versions(connection, 2, 10, "p2", make.patient("p2"))
        given, taken_back = make.consent("c1", "p1"), make.consent("c1", "p1", "inactive")
        store_versions(connection, 3, 12, "p1", given, taken_back, {**taken_back, "language": "en"})
        store_versions(connection, 4, 12, "p2", make.consent("c2", "p2"))
        insert(connection, "binding", study="trial", fingerprint="aaaa")
        insert(connection, "run", id="run-1", command="ingest", started="2026-03-01", ended=None)
        said = {"record": "r", "rule": "date", "message": "no date", "remedy": "Correct it."}
        insert(connection, "quarantine", run="run-1", number=1, **said)
        insert(connection, "server", key=1, base_url=HERE)
        sent = {"server": 1, "at": "2026-03-05", "run": "push-1"}
        first = bytes.fromhex(fhirjson.content_hash(make.patient("p1")))
        insert(connection, "acknowledged", resource=1, hash=first, version="7", **sent)
        same = bytes.fromhex(fhirjson.content_hash(make.patient("p2")))
        insert(connection, "acknowledged", resource=2, hash=same, version=None, **sent)
    return database_url


def test_what_an_old_store_held_is_still_there(old: str, make: Make) -> None:
    with Store.open(old) as store:
        assert store.counts("trial") == {"Consent": 2, "Patient": 2}
        assert [found.version for found in store.history("Consent", "c1")] == [3, 2, 1]
        assert store.read("Patient", "p1").content() == make.patient("p1", gender="male")
        assert [run.id for run in store.runs()] == ["run-1"]
        assert [finding.message for finding in store.findings("run-1")] == ["no date"]
        store.bind("aaaa", study="trial")


def test_what_a_server_had_acknowledged_is_live(old: str, make: Make) -> None:
    with Store.open(old) as store:
        known = of(store, "Patient", "p1", "retract").acknowledged
        assert (known.state, known.sent, known.version) == ("live", known.hash, "7")
        assert store.base(HERE, 1) == make.patient("p1")
        assert not of(store, "Patient", "p2").pending
        assert store.server_state(HERE).failures == 0
        assert send_all(store) == ["c2"]


def test_who_consents_is_read_from_the_consents_that_are_there(old: str) -> None:
    with Store.open(old) as store:
        assert store.withdrawn("trial") == {"p1"}
        assert (store.consented("trial", "p1"), store.consented("trial", "p2")) == (False, True)
        assert store.backlog(HERE, "trial") == Backlog(desired=4, pending=1, withheld=2, oldest="2026-03-04T01")
    with connected(old) as connection:
        since = connection.execute(text("SELECT resource, since FROM consent ORDER BY resource")).all()
    assert [tuple(row) for row in since] == [(3, "2026-03-03T02"), (4, "2026-03-04T01")]


def test_a_consent_stored_before_is_changed_by_one_put_after(old: str, make: Make) -> None:
    with Store.open(old) as store:
        with store.transaction() as transaction:
            assert transaction.put([(12, make.consent("c1", "p1"))], run="run-2") == ["updated"]
        assert store.withdrawn("trial") == set()
