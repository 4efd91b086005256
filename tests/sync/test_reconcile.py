"""Verify: what is missing, altered, extra, doubled or short of digits at the hospital is found and named."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal

import pytest

from fhirbridge.errors import TemporaryHospitalError
from fhirbridge.hospital import Hospital
from fhirbridge.sync.push import push
from fhirbridge.sync.verify import VerifyFinding, verify
from fhirbridge.sync.verify_report import LISTED


@pytest.fixture
def arrived(store, put, make, breakable):
    """Three subjects that were pushed."""
    put(make.cohort(3))
    with breakable.connected() as hospital:
        assert push(store, hospital, "trial", run="push-1").complete
    return breakable


def verified(store, breakable):
    with breakable.connected() as hospital:
        report = verify(store, hospital, "trial")
    assert report.balanced
    return report


def test_what_was_pushed_is_the_same_when_read_back(store, arrived) -> None:
    report = verified(store, arrived)
    assert report.agrees
    assert (report.total.expected, report.total.same) == (10, 10)
    assert {kind: counts.same for kind, counts in report.by_type.items()} == {
        "Observation": 6,
        "Patient": 3,
        "ResearchStudy": 1,
    }


def test_a_missing_resource_is_found(store, arrived) -> None:
    del arrived.kept["Observation/trial-p001-0"]
    report = verified(store, arrived)
    assert not report.agrees
    assert (report.total.missing, report.total.same) == (1, 9)
    assert report.findings == [VerifyFinding("missing", "Observation", "trial-p001-0")]


def test_an_altered_resource_is_found_with_the_names_of_its_elements_and_no_value(store, arrived) -> None:
    altered = deepcopy(arrived.kept["Observation/trial-p001-0"])
    altered["valueQuantity"]["value"] = Decimal("987654")
    altered["note"] = [{"text": "a secret"}]
    arrived.put(altered)
    report = verified(store, arrived)
    assert not report.agrees
    assert report.findings == [
        VerifyFinding("different", "Observation", "trial-p001-0", ("note", "valueQuantity.value"))
    ]
    assert report.different_paths == {"Observation.note": 1, "Observation.valueQuantity.value": 1}
    told = json.dumps(report.as_dict())
    assert "987654" not in told
    assert "a secret" not in told


def test_lost_digits_are_counted_apart_and_are_no_disagreement(store, arrived) -> None:
    shortened = deepcopy(arrived.kept["Observation/trial-p002-1"])
    shortened["valueQuantity"]["value"] = Decimal("5.5")
    arrived.put(shortened)
    report = verified(store, arrived)
    assert report.agrees
    assert (report.total.digits_lost, report.total.different, report.total.same) == (1, 0, 9)
    assert report.digits_lost_paths == {"Observation.valueQuantity.value": 1}


def test_a_tagged_resource_that_is_not_ours_is_extra(store, make, arrived) -> None:
    arrived.put(make.patient("stranger"))
    report = verified(store, arrived)
    assert not report.agrees
    assert (report.total.extra, report.total.duplicates, report.total.same) == (1, 0, 10)
    assert report.findings == [VerifyFinding("extra", "Patient", "stranger")]


def test_an_extra_resource_with_an_identifier_of_ours_is_a_duplicate(store, make, arrived) -> None:
    twin = make.observation("trial-p000-0", "trial-p000") | {"id": "given-by-the-server"}
    arrived.put(twin)
    report = verified(store, arrived)
    assert (report.total.extra, report.total.duplicates) == (1, 1)
    assert report.findings == [VerifyFinding("duplicate", "Observation", "given-by-the-server")]


def test_the_hospitals_own_resources_are_none_of_our_business(store, arrived) -> None:
    arrived.put({"resourceType": "Patient", "id": "own", "identifier": [{"system": "mrn", "value": "1"}]})
    assert verified(store, arrived).agrees


@pytest.mark.parametrize("repeats", [True, False], ids=["and tells", "silently"])
def test_a_server_that_ignores_tag_is_verified_all_the_same(store, make, arrived, repeats: bool) -> None:
    arrived.knows_tag, arrived.repeats_parameters = False, repeats
    arrived.put({"resourceType": "Patient", "id": "own"})
    assert verified(store, arrived).agrees
    arrived.put(make.patient("stranger"))
    del arrived.kept["Patient/trial-p002"]
    report = verified(store, arrived)
    assert (report.total.extra, report.total.missing, report.total.same) == (1, 1, 9)


def test_pages_are_asked_for_in_an_order_that_holds_still(store, arrived) -> None:
    verified(store, arrived)
    assert all(params["_sort"] == "_id" for params in arrived.asked if "_tag" in params)


def test_a_server_that_cannot_sort_is_still_asked_for_the_study_alone(store, arrived) -> None:
    arrived.knows_sort = False
    assert verified(store, arrived).agrees
    assert all("_tag" in params for params in arrived.asked)


def test_a_resource_that_lost_its_tag_is_different_and_not_missing(store, arrived) -> None:
    arrived.put({name: value for name, value in arrived.kept["Patient/trial-p001"].items() if name != "meta"})
    report = verified(store, arrived)
    assert report.findings == [VerifyFinding("different", "Patient", "trial-p001", ("meta",))]


def test_what_a_server_adds_is_no_difference(store, arrived) -> None:
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
    assert verified(store, arrived).total.same == 10


def test_a_number_is_not_a_truth_value(store, put, make, arrived) -> None:
    put([(10, make.patient("trial-p000", active=True))])
    arrived.put(make.patient("trial-p000", active=1))
    assert verified(store, arrived).findings == [VerifyFinding("different", "Patient", "trial-p000", ("active",))]


def test_a_type_that_may_not_be_searched_is_unread_and_the_others_go_on(store, arrived) -> None:
    arrived.forbidden = {"Patient"}
    report = verified(store, arrived)
    assert not report.agrees
    assert (report.total.unread, report.total.missing, report.total.same) == (3, 0, 7)
    assert "403" in report.unreadable["Patient"]


def test_a_server_that_is_not_there_is_an_error(store, put, make) -> None:
    put(make.cohort(1))
    with (
        Hospital("http://127.0.0.1:9/fhir", sleep=lambda _: None) as hospital,
        pytest.raises(TemporaryHospitalError),
    ):
        verify(store, hospital, "trial")


def test_a_wiped_server_misses_everything_and_the_list_stays_short(store, put, make, breakable) -> None:
    put(make.cohort(1, observations=LISTED + 20))
    report = verified(store, breakable)
    assert report.total.missing == report.total.expected == LISTED + 22
    assert len(report.findings) == LISTED
    assert report.not_listed == 22


def test_progress_ends_with_everything_judged(store, arrived) -> None:
    seen: list[tuple[int, int]] = []
    del arrived.kept["Observation/trial-p001-0"]
    with arrived.connected() as hospital:
        verify(store, hospital, "trial", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


def test_a_real_server_gives_back_what_it_was_given_but_for_digits(store, put, make, hospital) -> None:
    put(make.cohort(4))
    with Hospital(hospital) as client:
        assert push(store, client, "trial", run="push-1").complete
        report = verify(store, client, "trial", page_size=3)
    assert report.agrees
    assert report.total.same + report.total.digits_lost == 13
