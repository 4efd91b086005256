"""Transaction Bundles: building them, and reading what the server says of each entry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fhirbridge.errors import FatalHospitalError, HospitalError, Resource
from fhirbridge.hospital import failures

_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?/?$")
_STATUS = re.compile(r"\s*(\d{3})(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryResult:
    """What became of one entry: its request, the server's status, and where the resource now is.

    ``type``, ``id`` and ``version`` are the server's (from location, etag or the returned resource), else those of
    the request; ``version`` is None where the server named none.
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

    @property
    def ok(self) -> bool:
        """Say whether the server did what the entry asked."""
        return self.status < 400

    def failure(self) -> HospitalError | None:
        """Return the error this entry stands for, temporary or fatal, or None if it succeeded."""
        if self.ok:
            return None
        said = failures.outcome_text(self.outcome) if self.outcome else "no OperationOutcome"
        message = f"entry {self.index} ({self.method} {self.type}): {failures.status_text(self.status)}, {said}"
        return failures.from_status(self.status, message, self.outcome)


def put_entry(resource: Resource, *, base_url: str, if_match: str | None = None) -> Resource:
    """Return the entry that writes a resource under its own id; ``if_match`` is the version it must replace."""
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": url}
    if if_match is not None:
        request["ifMatch"] = f'W/"{if_match}"'
    return {"fullUrl": f"{base_url}/{url}", "resource": resource, "request": request}


def transaction_bundle(entries: Iterable[Resource]) -> Resource:
    """Return a transaction Bundle of the entries (http://hl7.org/fhir/R4/http.html#transaction)."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


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


def _result(index: int, request: Resource, answer: Resource, what: str) -> EntryResult:
    response = answer.get("response") or {}
    status = _STATUS.match(str(response.get("status", "")))
    if not status:
        raise FatalHospitalError(f"{what}: entry {index} was answered without a status.")
    resource = answer.get("resource") or {}
    asked_for = _place(request["url"].split("?")[0])
    place = _place(response.get("location") or "")
    kind = place[0] or resource.get("resourceType") or asked_for[0] or request["url"].split("?")[0]
    etag = str(response.get("etag") or "").removeprefix("W/").strip('"')
    return EntryResult(
        index=index,
        method=request["method"],
        url=request["url"],
        status=int(status[1]),
        type=kind,
        id=place[1] or resource.get("id") or asked_for[1],
        version=etag or place[2] or (resource.get("meta") or {}).get("versionId"),
        last_modified=response.get("lastModified") or (resource.get("meta") or {}).get("lastUpdated"),
        outcome=response.get("outcome"),
        resource=answer.get("resource"),
    )


def _place(location: str) -> tuple[str | None, str | None, str | None]:
    """Return type, id and version from ``Type/id`` or a URL that ends in it, with or without ``_history``."""
    found = _LOCATION.search(location)
    return (found[1], found[2], found[3]) if found else (None, None, None)
