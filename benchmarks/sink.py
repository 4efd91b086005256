"""A server that takes every transaction and keeps nothing, for measuring a client's memory and not a server's speed."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fhirbridge import fhirjson

STATEMENT = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "interaction": [{"code": "transaction"}],
            "resource": [
                {"type": kind, "updateCreate": True, "versioning": "versioned-update"}
                for kind in ("ResearchStudy", "Patient", "Observation")
            ],
        }
    ],
}


class Sink(BaseHTTPRequestHandler):
    """Answers /metadata, an empty searchset, and "201 Created" for each entry."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server's name
        """Answer a reading request."""
        found: Any = STATEMENT if self.path.endswith("/metadata") else {"resourceType": "Bundle", "type": "searchset"}
        self._answer(found)

    def do_POST(self) -> None:
        """Take a transaction."""
        bundle = fhirjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        responses = [
            {"response": {"status": _status(entry), "location": f"{entry['request']['url']}/_history/1"}}
            for entry in bundle["entry"]
        ]
        self._answer({"resourceType": "Bundle", "type": "transaction-response", "entry": responses})

    def _answer(self, body: Any) -> None:
        data = fhirjson.dumps(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _status(entry: Any) -> str:
    """Say that what names a version was updated, and everything else created."""
    return "200 OK" if "ifMatch" in entry["request"] else "201 Created"


def main() -> None:
    """Serve on a free port, printed first, until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/fhir\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
