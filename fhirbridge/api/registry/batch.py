"""batch: several reads, searches and histories in one request, each answered for itself.

http://hl7.org/fhir/R4/http.html#transaction. Writes are refused entry by entry, transactions as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from werkzeug.exceptions import MethodNotAllowed, NotFound

from fhirbridge import fhirjson
from fhirbridge.api.registry import answers, bundles, parameters
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.history import history_instance, history_type
from fhirbridge.api.registry.read import read
from fhirbridge.api.registry.search_type import search_type
from fhirbridge.api.registry.service import Asking, Question
from fhirbridge.api.registry.vread import vread
from fhirbridge.errors import InputError
from fhirbridge.release import cells

MOST_ENTRIES = 100
LARGEST = 1_000_000
"""Bytes of a batch."""

_ROUTES: tuple[tuple[re.Pattern[str], str, Callable[..., Answer]], ...] = (
    (re.compile(r"(?P<type>[^/]+)"), "search-type", search_type),
    (re.compile(r"(?P<type>[^/]+)/_history"), "history-type", history_type),
    (re.compile(r"(?P<type>[^/]+)/(?P<id>[^/]+)"), "read", read),
    (re.compile(r"(?P<type>[^/]+)/(?P<id>[^/]+)/_history"), "history-instance", history_instance),
    (re.compile(r"(?P<type>[^/]+)/(?P<id>[^/]+)/_history/(?P<number>[^/]+)"), "vread", vread),
)


def batch(asking: Asking) -> Answer:
    """Return the answers to all entries. Each is on record for itself, before the whole is answered.

    Raises InputError for what is no batch, UnsupportedMediaType for what is neither JSON nor XML.
    """
    entries = _entries(fhirjson.loads(parameters.body(LARGEST, asking.service.model)))
    done = [_entry(asking, entry, number) for number, entry in enumerate(entries)]
    counted = [answer.count for _, answer in done if answer.count is not None]
    totals = iter(cells.shown(counted, asking.agreement.counts))  # together: one could be taken from another
    made = [
        _written(answer, answer.told(next(totals)) if answer.count is not None else answer.body) for _, answer in done
    ]
    body, _ = bundles.bundle("batch-response", made, (), asking.service.now())
    return Answer(body=body)


def _entries(body: Any) -> list[Any]:
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle" or body.get("type") != "batch":
        raise InputError("a Bundle of type batch is needed here: transactions are not served, and nothing is written.")
    entries = body.get("entry", [])
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise InputError(f"a batch has at most {MOST_ENTRIES} entries here. Send several.")
    return entries


def _entry(asking: Asking, entry: Any, number: int) -> tuple[Question, Answer]:
    """Answer one entry, whatever becomes of it, once it is on record."""
    asked = entry.get("request") if isinstance(entry, dict) else None
    question, code = asking.question, "batch"
    try:
        if not isinstance(asked, dict):
            raise InputError(f"entry {number} has no request.")
        question = _question(asking, asked)
        if question.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD"], "This service answers questions and takes no data.")
        code, handler, path = _route(question.path)
        answer = handler(replace(asking, question=question), **path)
    except Exception as error:  # noqa: BLE001  # an entry that fails is no failure of the others
        answer = asking.service.refused(error, question.id)
    return question, asking.service.on_record(answer, question, asking, code)


def _question(asking: Asking, asked: dict[str, Any]) -> Question:
    method, url = asked.get("method"), asked.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        raise InputError("the request of an entry has a method and a url.")
    path, _, query = url.removeprefix(asking.service.base).lstrip("/").partition("?")
    given = {name: value for name in ("ifNoneMatch", "ifModifiedSince") if isinstance(value := asked.get(name), str)}
    return replace(
        asking.question,
        method=method,
        path=unquote(path),
        query=query.encode("utf-8", "surrogateescape"),
        if_none_match=given.get("ifNoneMatch", ""),
        if_modified_since=_http(given.get("ifModifiedSince", "")),
    )


def _http(moment: str) -> str:
    """Return an instant, as a Bundle has it, as a header has it; nothing for what is none."""
    try:
        return answers.http_instant(moment) if moment else ""
    except ValueError:
        return ""


def _route(path: str) -> tuple[str, Callable[..., Answer], dict[str, str]]:
    for pattern, code, handler in _ROUTES:
        if (found := pattern.fullmatch(path.rstrip("/"))) is not None:
            return code, handler, found.groupdict()
    raise NotFound("There is nothing at this address that a batch could read.")


def _written(answer: Answer, body: bytes) -> bytes:
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    return bundles.answered(status, body, answer.headers, answer.updated, failed=answer.status >= 400)
