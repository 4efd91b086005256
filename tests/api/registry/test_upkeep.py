"""Releases are kept up to date beside the requests: by whom, when, and what happens where that fails."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from fhirbridge.api.registry.upkeep import Upkeep
from fhirbridge.errors import StoreError
from fhirbridge.release.agreement import Agreement
from fhirbridge.release.view import View
from tests.api.registry.serving import AGREEMENT, OTHER, RELEASE_KEY, Registry
from tests.mappings.cases import STUDY


def upkeep(registry: Registry, releases: Any = None, **given: Any) -> Upkeep:
    def view(agreement: Agreement) -> View:
        return View(agreement, STUDY, RELEASE_KEY)

    return Upkeep(
        lambda: releases or registry.store.releases,
        lambda: registry.agreements,
        view,
        STUDY.schedule.zone,
        now=registry.clock.now,
        clock=registry.clock.seconds,
        **given,
    )


def test_what_changes_in_the_store_is_seen_once_it_is_released(registry: Registry) -> None:
    one = registry.one("Patient")
    stored = next(
        found.content()
        for found in registry.store.iterate(STUDY.id, types=["Patient"])
        if registry.upkeep.view(AGREEMENT).patient(found.id) == one["id"]
    )
    with registry.store.transaction() as transaction:
        transaction.put([(20, {**stored, "gender": "other"})], run="change")
    assert registry.get(f"Patient/{one['id']}") == one
    assert registry.get("Patient?gender=other")["total"] == 0
    registry.clock.turn(2)
    registry.refresh()
    assert registry.get(f"Patient/{one['id']}")["gender"] == "other"
    assert registry.get("Patient?gender=other")["total"] == 1


def test_a_position_is_believed_for_a_second_and_no_longer(registry: Registry) -> None:
    other = upkeep(registry)
    before = other.position(AGREEMENT.id)
    assert before is not None
    patient = next(found.content() for found in registry.store.iterate(STUDY.id, types=["Patient"]))
    with registry.store.transaction() as transaction:
        transaction.put([(20, {**patient, "gender": "other"})], run="change")
    registry.refresh()  # by another process, as it were
    assert other.position(AGREEMENT.id) == before
    registry.clock.turn(1)
    after = other.position(AGREEMENT.id)
    assert after is not None
    assert after.number > before.number


def test_agreements_that_are_over_are_left_alone(registry: Registry) -> None:
    registry.agreements[OTHER.id] = msgspec.structs.replace(
        OTHER, expires=registry.clock.now().date().replace(year=2020)
    )
    assert [done.agreement for done in upkeep(registry).once()] == [AGREEMENT.id]


def test_rules_that_change_are_followed_from_the_next_look_on(registry: Registry) -> None:
    before = registry.one("Patient")["birthDate"]
    rules = msgspec.structs.replace(AGREEMENT.view, birth_date="five-years")
    registry.agreements[AGREEMENT.id] = msgspec.structs.replace(AGREEMENT, view=rules)
    registry.clock.turn(2)
    registry.refresh()
    after = registry.one("Patient")["birthDate"]
    assert int(after) % 5 == 0
    assert int(after) <= int(before) < int(after) + 5


def test_one_agreement_that_fails_does_not_keep_back_the_others(registry: Registry) -> None:
    done = list[str]()

    class Releases:
        def refresh(self, view: View, zone: object) -> str:
            if view.agreement.id == AGREEMENT.id:
                raise StoreError("the disk is full.")
            done.append(view.agreement.id)
            return view.agreement.id

    with pytest.raises(StoreError, match="full"):
        upkeep(registry, Releases()).once()
    assert done == [OTHER.id]


def test_a_thread_looks_again_and_again_whatever_fails(registry: Registry) -> None:
    looked, noted = threading.Semaphore(0), list[str]()

    class Releases:
        def refresh(self, view: View, zone: object) -> None:
            looked.release()
            raise ValueError("unheard of")

    kept = upkeep(registry, Releases(), every=0.001, note=lambda event, **_facts: noted.append(event))
    for _ in range(3):
        kept.begin()
    for _ in range(5):
        assert looked.acquire(timeout=30)
    assert [thread.name for thread in threading.enumerate()].count("releases") == 1
    kept.end()
    kept.begin()
    assert "releases" not in [thread.name for thread in threading.enumerate()]
    assert set(noted) == {"release_failed"}


def test_without_an_interval_no_thread_is_begun(registry: Registry) -> None:
    before = threading.active_count()
    upkeep(registry).begin()
    assert threading.active_count() == before
