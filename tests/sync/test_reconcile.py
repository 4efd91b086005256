"""Reconcile: what is missing, drifted, foreign, doubled, orphaned or short of digits is found, named and repaired."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from fhirbridge.errors import TemporaryHospitalError
from fhirbridge.hospital import Hospital
from fhirbridge.sync.reconcile import Discrepancy, reconcile
from fhirbridge.sync.reconcile_report import LISTED
from fhirbridge.sync.settling import dispute, settle
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed


@pytest.fixture
def arrived(store, put, make, breakable):
    """Three subjects that were pushed."""
    breakable.says(versioning="versioned-update")
    put(make.cohort(3))
    with breakable.connected() as hospital:
        assert pushed(store, hospital).complete
    return breakable


@pytest.fixture(params=[True, False], ids=["full", "by versions"])
def full(request) -> bool:
    return request.param


def reconciled(store, breakable, **options):
    with breakable.connected() as hospital:
        report = reconcile(store, hospital, "trial", run="reconcile-1", **options)
    assert report.balanced, report.as_dict()
    return report


def test_what_was_pushed_is_the_same_when_read_back(store, arrived, full) -> None:
    report = reconciled(store, arrived, full=full)
    assert report.in_step
    assert (report.total.stored, report.total.same) == (10, 10)
    assert {kind: counts.same for kind, counts in report.by_type.items()} == {
        "Observation": 6,
        "Patient": 3,
        "ResearchStudy": 1,
    }


def test_a_missing_resource_is_found(store, arrived, full) -> None:
    arrived.remove("Observation/trial-p001-0")
    report = reconciled(store, arrived, full=full)
    assert not report.in_step
    assert (report.total.missing, report.total.same) == (1, 9)
    assert report.discrepancies == [Discrepancy("missing", "Observation", "trial-p001-0")]


def test_an_altered_resource_is_found_with_the_names_of_its_elements_and_no_value(store, arrived, full) -> None:
    altered = deepcopy(arrived.kept["Observation/trial-p001-0"])
    altered["valueQuantity"]["value"] = Decimal("987654")
    altered["note"] = [{"text": "a secret"}]
    arrived.put(altered)
    report = reconciled(store, arrived, full=full)
    assert not report.in_step
    assert report.discrepancies == [
        Discrepancy("drifted", "Observation", "trial-p001-0", ("note", "valueQuantity.value"))
    ]
    assert report.drifted_paths == {"Observation.note": 1, "Observation.valueQuantity.value": 1}
    told = json.dumps(report.as_dict())
    assert "987654" not in told
    assert "a secret" not in told


def test_lost_digits_are_counted_apart_and_are_no_disagreement(store, arrived, full) -> None:
    shortened = deepcopy(arrived.kept["Observation/trial-p002-1"])
    shortened["valueQuantity"]["value"] = Decimal("5.5")
    arrived.put(shortened)
    report = reconciled(store, arrived, full=full)
    assert report.in_step
    assert (report.total.digits_lost, report.total.drifted, report.total.same) == (1, 0, 9)
    assert report.digits_lost_paths == {"Observation.valueQuantity.value": 1}


def test_a_tagged_resource_that_is_not_ours_is_extra(store, make, arrived, full) -> None:
    arrived.put(make.patient("stranger"))
    report = reconciled(store, arrived, full=full)
    assert not report.in_step
    assert (report.total.foreign, report.total.duplicate, report.total.same) == (1, 0, 10)
    assert report.discrepancies == [Discrepancy("foreign", "Patient", "stranger")]


def test_an_extra_resource_with_an_identifier_of_ours_is_a_duplicate(store, make, arrived, full) -> None:
    twin = make.observation("trial-p000-0", "trial-p000") | {"id": "given-by-the-server"}
    arrived.put(twin)
    report = reconciled(store, arrived, full=full)
    assert (report.total.foreign, report.total.duplicate) == (0, 1)
    assert report.discrepancies == [Discrepancy("duplicate", "Observation", "given-by-the-server")]


def test_the_hospitals_own_resources_are_none_of_our_business(store, arrived, full) -> None:
    arrived.put({"resourceType": "Patient", "id": "own", "identifier": [{"system": "mrn", "value": "1"}]})
    assert reconciled(store, arrived, full=full).in_step


@pytest.mark.parametrize("repeats", [True, False], ids=["and tells", "silently"])
def test_a_server_that_ignores_tag_is_verified_all_the_same(store, make, arrived, repeats: bool) -> None:
    arrived.knows_tag, arrived.repeats_parameters = False, repeats
    arrived.put({"resourceType": "Patient", "id": "own"})
    assert reconciled(store, arrived, full=full).in_step
    arrived.put(make.patient("stranger"))
    arrived.remove("Patient/trial-p002")
    report = reconciled(store, arrived, full=full)
    assert (report.total.foreign, report.total.missing, report.total.same) == (1, 1, 9)


def test_pages_are_asked_for_in_an_order_that_holds_still(store, arrived, full) -> None:
    reconciled(store, arrived, full=full)
    pages = [params for params in arrived.asked if "_tag" in params and params["_count"] != "1"]
    assert pages
    assert all(params["_sort"] == "_id" for params in pages)


def test_a_server_that_cannot_sort_is_still_asked_for_the_study_alone(store, arrived, full) -> None:
    arrived.knows_sort = False
    assert reconciled(store, arrived, full=full).in_step
    assert all("_tag" in params for params in arrived.asked)


def test_a_resource_that_lost_its_tag_is_different_and_not_missing(store, arrived, full) -> None:
    arrived.put({name: value for name, value in arrived.kept["Patient/trial-p001"].items() if name != "meta"})
    report = reconciled(store, arrived, full=full)
    assert report.discrepancies == [Discrepancy("drifted", "Patient", "trial-p001", ("meta",))]


def test_what_a_server_adds_is_no_difference(store, arrived, full) -> None:
    dressed = deepcopy(arrived.kept["Observation/trial-p001-0"])
    tag = {"system": "urn:server", "code": "added"}
    dressed["meta"] = {
        "versionId": "3",
        "lastUpdated": "2026-01-01T00:00:00Z",
        "source": "#abc",
        "tag": [tag, *dressed["meta"]["tag"]],
        "profile": ["urn:added"],
    }
    dressed["text"] = {"status": "generated", "div": "<div>…</div>"}
    dressed["subject"]["reference"] = "http://hospital.test/fhir/" + dressed["subject"]["reference"]
    dressed["category"] = []
    arrived.put(dressed)
    assert reconciled(store, arrived, full=full).total.same == 10


def test_a_number_is_not_a_truth_value(store, put, make, arrived) -> None:
    put([(10, make.patient("trial-p000", active=True))])
    arrived.put(make.patient("trial-p000", active=1))
    assert reconciled(store, arrived, full=full).discrepancies == [
        Discrepancy("drifted", "Patient", "trial-p000", ("active",))
    ]


def test_a_type_that_may_not_be_searched_is_unread_and_the_others_go_on(store, arrived, full) -> None:
    arrived.forbidden = {"Patient"}
    report = reconciled(store, arrived, full=full)
    assert not report.in_step
    assert (report.total.unread, report.total.missing, report.total.same) == (3, 0, 7)
    assert "403" in report.unreadable["Patient"]


def test_a_server_that_is_not_there_is_an_error(store, put, make) -> None:
    put(make.cohort(1))
    with (
        Hospital("http://127.0.0.1:9/fhir", sleep=lambda _: None) as hospital,
        pytest.raises(TemporaryHospitalError),
    ):
        reconcile(store, hospital, "trial", run="reconcile-1")


def test_a_wiped_server_misses_everything_and_the_list_stays_short(store, put, make, breakable, full) -> None:
    put(make.cohort(1, observations=LISTED + 20))
    with breakable.connected() as hospital:
        pushed(store, hospital)
    breakable.kept.clear()
    breakable.page_size = 200
    report = reconciled(store, breakable, full=full)
    assert report.total.missing == report.total.stored == LISTED + 22
    assert len(report.discrepancies) == LISTED
    assert report.not_listed == 22


def test_what_was_never_pushed_is_pending_and_no_drift(store, put, make, arrived, full) -> None:
    put([(20, make.observation("new", "trial-p000"))])
    report = reconciled(store, arrived, full=full)
    assert report.in_step
    assert (report.total.pending, report.total.same) == (1, 10)


def test_unmoved_versions_are_not_read_whole_unless_all_is(store, arrived) -> None:
    reconciled(store, arrived)
    assert {params.get("_elements") for params in arrived.asked if "_tag" in params} >= {"meta,identifier"}
    assert not [params for params in arrived.asked if "_id" in params]


def test_a_foreign_edit_becomes_a_conflict_that_can_be_settled(store, make, arrived, full) -> None:
    edited = deepcopy(arrived.kept["Observation/trial-p001-0"]) | {"status": "amended"}
    arrived.put(edited)
    assert reconciled(store, arrived, full=full).conflicts == 1
    found = dispute(store, BASE, ("Observation", "trial-p001-0"), "stop")
    assert [(one.path, one.ours, one.theirs) for one in found.fields] == [("status", "final", "amended")]
    settle(store, BASE, found, "ours", by="dm", reason="", run="settle-1")
    with arrived.connected() as hospital:
        assert pushed(store, hospital).fates["updated"] == 1
    assert arrived.kept["Observation/trial-p001-0"]["status"] == "final"
    assert reconciled(store, arrived, full=full).in_step


def test_their_version_that_was_settled_for_is_no_drift_any_more(store, arrived, full) -> None:
    arrived.put(deepcopy(arrived.kept["Observation/trial-p001-0"]) | {"status": "amended"})
    reconciled(store, arrived, full=full)
    found = dispute(store, BASE, ("Observation", "trial-p001-0"), "stop")
    settle(store, BASE, found, "theirs", by="dm", reason="", run="settle-1")
    assert reconciled(store, arrived, full=full).in_step
    assert store.conflict(BASE, "Observation", "trial-p001-0") is None


def test_a_moved_version_with_the_same_content_is_learned_and_the_next_update_names_it(
    store, put, make, arrived, full
) -> None:
    arrived.put(deepcopy(arrived.kept["Observation/trial-p001-0"]))
    report = reconciled(store, arrived, full=full)
    assert (report.learned, report.in_step) == (1, True)
    put([(20, make.observation("trial-p001-0", "trial-p001", "6.10"))])
    arrived.writes.clear()
    with arrived.connected() as hospital:
        pushed(store, hospital)
    assert arrived.writes[0]["ifMatch"] == 'W/"2"'


def test_an_update_whose_note_was_lost_is_learned_and_no_drift(store, put, make, arrived, full) -> None:
    put([(20, make.observation("trial-p001-0", "trial-p001", "6.10"))])
    arrived.put(make.observation("trial-p001-0", "trial-p001", "6.10"))
    report = reconciled(store, arrived, full=full)
    assert (report.in_step, report.learned) == (True, 1)
    with arrived.connected() as hospital:
        assert pushed(store, hospital).requests == 0


def test_repair_makes_what_is_missing_again_with_the_next_push_and_no_conflict(store, arrived, full) -> None:
    arrived.remove("Observation/trial-p001-0")
    assert reconciled(store, arrived, full=full).repaired == {}
    with arrived.connected() as hospital:
        assert pushed(store, hospital).requests == 0
        assert reconciled(store, arrived, full=full, repair=True).repaired == {"missing": 1}
        assert pushed(store, hospital).fates["created"] == 1
    assert reconciled(store, arrived, full=full).in_step


def test_repair_deletes_a_duplicate_of_ours_and_leaves_what_is_foreign(store, make, arrived, full) -> None:
    arrived.put(make.observation("trial-p000-0", "trial-p000") | {"id": "given-by-the-server"})
    arrived.put(make.patient("stranger"))
    report = reconciled(store, arrived, full=full, repair=True)
    assert report.repaired == {"duplicate": 1}
    assert "Observation/given-by-the-server" not in arrived.kept
    assert "Patient/stranger" in arrived.kept
    assert "Observation/trial-p000-0" in arrived.kept


def test_what_refers_to_something_missing_is_an_orphan(store, arrived, full) -> None:
    arrived.remove("Patient/trial-p001")
    report = reconciled(store, arrived, full=full)
    assert (report.total.missing, report.total.orphan, report.total.same) == (1, 2, 9)
    assert {one.id for one in report.discrepancies if one.kind == "orphan"} == {"trial-p001-0", "trial-p001-1"}


def test_a_window_looks_only_at_what_was_written_since_and_misses_nothing_in_it(store, arrived, full) -> None:
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    arrived.clock = lambda: moment
    arrived.put(deepcopy(arrived.kept["Observation/trial-p001-0"]) | {"status": "amended"})
    report = reconciled(store, arrived, full=full, since="2030-12-31T00:00:00Z")
    assert (report.total.drifted, report.total.missing, report.total.unseen) == (1, 0, 9)


@pytest.mark.parametrize("chosen", ["ours", "the server's"])
def test_a_server_that_chose_the_ids_is_reconciled_by_the_crosswalk(store, put, make, breakable, chosen, full) -> None:
    breakable.assigns_ids = chosen == "the server's"
    breakable.says(versioning="versioned-update", updateCreate=chosen == "ours", conditionalCreate=True)
    put(make.cohort(2))
    with breakable.connected() as hospital:
        assert pushed(store, hospital).complete
    report = reconciled(store, breakable, full=full)
    assert (report.in_step, report.total.same) == (True, 7)


def test_progress_ends_with_everything_judged(store, arrived, full) -> None:
    seen: list[tuple[int, int]] = []
    arrived.remove("Observation/trial-p001-0")
    reconciled(store, arrived, full=full, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


def test_a_real_server_gives_back_what_it_was_given_but_for_digits(store, put, make, hospital, full) -> None:
    put(make.cohort(4))
    with Hospital(hospital) as client:
        assert pushed(store, client).complete
        report = reconcile(store, client, "trial", run="reconcile-1", page_size=3, full=full)
    assert report.in_step
    assert report.total.same + report.total.digits_lost == 13
