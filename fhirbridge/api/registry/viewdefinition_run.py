"""``$viewdefinition-run``: a view of SQL on FHIR over what is released, as a table that is sent while it is made.

https://sql-on-fhir.org/ig/latest/OperationDefinition-ViewDefinitionRun.html
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, islice
from typing import Any

from flask import Blueprint, request
from werkzeug.exceptions import NotFound

from fhirbridge import fhirjson
from fhirbridge.api.registry import answers, parameters, view_process
from fhirbridge.api.registry.answers import Answer, Unready
from fhirbridge.api.registry.bulk_running import members
from fhirbridge.api.registry.rates import Streaming
from fhirbridge.api.registry.service import ID, Asking, Service, prefix
from fhirbridge.errors import Resource
from fhirbridge.search.query import parse
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import encoded
from fhirbridge.store.releases import Released
from fhirbridge.views import definition, library
from fhirbridge.views.exporting import stream
from fhirbridge.views.view import View
from fhirbridge.views.writing import MEDIA_TYPES, Format

LARGEST = 262_144
"""Bytes of a request."""
BATCH = 1_000
"""Resources that are put on record at a time, before a row of them is sent."""

KINDS: dict[str, tuple[str, ...]] = {
    "_format": ("valueCode", "valueString"),
    "header": ("valueBoolean", "valueString"),
    "viewReference": ("valueReference", "valueString"),
    "viewResource": ("resource",),
    "patient": ("valueReference", "valueId", "valueString"),
    "group": ("valueReference", "valueId", "valueString"),
    "_since": ("valueInstant", "valueDateTime", "valueString"),
    "_limit": ("valueInteger", "valuePositiveInt", "valueString"),
    "source": ("valueString",),
    "resource": ("resource",),
}
_NAMES: dict[str, Format] = {
    "csv": "csv",
    "text/csv": "csv",
    "json": "json",
    "application/json": "json",
    "ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/x-ndjson": "ndjson",
    "parquet": "parquet",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: a shipped view by its name, or a ``posted`` one; in which form, of whom, and how much of it."""

    name: str | None
    posted: Resource | None
    format: Format
    header: bool
    limit: int | None
    since: str | None
    patient: str | None
    group: str | None


class ViewRun:
    """The handler of the operation; keeps the shipped views, once they were asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._shipped: dict[str, View] = {}
        self._lock = threading.Lock()

    def answer(self, asking: Asking, id: str | None = None) -> Answer:
        """Answer with a table. Raises NotFound, InsufficientScope, SearchError; ViewError (422) for a view at fault."""
        question = _question(asking, id)
        view = None if question.name is None else self._view(question.name)
        type_ = view.resource if view else definition.read(question.posted).resource
        asking.require("export", type_)
        batches = _batches(self._found(asking, question, type_))
        first = next(batches, [])
        resources = chain(first, self._on_record(asking, batches))
        rates, client = self._service.rates, asking.access.client
        rates.take(client)
        try:
            parts = _begun(self._table(question, view, resources))
        except BaseException:
            rates.give_back(client)
            raise
        return Answer(
            records=len(first),
            people=answers.people(first),
            content_type=MEDIA_TYPES[question.format],
            stream=Streaming(parts, rates, client),
        )

    def _view(self, name: str) -> View:
        with self._lock:
            if name not in self._shipped:
                folder = self._service.views
                if name not in library.names(folder):
                    raise NotFound(f"There is no such ViewDefinition. There are: {', '.join(library.names(folder))}.")
                self._shipped[name] = library.load(folder / f"{name}.json", self._service.model())
            return self._shipped[name]

    def _found(self, asking: Asking, question: Question, type_: str) -> Iterator[Released]:
        """Return what is released of a type and asked for. Raises NotFound for a group that is not there."""
        releases, agreement, at = self._service.releases, asking.agreement.id, asking.position.number
        people = None if question.patient is None else frozenset([question.patient])
        if question.group is not None:
            group = releases.read(agreement, "Group", question.group) if "Group" in asking.agreement.types else None
            if group is None or group.body is None:
                raise NotFound("There is no such Group here.")
            of_group = members(releases, agreement, question.group, at)
            people = of_group if people is None else people if of_group is None else people & of_group
        since = encoded("_lastUpdated", f"ge{question.since}").encode() if question.since else b""
        queries = {type_: [parse(type_, since, self._service.around(), strict=True)]} if since else None
        found = releases.iterate(agreement, [type_], at=at, patients=people, queries=queries)
        return (one for one in found if one.body is not None)

    def _on_record(self, asking: Asking, batches: Iterator[list[Released]]) -> Iterator[Released]:
        """Yield what each batch holds once it is in the audit trail. Raises Unready where that cannot be written."""
        for batch in batches:
            told = Answer(records=len(batch), people=answers.people(batch))
            if self._service.on_record(told, asking.question, asking, "operation", "viewdefinition-run") is not told:
                raise Unready("The audit trail cannot be written.")
            yield from batch

    def _table(self, question: Question, view: View | None, resources: Iterator[Released]) -> Iterator[bytes]:
        bodies = (one.body or b"" for one in resources)
        if view is not None:
            parts = stream(view, map(fhirjson.loads, bodies), question.format, limit=question.limit)
        else:
            definitions = self._service.settings.definitions
            posted = question.posted or {}
            parts = view_process.run(posted, bodies, question.format, limit=question.limit, definitions=definitions)
        return parts if question.header or question.format != "csv" else _headless(parts)


def routes(service: Service) -> Blueprint:
    """Return the routes of the operation."""
    made, base, handler = Blueprint("viewdefinition-run", __name__), prefix(service.base), ViewRun(service).answer
    view = service.view("operation", handler, operation="viewdefinition-run", open=True)
    for name, path in (("system", ""), ("type", "ViewDefinition/"), ("instance", "ViewDefinition/<id>/")):
        made.add_url_rule(f"{base}/{path}$viewdefinition-run", f"run-{name}", view, methods=["GET", "POST"])
    return made


def _question(asking: Asking, id: str | None) -> Question:
    given = dict(parameters.from_url(asking.question.query, LARGEST))
    resources: dict[str, Resource] = {}
    if request.method == "POST" and (text := parameters.body(LARGEST)):
        body = fhirjson.loads(text)
        if isinstance(body, dict) and body.get("resourceType") == "Parameters":
            values, resources = parameters.from_body(text, asking.service.base, KINDS)
            given |= dict(values)
        else:
            resources = {"viewResource": body}
    for other in ("source", "resource"):
        if other in given or other in resources:
            raise SearchError(
                other, None, "views run over what is released, and nothing else", "Leave it out.", "not-supported"
            )
    name, posted = _which(id, given.get("viewReference"), resources.get("viewResource"))
    limit = given.get("_limit")
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 10):
        raise SearchError("_limit", limit, "it is a whole number, 0 or more", "Write digits only.")
    if given.get("header", "true") not in ("true", "false"):
        raise SearchError("header", given["header"], "it is true or false", "Write one of them.")
    return Question(
        name=name,
        posted=posted,
        format=_format(given.get("_format")),
        header=given.get("header", "true") == "true",
        limit=None if limit is None else int(limit),
        since=given.get("_since"),
        patient=_named(given, "patient", "Patient"),
        group=_named(given, "group", "Group"),
    )


def _which(id: str | None, reference: str | None, posted: Any) -> tuple[str | None, Resource | None]:
    """Return the view that is meant: in the path, by a reference, or as it stands; it must be one of them."""
    named = [one for one in (id, reference and reference.removeprefix("ViewDefinition/")) if one]
    if len(named) + (posted is not None) != 1:
        rule = "it takes one view: in the path, by viewReference, or as viewResource"
        raise SearchError("viewReference", None, rule, "Give one of them.", "invalid")
    return (named[0], None) if named else (None, posted)


def _format(text: str | None) -> Format:
    if text is None:
        accepted = (value.lower() for value, quality in request.accept_mimetypes if quality > 0)
        found: Format | None = next((_NAMES[value] for value in accepted if value in _NAMES), "ndjson")
    else:
        found = _NAMES.get(text.partition(";")[0].strip().lower())
    if found is None or (found == "parquet" and find_spec("pyarrow") is None):
        raise SearchError("_format", text, "tables are csv, json or ndjson, and parquet with pyarrow", "Ask for one.")
    return found


def _named(given: dict[str, str], name: str, type_: str) -> str | None:
    if name not in given:
        return None
    id = given[name].removeprefix(f"{type_}/")
    if not ID.fullmatch(id):
        raise SearchError(name, given[name], f"it is no reference like {type_}/[id]", "Name one that is here.")
    return id


def _batches(found: Iterator[Released]) -> Iterator[list[Released]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def _begun(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Return parts once there is something to send: what is wrong from the start is raised here, and not midway."""
    first = next((part for part in parts if part), b"")
    return _Rest(first, parts)


class _Rest:
    """A first part, and then the others; closing it closes what they come from."""

    def __init__(self, first: bytes, parts: Iterator[bytes]) -> None:
        self._first: Sequence[bytes] = [first] if first else []
        self._parts = parts
        self._all = chain(self._first, parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._all)

    def close(self) -> None:
        """End what the parts come from."""
        if close := getattr(self._parts, "close", None):
            close()


def _headless(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield CSV without its first line, which holds names of columns and hence no line break."""
    before = b""
    try:
        for part in parts:
            before += part
            if b"\r\n" in before:
                yield before.partition(b"\r\n")[2]
                break
        yield from parts
    finally:
        if close := getattr(parts, "close", None):
            close()
