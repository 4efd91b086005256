"""The MLLP listener: takes result messages from many senders and says AA only once a message is safely kept."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from fhirbridge.errors import ConfigurationError
from fhirbridge.records.hl7v2.acknowledgement import acknowledgement, answer_to, not_stored
from fhirbridge.records.hl7v2.framing import Deframer, Event, Frame, Garbage, Half, TooLong, framed
from fhirbridge.records.hl7v2.header import PROCESSING, start_of
from fhirbridge.records.hl7v2.keeping import Handler, Writer
from fhirbridge.records.hl7v2.reader import LONGEST, Reading, read, too_long

Count = Literal[
    "AA", "AE", "AR", "unanswered", "not-stored", "half-frames", "garbage-bytes", "timeouts", "turned-away",
    "tls-failures", "connections",
]  # fmt: skip

_CHUNK = 1 << 16
_POLL_SECONDS = 0.2
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What senders may ask of the listener."""

    connections: int = 32
    """At once; beyond, a connection is closed as soon as it opens."""
    frame_seconds: float = 30.0
    """From a frame's first byte to its last, for the TLS handshake, and to take an answer."""
    idle_seconds: float = 600.0
    """Between the messages of a connection; garbage does not count as one."""
    longest: int = LONGEST
    """Bytes of one message."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _new_id() -> str:
    return uuid.uuid4().hex[:20]


class Listener:
    """Listens from ``with`` to its end; on leaving, the message at hand is still finished and answered."""

    def __init__(
        self,
        handler: Handler,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        assume: str | None = None,
        processing: Collection[str] = PROCESSING,
        limits: Limits | None = None,
        on_failure: Callable[[Exception], None] = lambda _error: None,
        clock: Callable[[], dt.datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """``port`` 0 takes a free one. ``on_failure`` is told what the handler raised; the sender is not."""
        self._writer = Writer(handler)
        self._place = (host, port)
        self._tls = tls
        self._assume = assume
        self._processing = processing
        self._limits = limits or Limits()
        self._on_failure = on_failure
        self._clock = clock
        self._new_id = new_id
        self._counting = threading.Lock()
        self._counts: Counter[Count] = Counter()
        self._running: set[threading.Thread] = set()
        self._stopping = threading.Event()
        self._server: socket.socket | None = None
        self._accepting = threading.Thread(target=self._accept, name="mllp", daemon=True)

    def __enter__(self) -> Listener:
        """Start to listen. Raises ConfigurationError where the address cannot be had."""
        host, port = self._place
        if not 0 <= port <= _LAST_PORT:
            raise ConfigurationError(f"cannot listen on {host} port {port}: ports go from 0 to {_LAST_PORT}.")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._server = socket.create_server(self._place, family=family, backlog=self._limits.connections)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host} port {port}: {error.strerror}. Change `hl7_port` (--port PORT) or "
                "`hl7_address`; each listener needs a port of its own."
            ) from error
        self._place = self._server.getsockname()[:2]
        self._server.settimeout(_POLL_SECONDS)
        self._writer.start()
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more messages, finish those at hand, and close."""
        self._stopping.set()
        self._accepting.join()
        with self._counting:
            running = list(self._running)
        for thread in running:
            thread.join(self._limits.frame_seconds)
        self._writer.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on; the port that was found free, once it has begun."""
        return self._place

    @property
    def counts(self) -> dict[Count, int]:
        """What has happened so far: answers by kind, and what never became a message."""
        with self._counting:
            return dict(self._counts)

    @property
    def waiting(self) -> int:
        """How many messages wait to be kept, without those at hand."""
        return self._writer.waiting

    def _count(self, what: Count, by: int = 1) -> None:
        with self._counting:
            self._counts[what] += by

    def _forget(self, thread: threading.Thread) -> None:
        with self._counting:
            self._running.discard(thread)

    def _accept(self) -> None:
        server = self._server
        if server is None:
            return
        with server:
            while not self._stopping.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                except OSError:
                    # Out of file descriptors, or a sender that was gone already: others are still to be served.
                    self._stopping.wait(_POLL_SECONDS)
                    continue
                self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=(connection,), name="mllp-connection", daemon=True)
        with self._counting:
            full = len(self._running) >= self._limits.connections
            self._counts["turned-away" if full else "connections"] += 1
            if not full:
                self._running.add(thread)
        if full:
            connection.close()
        else:
            try:
                thread.start()
            except RuntimeError:
                # The machine has no more threads: this sender comes again, and the listener goes on.
                connection.close()
                self._forget(thread)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                if self._tls is None:
                    self._converse(connection)
                    return
                try:
                    connection.settimeout(self._limits.frame_seconds)
                    secured = self._tls.wrap_socket(connection, server_side=True)
                except (OSError, ValueError):
                    self._count("tls-failures")
                    return
                with secured:
                    self._converse(secured)
        except OSError:
            # The sender broke the connection; what it has no answer for, it sends again.
            return
        finally:
            self._forget(threading.current_thread())

    def _converse(self, connection: socket.socket) -> None:
        """Take message after message until the sender ends, breaks off or is too slow."""
        deframer = Deframer(self._limits.longest)
        deadline = time.monotonic() + self._limits.idle_seconds
        while not self._stopping.is_set():
            connection.settimeout(_POLL_SECONDS)
            try:
                data = connection.recv(_CHUNK)
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
                self._count("timeouts")
                break
            if not data:
                break
            was_inside, answered = deframer.inside, False
            for event in deframer.feed(data):
                answered = self._meet(event, connection) or answered
            # Neither garbage nor a frame begun again buys a sender more time.
            if answered or (deframer.inside and not was_inside):
                limit = self._limits.frame_seconds if deframer.inside else self._limits.idle_seconds
                deadline = time.monotonic() + limit
            elif time.monotonic() >= deadline:
                self._count("timeouts")
                break
        if deframer.close() is not None:
            self._count("half-frames")

    def _meet(self, event: Event, connection: socket.socket) -> bool:
        """Deal with one event; return whether it was a whole message."""
        if isinstance(event, Garbage):
            self._count("garbage-bytes", event.length)
            return False
        if isinstance(event, Half):
            self._count("half-frames")
            return False
        reply = self._answer(event)
        if reply is not None:
            connection.settimeout(self._limits.frame_seconds)
            connection.sendall(framed(reply))
        return True

    def _answer(self, event: Frame | TooLong) -> bytes | None:
        now, control_id = self._clock(), self._new_id()
        if isinstance(event, TooLong):
            reading = Reading("refused", None, (too_long(),), start_of(event.start))
        else:
            reading = read(event.content, assume=self._assume, processing=self._processing)
        answer = answer_to(reading)
        if answer is None:
            self._count("unanswered")
            return None
        if answer != "AR" and isinstance(event, Frame):
            try:
                self._writer.keep(event.content, reading)
            except Exception as error:  # noqa: BLE001  # whatever it was: the sender must not hear AA
                self._count("not-stored")
                self._count("AE")
                self._on_failure(error)
                return not_stored(reading, now=now, control_id=control_id)
        self._count(answer)
        return acknowledgement(reading, answer, now=now, control_id=control_id)
