"""A Bulk Data server of the tests' own, on a real port, that exports as the specification says until a test breaks it.

Source: http://hl7.org/fhir/uv/bulkdata/STU2/export.html. It holds ready files instead of resources.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhirbridge import fhirjson
from fhirbridge.errors import Resource

HOST = "127.0.0.1"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}


def ndjson(*resources: Resource) -> bytes:
    return b"".join(fhirjson.dumps(one) + b"\n" for one in resources)


@dataclass
class BulkServer:
    """``files``: name to (part, type, content). ``pending``: how often it is still at work, with ``patience`` as
    Retry-After. ``counts``: what the manifest says instead of the truth, None for nothing. ``cut``: after how many
    bytes the next downloads break off, None for whole. ``fail``: statuses of the next requests whose path holds a
    text. ``packed``: files are sent compressed. ``ranges``: whether parts of files are given. ``pages``: files on a
    page of the manifest, as in v3. ``elsewhere``: the origin that files are said to lie on. ``token``: what files need.

    ``asked``: method and path of every request. ``sent``: the headers of each.
    """

    files: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    pending: int = 0
    patience: str | None = "1"
    counts: dict[str, int | None] = field(default_factory=dict)
    cut: list[int | None] = field(default_factory=list)
    fail: list[tuple[str, int]] = field(default_factory=list)
    packed: bool = False
    ranges: bool = True
    pages: int | None = None
    elsewhere: str | None = None
    token: str | None = None
    group: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)
    base_url: str = ""
    jobs: int = 0
    known: bool = True

    @property
    def params(self) -> list[list[tuple[str, str]]]:
        """The parameters of every kick-off."""
        return [parse_qsl(urlsplit(one).query) for one in self.asked if "$export" in one]

    def count(self, text: str) -> int:
        return sum(text in one for one in self.asked)

    def answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        place = urlsplit(path).path.removeprefix("/fhir/")
        for at, (text, status) in enumerate(self.fail):
            if text in path:
                del self.fail[at]
                return _json(status, OUTCOME)
        if place.endswith("$export"):
            self.jobs += 1
            self.known = True
            return 202, {"Content-Location": f"{self.base_url}/jobs/{self.jobs}"}, b""
        if place.startswith("Group/"):
            members = [{"entity": {"reference": f"Patient/{id}"}} for id in self.group]
            return _json(200, {"resourceType": "Group", "id": place.split("/")[1], "member": members})
        if place.startswith("jobs/"):
            return self._job(method, place, path)
        return self._file(place)

    def _job(self, method: str, place: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if not self.known:
            return _json(404, OUTCOME)
        if method == "DELETE":
            self.known = False
            return 202, {}, b""
        if self.pending:
            self.pending -= 1
            patience = {"Retry-After": self.patience} if self.patience else {}
            return 202, {"X-Progress": "50% done", **patience}, b""
        names = list(self.files)
        page = int(dict(parse_qsl(urlsplit(path).query)).get("page", 0))
        size = self.pages or len(names) or 1
        said: dict[str, Any] = {
            "transactionTime": "2026-03-20T12:00:00.000Z",
            "request": f"{self.base_url}/$export",
            "requiresAccessToken": self.token is not None,
            "output": [],
            "error": [],
            **self.manifest,
        }
        for name in names[page * size : (page + 1) * size]:
            part, kind, content = self.files[name]
            entry = {"type": kind, "url": f"{self.elsewhere or self.base_url}/files/{name}"}
            count = self.counts.get(name, len(content.splitlines()))
            said.setdefault(part, []).append(entry if count is None else entry | {"count": count})
        if (page + 1) * size < len(names):
            said["link"] = [{"relation": "next", "url": f"{self.base_url}/{place}?page={page + 1}"}]
        return _json(200, said)

    def _file(self, place: str) -> tuple[int, dict[str, str], bytes]:
        content = self.files[place.removeprefix("files/")][2]
        authorised = self.token is None or self.sent[-1].get("Authorization") == f"Bearer {self.token}"
        if not authorised:
            return _json(401, OUTCOME)
        headers = {"Content-Type": "application/fhir+ndjson", "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if self.packed:
            return 200, headers | {"Content-Encoding": "gzip"}, gzip.compress(content)
        asked = re.fullmatch(r"bytes=(\d+)-", self.sent[-1].get("Range", ""))
        if self.ranges and asked and self.sent[-1].get("If-Range") == headers["ETag"]:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return 206, headers, content[start:]
        return 200, headers, content


def _json(status: int, body: Resource) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/fhir+json"}, fhirjson.dumps(body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: BulkServer

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        state = self.state
        state.asked.append(f"{self.command} {self.path}")
        state.sent.append(dict(self.headers.items()))
        status, headers, body = state.answer(self.command, self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = state.cut.pop(0) if "/files/" in self.path and state.cut else None
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    do_DELETE = do_GET  # noqa: N815


@contextlib.contextmanager
def running_bulk_server() -> Iterator[BulkServer]:
    state = BulkServer()
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        state.base_url = f"http://{HOST}:{server.server_address[1]}/fhir"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
