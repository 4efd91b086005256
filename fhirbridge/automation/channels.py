"""The two ways out of a notification: an HTTP POST of JSON, signed if wished, and a mail."""

from __future__ import annotations

import hashlib
import hmac
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from fhirbridge import __version__, fhirjson
from fhirbridge.automation.notify import Channel, NotDelivered, Notice
from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import secret_files
from fhirbridge.settings import Settings

Security = Literal["starttls", "ssl", "none"]
Sleep = Callable[[float], None]

SIGNATURE = "X-Fhirbridge-Signature"
ATTEMPTS = 4
SECONDS = 15.0
"""How long a connection, or an answer, is waited for."""


def from_settings(settings: Settings) -> tuple[Channel, ...]:
    """Return the channels that are set. Raises ConfigurationError for one that cannot work."""
    found: list[Channel] = []
    if settings.notify_webhook is not None:
        url = settings.notify_webhook.get_secret_value()
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigurationError("setting 'notify_webhook' must be a URL like https://chat.example.org/hook.")
        key = settings.notify_webhook_secret
        signed = secret_files.read_bytes(key, "notify_webhook_secret").strip() if key else None
        found.append(Webhook(url, secret=signed, ca=settings.notify_ca))
    if settings.notify_mail_to:
        if settings.notify_mail_login and settings.notify_mail_security == "none":
            raise ConfigurationError(
                "setting 'notify_mail_security' is 'none', which would send the password of 'notify_mail_login' in "
                "the clear. Use starttls or ssl, or leave the login out."
            )
        found.append(
            Mail(
                host=settings.notify_mail_host,
                port=settings.notify_mail_port,
                sender=settings.notify_mail_from,
                to=settings.notify_mail_to,
                security=settings.notify_mail_security,
                login=login(settings.notify_mail_login) if settings.notify_mail_login else None,
                ca=settings.notify_ca,
            )
        )
    if settings.notify_ca and not settings.notify_ca.is_file():
        raise ConfigurationError(f"setting 'notify_ca': there is no file {settings.notify_ca}.")
    return tuple(found)


class Webhook:
    """POSTs each notice as JSON; with a ``secret`` the header ``X-Fhirbridge-Signature: sha256=…`` proves its origin.

    The signature is HMAC-SHA256 of the body. The address is never told, because it often is a secret itself.
    """

    name = "webhook"

    def __init__(
        self, url: str, *, secret: bytes | None = None, ca: Path | None = None, sleep: Sleep = time.sleep
    ) -> None:
        self._url = url
        self._secret = secret
        self._verify: str | bool = str(ca) if ca else True
        self._sleep = sleep
        self._host = urlsplit(url).hostname or "?"

    def send(self, notice: Notice) -> None:
        """Deliver a notice, again after a temporary failure. Raises NotDelivered."""
        body = fhirjson.dumps(notice.as_dict())
        headers = {"Content-Type": "application/json", "User-Agent": f"fhirbridge/{__version__}"}
        if self._secret is not None:
            headers[SIGNATURE] = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        _patiently(lambda: self._post(body, headers), self._sleep)

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        try:
            answer = requests.post(
                self._url, data=body, headers=headers, timeout=SECONDS, allow_redirects=False, verify=self._verify
            )
        except requests.RequestException as error:
            temporary = isinstance(error, requests.ConnectionError | requests.Timeout)
            said = f"the webhook at {self._host} could not be reached ({type(error).__name__})."
            raise NotDelivered(said, temporary=temporary) from None  # its text holds the address
        except OSError:
            raise NotDelivered("`notify_ca` names no usable file of certificates.", temporary=False) from None
        if not 200 <= answer.status_code < 300:
            temporary = answer.status_code in (408, 425, 429) or answer.status_code >= 500
            raise NotDelivered(f"the webhook at {self._host} answered {answer.status_code}.", temporary=temporary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Sends each notice as a plain-text mail through one SMTP server; ``login`` is (user, password)."""

    host: str
    port: int
    sender: str
    to: Sequence[str]
    security: Security = "starttls"
    login: tuple[str, str] | None = None
    ca: Path | None = None
    sleep: Sleep = time.sleep

    @property
    def name(self) -> str:
        """The channel's name in logs and metrics."""
        return "mail"

    def send(self, notice: Notice) -> None:
        """Deliver a notice, again after a temporary failure. Raises NotDelivered."""
        message = _message(notice, self.sender, self.to)
        _patiently(lambda: self._send(message), self.sleep)

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connected() as server:
                if self.login is not None:
                    server.login(*self.login)
                refused = server.send_message(message)
        except smtplib.SMTPResponseException as error:
            temporary = 400 <= error.smtp_code < 500
            raise NotDelivered(f"the mail server answered {error.smtp_code}.", temporary=temporary) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            said = f"the mail server took none of the recipients ({codes[0]})."
            raise NotDelivered(said, temporary=all(400 <= code < 500 for code in codes)) from None
        except smtplib.SMTPNotSupportedError:
            said = "the mail server offers no STARTTLS, or no login. See `notify_mail_security`."
            raise NotDelivered(said, temporary=False) from None
        except ssl.SSLError as error:
            said = f"no TLS connection to the mail server that can be trusted ({error.reason})."
            raise NotDelivered(said, temporary=False) from None
        except OSError as error:
            said = f"the mail server could not be reached ({type(error).__name__})."
            raise NotDelivered(said, temporary=True) from None
        if refused:
            said = f"the mail server refused {len(refused)} of the recipients; the others have it."
            raise NotDelivered(said, temporary=False, reached_some=True)

    def _connected(self) -> smtplib.SMTP:
        if self.security == "none":
            return smtplib.SMTP(self.host, self.port, timeout=SECONDS)
        tls = ssl.create_default_context(cafile=self.ca)
        if self.security == "ssl":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=tls)
        server = smtplib.SMTP(self.host, self.port, timeout=SECONDS)
        try:
            server.starttls(context=tls)
        except BaseException:
            server.close()
            raise
        return server


def login(file: Path) -> tuple[str, str]:
    """Return user and password from the two lines of a private file. Raises ConfigurationError if it is not that."""
    lines = secret_files.read_bytes(file, "notify_mail_login").decode("utf-8", "replace").strip().splitlines()
    if len(lines) != 2:
        raise ConfigurationError(f"notify_mail_login: {file} must have two lines: the user, and the password.")
    return lines[0].strip(), lines[1].strip()


def _patiently(attempt: Callable[[], None], sleep: Sleep) -> None:
    policy = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, NotDelivered) and error.temporary),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(initial=1, max=10),
        sleep=sleep,
        reraise=True,
    )
    policy(attempt)


def _message(notice: Notice, sender: str, to: Sequence[str]) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"[fhirbridge] {notice.title}"
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="fhirbridge.invalid")
    message["Auto-Submitted"] = "auto-generated"
    facts = {
        "run": notice.run,
        "outcome": notice.outcome,
        "at": notice.at,
        "since": notice.since,
        "server": notice.server or "none",
        **{name.replace("_", " "): f"{number:,}" for name, number in notice.counts.items()},
    }
    width = max(map(len, facts)) + 1
    lines = "\n".join(f"{name + ':':{width}} {value}" for name, value in facts.items())
    message.set_content(f"{notice.message}\n\n{lines}\n")
    return message
