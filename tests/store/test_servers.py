"""What is known of a server: its state, and the ids it gave."""

from __future__ import annotations

import pytest

from fhirbridge.store import Delivered, ServerState, Store
from tests.store.sending import HERE, of, take


def test_of_a_server_never_seen_nothing_is_known(store: Store) -> None:
    assert store.server_state(HERE) == ServerState()
    assert store.server_state(HERE).failures == 0
    assert not store.has_crosswalk(HERE)


def test_what_is_noted_of_a_server_stays_until_it_is_noted_otherwise(store: Store) -> None:
    said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server"}]}
    store.note_server(HERE, capabilities=said, capabilities_at="2026-03-01T08:00:00.000Z")
    store.note_server(HERE, failures=3, open_until="2026-03-01T09:00:00.000Z", last_error="no answer")
    assert store.server_state(HERE) == ServerState(
        capabilities=said,
        capabilities_at="2026-03-01T08:00:00.000Z",
        failures=3,
        open_until="2026-03-01T09:00:00.000Z",
        last_error="no answer",
    )
    store.note_server(HERE, failures=0, open_until=None, capabilities=None)
    state = store.server_state(HERE)
    assert (state.failures, state.open_until, state.capabilities, state.last_error) == (0, None, None, "no answer")
    assert store.server_state("http://there/fhir") == ServerState()


def test_ids_that_a_server_gave_lead_both_ways(put, store: Store, make) -> None:
    put(*make.subject("p1", observations=3), *make.subject("p2", observations=0))
    take(store, of(store, "Patient", "p1"), server_id="17")
    take(store, of(store, "Observation", "p1-0"), server_id="17")
    take(store, of(store, "Observation", "p1-1"), server_id="p1-1")
    take(store, of(store, "Observation", "p1-2"))
    names = [(one.stored.type, one.stored.id) for one in store.deliveries(HERE, "trial", "p1", every=True)]
    assert store.crosswalk(HERE, names) == {("Patient", "p1"): "17", ("Observation", "p1-0"): "17"}
    assert store.crosswalk(HERE, [("Patient", "p2")]) == {}
    assert store.our_names(HERE, "Patient", ["17", "18"]) == {"17": "p1"}
    assert store.our_names(HERE, "Observation", ["17", "18"]) == {"17": "p1-0"}
    assert of(store, "Patient", "p1").server_id == "17"
    assert of(store, "Observation", "p1-2").server_id is None
    assert (store.has_crosswalk(HERE), store.has_crosswalk("http://there/fhir")) == (True, False)
    assert store.crosswalk("http://there/fhir", names) == {}


def test_a_server_may_give_another_id_later(put, store: Store, make) -> None:
    put((10, make.patient("p1")))
    take(store, of(store, "Patient", "p1"), server_id="17", owner="hospital")
    take(store, of(store, "Patient", "p1"))
    assert (of(store, "Patient", "p1").server_id, of(store, "Patient", "p1").hospital_owned) == ("17", True)
    take(store, of(store, "Patient", "p1"), server_id="18", owner="us")
    assert (of(store, "Patient", "p1").server_id, of(store, "Patient", "p1").hospital_owned) == ("18", False)


@pytest.mark.parametrize("count", [0, 1201])
def test_any_number_of_names_may_be_asked_for(put, store: Store, make, count: int) -> None:
    put((1, make.patient("p1")), *[(2, make.observation(f"o{number}", "p1")) for number in range(count)])
    results = [one.stored for one in store.deliveries(HERE, "trial", "p1") if one.stored.type == "Observation"]
    taken = [Delivered(key=one.key, hash=one.hash, sent=None, version="1", server_id=f"s{one.key}") for one in results]
    store.acknowledge(HERE, taken, run="push-1")
    names = [("Observation", f"o{number}") for number in range(count)]
    found = store.crosswalk(HERE, names)
    assert len(found) == count
    assert set(store.our_names(HERE, "Observation", list(found.values())).values()) == {id for _, id in found}
