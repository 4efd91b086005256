"""Reading what a token endpoint answers: a token, or an error told with what to do and without anything secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.hospital import failures
from fhirbridge.hospital.answers import Answer

CLOCKS_MAY_DIFFER = 30.0
"""Seconds by which our clock may differ from a token endpoint's before a refusal is put down to it."""

_JWT = re.compile(r"\beyJ[\w-]+(?:\.[\w-]*)*")


def read_token(
    answer: Answer, what: str, now: float, *, secrets: Iterable[str], remedy: str, scopes: str
) -> dict[str, Any]:
    """Return what a token endpoint answered (RFC 6749, 5.1), or raise what its error stands for (5.2).

    ``secrets`` are hidden where it quotes them; ``remedy`` says what to check if it does not know the client. ``now``,
    seconds since the epoch, is compared with its clock.
    """
    try:
        body = fhirjson.loads(answer.content)
    except InputError:
        body = None
    said: dict[str, Any] = body if isinstance(body, dict) else {}
    if failure := failures.if_temporary(answer, what):
        raise failure
    if not 200 <= answer.status_code < 300:
        raise _token_refused(answer, said, what, now, secrets, remedy, scopes)
    token = said.get("access_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise failures.no_access(f"{what}: the answer holds no access token. Check hospital_token_url.")
    if str(said.get("token_type", "bearer")).lower() != "bearer":
        raise failures.no_access(f"{what}: the token is of another type than bearer, which is not supported.")
    return said


def _token_refused(
    answer: Answer, said: dict[str, Any], what: str, now: float, secrets: Iterable[str], remedy: str, scopes: str
) -> failures.AccessRefused:
    hidden = list(filter(None, secrets))
    no_error = f"no OAuth error but {failures.content_type(answer) or 'no content type'}"
    code = _shown(said.get("error") or no_error, hidden)
    description = _shown(said.get("error_description") or "", hidden)
    advice = {
        "invalid_client": remedy,
        "invalid_scope": f"Set hospital_scopes to what this client is registered for; asked for: {scopes or 'none'}.",
        "unauthorized_client": "Have the client registered there for the grant client_credentials.",
    }.get(code, "Check hospital_token_url and how the client is registered there.")
    sent = failures.sent_at(answer)
    behind = 0.0 if sent is None else sent.timestamp() - now
    if abs(behind) > CLOCKS_MAY_DIFFER:
        word = "behind" if behind > 0 else "ahead of"
        advice = f"This machine's clock is {abs(behind):.0f} seconds {word} that server's: set it right first. {advice}"
    colon = f": {description}" if description else ""
    return failures.no_access(f"{what}: {failures.status_text(answer.status_code)}, {code}{colon}. {advice}")


def _shown(said: object, hidden: Iterable[str]) -> str:
    """Return what a server said on one line, cut short, without these secrets and anything that looks like a token."""
    text = " ".join(str(said).split())
    for secret in hidden:
        text = text.replace(secret, "(hidden)")
    return _JWT.sub("(hidden)", text)[: failures.LONGEST_DETAIL]
