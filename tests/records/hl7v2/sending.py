"""A sender of MLLP messages, on a real socket, and a keeper that writes down what it was given."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hl7

from fhirbridge.records.hl7v2.framing import Deframer, Frame, framed
from fhirbridge.records.hl7v2.reader import Reading


@dataclass
class Keeper:
    """A handler that keeps what it gets, and can be told to fail: then none of a call is kept."""

    kept: list[tuple[bytes, Reading]] = field(default_factory=list)
    fail: Callable[[Reading], bool] = lambda _reading: False
    calls: list[int] = field(default_factory=list)
    """How many messages came in each call that did not fail."""
    at_once: int = 0
    most_at_once: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, messages: Sequence[tuple[bytes, Reading]]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.gate.wait(30)
            if any(self.fail(reading) for _, reading in messages):
                raise OSError("the disk is full of Secret Person's results")
            self.kept += messages
            self.calls.append(len(messages))
        finally:
            self.at_once -= 1

    @property
    def control_ids(self) -> list[str]:
        """Control ids of what was kept, in order."""
        return [reading.header.control_id if reading.header else "" for _, reading in self.kept]


class Sender:
    """One connection to a listener."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(address, timeout=30)
        self.socket = tls.wrap_socket(plain, server_hostname=address[0]) if tls else plain
        self._deframer = Deframer()
        self._answers: list[bytes] = []

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, raw: bytes) -> hl7.Message:
        """Send a message in its frame; return the acknowledgement."""
        self.socket.sendall(framed(raw))
        return self.answer()

    def answer(self) -> hl7.Message:
        """Wait for the next acknowledgement."""
        while not self._answers:
            data = self.socket.recv(65536)
            assert data, "the listener closed the connection without an answer"
            self._answers += [event.content for event in self._deframer.feed(data) if isinstance(event, Frame)]
        return hl7.parse(self._answers.pop(0).decode())

    def closed(self) -> bool:
        """Wait until the listener closes; tell whether it did so without a further answer."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


def told(ack: hl7.Message) -> tuple[str, str]:
    """Return answer and control id of an acknowledgement."""
    msa = ack.segment("MSA")
    return str(msa[1]), str(msa[2]) if len(msa) > 2 else ""
