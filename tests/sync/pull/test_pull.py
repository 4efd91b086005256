"""A whole pull at a hospital that breaks: nothing is lost or counted twice, and marks move with whole answers only."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Store
from fhirbridge.sync.pull import pull as pulls
from fhirbridge.sync.pull.asking import Answer, Marks, ask
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.incoming import read_back
from fhirbridge.sync.pull.pull import Pulling, Server, pull
from fhirbridge.sync.pull.pull_report import PullReport
from fhirbridge.sync.pull.reading import WITHHELD
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.recording import RecordingReport
from fhirbridge.sync.pull.spool import Spool
from fhirbridge.terminology.analytes import with_laboratories
from tests.sync.breakable_hospital import BASE, BreakableHospital
from tests.sync.pull.links import SUBJECTS, Ward, person
from tests.sync.pull.questions import laboratories, planned, result, trial

INDEX = dt.date(2026, 1, 5)
NUMBERS = tuple(SUBJECTS)


@dataclass
class Trial:
    """The study's side of a pull; the subjects' patients are ``h1``, ``h2`` and ``h3``."""

    ward: Ward
    hospital: Hospital
    breakable: BreakableHospital
    runs: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    spool: Callable[[str], Spool] | None = None
    """From a run to what reads its messages."""

    def pull(self, **given: Any) -> PullReport:
        self.runs += 1
        run = self.ward.store.start_run("pull")
        study = with_laboratories(self.ward.study, laboratories())
        self.ward.store.pulls.freeze(run, study.id, b"{}")
        plan = planned(**self.options)
        stop = given.get("stop") or threading.Event()
        asked = partial(ask, self.hospital, plan, full=given.get("full", False), stop=stop)
        server = given.pop("server", Server(hospital=self.hospital, plan=plan, ask=asked))
        report = pull(
            Pulling(
                store=self.ward.store,
                context=Context(study=study, laboratories=laboratories(), today=dt.date(2026, 11, 22)),
                names=LaboratoryNames(laboratories()),
                linking=self.ward.linking,
                follow_ups=lambda subjects: dict.fromkeys(subjects, FollowUp(anchor=INDEX)),
                spool=self.spool(run).process if self.spool else None,
                record=RecordingReport,
                server=server,
                run=run,
                **given,
            )
        )
        self.ward.store.pulls.save_funnel(run, b"{}")
        assert report.balanced, report.as_dict()
        return report

    def fates(self, report: PullReport) -> dict[str, int]:
        return {fate: count for fate, count in report.funnel.as_dict()["total"]["fates"].items() if count}

    def stands(self, number: str = "SUBJ-1") -> dict[str, tuple[str, tuple[str, ...]]]:
        known = self.ward.store.candidates.of_subject(self.ward.study.id, self.ward.id(number))
        return {one.reference: (one.state, one.reasons) for one, _, _ in known if one is not None}

    def accept(self, reference: str, number: str = "SUBJ-1") -> None:
        known = self.ward.store.candidates.of_subject(self.ward.study.id, self.ward.id(number))
        [found] = [one for one, _, _ in known if one is not None and one.reference == reference]
        self.ward.store.candidates.decide(found.key, "accept", by="ann", reason="", seen=found.seen)


@pytest.fixture
def trial_at(store: Store, breakable: BreakableHospital, tmp_path: Path) -> Iterator[Trial]:
    ward = Ward(store, trial(), tmp_path)
    ward.imports()
    breakable.page_size = 10
    for index, number in enumerate(NUMBERS, 1):
        breakable.put(person(f"h{index}", number))
    with breakable.connected(connections=1) as hospital:
        yield Trial(ward, hospital, breakable)


def hbsag(id: str, patient: str, value: float | int = 250, **also: Any) -> Resource:
    """A quantitative HBsAg at the visit of week 12, which is always a person's to accept."""
    quantity = {"value": value, "unit": "IU/mL", "system": "http://unitsofmeasure.org", "code": "[IU]/mL"}
    return result(id, patient, **{"effectiveDateTime": "2026-03-30", "valueQuantity": quantity, **also})


def test_what_is_new_changed_and_unchanged_is_told_apart_and_each_subject_counts_alone(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.breakable.put(hbsag("b", "h2"))
    assert trial_at.fates(trial_at.pull()) == {"new": 2}
    trial_at.breakable.put(hbsag("b", "h2", 260, status="corrected"))
    report = trial_at.pull()
    assert trial_at.fates(report) == {"unchanged": 1, "changed": 1}
    subjects = report.funnel.as_dict()["subjects"]
    assert subjects[trial_at.ward.id("SUBJ-2")]["fates"]["changed"] == 1
    assert subjects[trial_at.ward.id("SUBJ-1")]["fates"]["changed"] == 0
    assert report.judged == 1


def test_only_what_changed_since_is_asked_for_unless_all_is(trial_at: Trial) -> None:
    trial_at.pull()
    assert all("_lastUpdated" not in asked for asked in trial_at.breakable.asked)
    trial_at.breakable.asked.clear()
    trial_at.pull()
    observations = [asked for asked in trial_at.breakable.asked if "category" in asked]
    assert len(observations) == 3
    assert all("_lastUpdated" in asked for asked in observations)
    trial_at.breakable.asked.clear()
    trial_at.pull(full=True)
    assert all("_lastUpdated" not in asked for asked in trial_at.breakable.asked)


def test_a_subject_whose_answer_broke_off_is_asked_for_the_same_time_again_and_the_others_go_on(
    trial_at: Trial,
) -> None:
    for index in (1, 2, 3):
        trial_at.breakable.put(hbsag(f"o{index}", f"h{index}"))
    # One search finds the patients, then each is asked two questions: both tries of the second one's first fail.
    trial_at.breakable.fail_searches = [None, None, None, 500, 500]
    first = trial_at.pull()
    assert (first.complete, sum(first.unanswered.values())) == (False, 1)
    assert trial_at.fates(first) == {"new": 2}
    failed = trial_at.breakable.asked[3]["patient"]
    trial_at.breakable.asked.clear()
    second = trial_at.pull()
    assert second.complete
    assert trial_at.fates(second)["new"] == 1
    asked = {asked["patient"]: "_lastUpdated" in asked for asked in trial_at.breakable.asked if "category" in asked}
    assert asked == {patient: patient != failed for patient in ("h1", "h2", "h3")}


def test_without_consent_nobody_is_asked_about(trial_at: Trial) -> None:
    trial_at.ward.consent("SUBJ-2", "inactive")
    report = trial_at.pull()
    assert (report.linked, report.asked, [one.state for one in report.stopped]) == (3, 2, ["ended"])
    assert report.refused == []
    assert not any("h2" in asked.get("patient", "") for asked in trial_at.breakable.asked)


def test_a_mismatch_stops_its_subject_alone_and_says_so(trial_at: Trial) -> None:
    trial_at.breakable.put(person("h2", "SUBJ-2", birthDate="1950-01-01"))
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.breakable.put(hbsag("b", "h2"))
    report = trial_at.pull()
    assert trial_at.fates(report) == {"new": 1}
    assert (report.needs_a_person, [one.state for one in report.refused]) == (True, ["mismatch"])


def test_our_own_results_and_other_tests_are_counted_and_not_kept(trial_at: Trial) -> None:
    tag = {"system": STUDY_TAG, "code": trial_at.ward.study.id}
    trial_at.breakable.put(hbsag("ours", "h1", meta={"tag": [tag]}))
    trial_at.breakable.put(result("alt", "h1", code="1742-6", valueString="41 U/L"))
    report = trial_at.pull()
    assert trial_at.fates(report) == {"ours": 1, "not collected": 1}
    assert trial_at.stands() == {}


def test_what_is_gone_at_the_source_reopens_what_was_accepted_when_all_is_asked_for(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.pull()
    trial_at.accept("Observation/a")
    trial_at.breakable.remove("Observation/a")
    assert trial_at.fates(trial_at.pull()) == {}
    assert trial_at.stands()["Observation/a"][0] == "accepted"
    report = trial_at.pull(full=True)
    assert trial_at.fates(report) == {"changed": 1}
    state, reasons = trial_at.stands()["Observation/a"]
    assert (state, "source gone" in reasons) == ("reopened", True)
    assert trial_at.fates(trial_at.pull(full=True)) == {}


def deleting(trial_at: Trial, *names: str, then: Sequence[int] = ()) -> Server:
    """The server, which also tells that it deleted these, as an export does, and ``then`` fails searches so."""
    plan = planned(**trial_at.options)

    def told(patients: Sequence[str], marks: Marks) -> Iterator[Answer]:
        yield from (replace(one, deleted=names) for one in ask(trial_at.hospital, plan, patients, marks))
        trial_at.breakable.fail_searches = [*then]

    return Server(hospital=trial_at.hospital, plan=plan, ask=told)


def test_what_the_server_says_to_have_deleted_reopens_what_was_accepted(trial_at: Trial) -> None:
    for id in ("a", "b"):
        trial_at.breakable.put(hbsag(id, "h1"))
    trial_at.breakable.put(hbsag("c", "h2"))
    trial_at.pull()
    trial_at.accept("Observation/a")
    trial_at.breakable.remove("Observation/a")
    trial_at.breakable.put(hbsag("c", "h2", category=[]))  # there, though no search finds it
    told = deleting(trial_at, "Observation/a", "Observation/c", "Observation/unheard-of", "Patient/h1")
    assert trial_at.fates(trial_at.pull(server=told)) == {"changed": 1, "unchanged": 1}
    state, reasons = trial_at.stands()["Observation/a"]
    assert (state, "source gone" in reasons) == ("reopened", True)
    assert trial_at.stands()["Observation/b"][0] == "waiting"
    assert trial_at.stands("SUBJ-2")["Observation/c"][0] == "waiting"
    assert "changed" not in trial_at.fates(trial_at.pull(server=deleting(trial_at, "Observation/a")))


def test_what_was_deleted_is_asked_for_again_where_it_could_not_be_looked_for(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.pull()
    before = trial_at.ward.store.pulls.watermarks(trial_at.ward.study.id, trial_at.hospital.base_url)
    trial_at.breakable.remove("Observation/a")
    report = trial_at.pull(server=deleting(trial_at, "Observation/a", then=[403]))
    assert not report.complete
    after = trial_at.ward.store.pulls.watermarks(trial_at.ward.study.id, trial_at.hospital.base_url)
    mine = {mark for mark in before if mark[0] == trial_at.ward.id("SUBJ-1")}
    assert {mark: after[mark] for mark in mine} == {mark: before[mark] for mark in mine}
    assert after != before


def test_what_a_search_lacks_but_is_there_by_its_id_is_not_taken_for_gone(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.pull()
    trial_at.breakable.put(hbsag("a", "h1", category=[]))
    assert trial_at.fates(trial_at.pull(full=True)) == {}
    assert trial_at.stands()["Observation/a"][0] == "waiting"


def test_a_result_that_became_another_patients_is_gone_for_its_subject(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.pull()
    trial_at.accept("Observation/a")
    trial_at.breakable.put(hbsag("a", "stranger"))
    trial_at.pull(full=True)
    assert trial_at.stands()["Observation/a"][0] == "reopened"


def test_a_result_that_moved_to_another_subject_reopens_there_where_it_was(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.pull()
    trial_at.accept("Observation/a")
    trial_at.breakable.put(hbsag("a", "h2"))
    trial_at.pull()
    state, reasons = trial_at.stands("SUBJ-1")["Observation/a"]
    assert (state, "patient relinked" in reasons) == ("reopened", True)
    assert trial_at.stands("SUBJ-2")["Observation/a"][0] == "waiting"


@pytest.mark.parametrize("at_once", [1, 50])
def test_results_that_swap_subjects_count_once_and_reopen_whoever_was_judged_before(
    trial_at: Trial, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(pulls, "TAKEN_AT_ONCE", at_once)
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.breakable.put(hbsag("b", "h2"))
    trial_at.pull()
    trial_at.accept("Observation/a", "SUBJ-1")
    trial_at.accept("Observation/b", "SUBJ-2")
    for id, patient in (("a", "h2"), ("b", "h1"), ("c", "h1"), ("d", "h2")):
        trial_at.breakable.put(hbsag(id, patient))
    report = trial_at.pull()
    total = report.funnel.as_dict()["total"]
    assert (trial_at.fates(report), total["moved"], report.judged) == ({"new": 4}, {"reopened": 2}, 2)
    assert trial_at.stands("SUBJ-1")["Observation/a"][0] == "reopened"
    assert trial_at.stands("SUBJ-2")["Observation/b"][0] == "reopened"


def test_what_came_of_some_is_judged_though_the_server_fails_with_the_next(
    trial_at: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "TAKEN_AT_ONCE", 1)
    trial_at.pull()
    for index in (1, 2, 3):
        trial_at.breakable.put(hbsag(f"o{index}", f"h{index}"))
    asked: list[Answer] = []

    def until_it_fails(patients: Sequence[str], marks: Marks) -> Iterator[Answer]:
        for answer in ask(trial_at.hospital, planned(), patients, marks):
            if len({one.patient for one in asked} | {answer.patient}) > 2:
                raise FatalHospitalError("search of Observation: HTTP 401.", status=401)
            asked.append(answer)
            yield answer

    with pytest.raises(FatalHospitalError):
        trial_at.pull(server=Server(hospital=trial_at.hospital, plan=planned(), ask=until_it_fails))
    assert sum(len(trial_at.stands(number)) for number in NUMBERS) == 2


def withdrawn(status: str) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": status,
        "code": {"text": "Virology"},
        "subject": {"reference": "Patient/h1"},
        "result": [{"reference": "Observation/a"}],
    }


def test_a_report_takes_its_result_back_and_gives_it_back_though_the_result_itself_never_changed(
    trial_at: Trial,
) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.options["look_back"] = dt.timedelta(seconds=-3600)  # so that no answer brings the result again
    trial_at.pull()
    trial_at.accept("Observation/a")
    trial_at.breakable.put(withdrawn("entered-in-error"))
    assert trial_at.fates(trial_at.pull()) == {"changed": 1}
    assert trial_at.stands()["Observation/a"][0] == "reopened"
    assert trial_at.fates(trial_at.pull()) == {}
    trial_at.breakable.put(withdrawn("final"))
    assert trial_at.fates(trial_at.pull()) == {"changed": 1}
    assert "the source says again what was decided" in trial_at.stands()["Observation/a"][1]


def test_what_a_killed_pull_left_unjudged_is_judged_by_the_next(trial_at: Trial, store: Store) -> None:
    study, subject = trial_at.ward.study.id, trial_at.ward.id("SUBJ-1")
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.pull()
    trial_at.breakable.put(hbsag("a", "h1", 300, status="corrected"))
    [(_, before, _)] = store.candidates.of_subject(study, subject)
    killed = store.start_run("pull")
    store.pulls.freeze(killed, study, b"{}")
    body = before.body.replace(b"250", b"300")
    store.candidates.arrive(study, subject, BASE, [("Observation/a", "2", b"other", body)], killed)
    trial_at.breakable.remove("Observation/a")
    report = trial_at.pull()
    assert report.judged == 1
    [(candidate, last, _)] = store.candidates.of_subject(study, subject)
    assert candidate is not None
    assert candidate.arrival == last.key


def test_a_decision_on_one_result_moves_the_others_of_its_visit_at_the_next_pull(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    trial_at.breakable.put(hbsag("b", "h1", 260, effectiveDateTime="2026-04-02"))
    trial_at.pull()
    began = dt.datetime.now(dt.UTC)
    trial_at.accept("Observation/a")
    report = trial_at.pull(since_decisions=began)
    assert report.judged == 1
    assert "visit filled" in trial_at.stands()["Observation/b"][1]


def test_a_stop_ends_it_in_good_order_and_the_next_goes_on(trial_at: Trial) -> None:
    trial_at.breakable.put(hbsag("a", "h1"))
    stop = threading.Event()
    stop.set()
    report = trial_at.pull(stop=stop)
    assert (report.interrupted, report.complete, trial_at.fates(report)) == (True, False, {})
    assert trial_at.fates(trial_at.pull()) == {"new": 1}


def test_only_the_subjects_named_are_asked_about(trial_at: Trial) -> None:
    report = trial_at.pull(only=[trial_at.ward.id("SUBJ-3")])
    assert (report.linked, report.asked) == (1, 1)
    assert {asked["patient"] for asked in trial_at.breakable.asked if "patient" in asked} == {"h3"}


def test_what_is_no_result_of_an_unknown_code_is_withheld(trial_at: Trial) -> None:
    trial_at.breakable.put(result("n", "h1", code="74235-5", effectiveDateTime="2026-03-30", valueString="Smith, Jane"))
    trial_at.breakable.put(result("p", "h1", code="74235-6", effectiveDateTime="2026-03-30", valueString="positive"))
    assert trial_at.fates(trial_at.pull()) == {"new": 2}
    known = trial_at.ward.store.candidates.of_subject(trial_at.ward.study.id, trial_at.ward.id("SUBJ-1"))
    values = {arrival.reference: read_back(arrival.body).value for _, arrival, _ in known}
    assert values == {"Observation/n": WITHHELD, "Observation/p": {"valueString": "positive"}}
    assert trial_at.fates(trial_at.pull(full=True)) == {"unchanged": 2}
