"""A subject that gets another hospital number: nothing of the old one's stays accepted unseen, and nothing is lost."""

from __future__ import annotations

import datetime as dt
from functools import partial

import pytest

from fhirbridge.records.hl7v2.reader import read
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.store.links import Event
from fhirbridge.sync.pull.from_messages import Senders
from fhirbridge.sync.pull.pull_report import PullReport
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.spool import Keeping, Spool
from tests.databases import database_url as database_url
from tests.databases import postgresql_server as postgresql_server
from tests.records.hl7v2.making import MSH, message, obx
from tests.sync.pull.links import KEY, SUBJECTS, SYSTEM, person
from tests.sync.pull.questions import laboratories
from tests.sync.pull.test_pull import Trial, hbsag
from tests.sync.pull.test_pull import trial_at as trial_at

HBSAG = "63557-3"
OBR = "OBR|1|P-7^CLINIC|{order}^LAB^1.2.3^ISO|HBV^HBV panel^L|||20260330081500+0800||||||||||||||||||F"
BORN, SEX = SUBJECTS["SUBJ-1"][1:]


class Desk:
    """A trial that hears of results by messages as well; links and pulls happen now."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.ward = trial, trial.ward
        self.ward.authorities["HOSP"] = SYSTEM
        self.tick()
        trial.spool = self._spool

    def tick(self) -> None:
        self.ward.now = dt.datetime.now(dt.UTC)

    def sent(self, value: str = "250", *, number: str = "MRN-0001", order: str = "F-9", control: str = "M-1") -> None:
        pid = f"PID|1||{number}^^^HOSP^MR||Secret^Person||{BORN.replace('-', '')}|F"
        raw = message(pid, OBR.format(order=order), obx(value=value, code=HBSAG), msh=MSH.replace("M-1", control))
        keeping = Keeping(store=self.ward.store, seal=Seal([KEY]), study=self.ward.study.id, run="run-1")
        keeping(raw, read(raw))

    def renumbers(self, number: str) -> None:
        """Import the subject's row with another number."""
        self.tick()
        self.ward.imports(("SUBJ-1", number, BORN, SEX), replace=True)

    def pull(self) -> PullReport:
        self.tick()
        began, self._began = self._began, dt.datetime.now(dt.UTC)
        return self.trial.pull(since_decisions=began)

    _began: dt.datetime | None = None

    def only(self) -> tuple[str, tuple[str, ...]]:
        """How the subject's only result stands."""
        [(_, stands)] = self.trial.stands().items()
        return stands

    def decide(self, action: str) -> None:
        known = self.ward.store.candidates.of_subject(self.ward.study.id, self.ward.id("SUBJ-1"))
        [found] = [one for one, _, _ in known if one is not None]
        self.ward.store.candidates.decide(found.key, action, by="ann", reason="asked", seen=found.seen)

    def _spool(self, run: str) -> Spool:
        return Spool(
            store=self.ward.store, seal=Seal([KEY]), study=self.ward.study.id, linking=self.ward.linking, run=run,
            laboratories=laboratories(), senders=Senders(names={}, laboratories=LaboratoryNames(laboratories())),
        )  # fmt: skip


@pytest.fixture
def desk(trial_at: Trial) -> Desk:
    return Desk(trial_at)


def test_while_the_new_number_is_not_found_what_was_accepted_under_the_old_one_is_reopened(desk: Desk) -> None:
    desk.trial.breakable.put(hbsag("a", "h1"))
    desk.pull()
    desk.decide("accept")
    desk.renumbers("MRN-7")
    assert [one.state for one in desk.pull().refused] == ["not found"]
    assert desk.only() == ("reopened", ("source withdrawn", "patient relinked"))


def test_what_is_found_again_under_the_new_number_arrives_anew_and_a_person_confirms(desk: Desk) -> None:
    desk.trial.breakable.put(hbsag("a", "h1"))
    desk.pull()
    desk.decide("accept")
    desk.renumbers("MRN-7")
    desk.pull()
    desk.trial.breakable.put(person("h1", "SUBJ-1", identifier=[{"system": SYSTEM, "value": "MRN-7"}]))
    assert desk.trial.fates(desk.pull())["changed"] == 1
    state, reasons = desk.only()
    assert (state, "the source says again what was decided" in reasons) == ("reopened", True)
    desk.decide("accept")
    assert desk.trial.fates(desk.pull()) == {"unchanged": 1}
    assert desk.only()[0] == "accepted"


def test_a_hospital_that_gives_everybody_new_numbers_costs_no_decision(desk: Desk) -> None:
    desk.trial.breakable.put(hbsag("a", "h1"))
    desk.pull()
    desk.decide("accept")
    numbers = [{"system": SYSTEM, "value": number} for number in ("MRN-0001", "MRN-7")]
    desk.trial.breakable.put(person("h1", "SUBJ-1", identifier=numbers))
    desk.renumbers("MRN-7")
    desk.pull()
    assert desk.only() == ("accepted", ("new version, nothing that matters changed",))


def test_another_persons_results_take_the_place_of_the_old_ones(desk: Desk) -> None:
    desk.trial.breakable.put(hbsag("a", "h1"))
    desk.trial.breakable.put(hbsag("b", "h7", 300))
    desk.trial.breakable.put(person("h7", "SUBJ-1", identifier=[{"system": SYSTEM, "value": "MRN-7"}]))
    desk.pull()
    desk.decide("accept")
    desk.renumbers("MRN-7")
    desk.pull()
    stands = {name: state for name, (state, _) in desk.trial.stands().items()}
    assert stands == {"Observation/a": "reopened", "Observation/b": "waiting"}


def test_a_result_by_message_reopens_by_another_number_and_a_person_can_keep_it(desk: Desk) -> None:
    desk.sent()
    desk.pull()
    desk.decide("accept")
    desk.renumbers("MRN-7")
    desk.pull()
    assert desk.only() == ("reopened", ("patient relinked",))
    desk.decide("accept")
    desk.trial.pull(judge_all=True)
    assert desk.only()[0] == "accepted"


def test_a_result_by_message_that_waited_goes_on_waiting_and_says_why(desk: Desk) -> None:
    desk.sent()
    desk.pull()
    desk.renumbers("MRN-7")
    desk.pull()
    state, reasons = desk.only()
    assert (state, reasons[0]) == ("waiting", "patient relinked")


def test_who_decides_before_the_next_pull_did_not_know_so_it_is_reopened(desk: Desk) -> None:
    desk.sent()
    desk.pull()
    desk.renumbers("MRN-7")
    desk.decide("accept")
    desk.pull()
    assert desk.only() == ("reopened", ("patient relinked",))


def test_a_message_sent_again_under_the_new_number_takes_the_doubt_away(desk: Desk) -> None:
    desk.sent()
    desk.pull()
    desk.renumbers("MRN-7")
    desk.pull()
    desk.sent(number="MRN-7", control="M-2")
    assert desk.trial.fates(desk.pull()) == {"changed": 1}
    state, reasons = desk.only()
    assert (state, "patient relinked" in reasons) == ("waiting", False)


def test_a_person_swapped_at_the_hospital_reopens_what_came_by_message_too(desk: Desk) -> None:
    desk.sent()
    desk.pull()
    desk.decide("accept")
    desk.trial.breakable.remove("Patient/h1")
    desk.trial.breakable.put(person("h7", "SUBJ-1"))
    desk.pull()
    assert desk.only() == ("reopened", ("patient relinked",))


def test_without_a_server_messages_are_judged_by_the_links_as_well(desk: Desk) -> None:
    desk.trial.pull = partial(desk.trial.pull, server=None)  # type: ignore[method-assign]
    desk.sent()
    desk.pull()
    desk.decide("accept")
    desk.renumbers("MRN-7")
    desk.pull()
    assert desk.only() == ("reopened", ("patient relinked",))


def test_one_who_was_forgotten_and_is_linked_again_may_be_somebody_else(desk: Desk) -> None:
    desk.sent()
    desk.pull()
    desk.decide("accept")
    subject, study = desk.ward.id("SUBJ-1"), desk.ward.study.id
    desk.ward.store.links.forget(study, Event(subject=subject, by="ann", action="forgotten"))
    desk.pull()
    assert desk.only()[0] == "accepted"
    desk.renumbers("MRN-7")
    desk.pull()
    assert desk.only() == ("reopened", ("patient relinked",))


def test_only_those_who_were_linked_anew_and_have_results_are_judged_for_it(desk: Desk, store: Store) -> None:
    desk.sent()
    desk.pull()
    before = dt.datetime.now(dt.UTC)
    desk.tick()
    desk.ward.imports(("SUBJ-1", "MRN-7", BORN, SEX), ("SUBJ-2", "MRN-8", *SUBJECTS["SUBJ-2"][1:]), replace=True)
    study = desk.ward.study.id
    assert store.candidates.to_judge(study, "run", before) == {desk.ward.id("SUBJ-1")}
    desk.tick()
    assert store.candidates.to_judge(study, "run", dt.datetime.now(dt.UTC)) == set()
