"""Each patient's questions are answered, and what is not answered whole is said to be so."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhirbridge.errors import FatalHospitalError
from fhirbridge.sync.pull.asking import Answer, ask
from tests.sync.breakable_hospital import BreakableHospital
from tests.sync.pull.questions import planned, report, result, says

NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)


def _ask(breakable: BreakableHospital, patients: list[str], marks: Any = None, **given: Any) -> list[Answer]:
    options = given.pop("options", {})
    software = given.pop("software", "Breakable")
    with breakable.connected(connections=given.pop("connections", 1)) as hospital:
        plan = planned(says(software), **options)
        return list(ask(hospital, plan, patients, marks or {}, clock=lambda: NOW, **given))


def _ids(answers: list[Answer], patient: str = "p1", kind: str = "Observation") -> list[str]:
    chosen = [one for one in answers if one.patient == patient and one.question.kind == kind]
    return [found["id"] for one in chosen for found in one.resources]


def test_each_patients_results_and_withdrawn_reports_are_found(breakable: BreakableHospital) -> None:
    for one in (result("a", "p1"), result("b", "p1"), result("c", "p1"), result("d", "p2")):
        breakable.put(one)
    breakable.put(result("pulse", "p1", category="vital-signs"))
    breakable.put(report("bad", "p1", "entered-in-error"))
    breakable.put(report("good", "p1", "final"))
    answers = _ask(breakable, ["p1", "p2"])
    assert (_ids(answers), _ids(answers, "p2")) == (["a", "b", "c"], ["d"])
    assert _ids(answers, kind="DiagnosticReport") == ["bad"]
    assert all(one.complete and one.at == NOW - dt.timedelta(seconds=60) for one in answers)


def test_no_url_names_a_patient(breakable: BreakableHospital) -> None:
    for number in range(5):
        breakable.put(result(f"o{number}", "p1"))
    _ask(breakable, ["p1"])
    assert len(breakable.urls) == 4
    assert not any(urlsplit(url).query for url in breakable.urls)


def test_several_patients_travel_in_one_search_where_that_is_borne(breakable: BreakableHospital) -> None:
    for one in (result("a", "p1"), result("b", "p2")):
        breakable.put(one)
    answers = _ask(breakable, ["p1", "p2", "p3"], options={"patients": 50})
    assert (_ids(answers), _ids(answers, "p2"), _ids(answers, "p3")) == (["a"], ["b"], [])
    assert [asked["patient"] for asked in breakable.asked] == ["p1,p2,p3"] * 2


def test_a_result_that_names_another_patient_is_left_out_and_counted(breakable: BreakableHospital) -> None:
    breakable.put(result("mine", "p1"))
    breakable.put(result("theirs", "p2"))
    breakable.put(result("nobodys", "p1") | {"subject": {"display": "somebody"}})
    breakable.put(result("elsewhere", "p1") | {"subject": {"reference": "https://other.example/fhir/Patient/p1"}})
    breakable.ignores = {"patient"}
    breakable.repeats_parameters = False
    answers = _ask(breakable, ["p1"], options={"types": ("Observation",)})
    assert _ids(answers) == ["mine"]
    assert answers[0].strangers == 3


def test_a_subject_as_an_absolute_or_versioned_address_of_this_server_is_the_same_patient(
    breakable: BreakableHospital,
) -> None:
    breakable.ignores = {"patient"}
    breakable.repeats_parameters = False
    for id, reference in (("a", "http://hospital.test/fhir/Patient/p1"), ("b", "Patient/p1/_history/3")):
        breakable.put(result(id, "p1") | {"subject": {"reference": reference}})
    assert _ids(_ask(breakable, ["p1"])) == ["a", "b"]


def test_only_what_changed_since_the_mark_is_asked_for_and_everything_of_a_new_patient(
    breakable: BreakableHospital,
) -> None:
    breakable.clock = lambda: NOW - dt.timedelta(days=30)
    breakable.put(result("old", "p1"))
    breakable.put(result("old2", "p2"))
    breakable.clock = lambda: NOW
    breakable.put(result("new", "p1"))
    key = planned().questions[0].key
    marks = {("p1", key): NOW - dt.timedelta(days=1)}
    answers = _ask(breakable, ["p1", "p2"], marks, options={"patients": 50})
    assert (_ids(answers), _ids(answers, "p2")) == (["new"], ["old2"])


def test_a_full_compare_asks_for_everything_whatever_the_marks(breakable: BreakableHospital) -> None:
    breakable.clock = lambda: NOW - dt.timedelta(days=30)
    breakable.put(result("old", "p1"))
    marks = {("p1", question.key): NOW for question in planned().questions}
    assert _ids(_ask(breakable, ["p1"], marks)) == []
    assert _ids(_ask(breakable, ["p1"], marks, full=True)) == ["old"]


def test_a_type_that_is_refused_does_not_stop_the_other(breakable: BreakableHospital) -> None:
    breakable.put(result("a", "p1"))
    breakable.forbidden = {"DiagnosticReport"}
    answers = _ask(breakable, ["p1", "p2"])
    assert _ids(answers) == ["a"]
    assert {(one.question.kind, one.complete) for one in answers} == {
        ("Observation", True),
        ("DiagnosticReport", False),
    }
    assert all(one.at is None for one in answers if not one.complete)


def test_a_server_that_goes_down_between_two_pages_leaves_the_question_open_and_the_next_patient_is_asked(
    breakable: BreakableHospital,
) -> None:
    for one in (result("a", "p1"), result("b", "p1"), result("c", "p1"), result("d", "p2")):
        breakable.put(one)
    breakable.fail_searches = [None, 503, 503]
    answers = _ask(breakable, ["p1", "p2"])
    first = answers[0]
    assert (first.patient, first.complete, first.at) == ("p1", False, None)
    assert _ids(answers) == ["a", "b"]
    assert all(one.complete for one in answers[1:])
    assert _ids(answers, "p2") == ["d"]


def test_a_page_that_fails_once_is_asked_for_again_and_nothing_is_missing(breakable: BreakableHospital) -> None:
    for number in range(5):
        breakable.put(result(f"o{number}", "p1"))
    breakable.fail_searches = [None, 503, None, 500]
    answers = _ask(breakable, ["p1"])
    assert len(_ids(answers)) == 5
    assert all(one.complete for one in answers)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("http://elsewhere.test/fhir/Observation?offset=2", "another server"),
        ("http://hospital.test/fhir/Observation?category=laboratory&patient=p1&_count=200", "in a circle"),
    ],
)
def test_a_next_link_to_elsewhere_or_in_a_circle_leaves_the_question_open(
    breakable: BreakableHospital, link: str, said: str
) -> None:
    for number in range(5):
        breakable.put(result(f"o{number}", "p1"))
    breakable.next_link = lambda _: link
    answers = _ask(breakable, ["p1"], options={"types": ("Observation",)})
    assert not answers[0].complete
    assert said in str(answers[0].error)
    assert not any("elsewhere" in url for url in breakable.urls)
    assert "p1" not in str(answers[0].error)


def test_one_patient_who_may_not_be_asked_about_does_not_spoil_the_search_of_many(
    breakable: BreakableHospital,
) -> None:
    for one in (result("a", "p1"), result("b", "p2"), result("c", "p3")):
        breakable.put(one)
    breakable.fail_searches = [403, None, 403, None]
    answers = _ask(breakable, ["p1", "p2", "p3"], options={"patients": 50, "types": ("Observation",)})
    assert [(one.patient, one.complete) for one in answers] == [("p1", True), ("p2", False), ("p3", True)]
    assert (_ids(answers), _ids(answers, "p3")) == (["a"], ["c"])


def test_a_server_that_stays_down_is_not_asked_about_everybody(breakable: BreakableHospital) -> None:
    breakable.fail_searches = [503] * 100
    answers = _ask(breakable, [f"p{number}" for number in range(20)], give_up_after=2)
    assert len(answers) == 40
    assert not any(one.complete for one in answers)
    assert len(breakable.asked) == 4


def test_a_server_that_does_not_let_us_in_ends_it(breakable: BreakableHospital) -> None:
    breakable.fail_searches = [401]
    with pytest.raises(FatalHospitalError, match="401"):
        _ask(breakable, ["p1", "p2"])
    assert len(breakable.asked) == 1


def test_several_connections_ask_the_same_and_answer_in_the_same_order(breakable: BreakableHospital) -> None:
    patients = [f"p{number}" for number in range(7)]
    for patient in patients:
        breakable.put(result(f"of-{patient}", patient))
    one = _ask(breakable, patients)
    asked, breakable.asked = sorted(map(str, breakable.asked)), []
    assert _ask(breakable, patients, connections=3) == one
    assert sorted(map(str, breakable.asked)) == asked


def test_asking_stops_when_told_to_and_what_was_not_read_whole_is_not_answered(breakable: BreakableHospital) -> None:
    breakable.put(result("a", "p1"))
    stop = threading.Event()
    with breakable.connected(connections=1) as hospital:
        answers = ask(hospital, planned(), ["p1", "p2"], {}, stop=stop, clock=lambda: NOW)
        assert next(answers).patient == "p1"
        stop.set()
        assert list(answers) == []
    assert len(breakable.asked) == 1


def test_what_shifting_pages_repeat_is_answered_once(breakable: BreakableHospital) -> None:
    for number in range(3):
        breakable.put(result(f"o{number}", "p1"))
    breakable.next_link = lambda link: link.replace("offset=2", "offset=1")
    assert _ids(_ask(breakable, ["p1"])) == ["o0", "o1", "o2"]
