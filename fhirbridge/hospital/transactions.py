"""Bundles of entries to write: building them, and reading what the server says of each entry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from fhirbridge.errors import FatalHospitalError, HospitalError, Resource
from fhirbridge.hospital import failures

Mode = Literal["transaction", "batch", "single"]
"""How entries travel: in one Bundle, all or nothing or each for itself, or each in a request of its own."""

_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?/?$")
_STATUS = re.compile(r"\s*(\d{3})(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryResult:
    """What became of one entry: its request, the server's status, and where the resource now is.

    ``type``, ``id`` and ``version`` are the server's (from location, etag or the returned resource), else those of
    the request; ``version`` is None where the server named none. ``tried`` False is an entry sent singly that was
    held back after the one before met ``status``, a temporary failure or 401; the server never saw it.
    """

    index: int
    method: str
    url: str
    status: int
    type: str | None
    id: str | None
    version: str | None
    last_modified: str | None
    outcome: Resource | None
    resource: Resource | None
    retry_after: float | None = None
    tried: bool = True

    @property
    def ok(self) -> bool:
        """Say whether the server did what the entry asked, or had nothing left to delete."""
        return self.status < 400 or self.gone

    @property
    def gone(self) -> bool:
        """Say whether this was a DELETE after which nothing is there, be it that nothing was (404, 410)."""
        return self.method == "DELETE" and self.tried and (self.status < 400 or self.status in (404, 410))

    def failure(self) -> HospitalError | None:
        """Return the error this entry stands for, temporary or fatal, or None if it succeeded."""
        if self.ok:
            return None
        said = failures.outcome_text(self.outcome) if self.outcome else "no OperationOutcome"
        held = "" if self.tried else "not tried after "
        message = f"entry {self.index} ({self.method} {self.type}): {held}{failures.status_text(self.status)}, {said}"
        return failures.from_status(self.status, message, self.outcome, self.retry_after)


def put_entry(resource: Resource, *, base_url: str, if_match: str | None = None) -> Resource:
    """Return the entry that writes a resource under its own id; ``if_match`` is the version it must replace."""
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": url, **_if_match(if_match)}
    return {"fullUrl": f"{base_url}/{url}", "resource": resource, "request": request}


def conditional_put_entry(resource: Resource, query: str, *, full_url: str) -> Resource:
    """Return the entry that updates the one match of ``query``, or creates (http.html#cond-update).

    The server assigns the id, so ours stays at home: HAPI refuses one that is not the match's. Other entries of a
    transaction refer to the resource by ``full_url``, a ``urn:uuid:``.
    """
    request = {"method": "PUT", "url": f"{resource['resourceType']}?{query}"}
    return {"fullUrl": full_url, "resource": _without_id(resource), "request": request}


def create_entry(resource: Resource, *, full_url: str, if_none_exist: str | None) -> Resource:
    """Return the entry that creates under an id of the server's, unless the query ``if_none_exist`` has a match."""
    request = {"method": "POST", "url": resource["resourceType"]}
    if if_none_exist is not None:
        request["ifNoneExist"] = if_none_exist
    return {"fullUrl": full_url, "resource": _without_id(resource), "request": request}


def delete_entry(kind: str, id: str, *, if_match: str | None = None) -> Resource:
    """Return the entry that deletes a resource; sekmet-fhir does not look at ``if_match`` here."""
    return {"request": {"method": "DELETE", "url": f"{kind}/{id}", **_if_match(if_match)}}


def identifier_query(identifier: Resource) -> str:
    """Return the query that finds a resource by an Identifier: ``identifier=system%7Cvalue``, escaped for FHIR."""
    token = "|".join(re.sub(r"([\\,$|])", r"\\\1", str(identifier.get(part, ""))) for part in ("system", "value"))
    return f"identifier={quote(token, safe='')}"


def _if_match(version: str | None) -> Resource:
    return {} if version is None else {"ifMatch": f'W/"{version}"'}


def _without_id(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name != "id"}


def bundle(entries: Iterable[Resource], kind: Literal["transaction", "batch"]) -> Resource:
    """Return a Bundle of the entries (http://hl7.org/fhir/R4/http.html#transaction)."""
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def transaction_bundle(entries: Iterable[Resource]) -> Resource:
    """Return a transaction Bundle of the entries."""
    return bundle(entries, "transaction")


def may_be_repeated(bundle: Resource) -> bool:
    """Say whether sending the Bundle twice does no more than sending it once: no plain POST, no PATCH in it."""
    return all(
        entry["request"]["method"] in ("PUT", "GET", "HEAD", "DELETE")
        or (entry["request"]["method"] == "POST" and "ifNoneExist" in entry["request"])
        for entry in bundle.get("entry", [])
    )


def read_results(request: Resource, answer: Resource, what: str) -> list[EntryResult]:
    """Pair each entry of the request with its answer. Raises FatalHospitalError if they do not pair."""
    expected = f"{request['type']}-response"
    if answer["resourceType"] != "Bundle" or answer.get("type") != expected:
        got = f"{answer['resourceType']} {answer.get('type', '')}".strip()
        raise FatalHospitalError(f"{what}: answered by a {got} instead of a {expected}.")
    asked, answered = request.get("entry", []), answer.get("entry", [])
    if len(asked) != len(answered):
        raise FatalHospitalError(
            f"{what}: answered with {len(answered)} entries for {len(asked)}; what became of each is not known."
        )
    return [_result(index, asked[index]["request"], answered[index], what) for index in range(len(asked))]


def result(
    index: int, request: Resource, status: int, response: Resource, resource: Resource | None, outcome: Resource | None
) -> EntryResult:
    """Read where an entry's resource now is from ``response`` (location, etag, lastModified), in every form.

    sekmet-fhir answers a DELETE with an OperationOutcome in the place of a resource.
    """
    if resource is not None and resource.get("resourceType") == "OperationOutcome":
        resource, outcome = None, outcome or resource
    asked_for = _place(request["url"].split("?")[0])
    place = _place(response.get("location") or "")
    returned = resource or {}
    meta = returned.get("meta") or {}
    kind = place[0] or returned.get("resourceType") or asked_for[0] or request["url"].split("?")[0]
    etag = str(response.get("etag") or "").removeprefix("W/").strip('"')
    return EntryResult(
        index=index,
        method=request["method"],
        url=request["url"],
        status=status,
        type=kind,
        id=place[1] or returned.get("id") or asked_for[1],
        version=etag or place[2] or meta.get("versionId"),
        last_modified=response.get("lastModified") or meta.get("lastUpdated"),
        outcome=outcome,
        resource=resource,
    )


def _result(index: int, request: Resource, answer: Resource, what: str) -> EntryResult:
    response = answer.get("response") or {}
    status = _STATUS.match(str(response.get("status", "")))
    if not status:
        raise FatalHospitalError(f"{what}: entry {index} was answered without a status.")
    return result(index, request, int(status[1]), response, answer.get("resource"), response.get("outcome"))


def _place(location: str) -> tuple[str | None, str | None, str | None]:
    """Return type, id and version from ``Type/id`` or a URL that ends in it, with or without ``_history``."""
    found = _LOCATION.search(location)
    return (found[1], found[2], found[3]) if found else (None, None, None)
