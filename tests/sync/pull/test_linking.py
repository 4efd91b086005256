"""Subjects are found at the hospital by number and confirmed; what is not certain stops one subject, and says why."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import ConfigurationError, FatalHospitalError, TemporaryHospitalError
from fhirbridge.hospital import Hospital
from fhirbridge.store import Store
from fhirbridge.study import Study, load
from fhirbridge.sync.pull.linked import Mismatch, NoConsent, NotFound
from tests.sync.breakable_hospital import BASE, BreakableHospital
from tests.sync.pull.links import SUBJECTS, SYSTEM, Ward, link, person


@pytest.fixture(scope="module")
def study() -> Study:
    return load(Path(__file__).parents[3] / "mappings" / "studies" / "nct07120750.toml")


@pytest.fixture
def ward(store: Store, study: Study, tmp_path: Path) -> Ward:
    return Ward(store, study, tmp_path)


def test_every_subject_is_found_by_number_in_one_request_that_shows_no_number(
    ward: Ward, breakable: BreakableHospital
) -> None:
    ward.imports()
    breakable.page_size = 10
    for number in SUBJECTS:
        breakable.put(person(f"h-{number}", number))
    with breakable.connected() as hospital:
        found = ward.looks(hospital)
    assert {number: one.patients for number, one in found.items()} == {n: (f"h-{n}",) for n in SUBJECTS}
    assert breakable.urls == [f"{BASE}/Patient/_search"]
    assert breakable.asked[0]["_elements"] == "identifier,link,birthDate,gender,active"
    assert ward.linked("SUBJ-1").state == "linked"
    assert ward.actions("SUBJ-1") == ["imported", "linked"]


def test_no_number_is_in_a_url_even_where_the_answer_has_many_pages(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.page_size = 1
    for number in SUBJECTS:
        breakable.put(person(f"h-{number}", number))
    with breakable.connected() as hospital:
        assert all(one.patients for one in ward.looks(hospital).values())
    assert len(breakable.urls) == 3
    assert "MRN" not in "".join(breakable.urls)


def test_a_server_without_search_by_post_is_asked_all_the_same(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.takes_search_by_post = False
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1",)


def test_a_second_look_that_finds_nothing_new_puts_nothing_on_record(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        before = ward.store.links.history(ward.study.id)
        asked = len(breakable.urls)
        ward.looks(hospital)
    assert ward.store.links.history(ward.study.id) == before
    assert len(breakable.urls) == asked + 1


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"birthDate": "1971-05-03"}, "another birth date"),
        ({"gender": "male"}, "another sex"),
        ({"birthDate": "1971", "gender": "male"}, "another birth date and another sex"),
        ({"birthDate": "1970-06"}, "another birth date"),
        ({"birthDate": None, "gender": None}, "nothing confirms"),
        ({"birthDate": None, "gender": "unknown"}, "nothing confirms"),
        ({"birthDate": "unclear", "gender": None}, "nothing confirms"),
        ({"active": False}, "not in use any more"),
    ],
)
def test_what_does_not_fit_stops_the_subject_and_names_no_value(
    ward: Ward, breakable: BreakableHospital, elements: dict[str, Any], why: str
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", **elements))
    breakable.put(person("h2", "SUBJ-2"))
    with breakable.connected() as hospital:
        found = ward.looks(hospital)
        with pytest.raises(Mismatch, match=why) as refused:
            ward.linking.resolve(ward.linked("SUBJ-1"), hospital, "run-1")
    said = str(refused.value)
    assert "fhirbridge linking show" in said
    assert all(word not in said for word in ("MRN", "1970", "1971", "SUBJ-1", "male", "h1"))
    assert (ward.linked("SUBJ-1").state, found["SUBJ-1"].patients) == ("mismatch", ())
    assert found["SUBJ-2"].patients == ("h2",), "another subject goes on"
    assert ward.actions("SUBJ-1") == ["imported", "mismatch"], "on record once, however often it is found"
    assert ("link_stopped", {"compartment": ward.id("SUBJ-1"), "reason": "mismatch"}) in ward.noted


@pytest.mark.parametrize(
    "elements",
    [{"birthDate": "1970"}, {"birthDate": None}, {"gender": None}, {"gender": "unknown"}, {"birthDate": "1970-05"}],
)
def test_one_attribute_that_agrees_as_far_as_it_is_known_confirms(
    ward: Ward, breakable: BreakableHospital, elements: dict[str, Any]
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", **elements))
    with breakable.connected() as hospital:
        assert ward.linking.resolve(ward.linked("SUBJ-1"), hospital, "run-1").patients == ("h1",)


def test_the_name_is_never_looked_at(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", name=[{"family": "Entirely", "given": ["Different"]}]))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1",)


def test_a_number_that_the_hospital_does_not_know_stops_the_subject(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    with breakable.connected() as hospital, pytest.raises(NotFound, match="are all its zeros there"):
        ward.linking.resolve(ward.linked("SUBJ-1"), hospital, "run-1")
    assert ward.linked("SUBJ-1").state == "not found"


def test_a_patient_that_the_server_finds_but_that_carries_another_number_is_nobody(
    ward: Ward, breakable: BreakableHospital
) -> None:
    ward.imports()
    breakable.ignores = {"identifier"}
    breakable.repeats_parameters = False
    breakable.put(person("h1", "SUBJ-1", identifier=[{"system": SYSTEM, "value": "MRN-00011"}]))
    breakable.put(person("h2", "SUBJ-1", identifier=[{"system": "urn:other", "value": "MRN-0001"}]))
    with breakable.connected() as hospital:
        assert isinstance(ward.looks(hospital)["SUBJ-1"].stopped, NotFound)


def test_two_patients_with_the_number_that_are_not_linked_stop_the_subject(
    ward: Ward, breakable: BreakableHospital
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    breakable.put(person("h2", "SUBJ-1", link=[link("refer", "h1")]))
    with breakable.connected() as hospital, pytest.raises(Mismatch, match="not linked with one another"):
        ward.linking.resolve(ward.linked("SUBJ-1"), hospital, "run-1")


@pytest.mark.parametrize("kind", ["seealso", "replaces", "replaced-by"])
def test_two_patients_with_the_number_that_are_linked_are_one_person(
    ward: Ward, breakable: BreakableHospital, kind: str
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    breakable.put(person("h2", "SUBJ-1", link=[link(kind, "h1")]))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1", "h2")


def test_a_chain_of_merges_is_followed_to_its_end_and_a_circle_ends(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", active=False, link=[link("replaced-by", "h2")]))
    other = {"identifier": [{"system": SYSTEM, "value": "other"}]}
    breakable.put(person("h2", "SUBJ-1", **other, active=False, link=[link("replaced-by", f"{BASE}/Patient/h3")]))
    breakable.put(person("h3", "SUBJ-1", **other, link=[link("replaces", "h2"), link("seealso", "h1")]))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1", "h2", "h3")


def test_a_circle_of_replaced_patients_of_which_none_is_in_use_stops(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", active=False, link=[link("replaced-by", "h2")]))
    breakable.put(person("h2", "SUBJ-1", identifier=[], active=False, link=[link("replaced-by", "h1")]))
    with breakable.connected() as hospital:
        assert "not in use" in str(ward.looks(hospital)["SUBJ-1"].stopped)


@pytest.mark.parametrize("target", ["gone", "http://elsewhere.test/fhir/Patient/h2"])
def test_a_replacement_that_cannot_be_read_stops_the_subject(
    ward: Ward, breakable: BreakableHospital, target: str
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", link=[link("replaced-by", target)]))
    with breakable.connected() as hospital:
        assert "cannot be read" in str(ward.looks(hospital)["SUBJ-1"].stopped)


def test_an_endless_chain_of_merges_ends_with_a_message(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h0", "SUBJ-1", link=[link("replaced-by", "h1")]))
    for at in range(1, 40):
        breakable.put(person(f"h{at}", "SUBJ-1", identifier=[], link=[link("replaced-by", f"h{at + 1}")]))
    with breakable.connected() as hospital:
        assert isinstance(ward.looks(hospital)["SUBJ-1"].stopped, Mismatch)
    assert len(breakable.urls) < 30


def test_links_to_relatives_and_references_to_more_are_not_followed(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", link=[link("seealso", "RelatedPerson/r1"), link("refer", "h2")]))
    breakable.put(person("h2", "SUBJ-1", identifier=[]))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1",)


def test_a_merge_found_later_has_both_ids_asked_and_is_on_record(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        # The number moves to the survivor, which does not say whom it replaced.
        breakable.put(person("h1", "SUBJ-1", identifier=[], active=False, link=[link("replaced-by", "h9")]))
        breakable.put(person("h9", "SUBJ-1"))
        found = ward.looks(hospital)["SUBJ-1"]
    assert (found.patients, found.relinked) == (("h1", "h9"), None)
    assert ward.actions("SUBJ-1") == ["imported", "linked", "merged"]


def test_a_merge_whose_loser_is_deleted_is_no_other_person(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        breakable.remove("Patient/h1")
        breakable.put(person("h9", "SUBJ-1", link=[link("replaces", "h1")]))
        found = ward.looks(hospital)["SUBJ-1"]
    assert (found.patients, found.relinked) == (("h9",), None)
    assert ward.actions("SUBJ-1")[-1] == "merged"


def test_a_person_swapped_later_is_relinked_and_decisions_can_be_reopened(
    ward: Ward, breakable: BreakableHospital
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].relinked is None
        breakable.put(person("h1", "SUBJ-1", identifier=[]))
        breakable.put(person("h7", "SUBJ-1"))
        ward.now += dt.timedelta(hours=1)
        found = ward.looks(hospital)["SUBJ-1"]
        assert (found.patients, found.relinked) == (("h7",), "2026-11-22T13:00:00.000Z")
        ward.now += dt.timedelta(hours=1)
        assert ward.looks(hospital)["SUBJ-1"].relinked == "2026-11-22T13:00:00.000Z", "known after a restart too"
    assert ward.actions("SUBJ-1") == ["imported", "linked", "relinked"]
    assert "h7" not in ward.store.links.history(ward.study.id, ward.id("SUBJ-1"))[-1].detail


def test_a_person_swapped_for_one_who_does_not_fit_stops(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        breakable.put(person("h1", "SUBJ-1", birthDate="1999-01-01"))
        assert isinstance(ward.looks(hospital)["SUBJ-1"].stopped, Mismatch)
        breakable.put(person("h1", "SUBJ-1"))
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1",)
    assert ward.actions("SUBJ-1") == ["imported", "linked", "mismatch", "linked"]


def test_a_merge_undone_is_another_person(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1", link=[link("replaces", "h2")]))
    breakable.put(person("h2", "SUBJ-1", identifier=[]))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1", "h2")
        breakable.put(person("h1", "SUBJ-1"))
        found = ward.looks(hospital)["SUBJ-1"]
    assert found.patients == ("h1",)
    assert found.relinked is not None


def test_two_subjects_whom_the_hospital_takes_for_one_both_stop(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports(("SUBJ-1", "A", "", "female"), ("SUBJ-3", "B", "", "female"))
    numbers = [{"system": SYSTEM, "value": value} for value in ("A", "B")]
    breakable.put(person("h1", "SUBJ-1", identifier=numbers, birthDate=None))
    with breakable.connected() as hospital:
        found = ward.looks(hospital)
    assert isinstance(found["SUBJ-1"].stopped, Mismatch)
    assert isinstance(found["SUBJ-3"].stopped, Mismatch)
    assert "another one of the study" in str(found["SUBJ-1"].stopped)


def test_nothing_is_asked_without_an_active_consent_today(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    ward.consent("SUBJ-1", "inactive")
    ward.consent("SUBJ-2", start="2026-01-01", end="2026-11-21")
    ward.consent("SUBJ-3", start="2026-11-23")
    with breakable.connected() as hospital:
        found = ward.looks(hospital)
    assert breakable.urls == []
    assert all(isinstance(one.stopped, NoConsent) for one in found.values())
    assert ward.linked("SUBJ-1").state == "ended"
    assert ward.actions("SUBJ-1") == ["imported", "ended"]


def test_a_consent_counts_on_its_first_and_last_day_in_the_study_s_time_zone(ward: Ward) -> None:
    ward.imports()
    ward.consent("SUBJ-1", start="2026-11-22", end="2026-11-22")
    ward.now = dt.datetime(2026, 11, 21, 16, 30, tzinfo=dt.UTC)  # half past midnight in Shanghai
    assert ward.linking.consented(ward.linked("SUBJ-1"))
    ward.now = dt.datetime(2026, 11, 22, 16, 30, tzinfo=dt.UTC)
    assert not ward.linking.consented(ward.linked("SUBJ-1"))


def test_withdrawal_between_two_looks_ends_the_asking_and_consenting_again_resumes_it(
    ward: Ward, breakable: BreakableHospital
) -> None:
    ward.imports()
    breakable.put(person("h1", "SUBJ-1"))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        ward.consent("SUBJ-1", "inactive")
        breakable.asked.clear()
        assert ward.looks(hospital)["SUBJ-1"].patients == ()
        assert "MRN-0001" not in str(breakable.asked)
        ward.consent("SUBJ-1")
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1",)
    assert ward.actions("SUBJ-1") == ["imported", "linked", "ended", "resumed"]


def test_a_server_that_is_down_changes_nothing(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.dies_after = 0
    with breakable.connected() as hospital, pytest.raises(TemporaryHospitalError):
        ward.looks(hospital)
    assert ward.linked("SUBJ-1").state == "imported"
    assert ward.actions("SUBJ-1") == ["imported"]


def test_a_server_that_lets_nobody_search_says_so_once(ward: Ward, breakable: BreakableHospital) -> None:
    ward.imports()
    breakable.forbidden = {"Patient"}
    with breakable.connected() as hospital, pytest.raises(FatalHospitalError):
        ward.looks(hospital)
    assert len(breakable.urls) == 1


def test_numbers_with_the_characters_of_searches_are_found(ward: Ward, breakable: BreakableHospital) -> None:
    odd = r"12|34,5\6$"
    ward.imports(("SUBJ-1", f'"{odd}"', "1970-05-03", ""))
    breakable.put(person("h1", "SUBJ-1", identifier=[{"system": SYSTEM, "value": odd}]))
    with breakable.connected() as hospital:
        assert ward.looks(hospital)["SUBJ-1"].patients == ("h1",)


def test_a_message_s_numbers_find_the_subject_by_system_oid_or_authority(ward: Ward) -> None:
    ward.imports()
    ward.authorities = {"HOSP": SYSTEM}
    for authority in (SYSTEM, "1.2.3", "HOSP"):
        found = ward.linking.by_numbers([("LAB", "77"), (authority, "MRN-0001")])
        assert found is not None
        assert found.number == "SUBJ-1"
    assert ward.linking.by_numbers([("", "MRN-0001")]) is None, "a number of nobody's is nobody's"
    assert ward.linking.by_numbers([(SYSTEM, "MRN-9")]) is None
    ward.authorities = {"": SYSTEM}
    assert ward.linking.by_numbers([("", "MRN-0001")]) is not None


def test_a_message_with_the_numbers_of_two_subjects_is_refused(ward: Ward) -> None:
    ward.imports()
    with pytest.raises(Mismatch, match="several subjects"):
        ward.linking.by_numbers([(SYSTEM, "MRN-0001"), (SYSTEM, "MRN-0002")])


@pytest.mark.parametrize(
    ("born", "sex"), [("1970-05-03", "F"), ("19700503", ""), (None, "F"), ("1970-05-03T08:00", "")]
)
def test_a_message_s_birth_date_or_sex_confirms(ward: Ward, born: str | None, sex: str) -> None:
    ward.imports()
    ward.linking.confirm(ward.linked("SUBJ-1"), born, sex)


@pytest.mark.parametrize(("born", "sex"), [("1970-05-04", "F"), ("1970-05-03", "M"), (None, ""), ("", "U")])
def test_a_message_that_does_not_confirm_is_refused(ward: Ward, born: str | None, sex: str) -> None:
    ward.imports()
    with pytest.raises(Mismatch):
        ward.linking.confirm(ward.linked("SUBJ-1"), born, sex)


def test_after_a_rotation_all_goes_on_and_resealing_makes_the_old_key_needless(
    ward: Ward, breakable: BreakableHospital
) -> None:
    old, new = ward.keys[0], bytes(range(64, 96))
    ward.imports()
    ward.keys = [new, old]
    assert ward.imports().unchanged == 3
    assert ward.linking.by_numbers([(SYSTEM, "MRN-0001")]) is not None
    assert ward.linking.reseal("ann") == 3
    assert ward.linking.reseal("ann") == 0
    ward.keys = [new]
    assert ward.linked("SUBJ-1").number == "SUBJ-1"
    assert ward.linking.by_numbers([(SYSTEM, "MRN-0001")]) is not None
    ward.keys = [old]
    with pytest.raises(ConfigurationError, match="linking key"):
        ward.linking.subjects()


def test_merges_are_followed_on_sekmet_fhir(ward: Ward, hospital: str) -> None:
    check_a_merge(ward, hospital)


@pytest.mark.hapi
def test_merges_are_followed_on_hapi(ward: Ward, hapi: str) -> None:
    check_a_merge(ward, hapi)


def check_a_merge(ward: Ward, base_url: str) -> None:
    ward.imports()
    one, two, three = (f"linking-{at}" for at in range(3))
    with Hospital(base_url) as server:
        put(server, person(two, "SUBJ-1", identifier=[]))
        put(server, person(one, "SUBJ-1", active=False, link=[link("replaced-by", two)]))
        put(server, person(two, "SUBJ-1", identifier=[], link=[link("replaces", one)]))
        put(server, person(three, "SUBJ-2", birthDate="1950-01-01"))
        found = ward.looks(server)
        assert found["SUBJ-1"].patients == (one, two)
        assert isinstance(found["SUBJ-2"].stopped, Mismatch)
        assert isinstance(found["SUBJ-3"].stopped, NotFound)
        put(server, person(two, "SUBJ-1", identifier=[]))
        put(server, person(one, "SUBJ-1"))
        assert ward.looks(server)["SUBJ-1"].relinked is not None


def put(server: Hospital, resource: dict[str, Any]) -> None:
    [entry] = server.send(
        [{"resource": resource, "request": {"method": "PUT", "url": f"Patient/{resource['id']}"}}], "single"
    )
    assert entry.status in (200, 201)


def test_of_many_subjects_consents_are_read_at_once_and_mean_the_same(ward: Ward) -> None:
    numbers = [f"SUBJ-{at}" for at in range(10, 32)]
    for number in numbers:
        ward.put(ward.make.patient(ward.id(number), gender="male"))
        ward.consent(number, "inactive" if number.endswith("5") else "active", start="2026-01-01")
    ward.consent("SUBJ-10", start="2027-01-01")
    ward.imports(*((number, f"MRN-{number}", "", "male") for number in numbers))
    subjects = ward.linking.subjects()
    willing = {one.number for one in ward.linking.willing(subjects)}
    assert willing == {one.number for one in subjects if ward.linking.consented(one)}
    assert set(numbers) - willing == {"SUBJ-10", "SUBJ-15", "SUBJ-25"}
