"""What is answered: a body that is JSON already, its status and headers, and whose records it holds, for the audit.

Every error becomes an OperationOutcome here, and says no more than who asked may know.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date

from fhirbridge import fhirjson
from fhirbridge.api.registry.people import person_of
from fhirbridge.errors import FhirbridgeError, InputError
from fhirbridge.release.cells import Count
from fhirbridge.search.refused import SearchError
from fhirbridge.store.releases import Released

ISSUE_CODES: Mapping[int, str] = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    410: "deleted",
    413: "too-long",
    414: "too-long",
    415: "not-supported",
    429: "throttled",
    503: "transient",
}
"""Codes of http://hl7.org/fhir/R4/valueset-issue-type.html by HTTP status; ``processing`` for any other."""

RETRY_SECONDS = "5"
"""``Retry-After`` where the service itself cannot answer at the moment."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """One answer. ``body`` is JSON and written in the form that was asked for; with ``content_type`` it goes as it is.

    ``count`` is what a total rests on: it is put into the body at ``total_at`` once it is known what of it may be
    told. ``stream`` takes the place of ``body`` where an answer is too long to be held.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    records: int = 0
    people: Mapping[str, int] = field(default_factory=dict)
    count: Count | None = None
    total_at: int = 0
    content_type: str | None = None
    stream: Iterator[bytes] | None = None
    updated: str | None = None
    """When the one version that it holds was released, an instant in UTC."""

    def told(self, total: int | None) -> bytes:
        """Return the body with this total, or with none."""
        if self.count is None or total is None:
            return self.body
        return b'%b"total":%d,%b' % (self.body[: self.total_at], total, self.body[self.total_at :])


def of_version(found: Released, body: bytes | None = None) -> Answer:
    """Return the answer that holds one version of a resource, with its ETag and Last-Modified."""
    return Answer(
        body=found.body or b"" if body is None else body,
        headers={"ETag": etag(found), "Last-Modified": last_modified(found)},
        records=1,
        people=people([found]),
        updated=found.last_updated,
    )


def etag(found: Released) -> str:
    """Return the ETag of a version: http://hl7.org/fhir/R4/http.html#versionaware."""
    return f'W/"{found.version}"'


def last_modified(found: Released) -> str:
    """Return when a version was released as HTTP writes it, to the second."""
    return http_instant(found.last_updated)


@lru_cache(maxsize=16_384)
def http_instant(text: str) -> str:
    """Return an instant as HTTP writes it. Raises ValueError for what is none."""
    return http_date(dt.datetime.fromisoformat(text))


def people(found: Iterable[Released]) -> Counter[str]:
    """Count records by the released id of the Patient that they are of; those of the study itself are nobody's."""
    counted: Counter[str] = Counter()  # given what to count, it takes longer than all the rest for the one of a read
    for one in found:
        if (person := person_of(one)) is not None:
            counted[person] += 1
    return counted


def outcome(code: str, text: str, severity: str = "error") -> bytes:
    """Return an OperationOutcome with one issue, as JSON."""
    issue = {"severity": severity, "code": code, "details": {"text": text}, "diagnostics": text}
    return fhirjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def refused(error: Exception, request: str) -> Answer:
    """Return the answer to a request that ended in an error; ``request`` is its id.

    What is wrong with the request is told whole, what is wrong with this service is not: messages of libraries may
    quote what they were given, and settings are nobody's business.
    """
    if isinstance(error, HTTPException) and error.code and error.code < 500:
        headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
        code = ISSUE_CODES.get(error.code, "processing")
        return Answer(status=error.code, body=outcome(code, error.description or error.name), headers=headers)
    if isinstance(error, SearchError):
        return Answer(status=400, body=outcome(error.issue, str(error)))
    if isinstance(error, InputError):
        return Answer(status=error.http_status, body=outcome(error.issue_code, str(error)))
    if isinstance(error, Unready | FhirbridgeError):
        text = str(error) if isinstance(error, Unready) else f"The service cannot answer now. Request {request}."
        return Answer(status=503, body=outcome("transient", text), headers={"Retry-After": RETRY_SECONDS})
    return Answer(status=500, body=outcome("exception", f"This service met an error of its own. Request {request}."))


class Unready(Exception):
    """What is asked for is being made ready; worth asking again."""
