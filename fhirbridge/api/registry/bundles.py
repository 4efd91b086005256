"""Bundles, put together from bytes that lie ready: no resource is read or written anew to be answered.

http://hl7.org/fhir/R4/bundle.html, http://hl7.org/fhir/R4/search.html#the-content-of-a-search-response
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Literal

from fhirbridge import fhirjson
from fhirbridge.elements import instant

Kind = Literal["searchset", "history", "batch-response"]


def bundle(
    kind: Kind, entries: Sequence[bytes], links: Iterable[tuple[str, str]], now: dt.datetime
) -> tuple[bytes, int]:
    """Return a Bundle, and where in it its total would stand. ``links`` are relations and absolute URLs."""
    head = b'{"resourceType":"Bundle","id":"%b","meta":{"lastUpdated":"%b"},"type":"%b",' % (
        str(uuid.uuid4()).encode(), instant(now).encode(), kind.encode(),
    )  # fmt: skip
    told = [{"relation": relation, "url": url} for relation, url in links]
    rest = [b'"link":' + fhirjson.dumps(told)] if told else []
    if entries:
        rest.append(b'"entry":[' + b",".join(entries) + b"]")
    if not rest:
        return head[:-1] + b"}", len(head) - 1
    return head + b",".join(rest) + b"}", len(head)


def found(base: str, type: str, id: str, body: bytes, mode: Literal["match", "include"]) -> bytes:
    """Return the entry of what a search found, or of what it added."""
    return b'{"fullUrl":"%b","resource":%b,"search":{"mode":"%b"}}' % (
        f"{base}/{type}/{id}".encode(), body, mode.encode(),
    )  # fmt: skip


def past(base: str, type: str, id: str, body: bytes | None, version: int, at: str) -> bytes:
    """Return the entry of one version in a history; without a body it says that the resource was deleted."""
    method, status = (
        ("DELETE", "204 No Content") if body is None else ("PUT", "200 OK" if version > 1 else "201 Created")
    )
    about = fhirjson.dumps(
        {
            "request": {"method": method, "url": f"{type}/{id}"},
            "response": {"status": status, "etag": f'W/"{version}"', "lastModified": at},
        }
    )
    resource = b"" if body is None else b'"resource":%b,' % body
    return b'{"fullUrl":"%b",%b%b' % (f"{base}/{type}/{id}".encode(), resource, about[1:])


def answered(status: str, body: bytes | None, headers: dict[str, str], at: str | None, *, failed: bool) -> bytes:
    """Return the entry of a batch's response: a resource, or the OperationOutcome of what failed."""
    told = {"status": status} | ({"etag": headers["ETag"]} if "ETag" in headers else {})
    about = fhirjson.dumps(told | ({"lastModified": at} if at else {}))
    if not body:
        return b'{"response":%b}' % about
    if failed:
        return b'{"response":%b,"outcome":%b}}' % (about[:-1], body)
    return b'{"resource":%b,"response":%b}' % (body, about)
