"""People who withdrew: who they are, and what then becomes of their resources under each policy."""

from __future__ import annotations

import pytest

from fhirbridge.errors import StoreError
from fhirbridge.store import Backlog, Store
from tests.store.sending import HERE, of, pending, send_all, take


@pytest.fixture
def subject(put, make):
    """A subject p1 with Consent, ResearchSubject and Observation, and another, p2, who never withdraws."""
    put(
        (5, make.study_resource()),
        *make.subject("p1", observations=1),
        (12, make.consent("c1", "p1")),
        (14, make.research_subject("s1", "p1")),
        *make.subject("p2", observations=1),
        (12, make.consent("c2", "p2")),
    )


@pytest.fixture
def withdraw(put, make):
    def now() -> None:
        put((12, make.consent("c1", "p1", "inactive")), (14, make.research_subject("s1", "p1", "withdrawn")))

    return now


def test_a_person_consents_as_long_as_one_consent_is_active(put, store: Store, make) -> None:
    put((12, make.consent("old", "p1", "inactive")), (12, make.consent("new", "p1")), (10, make.patient("p2")))
    assert of(store, "Consent", "new", "delete").wanted == "live"
    assert [one.wanted for one in store.deliveries(HERE, "trial", "p1", "delete")] == ["live", "live"]
    assert (store.consented("trial", "p1"), store.consented("trial", "p2")) == (True, None)
    assert store.withdrawn("trial") == set()
    put((12, make.consent("new", "p1", "rejected")))
    assert store.consented("trial", "p1") is False
    assert (store.withdrawn("trial"), store.withdrawn("another")) == ({"p1"}, set())
    put((12, make.consent("old", "p1")))
    assert store.withdrawn("trial") == set()


def test_of_a_consent_put_twice_at_once_the_later_counts(put, store: Store, make) -> None:
    put((12, make.consent("c1", "p1")), (12, make.consent("c1", "p1", "inactive")))
    assert store.withdrawn("trial") == {"p1"}


def test_a_consent_that_an_error_takes_back_does_not_count(put, store: Store, make) -> None:
    others = [(10, make.patient(f"p{number}")) for number in range(600)]
    with pytest.raises(StoreError):
        put((12, make.consent("c1", "p1", "inactive")), *others, (10, {"resourceType": "Patient"}))
    assert store.consented("trial", "p1") is None


def test_a_consent_about_nobody_withdraws_nothing_of_the_study(put, store: Store, make) -> None:
    consent = make.consent("c1", "p1", "inactive")
    del consent["patient"]
    put((5, make.study_resource()), (12, consent))
    assert store.withdrawn("trial") == set()
    assert send_all(store) == ["trial", "c1"]
    assert store.deliveries_of(HERE, [("ResearchStudy", "trial")], "delete")[0].wanted == "live"


def test_stop_sends_that_they_withdrew_and_nothing_more(put, store: Store, make, subject, withdraw) -> None:
    send_all(store)
    withdraw()
    put((20, make.observation("p1-0", "p1", "7.00")), (20, make.observation("p1-new", "p1")))
    backlog = store.backlog(HERE, "trial")
    assert (backlog.pending, backlog.withheld, backlog.desired) == (2, 2, 9)
    assert send_all(store) == ["c1", "s1"]
    assert store.backlog(HERE, "trial") == Backlog(desired=9, pending=0, withheld=2)
    assert (of(store, "Observation", "p1-new").wanted, of(store, "Patient", "p1").wanted) == (None, None)


def test_retract_has_what_was_sent_retracted_and_nothing_new_sent(put, store, make, subject, withdraw) -> None:
    send_all(store)
    withdraw()
    put((20, make.observation("p1-new", "p1")), (10, make.patient("p1", active=False)))
    wanted = {one.stored.id: one.wanted for one in pending(store, "retract")}
    assert wanted == {"p1": "live", "c1": "live", "s1": "live", "p1-0": "retracted"}
    assert store.backlog(HERE, "trial", "retract").withheld == 1
    assert send_all(store, "retract") == ["p1", "c1", "s1", "p1-0"]
    assert pending(store, "retract") == []
    assert of(store, "Observation", "p1-0", "retract").acknowledged.state == "retracted"
    put((20, make.observation("p1-0", "p1", "7.00")))
    assert pending(store, "retract") == []
    assert store.backlog(HERE, "trial", "retract").withheld == 1


def test_delete_has_everything_that_was_sent_deleted(put, store: Store, make, subject, withdraw) -> None:
    send_all(store)
    withdraw()
    put((20, make.observation("p1-new", "p1")))
    wanted = {one.stored.id: one.wanted for one in pending(store, "delete")}
    assert wanted == dict.fromkeys(["p1", "c1", "s1", "p1-0"], "deleted")
    send_all(store, "delete")
    assert store.backlog(HERE, "trial", "delete") == Backlog(desired=9, pending=0, withheld=1)


def test_what_was_retracted_is_deleted_once_the_policy_says_so(store: Store, subject, withdraw) -> None:
    send_all(store)
    withdraw()
    send_all(store, "retract")
    assert [one.stored.id for one in pending(store, "stop")] == []
    assert {one.stored.id for one in pending(store, "delete")} == {"p1", "c1", "s1", "p1-0"}


@pytest.mark.parametrize("policy", ["retract", "delete"])
def test_who_consents_again_is_sent_again(put, store: Store, make, subject, withdraw, policy) -> None:
    send_all(store)
    withdraw()
    send_all(store, policy)
    put((12, make.consent("c1", "p1")))
    again = {one.stored.id: (one.wanted, one.acknowledged.state) for one in pending(store, policy)}
    gone = {"retract": {"p1-0": ("live", "retracted"), "c1": ("live", "live")}}
    assert again == gone.get(policy, dict.fromkeys(["p1", "c1", "s1", "p1-0"], ("live", "deleted")))


@pytest.mark.parametrize("policy", ["stop", "retract", "delete"])
def test_nothing_is_sent_of_somebody_who_withdrew_before_it_was(store: Store, subject, withdraw, policy) -> None:
    withdraw()
    assert [one for one in pending(store, policy) if one.stored.compartment == "p1"] == []
    assert store.backlog(HERE, "trial", policy).withheld == 4


def test_a_retraction_that_must_be_sent_again_is_pending(store: Store, subject, withdraw) -> None:
    send_all(store)
    withdraw()
    send_all(store, "retract")
    store.resend(HERE, [of(store, "Observation", "p1-0").stored.key])
    again = pending(store, "retract")
    assert [(one.stored.id, one.wanted, one.acknowledged.state) for one in again] == [
        ("p1-0", "retracted", "retracted")
    ]
    assert send_all(store, "retract") == ["p1-0"]
    assert pending(store, "retract") == []


@pytest.mark.parametrize("policy", ["stop", "retract", "delete"])
def test_what_the_hospital_owns_is_never_touched(put, store: Store, make, subject, withdraw, policy) -> None:
    take(store, of(store, "Patient", "p1"), server_id="theirs", owner="hospital")
    put((10, make.patient("p1", gender="female")))
    withdraw()
    owned = of(store, "Patient", "p1", policy)
    assert (owned.wanted, owned.pending, owned.hospital_owned, owned.server_id) == (None, False, True, "theirs")
    assert "p1" not in {one.stored.id for one in pending(store, policy)}
    assert store.backlog(HERE, "trial", policy).withheld == 3
