"""Messages wait sealed, are read in their order, and every result of every one of them is accounted for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sqlite3
import threading
from functools import cache
from pathlib import Path

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.records.hl7v2.listener import Listener
from fhirbridge.records.hl7v2.reader import read
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.study import Study, load
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.pull.from_messages import Senders
from fhirbridge.sync.pull.incoming import Incoming, read_back
from fhirbridge.sync.pull.meaning import LONGEST_TEXT
from fhirbridge.sync.pull.reading import WITHHELD
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.spool import Keeping, Spool, Spooled
from fhirbridge.terminology import laboratory_files
from fhirbridge.terminology.laboratories import Laboratories
from tests.records.hl7v2.making import MSH, OBR, message, obx
from tests.records.hl7v2.sending import Sender, told
from tests.sync.pull.links import KEY, Ward

ROOT = Path(__file__).parents[3]


@cache
def laboratories() -> Laboratories:
    return laboratory_files.load([ROOT / "mappings" / "laboratories"])


@pytest.fixture(scope="module")
def study() -> Study:
    return load(ROOT / "mappings" / "studies" / "nct07120750.toml")


@dataclasses.dataclass
class Office:
    """The spool and those whose results it gets."""

    ward: Ward
    key: bytes = KEY
    unlinked_days: float = 0.0
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def store(self) -> Store:
        return self.ward.store

    @property
    def study(self) -> str:
        return self.ward.study.id

    @property
    def keeping(self) -> Keeping:
        return Keeping(store=self.store, seal=Seal([self.key]), study=self.study, run="run-1")

    def keep(self, *raws: bytes) -> list[str]:
        return [self.keeping(raw, read(raw)) for raw in raws]

    def process(self) -> Spooled:
        senders = Senders(names={"LAB": "North Hospital"}, laboratories=LaboratoryNames(laboratories()))
        spool = Spool(
            store=self.store, seal=Seal([self.key]), study=self.study, linking=self.ward.linking,
            laboratories=laboratories(), senders=senders, run="run-1", clock=lambda: self.ward.now,
            unlinked_days=self.unlinked_days, stop=self.stop,
            note=lambda event, /, **facts: self.ward.noted.append((event, facts)),
        )  # fmt: skip
        report = spool.process()
        assert report.balanced, report.as_dict()
        return report

    def arrived(self, number: str = "SUBJ-1") -> list[Incoming]:
        known = self.store.candidates.of_subject(self.study, self.ward.id(number))
        return [read_back(arrival.body) for _, arrival, _ in known]

    def states(self) -> dict[str, int]:
        return dict(self.store.messages.counts(self.study))


@pytest.fixture
def office(store: Store, study: Study, tmp_path: Path) -> Office:
    ward = Ward(store, study, tmp_path, authorities={"HOSP": "urn:oid:1.2.3"})
    ward.imports()
    return Office(ward)


def report(
    *segments: str, number: str = "MRN-0001", born: str = "19700503", sex: str = "F", control: str = "M-1"
) -> bytes:
    pid = f"PID|1||{number}^^^HOSP^MR||Secret^Person||{born}|{sex}"
    return message(pid, OBR, *(segments or (obx(),)), msh=MSH.replace("M-1", control))


def other_report(**how: str) -> bytes:
    return report(number="MRN-9999", **how)


def test_a_result_of_a_subject_arrives_and_its_message_is_thrown_away(office: Office) -> None:
    assert office.keep(report()) == ["new"]
    done = office.process()
    assert dict(done.messages) == {"done": 1}
    assert dict(done.fates) == {"new": 1}
    assert done.moved == (office.ward.id("SUBJ-1"),)
    (found,) = office.arrived()
    assert (found.value, found.laboratory) == ({"hl7v2": "NM", "repetitions": [["1234"]]}, "North Hospital")
    assert office.store.messages.content(1) == b""


def test_while_it_waits_a_message_cannot_be_read_in_the_database(office: Office, tmp_path: Path) -> None:
    office.keep(report())
    with sqlite3.connect(tmp_path / "store.db") as connection:
        (sealed,) = connection.execute("SELECT sealed FROM message").fetchone()
    assert len(sealed) > len(report())
    assert b"Secret" not in b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))


def test_a_message_that_is_sent_again_is_kept_once_and_its_result_is_unchanged(office: Office) -> None:
    assert office.keep(report(), report()) == ["new", "known"]
    office.process()
    assert office.keep(report(), report(control="M-2")) == ["again", "new"]
    assert dict(office.process().fates) == {"unchanged": 2}
    assert len(office.arrived()) == 1


def test_nothing_of_people_who_are_not_in_the_study_is_kept(office: Office) -> None:
    office.keep(other_report())
    done = office.process()
    assert (dict(done.messages), dict(done.fates)) == ({"no subject": 1}, {"other patient": 1})
    assert not office.store.messages.page(office.study)[0].held


def test_who_is_linked_later_gets_the_results_that_were_kept_for_that(office: Office) -> None:
    office.unlinked_days = 7
    office.ward.imports(("SUBJ-1", "MRN-0001", "1970-05-03", "female"))
    office.keep(other_report(born="19640229"))
    office.process()
    office.ward.imports(("SUBJ-3", "MRN-9999", "1964-02-29", "female"), replace=True)
    assert office.store.messages.retry(office.study, ("no subject",)) == 1
    assert dict(office.process().fates) == {"new": 1}
    assert len(office.arrived("SUBJ-3")) == 1


def assigned(authority: str, number: str = "MRN-0001") -> bytes:
    """A report of a subject whose numbers are another authority's."""
    return report().replace(b"MRN-0001^^^HOSP", f"{number}^^^{authority}".encode())


def test_a_message_of_an_authority_that_nobody_named_is_kept_and_taken_once_the_setting_is_right(
    office: Office,
) -> None:
    office.ward.authorities = {"HOPS": "urn:oid:1.2.3"}
    office.keep(report())
    done = office.process()
    assert (dict(done.messages), dict(done.fates)) == ({"faulty": 1}, {"other patient": 1})
    [kept] = office.store.messages.page(office.study, ("faulty",))
    [finding] = kept.findings
    assert (finding.rule, finding.field, kept.held) == ("authority", "PID-3", True)
    assert '"HOSP"' in finding.message
    assert "linking_authorities" in finding.remedy
    assert "MRN" not in str(finding)
    assert ("message_faulty", {"reason": "authority"}) in office.ward.noted
    office.ward.authorities = {"HOSP": "urn:oid:1.2.3"}
    assert office.store.messages.retry(office.study, ("faulty",)) == 1
    assert (dict(office.process().messages), len(office.arrived())) == ({"done": 1}, 1)


@pytest.mark.parametrize(
    ("authorities", "sent", "state"),
    [
        ({"HOSP": "urn:oid:1.2.4"}, report(), "faulty"),
        ({"HOSP": ""}, report(), "no subject"),
        ({"HOSP": "1.2.3"}, other_report(), "no subject"),
        ({}, assigned("&1.2.3&ISO", "MRN-9999"), "no subject"),
        ({}, assigned("&1.2.4&ISO"), "faulty"),
        ({}, assigned(""), "faulty"),
        ({"": "urn:oid:1.2.3"}, assigned("", "MRN-9999"), "no subject"),
        ({"SSA": ""}, assigned("HOSP^MR~123^^^SSA"), "no subject"),
    ],
)
def test_who_assigned_a_number_is_known_by_a_linked_system_or_as_nobodys(
    office: Office, authorities: dict[str, str], sent: bytes, state: str
) -> None:
    office.ward.authorities = authorities
    office.keep(sent)
    assert dict(office.process().messages) == {state: 1}


@pytest.mark.parametrize(
    ("authority", "told"),
    [
        ("NORTH LAB", '"NORTH LAB"'),
        ("NORTH&1.2.4&ISO", '"1.2.4", "NORTH"'),
        ("", '"" (nobody is named)'),
        ("MRN-0001", "a name that is not shown here"),
        ("1970050312", "a name that is not shown here"),
        ("LAB 19700503", "a name that is not shown here"),
    ],
)
def test_a_finding_names_who_assigned_the_numbers_and_nothing_that_may_be_a_number(
    office: Office, authority: str, told: str
) -> None:
    office.keep(assigned(authority))
    office.process()
    [kept] = office.store.messages.page(office.study, ("faulty",))
    assert kept.findings[0].message == f"who assigned the patient's numbers is not known: {told}"


def test_before_anybody_is_linked_no_authority_is_missed(store: Store, study: Study, tmp_path: Path) -> None:
    office = Office(Ward(store, study, tmp_path))
    office.keep(report())
    assert dict(office.process().messages) == {"no subject": 1}


def test_what_is_kept_of_others_is_thrown_away_after_its_days(office: Office) -> None:
    office.unlinked_days = 7
    office.keep(other_report())
    assert office.process().expired == 0
    office.ward.now = dt.datetime.now(dt.UTC) + dt.timedelta(days=8)
    assert office.process().expired == 1


@pytest.mark.parametrize("how", [{"born": "19700504"}, {"sex": "M"}])
def test_a_person_whom_birth_date_or_sex_contradict_gets_nothing_and_somebody_is_told(
    office: Office, how: dict[str, str]
) -> None:
    office.keep(report(**how))
    done = office.process()
    assert dict(done.messages) == {"faulty": 1}
    assert office.arrived() == []
    (found,) = office.store.messages.page(office.study)
    assert found.findings[0].rule == "patient"
    assert "MRN" not in str(found.findings)
    assert "1970" not in str(found.findings)
    assert found.held


def test_without_consent_today_nothing_is_taken(office: Office) -> None:
    office.ward.consent("SUBJ-1", "inactive")
    office.keep(report())
    assert dict(office.process().fates) == {"other patient": 1}
    assert office.arrived() == []


def test_a_test_that_the_study_does_not_collect_is_counted_and_not_kept(office: Office) -> None:
    office.keep(report(obx(), "OBX|2|NM|1742-6^ALT^LN||40|U/L|||||F"))
    assert dict(office.process().fates) == {"new": 1, "not collected": 1}
    assert len(office.arrived()) == 1


def test_a_correction_is_a_change_of_the_result_it_corrects(office: Office) -> None:
    office.keep(report(), report(obx(value="12", status="C"), control="M-2"))
    assert dict(office.process().fates) == {"new": 1, "changed": 1}
    (found,) = office.arrived()
    assert (found.status, found.value) == ("corrected", {"hl7v2": "NM", "repetitions": [["12"]]})


def test_a_preliminary_result_that_was_overtaken_by_the_final_one_changes_nothing(office: Office) -> None:
    office.keep(report(obx(value="12")), report(obx(value="11", status="P"), control="M-2"))
    assert dict(office.process().fates) == {"new": 1, "unchanged": 1}
    (found,) = office.arrived()
    assert found.status == "final"


def test_a_status_sent_without_the_value_makes_the_value_before_final(office: Office) -> None:
    office.keep(report(obx(status="P")), report(obx(value="", unit="", status="U"), control="M-2"))
    office.process()
    (found,) = office.arrived()
    assert (found.status, found.value) == ("final", {"hl7v2": "NM", "repetitions": [["1234"]]})


def test_a_status_without_a_value_of_which_nothing_is_known_is_told(office: Office) -> None:
    office.keep(report(obx(value="", unit="", status="U")))
    done = office.process()
    assert (dict(done.messages), dict(done.fates)) == ({"faulty": 1}, {"unusable": 1})


def test_a_faulty_result_leaves_the_others_of_its_message(office: Office) -> None:
    office.keep(report(obx(), obx(code="29615-2", number=2, status="")))
    done = office.process()
    assert dict(done.fates) == {"new": 1, "unusable": 1}
    assert dict(done.messages) == {"faulty": 1}
    assert len(office.arrived()) == 1


def test_a_poisonous_message_does_not_stop_those_behind_it(office: Office) -> None:
    office.keep(b"MSH|^~\\&|nothing|of|use", report())
    assert office.states() == {"faulty": 1, "waiting": 1}
    office.store.messages.retry(office.study, ("faulty",))
    assert dict(office.process().messages) == {"faulty": 1, "done": 1}
    assert len(office.arrived()) == 1


def test_sealed_bytes_that_were_damaged_or_moved_stop_nothing_else(office: Office, tmp_path: Path) -> None:
    office.keep(report(control="M-1"), report(control="M-2"), report(control="M-3"))
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE message SET sealed = X'78' WHERE key = 1")
        connection.execute("UPDATE message SET sealed = (SELECT sealed FROM message WHERE key = 3) WHERE key = 2")
    assert dict(office.process().messages) == {"faulty": 2, "done": 1}
    assert {one.findings[0].rule for one in office.store.messages.page(office.study, ("faulty",))} == {"sealed"}


def test_with_another_key_nothing_is_read_and_nothing_is_marked(office: Office) -> None:
    office.keep(report())
    office.key = bytes(32)
    with pytest.raises(ConfigurationError, match="linking key"):
        office.process()
    assert office.states() == {"waiting": 1}


def test_only_one_process_reads_the_spool(office: Office) -> None:
    office.keep(report())
    with Leases(office.store) as leases:
        leases.take(f"spool:{office.study}")
        assert office.process().busy
    assert dict(office.process().messages) == {"done": 1}


def test_when_told_to_stop_the_rest_waits(office: Office) -> None:
    office.keep(report())
    office.stop.set()
    assert office.process().interrupted
    assert office.states() == {"waiting": 1}


def test_a_message_about_several_people_gives_each_subject_what_is_its_own(office: Office) -> None:
    people = [("MRN-0001", "19700503", "F"), ("MRN-9999", "19500101", "M"), ("MRN-0002", "19811224", "M")]
    segments = []
    for at, (number, born, sex) in enumerate(people):
        segments += [f"PID|1||{number}^^^HOSP^MR||||{born}|{sex}", OBR.replace("F-9", f"F-{at}"), obx(value=str(at))]
    office.keep(message(*segments))
    assert dict(office.process().fates) == {"new": 2, "other patient": 1}
    assert [one.value for one in office.arrived("SUBJ-2")] == [{"hl7v2": "NM", "repetitions": [["2"]]}]


def test_a_burst_from_many_senders_is_kept_whole_and_read_whole(office: Office) -> None:
    senders, each = 8, 25
    answers: list[tuple[str, str]] = []

    def send(listener: Listener, number: int) -> None:
        with Sender(listener.address) as sender:
            for at in range(each):
                raw = report(control=f"M-{number}-{at}").replace(b"F-9", f"F-{number}-{at}".encode())
                answers.append(told(sender.send(raw)))

    keeping = office.keeping
    with Listener(keeping.together) as listener:
        threads = [threading.Thread(target=send, args=(listener, number)) for number in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == sorted(("AA", f"M-{one}-{at}") for one in range(senders) for at in range(each))
    assert office.states() == {"waiting": senders * each}
    assert dict(office.process().fates) == {"new": senders * each}
    assert len(office.arrived()) == senders * each


def test_what_cannot_be_kept_is_not_acknowledged(office: Office) -> None:
    keeping = office.keeping
    office.store.close()
    with sqlite3.connect(office.ward.folder / "store.db") as connection:
        connection.execute("DROP TABLE message")
    failures: list[Exception] = []
    with (
        Listener(keeping.together, on_failure=failures.append) as listener,
        Sender(listener.address) as sender,
    ):
        assert told(sender.send(report())) == ("AE", "M-1")
    assert len(failures) == 1
    assert "Secret" not in str(failures[0])


@pytest.mark.shared
def test_a_report_sent_again_and_then_corrected_by_a_real_laboratory_is_one_result(
    office: Office, shared: Path
) -> None:
    system = "urn:oid:2.16.840.1.113883.19.3.2.1"
    office.ward.put(office.ward.make.patient(office.ward.id("SUBJ-9"), birthDate="2007", gender="male"))
    office.ward.consent("SUBJ-9")
    office.ward.imports(("SUBJ-9", "9817566735", "2007-05-26", "male", system))
    folder = shared / "data" / "4_hl7v2" / "nist_elr"
    for number, fate in ((1, "new"), (2, "unchanged"), (3, "changed")):
        office.keep((folder / f"SampleTestCase{number}.hl7").read_bytes())
        assert dict(office.process().fates) == {fate: 1}
    (found,) = office.arrived("SUBJ-9")
    assert (found.status, found.value) == ("corrected", {"hl7v2": "NM", "repetitions": [["25"]]})


def test_what_is_no_result_of_a_test_that_nobody_knows_may_be_a_name_and_is_withheld(
    office: Office, tmp_path: Path
) -> None:
    office.keep(
        report(
            "OBX|1|ST|74235-5^Person Reporting - Name^LN||Smith, Jane||||||F",
            "OBX|2|ST|LOCAL1^Something^L||positive||||||F",
            "OBX|3|NM|LOCAL2^Something else^L||12.5|U/L|||||F",
        )
    )
    assert dict(office.process().fates) == {"new": 3}
    values = {one.codes[0].code: one.value for one in office.arrived()}
    assert values["74235-5"] == WITHHELD
    assert values["LOCAL1"] == {"hl7v2": "ST", "repetitions": [["positive"]]}
    assert values["LOCAL2"] == {"hl7v2": "NM", "repetitions": [["12.5"]]}
    assert all(b"Smith" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_text_of_a_known_test_that_cannot_be_read_is_kept_for_a_person_but_not_at_any_length(office: Office) -> None:
    known = obx("ST", "roughly many, see our letter", "", sub_id="1")
    office.keep(report(known, obx("ST", "many " * 300, "", number=2, sub_id="2")))
    office.process()
    texts = [one.value["repetitions"][0][0] for one in office.arrived() if one.value]
    assert [text[:12] for text in texts] == ["roughly many", "many many ma"]
    assert [len(text) for text in texts] == [28, LONGEST_TEXT]
