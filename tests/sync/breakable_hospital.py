"""A small FHIR server that works, on the wire of ``responses``, until a test breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
import responses

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital, Retries
from tests.sync.breakable_contents import ORDER, Contents, Refused

BASE = "http://hospital.test/fhir"
Answer = tuple[int, dict[str, str], bytes]

KINDS = ("Patient", "Observation", "ResearchStudy")
INTERACTIONS = ("read", "search-type", "create", "update", "delete")


class BreakableHospital(Contents):
    """Takes transactions, batches and single requests, and answers searches two to a page.

    ``fail_next``: statuses, or (status, headers), to answer the next writing requests with instead. ``lose_next``:
    how many of them are carried out, while the connection is cut before the answer. ``refuse``: "Type/id" to the
    status of its entry; the others in its Bundle are kept all the same, as some servers do. ``refuse_whole``: the
    same, but the whole Bundle is refused. ``atomic``: whether one refused entry (a stale version, say) undoes its
    transaction. ``most_with_conditional``: how many entries a transaction may hold once one of them is conditional.
    ``takes``: the kinds of Bundle that it takes. ``dies_after``: the number of writing requests it answers before it
    cuts every connection. ``knows_tag``, ``knows_sort``: whether it heeds ``_tag`` and ``_sort``; what it does not is
    dropped from the self link, and there is none without ``repeats_parameters``. ``forbidden``: types that may not be
    searched. ``statement``: its CapabilityStatement, see ``says``.

    ``bundles``: the URLs of each writing request's entries. ``writes``: the ``request`` of each. ``asked``: the
    parameters of every search. ``urls``: the URL of every request. ``takes_search_by_post``: whether it knows
    ``_search``. ``fail_searches``: statuses to answer the next searches with, None for one that is answered.
    ``next_link``: what it makes of the link to a next page.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bundles: list[list[str]] = []
        self.writes: list[Resource] = []
        self.asked: list[dict[str, str]] = []
        self.urls: list[str] = []
        self.takes_search_by_post = True
        self.fail_searches: list[int | None] = []
        self.next_link: Callable[[str], str] = lambda link: link
        self.fail_next: list[int | tuple[int, dict[str, str]]] = []
        self.lose_next = 0
        self.refuse: dict[str, int] = {}
        self.refuse_whole: dict[str, int] = {}
        self.atomic = True
        self.most_with_conditional: int | None = None
        self.takes = {"transaction", "batch"}
        self.dies_after: int | None = None
        self.knows_tag = True
        self.knows_sort = True
        self.repeats_parameters = True
        self.page_size = 2
        self.forbidden: set[str] = set()
        self.statement: Resource = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}

    def says(
        self,
        *,
        software: str = "Breakable",
        kinds: tuple[str, ...] = KINDS,
        system: tuple[str, ...] = ("transaction", "batch"),
        interactions: tuple[str, ...] = INTERACTIONS,
        **of_each: Any,
    ) -> None:
        """State the system's and each type's interactions, and ``of_each`` type what is given: ``updateCreate=True``.

        Only says: how it behaves is set apart, but for "Medplum", whose limit on conditional entries comes with it.
        """
        each = {"interaction": [{"code": code} for code in interactions], **of_each}
        rest = {
            "mode": "server",
            "interaction": [{"code": code} for code in system],
            "resource": [{"type": kind, **each} for kind in kinds],
        }
        self.statement |= {"software": {"name": software}, "rest": [rest]}
        if software == "Medplum":
            self.most_with_conditional = 8

    @contextmanager
    def connected(self, attempts: int = 2, connections: int = 4) -> Iterator[Hospital]:
        """Give a client of this server that retries without waiting; with one connection, in an order that is known."""
        with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
            for method in ("GET", "POST", "PUT", "DELETE"):
                wire.add_callback(method, re.compile(rf"{re.escape(BASE)}(?:[/?].*)?$"), self._answer)
            retries = Retries(attempts=attempts)
            with Hospital(BASE, retries=retries, connections=connections, sleep=lambda _: None) as hospital:
                yield hospital

    def _answer(self, request: Any) -> Answer:
        parts = urlsplit(request.url)
        path, params = parts.path.removeprefix(urlsplit(BASE).path).strip("/"), dict(parse_qsl(parts.query))
        by_post = request.method == "POST" and path.endswith("/_search")
        with self.lock:
            self.urls.append(request.url)
            if self.dies_after is not None and len(self.bundles) >= self.dies_after:
                raise requests.ConnectionError("connection reset")
            try:
                if by_post:
                    return self._search_by_post(path, dict(parse_qsl(request.body.decode())) | params)
                return (
                    self._read(path, params) if request.method == "GET" else self._written(request, path, parts.query)
                )
            except Refused as refusal:
                return _json(refusal.status, _outcome(str(refusal)))

    def _read(self, path: str, params: dict[str, str]) -> Answer:
        if path == "metadata":
            return _json(200, self.statement)
        if "/" not in path:
            return self._search(path, params)
        found = self.seen(path)
        return _json(200, found, {"ETag": f'W/"{self.version(path)}"'})

    def _written(self, request: Any, path: str, query: str) -> Answer:
        if self.fail_next:
            failing = self.fail_next.pop(0)
            status, headers = failing if isinstance(failing, tuple) else (failing, {})
            return _json(status, _outcome("not now"), headers)
        body = fhirjson.loads(request.body) if request.body else None
        answer = self._single(request, path, query, body) if path else self._bundle(body)
        if self.lose_next:
            self.lose_next -= 1
            raise requests.ConnectionError("connection reset")
        return answer

    def _single(self, request: Any, path: str, query: str, body: Resource | None) -> Answer:
        url = f"{path}?{query}" if query else path
        said = {"ifMatch": request.headers.get("If-Match"), "ifNoneExist": request.headers.get("If-None-Exist")}
        conditions = {name: value for name, value in said.items() if value is not None}
        entry: Resource = {"request": {"method": request.method, "url": url, **conditions}}
        entry |= {} if body is None else {"resource": body}
        self._heard([entry])
        with self.all_or_nothing():
            response = self._entry(entry, {})
            self.check_targets([path])
        headers = {"ETag": response["etag"], "Location": f"{BASE}/{response['location']}"} if "etag" in response else {}
        return int(response["status"][:3]), headers, b""

    def _bundle(self, bundle: Any) -> Answer:
        entries, kind = bundle["entry"], bundle["type"]
        if kind not in self.takes:
            raise Refused(405, f"no Bundle of type {kind} is taken")
        self._heard(entries)
        conditional = any("ifNoneExist" in one["request"] or "?" in one["request"]["url"] for one in entries)
        if conditional and self.most_with_conditional is not None and len(entries) > self.most_with_conditional:
            raise Refused(400, f"more than {self.most_with_conditional} entries, and one is conditional")
        together = kind == "transaction" and self.atomic
        if together:
            with self.all_or_nothing():
                answered = self._carried_out(entries, self.targets(entries), together=True)
                self.check_targets([one["location"].split("/_history")[0] for one in answered if "location" in one])
        else:
            targets = self.targets(entries) if kind == "transaction" else {}
            answered = self._carried_out(entries, targets, together=False)
        entry = [{"response": response} for response in answered]
        return _json(200, {"resourceType": "Bundle", "type": f"{kind}-response", "entry": entry})

    def _heard(self, entries: list[Resource]) -> None:
        urls = [entry["request"]["url"] for entry in entries]
        self.bundles.append(urls)
        self.writes += [entry["request"] for entry in entries]
        for url in urls:
            if url in self.refuse_whole:
                raise Refused(self.refuse_whole[url], "the code is unknown")

    def _carried_out(self, entries: list[Resource], targets: dict[str, str], *, together: bool) -> list[Resource]:
        answered: dict[int, Resource] = {}
        for at in sorted(range(len(entries)), key=lambda at: ORDER[entries[at]["request"]["method"]]):
            url = entries[at]["request"]["url"]
            try:
                if url in self.refuse:
                    answered[at] = _refused(self.refuse[url], "the code is unknown")
                else:
                    answered[at] = self._entry(entries[at], targets)
            except Refused as refusal:
                if together:
                    raise
                answered[at] = _refused(refusal.status, str(refusal))
        return [answered[at] for at in range(len(entries))]

    def _entry(self, entry: Resource, targets: dict[str, str]) -> Resource:
        url = entry["request"]["url"]
        if url in self.refuse:
            raise Refused(self.refuse[url], "the code is unknown")
        status, place = self.carry_out(entry, targets)
        said = f"{status} {HTTPStatus(status).phrase}"
        if entry["request"]["method"] == "DELETE":
            return {"status": said}
        version = self.version(place)
        return {"status": said, "location": f"{place}/_history/{version}", "etag": f'W/"{version}"'}

    def _search_by_post(self, path: str, params: dict[str, str]) -> Answer:
        if not self.takes_search_by_post:
            raise Refused(405, "no search by POST is taken")
        return self._search(path.removesuffix("/_search"), params)

    def _search(self, kind: str, params: dict[str, str]) -> Answer:
        self.asked.append(dict(params))
        if self.fail_searches and (status := self.fail_searches.pop(0)) is not None:
            return _json(status, _outcome("not now"))
        if kind in self.forbidden:
            return _json(403, _outcome("not for you"))
        unknown = {"_tag": not self.knows_tag, "_sort": not self.knows_sort}
        ignored = self.ignores | {name for name, is_unknown in unknown.items() if is_unknown}
        heeded = {name: value for name, value in params.items() if name not in ignored}
        found = self.find(kind, heeded)
        page: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        if heeded.get("_summary") == "count":
            return _json(200, page)
        start = int(params.get("offset", 0))
        page["link"] = [{"relation": "self", "url": _url(kind, heeded)}] if self.repeats_parameters else []
        if start + self.page_size < len(found):
            following = _url(kind, params | {"offset": str(start + self.page_size)})
            page["link"].append({"relation": "next", "url": self.next_link(following)})
        shown = [_part(one, heeded.get("_elements")) for one in found[start : start + self.page_size]]
        page["entry"] = [{"resource": one, "search": {"mode": "match"}} for one in shown]
        return _json(200, page)


def _part(resource: Resource, elements: str | None) -> Resource:
    """Return the elements asked for, and those that come in any case, with the tag that says so."""
    if elements is None:
        return resource
    kept = {"resourceType", "id", "meta", *elements.split(",")}
    part = {name: value for name, value in resource.items() if name in kept}
    subsetted = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    return part | {"meta": part["meta"] | {"tag": [*part["meta"].get("tag", []), subsetted]}}


def _url(kind: str, params: dict[str, str]) -> str:
    return f"{BASE}/{kind}?{urlencode(params)}"


def _refused(status: int, text: str) -> Resource:
    return {"status": f"{status} {HTTPStatus(status).phrase}", "outcome": _outcome(text)}


def _outcome(text: str) -> Resource:
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "processing", "diagnostics": text}],
    }


def _json(status: int, body: Resource, headers: dict[str, str] | None = None) -> Answer:
    return status, {"Content-Type": "application/fhir+json", **(headers or {})}, fhirjson.dumps(body)
