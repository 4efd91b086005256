"""The MLLP listener on real sockets: what is kept, what is answered, and who is not waited for."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.records.hl7v2.framing import END, START, framed
from fhirbridge.records.hl7v2.listener import Limits, Listener
from fhirbridge.records.hl7v2.tls import server_context
from tests.hospital.secured import Authority
from tests.records.hl7v2.making import MSH, OBX, message, obx, oru
from tests.records.hl7v2.sending import Keeper, Sender, told

GOOD = oru(OBX)


def numbered(number: int) -> bytes:
    return oru(OBX, msh=MSH.replace("M-1", f"M-{number}"))


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def listener(keeper: Keeper) -> Iterator[Listener]:
    with Listener(keeper) as running:
        yield running


def test_a_message_is_kept_and_then_acknowledged(listener: Listener, keeper: Keeper) -> None:
    with Sender(listener.address) as sender:
        assert told(sender.send(GOOD)) == ("AA", "M-1")
    ((raw, reading),) = keeper.kept
    assert raw == GOOD
    assert reading.message is not None
    assert len(reading.message.results) == 1


def test_nothing_is_acknowledged_before_it_is_kept(listener: Listener, keeper: Keeper) -> None:
    keeper.gate.clear()
    with Sender(listener.address) as sender:
        sender.socket.sendall(framed(GOOD))
        sender.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sender.socket.recv(1)
        sender.socket.settimeout(30)
        keeper.gate.set()
        assert told(sender.answer()) == ("AA", "M-1")
    assert keeper.control_ids == ["M-1"]


def test_a_message_that_could_not_be_kept_is_answered_ae_and_may_be_sent_again(keeper: Keeper) -> None:
    heard: list[Exception] = []
    with Listener(keeper, on_failure=heard.append) as listener, Sender(listener.address) as sender:
        keeper.fail = lambda _reading: True
        ack = sender.send(GOOD)
        assert told(ack) == ("AE", "M-1")
        assert "Secret" not in str(ack)
        assert [type(error) for error in heard] == [OSError]
        keeper.fail = lambda _reading: False
        assert told(sender.send(GOOD)) == ("AA", "M-1")
    assert keeper.control_ids == ["M-1"]
    assert listener.counts["not-stored"] == 1


def test_faulty_content_is_answered_ae_and_handed_over_for_a_person_to_see(listener: Listener, keeper: Keeper) -> None:
    with Sender(listener.address) as sender:
        ack = sender.send(oru(OBX, obx("NM", "IU/mL", "10-100", number=2)))
        assert told(ack) == ("AE", "M-1")
        assert str(ack.segment("ERR")[2]) == "OBX^2^5"
        assert told(sender.send(oru(OBX, "broken", msh=MSH.replace("M-1", "M-2")))) == ("AE", "M-2")
    (_, partly), (_, broken) = keeper.kept
    assert partly.message is not None
    assert len(partly.message.results) == 1
    assert broken.message is None


@pytest.mark.parametrize("kind", ["ADT^A01", "ORM^O01", "OML^O21", "MDM^T02", "ORU^R30"])
def test_other_kinds_are_answered_ar_and_never_handed_over(listener: Listener, keeper: Keeper, kind: str) -> None:
    with Sender(listener.address) as sender:
        assert told(sender.send(message(msh=MSH.replace("ORU^R01^ORU_R01", kind)))) == ("AR", "M-1")
    assert keeper.kept == []


def test_an_acknowledgement_is_never_answered_so_that_two_listeners_do_not_talk_for_ever(listener: Listener) -> None:
    with Sender(listener.address) as sender:
        sender.socket.sendall(framed(message("MSA|AA|M-0", msh=MSH.replace("ORU^R01^ORU_R01", "ACK"))))
        assert told(sender.send(GOOD)) == ("AA", "M-1")
    assert listener.counts["unanswered"] == 1


def test_several_messages_in_one_stream_are_answered_one_by_one_in_order(listener: Listener, keeper: Keeper) -> None:
    with Sender(listener.address) as sender:
        sender.socket.sendall(b"".join(framed(numbered(number)) for number in range(20)))
        assert [told(sender.answer()) for _ in range(20)] == [("AA", f"M-{number}") for number in range(20)]
    assert keeper.control_ids == [f"M-{number}" for number in range(20)]


def test_a_message_that_comes_in_pieces_is_put_together(listener: Listener) -> None:
    with Sender(listener.address) as sender:
        sender.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(framed(GOOD)), 40):
            sender.socket.sendall(framed(GOOD)[at : at + 40])
        assert told(sender.answer()) == ("AA", "M-1")


def test_garbage_and_half_frames_between_messages_are_counted_and_passed_over(
    listener: Listener, keeper: Keeper
) -> None:
    with Sender(listener.address) as sender:
        sender.socket.sendall(b"noise" + START + GOOD[:60] + framed(numbered(2)) + b"\r\nmore noise\r\n")
        assert told(sender.answer()) == ("AA", "M-2")
        assert told(sender.send(numbered(3))) == ("AA", "M-3")
        sender.socket.sendall(START + GOOD)
        sender.socket.shutdown(socket.SHUT_WR)
        assert sender.closed()
    assert keeper.control_ids == ["M-2", "M-3"]
    assert (listener.counts["garbage-bytes"], listener.counts["half-frames"]) == (15, 2)


def test_a_frame_without_its_final_carriage_return_is_whole(listener: Listener) -> None:
    with Sender(listener.address) as sender:
        sender.socket.sendall(START + GOOD + END)
        assert told(sender.answer()) == ("AA", "M-1")


@pytest.mark.parametrize("raw", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"MSH", b"<xml/>"])
def test_a_frame_of_anything_else_gets_an_answer_and_the_connection_lives_on(listener: Listener, raw: bytes) -> None:
    with Sender(listener.address) as sender:
        assert told(sender.send(raw))[0] in ("AR", "AE")
        assert told(sender.send(GOOD)) == ("AA", "M-1")


def test_a_message_that_is_too_long_is_answered_ar_and_the_next_one_is_taken(keeper: Keeper) -> None:
    with Listener(keeper, limits=Limits(longest=20_000)) as listener, Sender(listener.address) as sender:
        assert told(sender.send(numbered(7) + b"NTE|1|L|" + b"x" * 100_000)) == ("AR", "M-7")
        assert told(sender.send(GOOD)) == ("AA", "M-1")
    assert keeper.control_ids == ["M-1"]


@pytest.mark.parametrize("start", [b"", START + GOOD[:50], b"noise"])
def test_a_sender_that_stops_in_the_middle_is_not_waited_for(keeper: Keeper, start: bytes) -> None:
    limits = Limits(frame_seconds=0.2, idle_seconds=0.2)
    with Listener(keeper, limits=limits) as listener, Sender(listener.address) as sender:
        sender.socket.sendall(start)
        assert sender.closed()
    assert listener.counts["timeouts"] == 1
    assert keeper.kept == []


def test_a_sender_that_drips_or_begins_again_and_again_buys_no_time(keeper: Keeper) -> None:
    limits = Limits(frame_seconds=0.3, idle_seconds=30)
    with Listener(keeper, limits=limits) as listener, Sender(listener.address) as sender:
        sender.socket.settimeout(0.05)
        gone = False
        while not gone:
            try:
                sender.socket.sendall(START + b"MSH")
                gone = sender.socket.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                gone = True
    assert listener.counts["timeouts"] == 1


def test_connections_beyond_the_limit_are_turned_away_and_a_freed_place_is_taken_again(keeper: Keeper) -> None:
    with Listener(keeper, limits=Limits(connections=2)) as listener:
        with ExitStack() as stack:
            first, second = (stack.enter_context(Sender(listener.address)) for _ in range(2))
            assert told(first.send(GOOD)) == told(second.send(GOOD)) == ("AA", "M-1")
            with Sender(listener.address) as third:
                assert third.closed()
            assert listener.counts["turned-away"] == 1
            assert told(first.send(GOOD)) == ("AA", "M-1")
        answer = None
        while answer is None:
            # The places are free once the listener has seen both connections end.
            with Sender(listener.address) as again:
                try:
                    answer = told(again.send(GOOD))
                except (AssertionError, ConnectionError):
                    continue
        assert answer == ("AA", "M-1")


def test_many_senders_at_once_each_get_their_own_answers_and_nothing_is_kept_twice(
    listener: Listener, keeper: Keeper
) -> None:
    wrong: list[Any] = []

    def talk(who: int) -> None:
        with Sender(listener.address) as sender:
            for turn in range(15):
                number = who * 1000 + turn
                if (answer := told(sender.send(numbered(number)))) != ("AA", f"M-{number}"):
                    wrong.append(answer)

    threads = [threading.Thread(target=talk, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(keeper.control_ids) == sorted(f"M-{who * 1000 + turn}" for who in range(8) for turn in range(15))
    assert keeper.most_at_once == 1
    assert listener.counts["AA"] == 120


def test_what_waits_at_the_same_time_is_kept_together_and_one_that_fails_takes_no_other_with_it(
    listener: Listener, keeper: Keeper
) -> None:
    keeper.gate.clear()
    keeper.fail = lambda reading: reading.header is not None and reading.header.control_id == "M-3"
    with ExitStack() as stack:
        senders = [stack.enter_context(Sender(listener.address)) for _ in range(6)]
        senders[0].socket.sendall(framed(numbered(0)))
        while not keeper.at_once:
            threading.Event().wait(0.01)
        for number in range(1, 6):
            senders[number].socket.sendall(framed(numbered(number)))
        while listener.waiting < 5:
            threading.Event().wait(0.01)
        keeper.gate.set()
        answers = [told(sender.answer()) for sender in senders]
        assert answers == [("AE" if number == 3 else "AA", f"M-{number}") for number in range(6)]
        assert sorted(keeper.control_ids) == ["M-0", "M-1", "M-2", "M-4", "M-5"]
        keeper.fail = lambda _reading: False
        keeper.gate.clear()
        senders[0].socket.sendall(framed(numbered(6)))
        while not keeper.at_once:
            threading.Event().wait(0.01)
        for number in range(1, 6):
            senders[number].socket.sendall(framed(numbered(6 + number)))
        while listener.waiting < 5:
            threading.Event().wait(0.01)
        keeper.gate.set()
        assert [told(sender.answer())[0] for sender in senders] == ["AA"] * 6
    assert keeper.calls[-2:] == [1, 5]


def test_a_second_message_waits_while_the_first_is_being_kept(listener: Listener, keeper: Keeper) -> None:
    keeper.gate.clear()
    with Sender(listener.address) as first, Sender(listener.address) as second:
        for number, sender in enumerate((first, second)):
            sender.socket.sendall(framed(numbered(number)))
        second.socket.settimeout(0.4)
        with pytest.raises(TimeoutError):
            second.socket.recv(1)
        second.socket.settimeout(30)
        keeper.gate.set()
        assert {told(first.answer()), told(second.answer())} == {("AA", "M-0"), ("AA", "M-1")}
    assert keeper.most_at_once == 1


def test_on_leaving_the_message_at_hand_is_still_kept_and_answered(keeper: Keeper) -> None:
    keeper.gate.clear()
    listener = Listener(keeper)
    with ExitStack() as stack:
        with listener:
            sender = stack.enter_context(Sender(listener.address))
            sender.socket.sendall(framed(GOOD))
            while not keeper.at_once:
                threading.Event().wait(0.01)
            threading.Timer(0.3, keeper.gate.set).start()
        assert keeper.control_ids == ["M-1"]
        assert told(sender.answer()) == ("AA", "M-1")
        assert sender.closed()
    with pytest.raises(OSError, match="refused"):
        Sender(listener.address)


def test_time_and_ids_of_answers_are_those_it_is_given(keeper: Keeper) -> None:
    when = dt.datetime(2026, 3, 30, tzinfo=dt.UTC)
    with Listener(keeper, clock=lambda: when, new_id=lambda: "A-9") as listener, Sender(listener.address) as sender:
        msh = sender.send(GOOD).segment("MSH")
    assert (str(msh[7]), str(msh[10])) == ("20260330000000+0000", "A-9")


def test_a_character_set_given_beforehand_holds_for_every_sender(keeper: Keeper) -> None:
    raw = oru(obx("ST", "未检出", ""))
    with Listener(keeper, assume="UNICODE UTF-8") as listener, Sender(listener.address) as sender:
        assert told(sender.send(raw)) == ("AA", "M-1")


def test_an_address_that_is_taken_is_one_clear_error(listener: Listener) -> None:
    host, port = listener.address
    for wrong in (port, 70_000):
        with pytest.raises(ConfigurationError, match=f"cannot listen on {host} port {wrong}"):
            Listener(Keeper(), port=wrong).__enter__()


def test_tls_takes_senders_that_trust_us_and_plain_ones_not(keeper: Keeper, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=str(authority.file))
    with Listener(keeper, tls=server_context(*authority.certificate("server"))) as listener:
        with Sender(listener.address, trusting) as sender:
            assert told(sender.send(GOOD)) == ("AA", "M-1")
        with Sender(listener.address) as plain:
            plain.socket.sendall(framed(GOOD))
            with contextlib.suppress(ConnectionError):
                assert START not in plain.socket.recv(100)
        while not listener.counts.get("tls-failures"):
            threading.Event().wait(0.01)
    assert keeper.control_ids == ["M-1"]


def test_tls_can_ask_senders_for_a_certificate(keeper: Keeper, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = server_context(*authority.certificate("server"), senders=authority.file)
    known = ssl.create_default_context(cafile=str(authority.file))
    known.load_cert_chain(*authority.certificate("laboratory"))
    with Listener(keeper, tls=context) as listener:
        with Sender(listener.address, known) as sender:
            assert told(sender.send(GOOD)) == ("AA", "M-1")
        stranger = ssl.create_default_context(cafile=str(authority.file))
        with pytest.raises((OSError, AssertionError)), Sender(listener.address, stranger) as sender:
            sender.send(numbered(2))
    assert keeper.control_ids == ["M-1"]


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("server")
    words = tmp_path / "words.pem"
    words.write_text("words")
    with pytest.raises(ConfigurationError, match=r"words\.pem holds no certificate"):
        server_context(words)
    with pytest.raises(ConfigurationError, match=r"none\.pem cannot be read"):
        server_context(tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"words\.pem holds no certificates"):
        server_context(certificate, key, senders=words)
