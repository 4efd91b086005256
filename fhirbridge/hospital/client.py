"""The client itself: one pool of connections to one FHIR R4 server, for any number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import requests
from requests.auth import AuthBase

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, HospitalError, Resource
from fhirbridge.hospital import answers, capabilities, failures, paging, singles, transactions
from fhirbridge.hospital.addresses import normalised, origin, shown
from fhirbridge.hospital.answers import Answer
from fhirbridge.hospital.auth import Bearer, without_credentials
from fhirbridge.hospital.capabilities import Capabilities
from fhirbridge.hospital.network import USER_AGENT, Network
from fhirbridge.hospital.paging import Asked, SearchParameters
from fhirbridge.hospital.retries import Retries, sleep_unless
from fhirbridge.hospital.tls import Tls
from fhirbridge.hospital.traffic import Traffic
from fhirbridge.hospital.transactions import EntryResult, Mode

FHIR_JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"

WHOLE_ANSWER = 10
"""How many times the silence allowed a whole answer may take, however steadily it trickles."""

LARGEST_ANSWER = 256_000_000
"""Bytes of an answer, after decompression, that are read before it is given up."""

_NOT_LET_IN = 401

Read = TypeVar("Read")


class Hospital:
    """A hospital's FHIR R4 server.

    ``timeout`` is (seconds to connect, seconds without a byte of the answer); a whole answer may take ten times the
    latter. ``connections`` bounds how many requests are under way at once; a further thread waits. Every method
    raises TemporaryHospitalError after the retries are used up, and FatalHospitalError at once. Redirections are not
    followed.

    ``auth`` signs each request to this server, and no request to another is ever made; a bearer token that is
    answered 401 is renewed once. ``tls`` and ``proxy`` are as in ``Network``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: tuple[float, float] = (10.0, 120.0),
        connections: int = 4,
        retries: Retries | None = None,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        auth: AuthBase | None = None,
        tls: Tls | None = None,
        proxy: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base_url = normalised(base_url)
        self.connections = connections
        self.ahead: timedelta | None = None
        """By how much the server's clock is ahead of ours, as its last answer's Date said; None if it says none."""
        self.traffic = Traffic()
        self.note: Callable[..., None] = lambda _event, **_facts: None
        """Called with an event and its facts when a request is made again."""
        self._timeout = timeout
        self._retries = retries or Retries()
        self._sleep = sleep
        self._auth = auth
        self._clock = clock
        self._session = session or Network(tls=tls or Tls(), proxy=proxy).session(self.base_url, connections)

    @property
    def server_id(self) -> str:
        """Return what tells this server from others in sync state: its normalised base URL."""
        return self.base_url

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Hospital:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def capabilities(self) -> Capabilities:
        """Read /metadata; one clear FatalHospitalError if this is no FHIR server or not one of R4."""
        answer = self._exchange("GET", f"{self.base_url}/metadata", f"GET {self.base_url}/metadata", first=True)
        return capabilities.checked(answer, self.base_url)

    def read(self, kind: str, id: str) -> Resource:
        """Read the current version; FatalHospitalError with status 404 where there is none, 410 where deleted."""
        what = f"GET {kind}"
        answer = self._exchange("GET", f"{self.base_url}/{kind}/{id}", what)
        if answer["resourceType"] != kind:
            raise FatalHospitalError(f"{what}: answered by a {answer['resourceType']}.", outcome=_if_outcome(answer))
        return answer

    def search(self, kind: str, params: SearchParameters = (), *, post: bool = False) -> Iterator[Resource]:
        """Yield every match, fetching page after page as they are used; ``_count`` asks for a page's size.

        With ``post`` the parameters travel in a form, so that no URL, and no log of one on the way, holds them.
        Included resources are left out. A server that ignores a parameter raises FatalHospitalError, because its
        matches would be of another question.
        """
        what = f"search of {kind}"
        asked, chosen_by = paging.first_page(self.base_url, kind, params, post=post)
        return paging.follow(asked, chosen_by, lambda page: self._page(page, what), what)

    def lookup(self, kind: str, ids: Sequence[str], *, elements: Sequence[str] = ()) -> Iterator[Resource]:
        """Yield those of the resources with these ids that are there, in no order; ``elements`` asks for a part only.

        A server that knows no ``_elements`` gives whole resources. Ids that are not asked for are left out.
        """
        for params, wanted in paging.by_id(ids, elements):
            for found in self.search(kind, params):
                if found.get("id") in wanted:
                    yield found

    def send(self, entries: Sequence[Resource], mode: Mode) -> list[EntryResult]:
        """Send Bundle entries and return what became of each, in their order; check each.

        ``transaction`` and ``batch`` make one Bundle, and a Bundle refused as a whole raises. ``single`` makes a
        request of each, and goes on after a refused one; after a temporary failure that outlasts its retries, or 401,
        the rest is held back (``tried`` False). A request that gets no answer at all raises, and what became of the
        entries before it is to be looked up. What would do more when sent twice is sent once only.
        """
        if not entries:
            return []
        if mode != "single":
            return self.transaction(transactions.bundle(entries, mode))
        results: list[EntryResult] = []
        for index, entry in enumerate(entries):
            last = results[-1] if results else None
            if last is not None and (not last.tried or singles.ends_the_rest(last)):
                results.append(singles.held_back(index, entry["request"], last))
            else:
                results.append(self._send_one(index, entry))
        return results

    def transaction(self, bundle: Resource) -> list[EntryResult]:
        """Send a transaction (or batch) Bundle and return what became of each entry, in the Bundle's order.

        Check each entry: some servers answer a "transaction" that failed in parts. A Bundle that would do more when
        sent twice (a plain POST) is sent once only. After a cut connection a repeated ``ifMatch`` may meet our own
        write as a conflict (409 or 412).
        """
        what = f"POST {bundle['type']} of {len(bundle.get('entry', []))} entries"
        again = transactions.may_be_repeated(bundle)
        headers, body = {"Prefer": "return=minimal"}, fhirjson.dumps(bundle)
        answer = self._exchange("POST", self.base_url, what, headers, body, again=again)
        return transactions.read_results(bundle, answer, what)

    def answered(
        self, method: str, url: str, what: str, headers: dict[str, str], read: Callable[[Answer], Read]
    ) -> Read:
        """Make a request that is not of FHIR's RESTful interface and return what ``read`` makes of a 2xx.

        It is made again after temporary failures, those that ``read`` raises included.
        """
        return self._attempts(method, url, what, headers, None, read, again=True)

    @contextmanager
    def streamed(
        self, url: str, what: str, headers: dict[str, str], *, elsewhere: Collection[str] = (), signed: bool = True
    ) -> Iterator[requests.Response]:
        """GET once a body that may be larger than memory; the caller reads it, and judges the status.

        ``elsewhere`` are the origins beside this server's that may be asked. Raises HospitalError as other methods do,
        for what goes wrong while the body is read too.
        """
        allowed = {origin(other) for other in elsewhere}
        started, status = time.monotonic(), None
        try:
            for last in (False, True):
                request = self._signed("GET", url, what, headers, None, allowed=allowed, signed=signed)
                response = self._session.send(request, timeout=self._timeout, allow_redirects=False, stream=True)
                status = response.status_code
                auth = self._auth if signed else None
                if last or status != _NOT_LET_IN or not isinstance(auth, Bearer) or not auth.refused(request):
                    break
                response.close()
            with response:
                yield response
        except requests.RequestException as error:
            raise failures.from_exception(error, what) from None
        finally:
            self.traffic.count(status=status, sent=0, received=0, seconds=time.monotonic() - started)

    def again(self, attempt: Callable[[], Read]) -> Read:
        """Call it, again after temporary failures as for every request, and return what it returns."""

        def again_after(failure: BaseException) -> None:
            self.traffic.count_retry()
            self.note("request_retried", method="GET", status=getattr(failure, "status", None))

        return self._retries.call(attempt, self._sleep, again_after)

    def pause(self, seconds: float) -> None:
        """Wait, as between two tries. Raises PauseEnded if a set event ends it (``stopped_by``)."""
        self._sleep(seconds)

    @contextmanager
    def stopped_by(self, stop: threading.Event) -> Iterator[None]:
        """Inside this block a set event ends every pause at once, and the call raises its last failure."""
        before = self._sleep
        self._sleep = sleep_unless(stop, before)
        try:
            yield
        finally:
            self._sleep = before

    def _send_one(self, index: int, entry: Resource) -> EntryResult:
        request, what = entry["request"], f"{entry['request']['method']} {entry['request']['url'].split('/')[0]}"
        what = what.split("?")[0]
        try:
            return self._attempts(
                request["method"],
                f"{self.base_url}/{request['url']}",
                what,
                singles.headers(request),
                singles.body(entry),
                lambda answer: singles.accepted(index, request, answer, what),
                again=transactions.may_be_repeated({"entry": [entry]}),
            )
        except HospitalError as error:
            return singles.refused(index, request, error)

    def _page(self, asked: Asked, what: str) -> Resource:
        # HAPI answers the same search from memory for a minute, with what was there before we wrote.
        headers = {"Prefer": "handling=strict", "Cache-Control": "no-cache"}
        if asked.form is None:
            return self._exchange("GET", asked.url, what, headers)
        return self._exchange("POST", asked.url, what, {**headers, "Content-Type": FORM}, asked.form.encode())

    def _exchange(
        self,
        method: str,
        url: str,
        what: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        again: bool = True,
        first: bool = False,
    ) -> Resource:
        """Make one request, again after temporary failures if ``again``, and return the resource it answers with."""

        def read(answer: Answer) -> Resource:
            return failures.readable(answer, what, known_fhir=not first)

        return self._attempts(method, url, what, headers or {}, body, read, again=again, first=first)

    def _attempts(
        self,
        method: str,
        url: str,
        what: str,
        headers: dict[str, str],
        body: bytes | None,
        read: Callable[[Answer], Read],
        *,
        again: bool,
        first: bool = False,
    ) -> Read:
        """Make one request, again after temporary failures if ``again``, and return what ``read`` makes of a 2xx."""
        sent_headers = {"Accept": FHIR_JSON, "User-Agent": USER_AGENT, **headers}
        if body is not None:
            sent_headers.setdefault("Content-Type", FHIR_JSON)

        def attempt() -> Read:
            answer = self._send(method, url, what, sent_headers, body)
            if failure := failures.from_response(answer, what):
                raise failure
            return read(answer)

        def again_after(failure: BaseException) -> None:
            self.traffic.count_retry()
            self.note("request_retried", method=method, status=getattr(failure, "status", None))

        if not again:
            return attempt()
        return self._retries.call(attempt, self._sleep, again_after, first=first)

    def _send(self, method: str, url: str, what: str, headers: dict[str, str], data: bytes | None) -> Answer:
        request = self._signed(method, url, what, headers, data)
        answer = self._answer(request, what)
        if answer.status_code == _NOT_LET_IN and isinstance(self._auth, Bearer) and self._auth.refused(request):
            answer = self._answer(self._signed(method, url, what, headers, data), what)
        return answer

    def _signed(
        self,
        method: str,
        url: str,
        what: str,
        headers: dict[str, str],
        data: bytes | None,
        *,
        allowed: Collection[tuple[str, str | None, int | None]] = (),
        signed: bool = True,
    ) -> requests.PreparedRequest:
        """Make a request that proves who we are. Raises FatalHospitalError for one to a server that is not allowed."""
        try:
            request = self._session.prepare_request(requests.Request(method, url, headers=headers, data=data))
        except requests.RequestException as error:
            raise failures.from_exception(error, what) from None
        if origin(str(request.url)) not in (origin(self.base_url), *allowed):
            raise FatalHospitalError(
                f"{what}: {shown(url)} is another server than {shown(self.base_url)}; nothing is sent there."
            )
        if self._auth is not None and signed:
            request.prepare_auth(self._auth)
        return request

    def _answer(self, request: requests.PreparedRequest, what: str) -> Answer:
        started, status, received = time.monotonic(), None, 0
        try:
            response = self._session.send(request, timeout=self._timeout, allow_redirects=False, stream=True)
            status = response.status_code
            answer = answers.read_whole(response, what, seconds=WHOLE_ANSWER * self._timeout[1], size=LARGEST_ANSWER)
            received = len(answer.content)
            if (sent_at := failures.sent_at(answer)) is not None:
                self.ahead = timedelta(seconds=sent_at.timestamp() - self._clock())
            return without_credentials(answer, request)
        except requests.RequestException as error:
            raise failures.from_exception(error, what) from None  # its text holds the URL with its query
        finally:
            sent, seconds = len(request.body or b""), time.monotonic() - started
            self.traffic.count(status=status, sent=sent, received=received, seconds=seconds)


def _if_outcome(resource: Resource) -> Resource | None:
    return resource if resource["resourceType"] == "OperationOutcome" else None
