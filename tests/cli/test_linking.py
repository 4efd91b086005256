"""`fhirbridge linking`: the enrolment log in, states out, and hospital numbers to those alone who have the key."""

from __future__ import annotations

import csv
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from fhirbridge.errors import EXIT_DONE, EXIT_REFUSED, EXIT_SERVER, EXIT_UNUSABLE
from fhirbridge.store import Store
from fhirbridge.sync.leasing import Leases
from tests.cli.conftest import Run
from tests.records.hl7v2.making import OBR, OBX, PID, message
from tests.sync.breakable_hospital import BreakableHospital

SYSTEM = "urn:oid:1.2.3"


class Known(NamedTuple):
    """The one subject of the store, as its enrolment log has it."""

    number: str
    birth_date: str
    sex: str


@pytest.fixture
def known(filled: Path) -> Known:
    with (filled / "cohort" / "subjects.csv").open(encoding="utf-8-sig", newline="") as file:
        row = next(csv.DictReader(file))
    return Known(row["subject"], row["birth_date"], row["sex"])


@pytest.fixture
def linked(quick: Run, known: Known, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A folder with a linking key and the subject linked as MRN-0001."""
    assert quick("linking", "key", "linking.key").code == EXIT_DONE
    monkeypatch.setenv("FHIRBRIDGE_LINKING_KEY", "linking.key")
    log(known)
    assert quick("linking", "import", "log.csv", "--system", SYSTEM, "--by", "ann").code == EXIT_DONE
    return quick


def log(known: Known, identifier: str = "MRN-0001", **other: str) -> None:
    row = known._replace(**other)
    Path("log.csv").write_text(
        f"subject,identifier,birth_date,sex\n{row.number},{identifier},{row.birth_date},{row.sex}\n", encoding="utf-8"
    )


def at_hospital(breakable: BreakableHospital, known: Known, **elements: object) -> None:
    identifier = {"system": SYSTEM, "value": "MRN-0001"}
    person = {"resourceType": "Patient", "id": "h-patient", "identifier": [identifier], "birthDate": known.birth_date}
    breakable.put(person | elements)


def test_a_key_is_made_for_its_owner_alone_and_never_overwritten(quick: Run) -> None:
    assert quick("linking", "key", "linking.key").code == EXIT_DONE
    assert stat.S_IMODE(Path("linking.key").stat().st_mode) == 0o600
    again = quick("linking", "key", "linking.key")
    assert (again.code, "exists already" in again.err) == (EXIT_UNUSABLE, True)


@pytest.mark.parametrize("command", [("import", "log.csv"), ("check",), ("reseal",)])
def test_without_the_key_one_message_says_how_to_get_it(quick: Run, known: Known, command: tuple[str, ...]) -> None:
    log(known)
    ran = quick("linking", *command, FHIRBRIDGE_HOSPITAL="http://hospital.test/fhir")
    assert ran.code == EXIT_UNUSABLE
    assert "fhirbridge linking key FILE" in ran.err
    assert "MRN" not in ran.out + ran.err


def test_a_key_file_that_everybody_can_read_is_refused(linked: Run) -> None:
    Path("linking.key").chmod(0o644)
    ran = linked("linking", "list")
    assert (ran.code, "chmod 640" in ran.err) == (EXIT_UNUSABLE, True)


def test_the_counts_of_an_import_balance_and_a_bad_row_exits_1(linked: Run, known: Known) -> None:
    with Path("log.csv").open("a", encoding="utf-8") as file:
        file.write("NOBODY-9,MRN-0009,1970-01-01,male\n")
    ran = linked("linking", "import", "log.csv", "--system", SYSTEM, "--json")
    assert ran.code == EXIT_REFUSED
    report = ran.json
    assert (report["rows"], report["unchanged"], report["refused"]) == (2, 1, 1)
    assert report["findings"][0]["line"] == 3
    assert "NOBODY-9" not in ran.out
    assert "MRN" not in ran.out


def test_a_log_that_is_not_there_exits_2(linked: Run) -> None:
    assert linked("linking", "import", "other.csv", "--system", SYSTEM).code == EXIT_UNUSABLE


def test_the_list_has_subject_numbers_with_the_key_only_and_hospital_numbers_never(
    linked: Run, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    [row] = linked("linking", "list", "--json").json["subjects"]
    assert (row["number"], row["state"], row["consent"]) == (known.number, "imported", "active")
    monkeypatch.delenv("FHIRBRIDGE_LINKING_KEY")
    ran = linked("linking", "list", "--json")
    assert ran.code == EXIT_DONE
    assert ran.json["subjects"][0]["subject"] == row["subject"]
    assert known.number not in ran.out
    assert "MRN" not in ran.out + linked("linking", "list").out


def test_the_check_links_and_says_so(linked: Run, known: Known, breakable: BreakableHospital) -> None:
    at_hospital(breakable, known)
    ran = linked("linking", "check", "--json")
    assert (ran.code, ran.json["linked"], ran.json["stopped"]) == (EXIT_DONE, 1, [])
    assert [row["state"] for row in linked("linking", "list", "--json").json["subjects"]] == ["linked"]


def test_a_mismatch_exits_1_with_what_to_do_and_the_mended_log_links(
    linked: Run, known: Known, breakable: BreakableHospital
) -> None:
    at_hospital(breakable, known, birthDate="1900-01-01")
    ran = linked("linking", "check")
    assert ran.code == EXIT_REFUSED
    assert "another birth date" in ran.out
    assert "linking show SUBJECT --reveal --reason WHY" in ran.out
    assert all(word not in ran.out + ran.err for word in ("MRN", "1900", known.birth_date, "h-patient"))
    shown = linked("linking", "show", known.number, "--json").json
    assert (shown["state"], "--replace" in shown["remedy"], "hospital" in shown) == ("mismatch", True, False)
    at_hospital(breakable, known)
    assert linked("linking", "check").code == EXIT_DONE


def test_a_pull_s_plan_does_not_count_whom_nothing_is_asked_about(
    linked: Run, known: Known, breakable: BreakableHospital
) -> None:
    planned = linked("pull", "--plan", "--json").json
    counts = ("linked", "consenting", "asked", "stopped")
    assert [planned[name] for name in counts] == [1, 1, 1, {}]
    at_hospital(breakable, known, birthDate="1900-01-01")
    linked("linking", "check")
    planned = linked("pull", "--plan", "--json").json
    assert [planned[name] for name in counts] == [1, 1, 0, {"mismatch": 1}]
    said = linked("pull", "--plan").out
    assert "About 0 of 1 linked subject," in said
    assert "Nothing about these, unless they can be linked by then: 1 mismatch." in said


def test_the_hospital_s_server_down_exits_3(linked: Run, breakable: BreakableHospital) -> None:
    breakable.forbidden = {"Patient"}
    assert linked("linking", "check").code == EXIT_SERVER


def test_a_hospital_number_is_shown_on_record_only(linked: Run, known: Known, breakable: BreakableHospital) -> None:
    at_hospital(breakable, known)
    linked("linking", "check")
    assert "MRN-0001" not in linked("linking", "show", known.number).out
    for reason in ("", "  "):
        refused = linked("linking", "show", known.number, "--reveal", "--reason", reason)
        assert (refused.code, "MRN-0001" in refused.out) == (EXIT_UNUSABLE, False)
    ran = linked("linking", "show", known.number, "--reveal", "--reason", "compare with paper", "--by", "bob")
    assert ran.code == EXIT_DONE
    assert f"{SYSTEM}|MRN-0001" in ran.out
    assert known.birth_date in ran.out
    assert "Patient/h-patient" in ran.out
    last = linked("linking", "history", known.number, "--json").json["events"][-1]
    assert (last["action"], last["by"], last["detail"]) == ("revealed", "bob", "compare with paper")


def test_a_reason_that_tells_the_number_is_refused_because_it_stays_readable(linked: Run, known: Known) -> None:
    ran = linked("linking", "show", known.number, "--reveal", "--reason", "is MRN-0001 right?")
    assert (ran.code, "MRN" in ran.out + ran.err) == (EXIT_UNUSABLE, False)


def test_revealing_needs_the_key(linked: Run, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FHIRBRIDGE_LINKING_KEY")
    ran = linked("linking", "show", known.number, "--reveal", "--reason", "curious")
    assert ran.code == EXIT_UNUSABLE
    assert "linking key" in ran.err
    assert [one["action"] for one in linked("linking", "history", "--json").json["events"]] == ["imported"]


def test_a_changed_number_needs_replace(linked: Run, known: Known) -> None:
    log(known, "MRN-0002")
    refused = linked("linking", "import", "log.csv", "--system", SYSTEM)
    assert (refused.code, "--replace" in refused.out) == (EXIT_REFUSED, True)
    assert linked("linking", "import", "log.csv", "--system", SYSTEM, "--replace").code == EXIT_DONE
    events = linked("linking", "history", "--json").json["events"]
    assert [one["action"] for one in events] == ["imported", "replaced"]


def test_no_number_is_replaced_while_a_pull_takes_results_by_it(linked: Run, known: Known) -> None:
    log(known, "MRN-0002")
    replace = ("linking", "import", "log.csv", "--system", SYSTEM, "--replace")
    with Store.open("sqlite:///fhirbridge.db") as store, Leases(store) as leases:
        leases.take("pull:nct07120750")
        refused = linked(*replace)
    assert (refused.code, "under way" in refused.err) == (EXIT_UNUSABLE, True)
    assert linked(*replace).code == EXIT_DONE


def test_messages_of_an_authority_that_no_setting_names_are_kept_and_taken_once_one_does(
    linked: Run, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    born, sex = known.birth_date.replace("-", ""), known.sex[0].upper()
    pid = PID.replace("H0042^^^HOSP&1.2.3.4&ISO", "MRN-0001^^^HOSP").replace("19700102|F", f"{born}|{sex}")
    Path("a.hl7").write_bytes(message(pid, OBR, OBX))
    assert linked("messages", "load", "a.hl7").code == EXIT_DONE
    monkeypatch.setenv("FHIRBRIDGE_LINKING_AUTHORITIES", '{"HOPS": "urn:oid:1.2.3"}')
    pulled = linked("pull")
    assert (pulled.code, "1 message at fault: fhirbridge messages list" in pulled.err) == (EXIT_REFUSED, True)
    shown = linked("messages", "show", "1")
    assert all(word in shown.out for word in ("HOSP", "linking_authorities", "messages retry --all"))
    assert "MRN" not in shown.out + pulled.out + pulled.err
    monkeypatch.setenv("FHIRBRIDGE_LINKING_AUTHORITIES", '{"HOSP": "urn:oid:1.2.3"}')
    assert linked("messages", "retry", "--all").code == EXIT_DONE
    assert linked("pull").code == EXIT_DONE
    assert linked("messages", "counts", "--json").json["done"] == 1


def test_what_is_forgotten_is_gone_and_its_history_stays(linked: Run, known: Known) -> None:
    assert linked("linking", "forget", known.number).code == EXIT_UNUSABLE
    assert linked("linking", "forget", known.number, "--reason", "asked to").code == EXIT_DONE
    assert linked("linking", "list", "--json").json == {"subjects": []}
    assert linked("linking", "show", known.number).code == EXIT_UNUSABLE
    events = linked("linking", "history", known.number, "--json").json["events"]
    assert [one["action"] for one in events] == ["imported", "forgotten"]


def test_a_rotated_key_goes_on_and_resealing_frees_the_old_one(linked: Run, known: Known) -> None:
    assert linked("linking", "key", "new.key").code == EXIT_DONE
    new, old = Path("new.key").read_text(), Path("linking.key").read_text()
    Path("linking.key").write_text(new + old)
    assert linked("linking", "reseal", "--json").json == {"resealed": 1}
    Path("linking.key").write_text(new)
    assert linked("linking", "list", "--json").json["subjects"][0]["number"] == known.number
    Path("linking.key").write_text(old)
    assert linked("linking", "list").code == EXIT_UNUSABLE


def test_no_log_line_of_a_check_names_anybody(
    linked: Run, known: Known, breakable: BreakableHospital, tmp_path: Path
) -> None:
    at_hospital(breakable, known, birthDate="1900-01-01", name=[{"family": "Secretname"}])
    settings = {"FHIRBRIDGE_LOG_FILE": str(tmp_path / "log"), "FHIRBRIDGE_LOG_FORMAT": "json"}
    assert linked("linking", "check", **settings).code == EXIT_REFUSED
    logged = (tmp_path / "log").read_text()
    assert "link_stopped" in logged
    assert all(word not in logged for word in ("MRN", known.number, known.birth_date, "1900", "Secret", "h-patient"))
    assert all("MRN" not in url for url in breakable.urls)
