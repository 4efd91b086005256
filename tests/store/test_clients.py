"""Registries' clients in the store, on either database: who is in force, and what is never taken twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from fhirbridge.errors import Refused, StoreError
from fhirbridge.store import Store
from fhirbridge.store.clients import Client

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> dt.datetime:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with Store.open(database_url, clock=clock) as opened:
        yield opened


def add(store: Store, id: str = "c1", name: str = "HCC") -> Client:
    return store.clients.add(
        id, name, agreement="A1", scopes="system/*.rs", by="ann", jwks='{"keys": []}', jwks_uri=None
    )


def test_a_client_is_kept_as_it_was_registered(store: Store) -> None:
    made = add(store)
    assert store.clients.get("c1") == made
    assert store.clients.called("HCC") == store.clients.called("c1") == [made]
    assert (made.created, made.by, made.revoked) == ("2026-03-01T12:00:00.000Z", "ann", None)
    assert store.clients.get("HCC") is None


def test_a_name_is_free_again_once_its_client_is_revoked_and_an_id_never_is(store: Store, clock: Clock) -> None:
    add(store)
    for id, name in (("c2", "HCC"), ("c1", "other")):
        with pytest.raises(Refused, match="c1"):
            add(store, id, name)
    clock.turn(1)
    assert store.clients.revoke("c1", by="ben")
    with pytest.raises(Refused):
        add(store, "c1", "another")
    clock.turn(1)
    add(store, "c2")
    assert [one.id for one in store.clients.called("HCC")] == ["c2", "c1"]
    assert [one.id for one in store.clients.all()] == ["c1", "c2"]
    assert store.clients.called("HCC")[1].revoked_by == "ben"


def test_what_is_revoked_is_in_force_no_more_and_the_first_revocation_stands(store: Store, clock: Clock) -> None:
    add(store)
    add(store, "c2", "other")
    assert store.clients.in_force().clients == {"c1", "c2"}
    assert store.clients.revoke("c1", by="ben")
    clock.turn(60)
    assert not store.clients.revoke("c1", by="eve")
    assert not store.clients.revoke("nobody", by="eve")
    found = store.clients.get("c1")
    assert found is not None
    assert (found.revoked, found.revoked_by) == ("2026-03-01T12:00:00.000Z", "ben")
    assert store.clients.in_force().clients == {"c2"}


def test_a_revoked_token_is_remembered_until_it_would_have_expired(store: Store, clock: Clock) -> None:
    ends = START + dt.timedelta(seconds=300)
    assert store.clients.revoke_token("t1", expires=ends, by="ben")
    assert not store.clients.revoke_token("t1", expires=ends, by="ben")
    clock.turn(300)
    assert store.clients.in_force().revoked_tokens == {"t1"}
    clock.turn(1)
    assert store.clients.in_force().revoked_tokens == set()


def test_a_statement_is_new_once_for_each_client_until_it_has_expired(store: Store, clock: Clock) -> None:
    add(store)
    add(store, "c2", "other")
    ends = START + dt.timedelta(seconds=300)
    assert store.clients.use("c1", "jti", expires=ends)
    assert not store.clients.use("c1", "jti", expires=ends)
    assert store.clients.use("c2", "jti", expires=ends)
    assert store.clients.use("c1", "it\x1fj", expires=ends)
    clock.turn(300)
    assert not store.clients.use("c1", "jti", expires=ends)
    clock.turn(1)
    assert store.clients.use("c1", "jti", expires=ends + dt.timedelta(seconds=300))


def test_a_statement_of_nobody_is_not_kept(store: Store) -> None:
    with pytest.raises(StoreError):
        store.clients.use("nobody", "jti", expires=START)
