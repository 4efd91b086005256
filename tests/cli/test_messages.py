"""`fhirbridge messages` and `fhirbridge listen`: into the spool by file and by network, and what became of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fhirbridge.records.hl7v2.framing import START, framed
from fhirbridge.sealing import new_key
from fhirbridge.store import Store
from tests.cli.conftest import Run, _without_settings
from tests.hospital.secured import Authority
from tests.records.hl7v2.making import MSH, OBR, OBX, PID, message, obx, oru
from tests.records.hl7v2.sending import Sender, told

KEY = {"FHIRBRIDGE_LINKING_KEY": "linking.key"}
STUDY = "nct07120750"


@pytest.fixture(autouse=True)
def key(tmp_path: Path) -> None:
    new_key(tmp_path / "linking.key")


def numbered(number: int) -> bytes:
    return oru(OBX, msh=MSH.replace("M-1", f"M-{number}"))


def test_every_message_of_a_folder_is_accounted_for(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a.hl7").write_bytes(numbered(1) + numbered(2) + numbered(1))
    (folder / "b.hl7").write_bytes(framed(oru(OBX, obx(number=2, status="").replace("42595-9", "X"))))
    (folder / "c.hl7").write_bytes(message("ORC|NW", msh=MSH.replace("ORU^R01^ORU_R01", "ORM^O01")))
    (folder / "d.hl7").write_bytes(oru(OBX, msh=MSH.replace("|P|", "|T|")))
    (folder / "e.txt").write_bytes(b"minutes of a meeting")
    ran = run("messages", "load", folder, "--json", **KEY)
    assert ran.code == 1
    counts = {name: ran.json[name] for name in ("messages", "kept", "at fault", "known", "ignored", "refused")}
    assert counts == {"messages": 6, "kept": 2, "at fault": 1, "known": 1, "ignored": 1, "refused": 1}
    assert {(one["file"], one["rule"]) for one in ran.json["findings"]} == {
        ("b.hl7", "status"), ("d.hl7", "processing"), ("e.txt", "not-hl7"),
    }  # fmt: skip
    assert run("messages", "counts", "--json").json["waiting"] == 3
    assert "Secret" not in ran.out + ran.err


def test_training_messages_are_taken_where_the_settings_say_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.hl7").write_bytes(oru(OBX, msh=MSH.replace("|P|", "|T|")))
    ran = run("messages", "load", "t.hl7", FHIRBRIDGE_HL7_ACCEPT_PROCESSING='["P","T"]', **KEY)
    assert (ran.code, "at fault" in ran.out) == (0, True)


def test_without_the_linking_key_nothing_is_taken(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(numbered(1))
    ran = run("messages", "load", "a.hl7")
    assert ran.code == 2
    assert "linking" in ran.err


def test_a_message_at_fault_is_listed_shown_revealed_on_record_and_dropped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(message(PID.replace("H0042", ""), OBR, OBX))
    assert run("messages", "load", "a.hl7", **KEY).code == 1
    listed = run("messages", "list")
    assert listed.code == 1
    assert "required" in listed.out
    shown = run("messages", "show", "1")
    assert "PID-3" in shown.out
    assert "Secret" not in shown.out + listed.out
    assert run("messages", "show", "1", "--reveal", **KEY).code == 2
    assert run("messages", "show", "1", "--reveal", "--reason", "which line?").code == 2
    revealed = run("messages", "show", "1", "--reveal", "--reason", "which line?", "--by", "ann", **KEY)
    assert "Secret" in revealed.out
    assert "Secret" not in revealed.err
    with Store.open(f"sqlite:///{tmp_path / 'fhirbridge.db'}") as store:
        (seen,) = store.runs("messages reveal")
        assert seen.counts == {"message": 1, "by": "ann", "reason": "which line?"}
    assert run("messages", "retry", "1").code == 0
    assert run("messages", "drop", "1", "--reason", "sent by mistake").code == 0
    assert run("messages", "counts", "--json").json["dropped"] == 1
    assert run("messages", "show", "1", "--reveal", "--reason", "again", **KEY).code == 2
    assert run("messages", "list").code == 0


def test_a_message_that_is_not_there_is_said_to_be_none(run: Run) -> None:
    assert run("messages", "show", "7").code == 2
    assert run("messages", "drop", "7").code == 2
    assert run("messages", "retry").code == 2


@contextmanager
def listener(
    folder: Path, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """A listener in a process of its own, and its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "fhirbridge", *(arguments or ("listen", "--port", "0"))],
        cwd=folder,
        env={**_without_settings(), "COLUMNS": "200", "NO_COLOR": "1", **KEY, **environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"listening for HL7 v2 on (\S+) port (\d+)", line):
                    break
            else:
                raise AssertionError("it ended before it listened")
            yield process, (found[1], int(found[2]))
        finally:
            process.kill()


def test_a_port_that_is_taken_is_told_with_the_settings_that_name_another(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run("listen", "--port", port, **KEY)
        metrics = run("listen", "--port", "0", **KEY, FHIRBRIDGE_METRICS_PORT=port)
    assert (ran.code, metrics.code) == (2, 2)
    assert all(word in ran.err for word in (port, "`hl7_port`", "--port PORT", "`hl7_address`"))
    assert all(word in metrics.err for word in (port, "`metrics_port`", "`metrics_address`"))


def test_a_listener_keeps_what_it_acknowledges_and_ends_in_good_order(run: Run, tmp_path: Path) -> None:
    run("messages", "counts")  # makes the store
    with listener(tmp_path) as (process, address):
        with Sender(address) as sender:
            assert told(sender.send(numbered(1))) == ("AA", "M-1")
            assert told(sender.send(oru(OBX, msh=MSH.replace("|P|", "|D|")))) == ("AR", "M-1")
            assert told(sender.send(oru(obx(status="")))) == ("AE", "M-1")
            sender.socket.sendall(b"garbage" + START + b"half a frame")
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read() if process.stderr else ""
        assert process.wait(60) == 0
    assert "listener_stopped" in log
    assert "Secret" not in log
    assert "H0042" not in log
    with Store.open(f"sqlite:///{tmp_path / 'fhirbridge.db'}") as store:
        assert store.messages.counts(STUDY) == {"waiting": 1, "faulty": 1}
        ended = store.last_run("listen")
    assert ended is not None
    assert ended.counts is not None
    assert (ended.outcome, ended.counts["aa"], ended.counts["ar"], ended.counts["ae"]) == ("done", 1, 1, 1)
    assert ended.counts["half-frames"] == 1


def test_a_listener_that_is_killed_has_kept_all_that_it_acknowledged(run: Run, tmp_path: Path) -> None:
    run("messages", "counts")
    with listener(tmp_path) as (process, address):
        with Sender(address) as sender:
            for number in range(20):
                assert told(sender.send(numbered(number)))[0] == "AA"
            os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    assert run("messages", "counts", "--json").json["waiting"] == 20


def test_a_listener_that_is_killed_in_a_burst_has_kept_all_that_it_acknowledged_to_anyone_and_each_once(
    run: Run, tmp_path: Path
) -> None:
    run("messages", "counts")
    senders, acknowledged = 6, list[tuple[str, str]]()

    def send(address: tuple[str, int], who: int) -> None:
        with Sender(address) as sender, suppress(OSError, AssertionError):
            for turn in range(1000):
                acknowledged.append(told(sender.send(numbered(who * 1000 + turn))))

    with listener(tmp_path) as (process, address):
        threads = [threading.Thread(target=send, args=(address, who)) for who in range(senders)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 60:
            threading.Event().wait(0.01)
        os.kill(process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    assert {answer for answer, _ in acknowledged} == {"AA"}
    kept = run("messages", "counts", "--json").json["waiting"]
    # What each sender had no answer to may be kept as well, one message at most.
    assert len(acknowledged) <= kept <= len(acknowledged) + senders
    with listener(tmp_path) as (_, address), Sender(address) as sender:
        for _, control in acknowledged[:20]:
            assert told(sender.send(numbered(int(control.removeprefix("M-"))))) == ("AA", control)
    assert run("messages", "counts", "--json").json["waiting"] == kept


def test_the_service_that_runs_the_jobs_listens_where_a_port_is_set(run: Run, tmp_path: Path) -> None:
    run("messages", "counts")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run("key", "new", "fhirbridge.key")
    schedule = {"FHIRBRIDGE_SCHEDULE_PULL": "0 0 1 1 *"} | {
        f"FHIRBRIDGE_SCHEDULE_{job}": "off" for job in ("PUSH", "RECONCILE")
    }
    with listener(tmp_path, "run", FHIRBRIDGE_HL7_PORT=str(port), **schedule) as (process, address):
        assert address == ("127.0.0.1", port)
        with Sender(address) as sender:
            assert told(sender.send(numbered(1))) == ("AA", "M-1")
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read() if process.stderr else ""
        assert process.wait(60) == 0
    assert "listener_stopped" in log
    with Store.open(f"sqlite:///{tmp_path / 'fhirbridge.db'}") as store:
        assert store.messages.counts(STUDY) == {"waiting": 1}


def test_over_tls_only_senders_with_a_certificate_are_heard(run: Run, tmp_path: Path) -> None:
    run("messages", "counts")
    authority = Authority(tmp_path)
    certificate, private = authority.certificate("server")
    environment = {
        "FHIRBRIDGE_HL7_TLS_CERTIFICATE": str(certificate),
        "FHIRBRIDGE_HL7_TLS_KEY": str(private),
        "FHIRBRIDGE_HL7_TLS_CA": str(authority.file),
    }
    known = ssl.create_default_context(cafile=str(authority.file))
    known.load_cert_chain(*authority.certificate("laboratory"))
    with listener(tmp_path, **environment) as (_, address):
        with Sender(address, known) as sender:
            assert told(sender.send(numbered(1)))[0] == "AA"
        with pytest.raises((OSError, AssertionError)), Sender(address) as sender:
            sender.send(numbered(2))
    assert run("messages", "counts", "--json").json["waiting"] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "hl7_port"),
        ({"FHIRBRIDGE_HL7_PORT": "0", "FHIRBRIDGE_HL7_CHARSET": "EBCDIC"}, "hl7_charset"),
        ({"FHIRBRIDGE_HL7_PORT": "0", "FHIRBRIDGE_HL7_TLS_KEY": "k.pem"}, "hl7_tls_certificate"),
        ({"FHIRBRIDGE_HL7_PORT": "0", "FHIRBRIDGE_HL7_TLS_CERTIFICATE": "none.pem"}, "none.pem"),
    ],
)
def test_settings_that_cannot_be_used_are_named_at_once(run: Run, settings: dict[str, str], said: str) -> None:
    ran = run("listen", **settings, **KEY)
    assert ran.code == 2
    assert said in ran.err
