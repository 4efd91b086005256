"""Reaching a server: sessions with the TLS files and the proxy that are set, and single questions beside FHIR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
from requests.utils import get_environ_proxies

from fhirbridge import __version__
from fhirbridge.hospital import answers, failures
from fhirbridge.hospital.addresses import is_loopback
from fhirbridge.hospital.answers import Answer
from fhirbridge.hospital.tls import Tls, TlsAdapter

USER_AGENT = f"fhirbridge/{__version__}"
LARGEST_ANSWER = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The way to servers: ``proxy`` is a URL, None means what the environment says; the loopback has none.

    ``timeout`` is (seconds to connect, seconds without a byte of the answer).
    """

    tls: Tls = field(default_factory=Tls)
    proxy: str | None = field(default=None, repr=False)
    timeout: tuple[float, float] = (10.0, 60.0)

    def session(self, url: str, connections: int = 1) -> requests.Session:
        """Open a session for one server; what the environment says is read once, here."""
        session = requests.Session()
        adapter = TlsAdapter(pool_connections=1, pool_maxsize=connections, pool_block=True)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.proxies = self._proxies(url)
        if self.tls.ca is not None:
            session.verify = str(self.tls.ca)
        else:
            session.verify = session.merge_environment_settings(url, {}, None, None, None)["verify"]
        if self.tls.certificate is not None:
            key = self.tls.certificate_key or self.tls.certificate
            session.cert = (str(self.tls.certificate), str(key))
        session.trust_env = False
        return session

    def ask(
        self, url: str, what: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET ``url``, or POST a form to it, and return the whole answer whatever its status.

        Redirections are not followed, and nothing is sent but what is given here. Raises HospitalError where there
        is no answer.
        """
        sent = {"Accept": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
        with self.session(url) as session:
            try:
                response = session.request(
                    "GET" if form is None else "POST",
                    url,
                    data=form,
                    headers=sent,
                    timeout=self.timeout,
                    allow_redirects=False,
                    stream=True,
                )
                return answers.read_whole(response, what, seconds=self.timeout[1], size=LARGEST_ANSWER)
            except requests.RequestException as error:
                raise failures.from_exception(error, what) from None

    def _proxies(self, url: str) -> dict[str, str]:
        if is_loopback(url):
            return {}
        if self.proxy is not None:
            return {"http": self.proxy, "https": self.proxy}
        return dict(get_environ_proxies(url))
