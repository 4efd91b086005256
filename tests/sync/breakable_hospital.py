"""A small FHIR server that works, on the wire of ``responses``, until a test breaks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import responses

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital, Retries

BASE = "http://hospital.test/fhir"
Answer = tuple[int, dict[str, str], bytes]


class BreakableHospital:
    """Keeps what is PUT in transactions and answers searches by ``_tag`` and ``_id``, two to a page.

    ``fail_next``: statuses to answer the next transactions with instead. ``refuse``: "Type/id" to the status of its
    entry; the others in its Bundle are kept all the same, as some servers do. ``refuse_whole``: the same, but the
    whole Bundle is refused. ``dies_after``: the number of transactions it answers before it cuts every connection.
    ``knows_tag``, ``knows_sort``: whether it heeds ``_tag`` and ``_sort``; what it does not is dropped from the self
    link. ``asked``: the parameters of every search. ``forbidden``: types that may not be searched.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Resource] = {}
        self.bundles: list[list[str]] = []
        self.fail_next: list[int] = []
        self.refuse: dict[str, int] = {}
        self.refuse_whole: dict[str, int] = {}
        self.dies_after: int | None = None
        self.knows_tag = True
        self.knows_sort = True
        self.asked: list[dict[str, str]] = []
        self.repeats_parameters = True
        self.forbidden: set[str] = set()
        self.lock = threading.Lock()

    @contextmanager
    def connected(self, attempts: int = 2) -> Iterator[Hospital]:
        """Give a client of this server that retries without waiting."""
        with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
            wire.add_callback("GET", f"{BASE}/metadata", self._metadata)
            wire.add_callback("POST", BASE, self._transaction)
            for kind in ("Patient", "Observation", "ResearchStudy"):
                wire.add_callback("GET", f"{BASE}/{kind}", self._search)
            with Hospital(BASE, retries=Retries(attempts=attempts), sleep=lambda _: None) as hospital:
                yield hospital

    def put(self, resource: Resource) -> None:
        """Put a resource there by other ways than ours."""
        self.kept[f"{resource['resourceType']}/{resource['id']}"] = resource

    def _alive(self) -> None:
        if self.dies_after is not None and len(self.bundles) >= self.dies_after:
            raise requests.ConnectionError("connection reset")

    def _metadata(self, _request: Any) -> Answer:
        self._alive()
        return _json(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})

    def _transaction(self, request: Any) -> Answer:
        with self.lock:
            self._alive()
            if self.fail_next:
                return _json(self.fail_next.pop(0), _outcome("not now"))
            entries = fhirjson.loads(request.body)["entry"]
            urls = [entry["request"]["url"] for entry in entries]
            self.bundles.append(urls)
            for url in urls:
                if url in self.refuse_whole:
                    return _json(self.refuse_whole[url], _outcome("the code is unknown"))
            answered = [{"response": self._entry(entry)} for entry in entries]
            return _json(200, {"resourceType": "Bundle", "type": "transaction-response", "entry": answered})

    def _entry(self, entry: Resource) -> Resource:
        url = entry["request"]["url"]
        if url in self.refuse:
            return {"status": f"{self.refuse[url]} Refused", "outcome": _outcome("the code is unknown")}
        status = "200 OK" if url in self.kept else "201 Created"
        self.kept[url] = entry["resource"]
        return {"status": status, "location": f"{url}/_history/1", "etag": 'W/"1"'}

    def _search(self, request: Any) -> Answer:
        parts = urlsplit(request.url)
        kind, params = parts.path.rsplit("/", 1)[1], dict(parse_qsl(parts.query))
        self.asked.append(dict(params))
        if not self.knows_sort:
            params.pop("_sort", None)
        if kind in self.forbidden:
            return _json(403, _outcome("not for you"))
        found = [resource for resource in self.kept.values() if resource["resourceType"] == kind]
        if "_id" in params:
            found = [resource for resource in found if resource["id"] in params["_id"].split(",")]
        if self.knows_tag and "_tag" in params:
            found = [resource for resource in found if _has_tag(resource, params["_tag"])]
        elif not self.repeats_parameters or "_tag" in params:
            params.pop("_tag", None)
        start = int(params.get("offset", 0))
        link = [{"relation": "self", "url": _url(kind, params)}] if self.repeats_parameters else []
        if start + 2 < len(found):
            link.append({"relation": "next", "url": _url(kind, params | {"offset": str(start + 2)})})
        entries = [
            {
                "resource": resource | {"meta": resource.get("meta", {}) | {"versionId": "9"}},
                "search": {"mode": "match"},
            }
            for resource in found[start : start + 2]
        ]
        return _json(200, {"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entries})


def _url(kind: str, params: dict[str, str]) -> str:
    return requests.Request("GET", f"{BASE}/{kind}", params=params).prepare().url or ""


def _has_tag(resource: Resource, wanted: str) -> bool:
    tags = resource.get("meta", {}).get("tag", [])
    return any(f"{tag['system']}|{tag['code']}" == wanted for tag in tags)


def _outcome(text: str) -> Resource:
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "processing", "diagnostics": text}],
    }


def _json(status: int, body: Resource) -> Answer:
    return status, {"Content-Type": "application/fhir+json"}, fhirjson.dumps(body)
