"""Push and servers that differ: who chooses the ids, what travels together, and whose a Patient is."""

from __future__ import annotations

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import Capabilities
from fhirbridge.sync.strategies import Limits, Strategies
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed


@pytest.fixture(params=["conditional-create", "conditional-update", "search"])
def assigning(request, breakable):
    """A server that chooses ids itself and checks references, and the strategy that its statement leads to."""
    breakable.assigns_ids = True
    breakable.needs_targets = True
    offers = {"conditional-create": {"conditionalCreate": True}, "conditional-update": {"conditionalUpdate": True}}
    breakable.says(versioning="versioned-update", updateCreate=False, **offers.get(request.param, {}))
    return breakable


@pytest.mark.parametrize("mode", ["transaction", "batch", "single"])
def test_where_the_server_chooses_ids_each_resource_is_there_once_and_references_lead_to_its_ids(
    store, put, make, assigning, mode
) -> None:
    put(make.cohort(3))
    with assigning.connected() as hospital:
        report = pushed(store, hospital, mode=mode)
        assert report.complete, report.as_dict()
        assert pushed(store, hospital).requests == 0
    assert len(assigning.kept) == 10
    patients = {url for url in assigning.kept if url.startswith("Patient/")}
    subjects = [kept["subject"]["reference"] for kept in assigning.kept.values() if "subject" in kept]
    assert sorted(subjects) == sorted([*patients, *patients])


def test_an_update_goes_to_the_servers_id_over_the_version_it_has(store, put, make, assigning) -> None:
    put(make.cohort(1))
    with assigning.connected() as hospital:
        pushed(store, hospital)
        put([(20, make.observation("trial-p000-0", "trial-p000", "6.10"))])
        assigning.writes.clear()
        report = pushed(store, hospital)
    assert dict(report.fates) == {"unchanged": 3, "updated": 1}
    theirs = store.crosswalk(BASE, [("Observation", "trial-p000-0")])["Observation", "trial-p000-0"]
    assert assigning.writes == [{"method": "PUT", "url": f"Observation/{theirs}", "ifMatch": 'W/"1"'}]


def test_a_create_whose_answer_was_lost_is_found_there_by_identifier(store, put, make, assigning) -> None:
    put(make.cohort(1))
    with assigning.connected(attempts=1) as hospital:
        assigning.lose_next = 2
        for _ in range(4):
            report = pushed(store, hospital)
        assert report.complete, report.as_dict()
    assert len(assigning.kept) == 4


def test_a_patient_of_the_hospitals_own_is_found_by_identifier_and_never_written(store, put, make, breakable) -> None:
    breakable.assigns_ids = True
    breakable.needs_targets = True
    breakable.says(versioning="versioned-update", updateCreate=False, conditionalCreate=True)
    name = {"identifier": [{"system": "urn:mrn", "value": "4711"}]}
    breakable.put({"resourceType": "Patient", "id": "77", **name, "gender": "male"})
    put([(10, make.patient("p1", **name)), (20, make.observation("o1", "p1"))])
    with breakable.connected() as hospital:
        report = pushed(store, hospital, strategies={"Patient": "find"})
        assert report.complete, report.as_dict()
        put([(10, make.patient("p1", **name, active=True))])
        assert pushed(store, hospital, strategies={"Patient": "find"}).requests == 0
    assert breakable.kept["Patient/77"]["gender"] == "male"
    assert breakable.versions["Patient/77"] == 1
    [observation] = [kept for url, kept in breakable.kept.items() if url.startswith("Observation/")]
    assert observation["subject"] == {"reference": "Patient/77"}


def test_a_patient_that_the_hospital_does_not_have_yet_is_parked_and_its_results_are_held(
    store, put, make, breakable
) -> None:
    put(
        [
            (10, make.patient("p1", identifier=[{"system": "urn:mrn", "value": "4711"}])),
            (20, make.observation("o", "p1")),
        ]
    )
    with breakable.connected() as hospital:
        report = pushed(store, hospital, strategies={"Patient": "find"})
    assert dict(report.fates) == {"parked": 1, "held": 1}
    assert not breakable.kept


def test_a_conditional_create_that_finds_a_patient_of_the_hospitals_own_does_not_overwrite_it(
    store, put, make, breakable
) -> None:
    breakable.assigns_ids = True
    breakable.says(updateCreate=False, conditionalCreate=True)
    name = {"identifier": [{"system": "urn:mrn", "value": "4711"}]}
    theirs = {"resourceType": "Patient", "id": "77", **name, "gender": "male"}
    breakable.put(theirs)
    put([(10, make.patient("p1", **name)), (20, make.observation("o1", "p1"))])
    with breakable.connected() as hospital:
        assert pushed(store, hospital).complete
        put([(10, make.patient("p1", **name, active=True))])
        assert pushed(store, hospital).requests == 0
    assert breakable.kept["Patient/77"] == theirs


def test_on_medplum_no_bundle_with_a_conditional_entry_holds_more_than_8(store, put, make, breakable) -> None:
    breakable.assigns_ids = True
    breakable.says(software="Medplum", updateCreate=False, conditionalCreate=True)
    put(make.cohort(1, observations=30))
    with breakable.connected() as hospital:
        assert pushed(store, hospital).complete
    assert max(len(bundle) for bundle in breakable.bundles) == 8


@pytest.mark.parametrize(
    ("offers", "mode"),
    [(("transaction", "batch"), "transaction"), (("batch",), "batch"), (("history-system",), "single")],
)
def test_entries_travel_as_the_server_offers(store, put, make, breakable, offers, mode) -> None:
    breakable.says(versioning="versioned-update", system=offers)
    breakable.takes = set(offers)
    put(make.cohort(1))
    with breakable.connected() as hospital:
        assert Strategies(capabilities=hospital.capabilities()).mode == mode
        assert pushed(store, hospital).complete
    assert len(breakable.kept) == 4


def test_a_server_that_says_nothing_of_bundles_and_takes_none_stops_the_push_and_nothing_is_parked(
    store, put, make, breakable
) -> None:
    breakable.takes = set()
    put(make.cohort(4))
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
        assert "hospital_mode" in report.stopped
        assert report.fates["parked"] == 0
        assert pushed(store, hospital, mode="single").complete


def test_a_server_that_may_only_be_read_is_refused_before_anything_is_sent(store, put, make, breakable) -> None:
    breakable.says(interactions=("read", "search-type"))
    put(make.cohort(2))
    with breakable.connected() as hospital:
        report = pushed(store, hospital)
    assert "read-only" in report.stopped
    assert (report.sent, breakable.writes) == (0, [])


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    said = Capabilities({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
    with pytest.raises(ConfigurationError, match="conditional-create"):
        Strategies(capabilities=said, by_type={"Patient": "upsert"})


def test_limits_of_the_settings_win() -> None:
    said = Capabilities({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
    chosen = Strategies(capabilities=said, limits=Limits(entries=20, conditional_entries=5), mode_wanted="single")
    assert (chosen.conditional_entries, chosen.mode) == (5, "single")
