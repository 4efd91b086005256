"""A gate between a client and a FHIR server: passes requests on, or holds those that a test wants held."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Gate:
    """Holds requests whose body ``holds``, until they are dropped: then they never reached the server."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server)
        self.holds: Callable[[bytes], bool] = lambda body: False
        self.held = threading.Event()
        self.bodies: list[bytes] = []
        self._dropped = threading.Event()

    def drop(self) -> None:
        """Forget what is held, and hold nothing any more."""
        self.holds = lambda body: False
        self._dropped.set()

    def passes(self, body: bytes) -> bool:
        self.bodies.append(body)
        if not self.holds(body):
            return True
        self.held.set()
        self._dropped.wait(60)
        return False


@contextmanager
def gate_before(server: str) -> Iterator[tuple[str, Gate]]:
    """Give a base URL that leads to the server through a gate."""
    gate = Gate(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not gate.passes(body):
                self.close_connection = True
                return
            onward = http.client.HTTPConnection(gate.server.hostname or "", gate.server.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            onward.request(self.command, self.path, body, headers)
            answer = onward.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            onward.close()

        do_GET = do_POST = do_PUT = do_DELETE = _pass  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    serving = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}{gate.server.path}", gate
    finally:
        gate.drop()
        listening.shutdown()
        listening.server_close()
        serving.join()
