"""The client itself: one pool of connections to one FHIR R4 server, for any number of threads."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from fhirbridge import __version__, fhirjson
from fhirbridge.errors import ConfigurationError, FatalHospitalError, Resource
from fhirbridge.hospital import capabilities, failures, paging, transactions
from fhirbridge.hospital.capabilities import Capabilities
from fhirbridge.hospital.paging import SearchParameters
from fhirbridge.hospital.retries import Retries
from fhirbridge.hospital.traffic import Traffic
from fhirbridge.hospital.transactions import EntryResult

FHIR_JSON = "application/fhir+json"


class Hospital:
    """A hospital's FHIR R4 server.

    ``timeout`` is (seconds to connect, seconds without a byte of the answer). ``connections`` bounds how many
    requests are under way at once; a further thread waits. Every method raises TemporaryHospitalError after the
    retries are used up, and FatalHospitalError at once. Redirections are not followed.
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
    ) -> None:
        self.base_url = normalised(base_url)
        self.traffic = Traffic()
        self._timeout = timeout
        self._retries = retries or Retries()
        self._sleep = sleep
        self._session = session or _session(self.base_url, connections)

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

    def search(self, kind: str, params: SearchParameters = ()) -> Iterator[Resource]:
        """Yield every match, fetching page after page as they are used; ``_count`` asks for a page's size.

        Included resources are left out. A server that ignores a parameter raises FatalHospitalError, because its
        matches would be of another question.
        """
        what = f"search of {kind}"
        url, chosen_by = paging.first_page(self.base_url, kind, params)
        strict = {"Prefer": "handling=strict"}
        return paging.follow(url, chosen_by, lambda page: self._exchange("GET", page, what, strict), what)

    def transaction(self, bundle: Resource) -> list[EntryResult]:
        """Send a transaction (or batch) Bundle and return what became of each entry, in the Bundle's order.

        Check each entry: some servers answer a "transaction" that failed in parts. A Bundle that would do more when
        sent twice (a plain POST) is sent once only. After a cut connection a repeated ``ifMatch`` may meet our own
        write as a conflict (409 or 412).
        """
        what = f"POST {bundle['type']} of {len(bundle.get('entry', []))} entries"
        again = transactions.may_be_repeated(bundle)
        answer = self._exchange("POST", self.base_url, what, {"Prefer": "return=minimal"}, bundle, again=again)
        return transactions.read_results(bundle, answer, what)

    def _exchange(
        self,
        method: str,
        url: str,
        what: str,
        headers: dict[str, str] | None = None,
        body: Resource | None = None,
        *,
        again: bool = True,
        first: bool = False,
    ) -> Resource:
        """Make one request, again after temporary failures if ``again``, and return the resource it answers with."""
        data = None if body is None else fhirjson.dumps(body)
        sent_headers = {"Accept": FHIR_JSON, "User-Agent": f"fhirbridge/{__version__}", **(headers or {})}
        if data is not None:
            sent_headers["Content-Type"] = FHIR_JSON

        def attempt() -> Resource:
            response = self._send(method, url, what, sent_headers, data)
            if failure := failures.from_response(response, what):
                raise failure
            return failures.readable(response, what, known_fhir=not first)

        if not again:
            return attempt()
        return self._retries.policy(self._sleep, self.traffic.count_retry, first=first)(attempt)

    def _send(self, method: str, url: str, what: str, headers: dict[str, str], data: bytes | None) -> requests.Response:
        started, status, received = time.monotonic(), None, 0
        try:
            response = self._session.request(
                method, url, headers=headers, data=data, timeout=self._timeout, allow_redirects=False
            )
            status, received = response.status_code, len(response.content)
            return response
        except requests.RequestException as error:
            raise failures.from_exception(error, what) from None  # its text holds the URL with its query
        finally:
            sent, seconds = len(data or b""), time.monotonic() - started
            self.traffic.count(status=status, sent=sent, received=received, seconds=seconds)


def normalised(base_url: str) -> str:
    """Return the base URL without trailing slash, host in lower case. Raises ConfigurationError if it is none."""
    parts = urlsplit(base_url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("The hospital's base URL must be like https://fhir.example.org/fhir.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("The hospital's base URL must hold no user, password, query or fragment.")
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))


def _session(base_url: str, connections: int) -> requests.Session:
    """Open a session; proxies and certificates are taken from the environment once, and not for the loopback."""
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, pool_block=True)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.proxies = {} if _is_loopback(base_url) else get_environ_proxies(base_url)
    merged = session.merge_environment_settings(base_url, {}, None, None, None)
    session.verify = merged["verify"]
    session.trust_env = False
    return session


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _if_outcome(resource: Resource) -> Resource | None:
    return resource if resource["resourceType"] == "OperationOutcome" else None
