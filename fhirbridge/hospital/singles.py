"""Entries sent one by one, each as a request of its own, for servers that take neither transactions nor batches."""

from __future__ import annotations

from dataclasses import replace

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, HospitalError, Resource, TemporaryHospitalError
from fhirbridge.hospital import failures, transactions
from fhirbridge.hospital.failures import AccessRefused, HttpAnswer
from fhirbridge.hospital.transactions import EntryResult

_NOT_LET_IN = 401


def headers(request: Resource) -> dict[str, str]:
    """Return the headers that say what an entry's ``request`` says in a Bundle."""
    said = {"If-Match": request.get("ifMatch"), "If-None-Exist": request.get("ifNoneExist")}
    return {"Prefer": "return=minimal", **{name: value for name, value in said.items() if value is not None}}


def accepted(index: int, request: Resource, answer: HttpAnswer, what: str) -> EntryResult:
    """Return the result of an entry that was answered 2xx.

    An empty body is what ``return=minimal`` asks for. Raises TemporaryHospitalError for a body that is no FHIR, since
    a proxy's page with status 200 acknowledges nothing.
    """
    resource = None
    if answer.content or "html" in answer.headers.get("Content-Type", ""):
        resource = failures.readable(answer, what)
    said = {
        "location": answer.headers.get("Location") or answer.headers.get("Content-Location"),
        "etag": answer.headers.get("ETag"),
        "lastModified": failures.http_instant(answer.headers.get("Last-Modified", "")),
    }
    return transactions.result(index, request, answer.status_code, said, resource, None)


def refused(index: int, request: Resource, error: HospitalError) -> EntryResult:
    """Return the result of an entry that was answered with a failure; raises ``error`` where there was no such answer.

    A page of 404 or 410 that is no FHIR says nothing of a resource to delete: more likely the address is wrong.
    """
    status = error.status or 0
    wrong_address = request["method"] == "DELETE" and status in (404, 410) and error.outcome is None
    if isinstance(error, AccessRefused) or status < 400 or wrong_address:
        raise error
    found = transactions.result(index, request, status, {}, None, error.outcome)
    return replace(found, retry_after=error.retry_after if isinstance(error, TemporaryHospitalError) else None)


def ends_the_rest(result: EntryResult) -> bool:
    """Say whether the entries after this one are held back: the server is in trouble, or does not let us in."""
    return result.status == _NOT_LET_IN or isinstance(result.failure(), TemporaryHospitalError)


def held_back(index: int, request: Resource, because: EntryResult) -> EntryResult:
    """Return the result of an entry that was not sent, because one before it met what would meet this one too."""
    found = transactions.result(index, request, because.status, {}, None, because.outcome)
    return replace(found, retry_after=because.retry_after, tried=False)


def body(entry: Resource) -> bytes | None:
    """Return what an entry's request carries. Raises FatalHospitalError for a write without a resource."""
    resource = entry.get("resource")
    if resource is None and entry["request"]["method"] in ("PUT", "POST"):
        raise FatalHospitalError(f"{entry['request']['method']} entry without a resource; nothing to send.")
    return None if resource is None else fhirjson.dumps(resource)
