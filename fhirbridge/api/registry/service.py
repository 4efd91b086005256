"""What every interaction stands on: who asks, what of which release they may see, and that it is on record first."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import Forbidden, NotFound, Unauthorized, UnsupportedMediaType
from werkzeug.wrappers import Request

from fhirbridge import fhirjson
from fhirbridge.api import authorising
from fhirbridge.api.authorising import Authoriser, Interaction
from fhirbridge.api.registry import answers, negotiation
from fhirbridge.api.registry.answers import Answer, Unready
from fhirbridge.api.registry.fhirxml import written
from fhirbridge.api.registry.negotiation import Form
from fhirbridge.api.registry.rates import Rates
from fhirbridge.api.registry.subset import Subsets
from fhirbridge.api.registry.upkeep import Upkeep
from fhirbridge.audit.event import Access
from fhirbridge.errors import FhirbridgeError, StoreError
from fhirbridge.release import cells
from fhirbridge.release.agreement import Agreement
from fhirbridge.search.query import LIMITS, Limits
from fhirbridge.search.refused import shortened
from fhirbridge.search.table import SERVED
from fhirbridge.search.values import Surroundings, ValueSets
from fhirbridge.settings import Settings
from fhirbridge.store.release_remembering import Remembered
from fhirbridge.store.releases import Position, Releases
from fhirbridge.validation import Validator
from fhirbridge.validation.node import Model

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LARGEST_FORM = 65_536
"""Bytes of a form that is read at all; what a search may hold, ``Limits`` says."""
PAGE = 50
"""Matches on a page where the client names no number."""
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)

_FORM = "application/x-www-form-urlencoded"
_STRICT = re.compile(r"\bhandling\s*=\s*\"?strict\b", re.IGNORECASE)
_REQUEST_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, of a request or of an entry of a batch. ``path`` is what follows the base and its slash."""

    method: str
    path: str
    query: bytes = b""
    form: bytes = b""
    prefer: str = ""
    if_none_match: str = ""
    if_modified_since: str = ""
    address: str | None = None
    id: str = ""

    @property
    def strict(self) -> bool:
        """Whether parameters that are not known are to be refused."""
        return _STRICT.search(self.prefer) is not None

    @property
    def as_asked(self) -> str:
        """Method, path, query and form, for the audit."""
        parts = [f"{self.method} {self.path}".encode("utf-8", "surrogateescape")]
        parts += [b"?" + self.query] if self.query else []
        parts += [b" with " + self.form] if self.form else []
        return b"".join(parts).decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Asking:
    """A question of somebody whose token counts: the client's access, and the agreement that it stands on."""

    service: Service
    question: Question
    access: authorising.Access
    agreement: Agreement

    def require(self, interaction: Interaction, type: str) -> None:
        """Raise NotFound for a type that nobody is served, InsufficientScope for one that this client is not."""
        if type not in SERVED:
            raise NotFound(f"{shortened(type)} is no type of resource here. /metadata names those there are.")
        self.access.require(interaction, type)

    @property
    def position(self) -> Position:
        """Where the agreement's release stands. Raises Unready before there is one."""
        found = self.service.upkeep.position(self.agreement.id)
        if found is None:
            raise Unready("The release of this data-use agreement is being prepared. Ask again soon.")
        return found


Handler = Callable[..., Answer]
"""An interaction: what is asked, and the parts of the path by name; returns its answer, raises what is wrong."""
Viewed = Callable[..., Response]
"""What Flask calls for a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the interactions need. ``base`` is the API's base URL, which comes from the settings and nowhere else."""

    base: str
    settings: Settings
    releases: Releases
    authoriser: Authoriser
    record: Callable[[Access], None]
    upkeep: Upkeep
    rates: Rates
    subsets: Subsets
    model: Callable[[], Model]
    zone: dt.tzinfo
    now: Callable[[], dt.datetime]
    value_sets: ValueSets
    validator: Callable[[], Validator]
    withdrawn: Callable[[str], Collection[str]]
    """Gives the compartments of a study, as the store knows them, without an active Consent at this moment."""
    views: Path
    """The folder of the shipped ViewDefinitions."""
    started: dt.datetime
    """When this service began, which is when it last became able to do anything else."""
    profiles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Profiles that the resources of a type follow."""
    limits: Limits = LIMITS
    page: int = PAGE
    pages: Remembered[Any] = field(default_factory=lambda: Remembered(0))
    """Pages that searches found, by what was asked of which state (``search_type``), for as many bytes as it has."""
    note: Callable[..., None] = lambda _event, **_facts: None
    """Is told of events, by their names and facts (``automation.logs``)."""

    def around(self, now: dt.datetime | None = None) -> Surroundings:
        """Return what the values of a search mean at this moment."""
        return Surroundings(zone=self.zone, now=now or self.now(), base=self.base, value_sets=self.value_sets)

    def view(
        self, code: str, handler: Handler, *, operation: str | None = None, form: bool = False, open: bool = False
    ) -> Viewed:
        """Return the function of a route that asks ``handler``, and keeps a record of it before it answers.

        ``code`` is that of http://hl7.org/fhir/R4/valueset-restful-interaction.html. With ``form`` a POST brings one;
        with ``open`` the handler answers in forms of its own, and an OperationOutcome is JSON whatever is asked for.
        """

        def viewed(**path: str) -> Response:
            # The proxy would look for it at each of a dozen uses.
            given: Request = request._get_current_object()  # type: ignore[attr-defined]
            question, shape, asking = asked(given, self.base), Form(), None
            try:
                if not open:
                    shape = negotiation.chosen(header(given, "ACCEPT"), question.query)
                asking = self.asking(given, question)
                if form and given.method == "POST":
                    asking = replace(asking, question=replace(question, form=_form(given)))
                    shape = negotiation.chosen(header(given, "ACCEPT"), asking.question.query, asking.question.form)
                answer = handler(asking, **path)
            except Exception as error:  # noqa: BLE001  # every error is an OperationOutcome, and on record
                answer = self.refused(error, question.id)
            recorded = self.on_record(answer, question if asking is None else asking.question, asking, code, operation)
            if recorded is not answer and (close := getattr(answer.stream, "close", None)):
                close()  # what will not be sent holds its place no longer
            return self.response(recorded, shape, question, asking)

        return viewed

    def refused(self, error: Exception, request: str) -> Answer:
        """Return the answer to a request that ended in an error; an error of this service's own is logged."""
        answer = answers.refused(error, request)
        if answer.status >= 500 and not isinstance(error, Unready):
            self.note("request_failed", id=request, status=answer.status, error=error)
        return answer

    def asking(self, request: Request, question: Question) -> Asking:
        """Return who asks. Raises Unauthorized (401), and TooManyRequests (429) for who asks too much."""
        self.upkeep.begin()
        self.rates.knock(question.address)
        try:
            access = self.authoriser.authorise(request)
        except Unauthorized:
            self.rates.refused(question.address)
            raise
        self.rates.admit(access.client)
        if not isinstance(access.agreement, Agreement):
            raise Forbidden("This data-use agreement cannot be used here.")
        return Asking(self, question, access, access.agreement)

    def on_record(
        self, answer: Answer, question: Question, asking: Asking | None, code: str, operation: str | None = None
    ) -> Answer:
        """Write an access to the audit trail, and return the answer to give: none but a 503 if that fails."""
        agreement = asking.agreement if asking else None
        try:
            self.record(
                Access(
                    interaction=code,
                    status=answer.status,
                    query=question.as_asked,
                    client=asking.access.client if asking else None,
                    registry=agreement.registry if agreement else None,
                    agreement=agreement.id if agreement else None,
                    purpose=agreement.purpose if agreement else None,
                    operation=operation,
                    records=answer.records,
                    people=answer.people,
                    address=question.address,
                    request=question.id,
                )
            )
        except StoreError as error:
            return self.refused(error, question.id)
        return answer

    def response(self, answer: Answer, shape: Form, question: Question, asking: Asking | None = None) -> Response:
        """Return an answer as it is sent, in the form that was asked for."""
        total = None
        if answer.count is not None and asking is not None:
            total = cells.shown([answer.count], asking.agreement.counts)[0]
        body, kind = answer.told(total), answer.content_type
        if kind is None and body:
            try:
                body, kind = self.shaped(body, shape), shape.media_type
            except FhirbridgeError as error:
                answer = self.refused(error, question.id)
                body, kind = answer.body, negotiation.FHIR_JSON
        headers = {"X-Request-Id": question.id, "Vary": "Accept, Accept-Encoding", **answer.headers}
        if answer.stream is not None:
            return Response(answer.stream, answer.status, headers, content_type=kind)
        smaller = negotiation.compressed(body, header(request, "ACCEPT_ENCODING"))
        if smaller is not None:
            body, headers["Content-Encoding"] = smaller, "gzip"
        made = _Sent(body, answer.status, headers, content_type=kind)
        if kind is None:
            del made.headers["Content-Type"]
        return made

    def shaped(self, body: bytes, shape: Form) -> bytes:
        """Return a JSON body in another form. Raises FhirbridgeError where R4's definitions are missing."""
        if shape.format == "xml":
            return written(fhirjson.loads(body), self.model())
        return fhirjson.indented(body) if shape.pretty else body


class _Sent(Response):
    """An answer whose headers are whole and its own, so that a 200 need not have them copied and checked once more."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers as they are sent."""
        return self.headers if self.status_code == 200 else super().get_wsgi_headers(environ)


def asked(request: Request, base: str) -> Question:
    """Return what a request asks, without its body."""
    given = header(request, "X_REQUEST_ID")
    return Question(
        method=request.method,
        path=below(request.path, base),
        query=request.query_string,
        prefer=header(request, "PREFER"),
        if_none_match=header(request, "IF_NONE_MATCH"),
        if_modified_since=header(request, "IF_MODIFIED_SINCE"),
        address=request.remote_addr,
        id=given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8),
    )


def header(request: Request, name: str) -> str:
    """Return a header by its name in WSGI (PEP 3333), empty where it is not there.

    Asked for by ``request.headers``, each that is absent makes an exception, which is much of a read's time.
    """
    return str(request.environ.get(f"HTTP_{name}", ""))


def below(path: str, base: str) -> str:
    """Return what of a request's path follows the path of the API's base URL."""
    return path.removeprefix(prefix(base)).lstrip("/")


def prefix(base: str) -> str:
    """Return the path of the API's base URL, without a slash at its end."""
    return "/" + base.split("://", 1)[1].partition("/")[2] if "/" in base.split("://", 1)[1] else ""


def _form(request: Request) -> bytes:
    """Return the form that a POST brings. Raises UnsupportedMediaType (415), RequestEntityTooLarge (413)."""
    request.max_content_length = LARGEST_FORM
    body = request.get_data(cache=False)
    if body and request.mimetype != _FORM:
        raise UnsupportedMediaType(f"A search is sent as a form: Content-Type {_FORM}.")
    return body
