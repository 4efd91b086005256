"""Settling: theirs, ours, field by field; and what the next push makes of it."""

from __future__ import annotations

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.sync.settling import dispute, give_up, settle
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed

NAME = ("Observation", "trial-p000-0")
URL = "/".join(NAME)


@pytest.fixture
def server(breakable):
    breakable.says(versioning="versioned-update")
    return breakable


@pytest.fixture
def edited(store, put, make, server):
    """The hospital changed the unit and the status of a result, and the study its value."""
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        theirs = make.observation(NAME[1], "trial-p000") | {"status": "amended"}
        theirs["valueQuantity"] = theirs["valueQuantity"] | {"unit": "international units per mL"}
        server.put(theirs)
        put([(20, make.observation(NAME[1], "trial-p000", "6.10"))])
        assert pushed(store, hospital).fates["conflict"] == 1
    return dispute(store, BASE, NAME, "stop")


def decide(store, found, choice) -> None:
    settle(store, BASE, found, choice, by="dm", reason="asked the laboratory", run="settle-1")


def push_again(store, server):
    with server.connected() as hospital:
        return pushed(store, hospital)


def test_a_dispute_shows_each_field_with_what_was_sent_ours_and_theirs(edited) -> None:
    shown = {one.path: (str(one.base), str(one.ours), str(one.theirs)) for one in edited.fields}
    assert shown == {
        "status": ("final", "final", "amended"),
        "valueQuantity.value": ("5.50", "6.10", "5.50"),
        "valueQuantity.unit": ("IU/mL", "IU/mL", "international units per mL"),
    }


def test_ours_is_sent_over_the_version_that_was_seen(store, make, server, edited) -> None:
    decide(store, edited, "ours")
    server.writes.clear()
    assert push_again(store, server).complete
    assert server.kept[URL] == make.observation(NAME[1], "trial-p000", "6.10")
    assert server.writes[0]["ifMatch"] == 'W/"2"'


def test_ours_is_a_conflict_again_if_they_changed_it_once_more(store, make, server, edited) -> None:
    decide(store, edited, "ours")
    server.put(make.observation(NAME[1], "trial-p000", "7.77"))
    assert push_again(store, server).fates["conflict"] == 1
    assert str(server.kept[URL]["valueQuantity"]["value"]) == "7.77"


def test_theirs_stands_without_anything_being_sent(store, server, edited) -> None:
    decide(store, edited, "theirs")
    report = push_again(store, server)
    assert (report.requests, report.complete) == (0, True)
    assert server.kept[URL]["status"] == "amended"


def test_theirs_stands_until_we_change_that_very_field(store, put, make, server, edited) -> None:
    decide(store, edited, "theirs")
    put([(20, make.observation(NAME[1], "trial-p000", "8.00"))])
    assert push_again(store, server).complete
    kept = server.kept[URL]
    assert str(kept["valueQuantity"]["value"]) == "8.00"
    assert (kept["status"], kept["valueQuantity"]["unit"]) == ("amended", "international units per mL")


def test_field_by_field_sends_a_mixture(store, server, edited) -> None:
    decide(store, edited, {"status": "theirs", "valueQuantity.value": "ours", "valueQuantity.unit": "ours"})
    assert push_again(store, server).complete
    kept = server.kept[URL]
    assert (kept["status"], str(kept["valueQuantity"]["value"]), kept["valueQuantity"]["unit"]) == (
        "amended",
        "6.10",
        "IU/mL",
    )
    assert push_again(store, server).requests == 0


@pytest.mark.parametrize(
    ("choice", "said"),
    [({"status": "ours"}, "undecided: valueQuantity"), ({"status": "ours", "code": "ours"}, "not in dispute: code")],
)
def test_a_choice_that_fits_the_dispute_badly_is_refused_and_nothing_is_settled(store, edited, choice, said) -> None:
    with pytest.raises(InputError, match=said):
        decide(store, edited, choice)
    assert store.conflict(BASE, *NAME) is not None


def test_there_is_no_dispute_about_a_resource_without_conflict(store, put, make) -> None:
    put(make.cohort(1))
    with pytest.raises(InputError, match="no open conflict"):
        dispute(store, BASE, ("Patient", "trial-p000"), "stop")


@pytest.fixture
def deleted(store, put, make, server):
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        server.remove(URL)
        put([(20, make.observation(NAME[1], "trial-p000", "6.10"))])
        assert pushed(store, hospital).fates["conflict"] == 1
    return dispute(store, BASE, NAME, "stop")


def test_a_deletion_there_may_stand_and_what_refers_to_it_is_held(store, put, make, server, deleted) -> None:
    decide(store, deleted, "theirs")
    derived = make.observation("derived", "trial-p000") | {"derivedFrom": [{"reference": URL}]}
    put([(30, derived)])
    report = push_again(store, server)
    assert report.fates["held"] == 1
    assert URL not in server.kept


def test_a_deletion_there_may_be_undone(store, server, deleted) -> None:
    decide(store, deleted, "ours")
    assert push_again(store, server).complete
    assert str(server.kept[URL]["valueQuantity"]["value"]) == "6.10"


def test_a_dead_letter_that_was_dropped_is_not_sent_until_the_study_changes_it(store, put, make, server) -> None:
    put(make.cohort(1))
    server.refuse_whole = {URL: 422}
    with server.connected() as hospital:
        pushed(store, hospital)
        [delivery] = store.deliveries_of(BASE, [NAME], "stop")
        give_up(store, BASE, delivery, by="dm", reason="not for them", run="drop-1")
        server.refuse_whole = {}
        dropped = pushed(store, hospital)
        assert (dropped.requests, dropped.complete) == (0, True)
        assert URL not in server.kept
        put([(20, make.observation(NAME[1], "trial-p000", "6.10"))])
        assert pushed(store, hospital).complete
    assert URL in server.kept


def test_dropping_a_refused_correction_leaves_what_the_server_has_and_holds_nobody(store, put, make, server) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        server.refuse_whole = {URL: 422}
        put([(20, make.observation(NAME[1], "trial-p000", "6.10"))])
        pushed(store, hospital)
        [delivery] = store.deliveries_of(BASE, [NAME], "stop")
        give_up(store, BASE, delivery, by="dm", reason="", run="drop-1")
        put([(30, make.observation("derived", "trial-p000") | {"derivedFrom": [{"reference": URL}]})])
        report = pushed(store, hospital)
        assert report.complete, report.as_dict()
        server.refuse_whole = {}
        put([(20, make.observation(NAME[1], "trial-p000", "7.00"))])
        assert pushed(store, hospital).fates["updated"] == 1


def test_numbers_that_only_lost_their_trailing_zeros_are_no_dispute(store, put, make, server) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        theirs = fhirjson.loads(fhirjson.dumps(make.observation(NAME[1], "trial-p000")).replace(b"5.50", b"5.5"))
        server.put(theirs | {"status": "amended"})
        put([(20, make.observation(NAME[1], "trial-p000") | {"status": "corrected"})])
        pushed(store, hospital)
    assert [one.path for one in dispute(store, BASE, NAME, "stop").fields] == ["status"]
