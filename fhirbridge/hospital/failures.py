"""The one place that decides whether a failure of the hospital's server is temporary or fatal, and how it is told.

Texts name the interaction, the resource type, the status and what the server's OperationOutcome says. They hold no
request bodies, no ids and no query strings, because those carry data of patients into logs.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

import requests
import urllib3

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, HospitalError, InputError, Resource, TemporaryHospitalError

TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""500 is here because servers answer it for deadlocks and restarts; attempts are bounded all the same."""

LONGEST_DETAIL = 300

_FATAL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidJSONError,
    requests.exceptions.TooManyRedirects,
    requests.exceptions.StreamConsumedError,
    requests.exceptions.UnrewindableBodyError,
)
_GARBLED = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)
_CUT_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_NAMES = {"text/html": "a web page", "application/fhir+xml": "FHIR XML", "": "of no stated type"}
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_WHO_WE_ARE = "Check hospital_auth and what belongs to it."
_TLS_ADVICE = (
    (("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"), "The server must offer TLS 1.2 or later."),
    (("WRONG_VERSION_NUMBER", "HTTP_REQUEST"), "Perhaps the address must begin with http, or have another port."),
    (
        ("ALERT",),
        "The server asks for a certificate of ours, or does not take it: check hospital_certificate and "
        "hospital_certificate_key.",
    ),
)
_OTHER_TLS_ADVICE = (
    "Check the address, and name the file of the authority that signed the server's certificate in hospital_ca."
)
_QUERY = re.compile(r"\?[^\s'\"<>]+")


class AccessRefused(FatalHospitalError):
    """No credentials to send: a token endpoint that refuses us, or none found. Nothing went to the FHIR server.

    ``status`` is 401, what the server itself would have answered.
    """


class HttpAnswer(Protocol):
    """What is judged: an ``answers.Answer``, or a ``requests.Response``."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


def from_exception(error: requests.RequestException, what: str) -> HospitalError:
    """Translate what ``requests`` raised while doing ``what``; the text leaves out the URL that requests prints."""
    if isinstance(error, _FATAL):
        return FatalHospitalError(f"{what}: the request could not be made ({type(error).__name__}).")
    if isinstance(error, _GARBLED):
        return TemporaryHospitalError(f"{what}: the answer was cut short or garbled.")
    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.ProxyError):
        return _from_proxy(causes, f"{what}: no way{_address(error)} through the proxy")
    if isinstance(error, requests.exceptions.SSLError) and not any(isinstance(cause, _CUT_TLS) for cause in causes):
        trouble = f"{what}: no TLS connection{_address(error)} that can be trusted ({_reason(causes)})"
        return FatalHospitalError(f"{trouble}. {_tls_advice(causes)}")
    if any(_is_timeout(cause) for cause in causes):
        return TemporaryHospitalError(f"{what}: no answer{_address(error, 'from')} within the time allowed.")
    return TemporaryHospitalError(f"{what}: the connection{_address(error)} failed ({_reason(causes)}).")


def from_response(response: HttpAnswer, what: str) -> HospitalError | None:
    """Return the failure that the answer's status stands for, or None for 2xx."""
    if 200 <= response.status_code < 300:
        return None
    if 300 <= response.status_code < 400:
        return FatalHospitalError(
            f"{what}: {status_text(response.status_code)}, a redirection, which is not followed. "
            "Set the server's final address.",
            status=response.status_code,
        )
    outcome = _outcome(response)
    if outcome is None:
        detail = f"no OperationOutcome but {content_type(response) or 'no content type'}"
    else:
        detail = outcome_text(outcome)
    after = retry_after(response, datetime.now(UTC))
    advice = f". {_WHO_WE_ARE}" if response.status_code == 401 else ""
    message = f"{what}: {status_text(response.status_code)}, {detail}{advice}"
    return from_status(response.status_code, message, outcome, after)


def from_status(status: int, message: str, outcome: Resource | None, after: float | None = None) -> HospitalError:
    """Return the failure for an HTTP status of 400 or more, of a whole answer or of one entry in a Bundle."""
    if status in TEMPORARY_STATUSES:
        return TemporaryHospitalError(message, status=status, outcome=outcome, retry_after=after)
    return FatalHospitalError(message, status=status, outcome=outcome)


def readable(response: HttpAnswer, what: str, *, known_fhir: bool = True) -> Resource:
    """Return the FHIR resource in a 2xx answer's body.

    From a server known to speak FHIR an unreadable answer is temporary: a proxy's page, or a body cut short. On
    first contact (``known_fhir=False``) it means that this is no FHIR server, and is fatal.
    """
    resource, problem = _read_resource(response)
    if resource is not None:
        return resource
    if known_fhir:
        raise TemporaryHospitalError(f"{what}: {problem}.", status=response.status_code)
    raise FatalHospitalError(
        f"{what}: {problem}. Is this the base URL of a FHIR server? It often ends in /fhir.",
        status=response.status_code,
    )


def if_temporary(answer: HttpAnswer, what: str) -> TemporaryHospitalError | None:
    """Return the failure that a temporary status stands for, None for any other status.

    It bears no status: what answered was not the FHIR interface.
    """
    if answer.status_code not in TEMPORARY_STATUSES:
        return None
    after = retry_after(answer, datetime.now(UTC))
    return TemporaryHospitalError(f"{what}: {status_text(answer.status_code)}.", retry_after=after)


def no_access(message: str) -> AccessRefused:
    """Return the failure of having nothing to prove with who we are."""
    return AccessRefused(message, status=401)


def outcome_text(outcome: Resource) -> str:
    """Return the worst issue of an OperationOutcome in one line: its code and its diagnostics or details."""
    order = {"fatal": 0, "error": 1, "warning": 2}
    issues = [issue for issue in outcome.get("issue") or [] if isinstance(issue, dict)]
    if not issues:
        return "an OperationOutcome without issues"
    worst = min(issues, key=lambda issue: order.get(str(issue.get("severity")), 3))
    details = worst.get("details")
    said = worst.get("diagnostics") or (details.get("text") if isinstance(details, dict) else None) or "no text"
    text = _QUERY.sub("?…", " ".join(str(said).split()))
    more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
    shown = text if len(text) <= LONGEST_DETAIL else f"{text[:LONGEST_DETAIL]}…"
    return f"{worst.get('code', 'unknown')}: {shown}{more}"


def retry_after(response: HttpAnswer, now: datetime) -> float | None:
    """Return the seconds that Retry-After asks for, given in seconds or as a date (RFC 9110, 10.2.3).

    A date is read against the server's own Date header where it has one, so that clocks need not agree.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    until, sent = _http_date(value), sent_at(response)
    return None if until is None else max(0.0, (until - (sent or now)).total_seconds())


def status_text(status: int) -> str:
    """Return "404 Not Found" for 404, and the bare number for one without a name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def sent_at(response: HttpAnswer) -> datetime | None:
    """Return when the server says it answered, None where it does not say."""
    return _http_date(response.headers.get("Date", ""))


def http_instant(value: str) -> str | None:
    """Return an HTTP date as a FHIR instant, None for anything else."""
    read = _http_date(value)
    return read.isoformat() if read else None


def _from_proxy(causes: list[BaseException], trouble: str) -> HospitalError:
    refused = next((found for cause in causes if (found := _TUNNEL.search(str(cause)))), None)
    message = f"{trouble} ({status_text(int(refused[1])) if refused else _reason(causes)})"
    if refused is None or int(refused[1]) in TEMPORARY_STATUSES:
        return TemporaryHospitalError(f"{message}.")
    return FatalHospitalError(f"{message}. Check hospital_proxy, or HTTPS_PROXY in the environment.")


def _tls_advice(causes: list[BaseException]) -> str:
    reasons = " ".join(str(getattr(cause, "reason", "")) for cause in causes if isinstance(cause, ssl.SSLError))
    return next((advice for words, advice in _TLS_ADVICE if any(word in reasons for word in words)), _OTHER_TLS_ADVICE)


def _http_date(value: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(value)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _read_resource(response: HttpAnswer) -> tuple[Resource | None, str]:
    said = content_type(response)
    if "json" not in said:
        return None, f"the answer is {_NAMES.get(said, said)}, not FHIR JSON"
    try:
        body = fhirjson.loads(response.content)
    except InputError:
        return None, "the answer is not complete JSON"
    if isinstance(body, dict) and isinstance(body.get("resourceType"), str):
        return body, ""
    return None, "the answer is JSON, but no FHIR resource"


def _outcome(response: HttpAnswer) -> Resource | None:
    try:
        body = fhirjson.loads(response.content)
    except InputError:
        return None
    return body if isinstance(body, dict) and body.get("resourceType") == "OperationOutcome" else None


def content_type(response: HttpAnswer) -> str:
    """Return the answer's media type in lower case, without parameters; empty where none is stated."""
    return response.headers.get("Content-Type", "").split(";")[0].strip().lower()


def _address(error: requests.RequestException, preposition: str = "to") -> str:
    """Return " to https://host:port", as far as known; never the path or query."""
    url = error.request.url if error.request is not None else None
    parts = urlsplit(url or "")
    return f" {preposition} {parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _is_timeout(cause: BaseException) -> bool:
    """Tell a wait that was too long from a connection refused, which urllib3 derives from its timeouts."""
    too_long = isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout)
    return too_long and not isinstance(cause, urllib3.exceptions.NewConnectionError)


def _reason(causes: list[BaseException]) -> str:
    """Return the operating system's or the TLS library's words, without what requests and urllib3 add."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return getattr(cause, "verify_message", None) or "certificate not accepted"
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return cause.strerror
    return "closed by the other side"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and every error that requests and urllib3 wrapped it around."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [*current.args, getattr(current, "reason", None), current.__cause__, current.__context__]
