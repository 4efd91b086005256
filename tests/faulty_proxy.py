"""A server of the tests' own between our client and a real FHIR server, which does what networks and servers do.

    with faulty_proxy("http://127.0.0.1:8000/fhir", seed=7, rate=0.2) as proxy:
        ...  # talk to proxy.base_url
        assert proxy.counts["cut-after"] > 0

It forwards every request, and puts its own address for the server's in bodies and headers and back again, because
servers build links from their own. Faults happen at random (``rate`` of the requests, of the kinds in ``kinds``) or as
ordered (``proxy.next("500", method="PUT", path="Patient/")``). Over HTTP, for other processes: GET ``/-/report`` and
POST ``/-/next``. By itself: ``python -m tests.faulty_proxy TARGET --rate 0.2`` prints its base URL, and ends when its
standard input closes.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.faults import INSTEAD, STORM, FaultyProxy

HOST = "127.0.0.1"

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"})
_OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "transient", "diagnostics": "a fault made for a test"}],
}
_PAGE = b"<!DOCTYPE html><html><body>The gateway is having a moment.</body></html>"


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    chunked: bool = False


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection of a client, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultyProxy

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: paths may hold identifiers."""

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            super().handle_one_request()
            return
        self.close_connection = True

    def do_GET(self) -> None:
        if self.path == "/-/report":
            self._send(_json(200, vars(self.proxy.report())))
        else:
            self._serve()

    def do_POST(self) -> None:
        if self.path == "/-/next":
            self.proxy.next(**json.loads(self._body()))
            self._send(_json(200, {}))
        else:
            self._serve()

    def _serve(self) -> None:
        body = self._body()
        kind = self.proxy.fault_for(self.command, self.path)
        if kind in INSTEAD:
            self._instead(kind)
            return
        answer = self._forward(body)
        if kind == "twice":
            answer = self._forward(body)
        if kind in (None, "twice"):
            self._send(answer)
        else:
            self._afterwards(kind, answer)

    do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _forward(self, body: bytes) -> _Answer:
        """Give the request to the server, over a connection of its own, so that none is cut by chance."""
        proxy, target = self.proxy, urlsplit(self.proxy.target)
        ours, theirs = proxy.base_url, proxy.target
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        data = body.replace(ours.encode(), theirs.encode())
        headers["Accept-Encoding"] = "identity"
        with contextlib.closing(http.client.HTTPConnection(target.hostname or "", target.port, timeout=300)) as server:
            server.connect()
            writes = proxy.forwarded(self.command, self.path, body)
            if writes:
                proxy.watch("arrived", self.client_address[1])
            server.request(self.command, self.path, body=data or None, headers=headers)
            got = server.getresponse()
            read = got.read().replace(theirs.encode(), ours.encode())
        if writes:
            proxy.watch("answered", self.client_address[1])
        kept = [(name, value.replace(theirs, ours)) for name, value in got.getheaders()]
        chunked = (got.getheader("Transfer-Encoding") or "").lower() == "chunked"
        return _Answer(got.status, [one for one in kept if one[0].lower() not in _HOP_BY_HOP], read, chunked)

    def _instead(self, kind: str) -> None:
        after = self.proxy.retry_after
        if kind == "cut-before":
            self._cut()
        elif kind in ("html", "502"):
            self._send(_Answer(200 if kind == "html" else 502, [("Content-Type", "text/html")], _PAGE))
        elif kind == "429":
            self._send(_json(429, _OUTCOME, ("Retry-After", str(after))))
        elif kind == "429-date":
            now = time.time()
            until = ("Retry-After", formatdate(now + after, usegmt=True))
            self._send(_json(429, _OUTCOME, ("Date", formatdate(now, usegmt=True)), until))
        elif kind == "401":
            self._send(_json(401, _OUTCOME, ("WWW-Authenticate", 'Bearer error="invalid_token"')))
        else:
            self._send(_json(int(kind), _OUTCOME))

    def _afterwards(self, kind: str, answer: _Answer) -> None:
        body = answer.body
        if kind == "504-after":
            self._send(_json(504, _OUTCOME))
        elif kind == "cut-after":
            self._cut()
        elif kind == "truncated":
            # An empty body cannot be cut short, and what is no JSON is no acknowledgement either.
            self._send(_Answer(answer.status, [*_typed(answer.headers)], body[: len(body) // 2] or b"{"))
        elif kind == "cut-inside":
            self._head(answer, max(len(body), 2))
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self._trickle(answer, without_end=kind == "trickle")

    def _trickle(self, answer: _Answer, *, without_end: bool) -> None:
        """Send the body in ten pieces with a pause between, or, ``without_end``, spaces for as long as anyone reads."""
        size = len(answer.body)
        self._head(answer, size + 1_000_000 if without_end else size)
        for start in range(0, size, max(1, size // 10)):
            self.wfile.write(answer.body[start : start + max(1, size // 10)])
            self.wfile.flush()
            self.proxy.closing.wait(self.proxy.pause)
        while without_end and not self.proxy.closing.wait(self.proxy.pause):
            self.wfile.write(b" ")
        self.close_connection = self.close_connection or without_end

    def _send(self, answer: _Answer) -> None:
        if not answer.chunked:
            self._head(answer, len(answer.body))
            self.wfile.write(b"" if self.command == "HEAD" else answer.body)
            return
        self._head(answer, None)
        for start in range(0, len(answer.body), 4096):
            piece = answer.body[start : start + 4096]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, answer: _Answer, length: int | None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _cut(self) -> None:
        """Reset the connection: no more bytes, not even an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):  # a connection that we cut ourselves
            request.shutdown(socket.SHUT_WR)
        self.close_request(request)


def _json(status: int, body: Any, *headers: tuple[str, str]) -> _Answer:
    return _Answer(status, [("Content-Type", "application/fhir+json"), *headers], json.dumps(body).encode())


def _typed(headers: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield from (one for one in headers if one[0].lower() != "content-type")
    yield "Content-Type", "application/fhir+json"


@contextlib.contextmanager
def faulty_proxy(
    target_base_url: str,
    *,
    seed: int = 0,
    rate: float = 0.0,
    kinds: Sequence[str] = STORM,
    retry_after: int = 1,
    pause: float = 0.05,
    port: int = 0,
) -> Iterator[FaultyProxy]:
    """Serve in threads of this process. ``retry_after`` is what 429 asks for, ``pause`` what slow bodies make."""
    proxy = FaultyProxy(target_base_url, seed=seed, rate=rate, kinds=kinds, retry_after=retry_after, pause=pause)
    server = _Server((HOST, port), type("Handler", (_Handler,), {"proxy": proxy}))
    proxy.base_url = f"http://{HOST}:{server.server_port}{urlsplit(proxy.target).path}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faulty_proxy")
    parser.add_argument("target", help="base URL of the server behind it")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--kinds", default=",".join(STORM))
    parser.add_argument("--retry-after", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.05)
    given = vars(parser.parse_args())
    target, kinds = given.pop("target"), given.pop("kinds").split(",")
    with faulty_proxy(target, kinds=kinds, **given) as proxy:
        sys.stdout.write(f"{proxy.base_url}\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
