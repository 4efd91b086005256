"""What it costs to be safe: the same questions asked of our application within one process, and with a part left out.

    python benchmarks/safety.py SETTINGS QUESTIONS TOKEN PART

PART is nothing, token, consent or audit: what is left out. Prints the least milliseconds that a question took on
average. Only a benchmark may ask so: what is left out here cannot be left out by any setting.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import true
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request

from fhirbridge import settings
from fhirbridge.api.registry.service import Service
from fhirbridge.cli.serving import assembled
from fhirbridge.cli.workplace import Workplace
from fhirbridge.store import release_erasing, release_finding, release_prepared

ROUNDS = 5


def main() -> None:
    """Ask all questions some rounds long."""
    given, asked, token, part = sys.argv[1:]
    if part == "consent":
        _without_consent()
    place = Workplace(settings.read(**json.loads(Path(given).read_text(encoding="utf-8"))))
    try:
        app, service = assembled(place)
        assert service is not None
        if part == "token":
            _without_token(service.authoriser, token)
        if part == "audit":
            _without_audit(service)
        base = str(place.settings.api_url)
        lines = Path(asked).read_text(encoding="utf-8").splitlines()
        environs = [_environ(f"{base}/{line}", token) for line in lines]
        sys.stdout.write(str(min(_round(app, environs) for _ in range(ROUNDS))))
        service.upkeep.end()
    finally:
        place.close()


def _environ(url: str, token: str) -> dict[str, Any]:
    path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
    headers = [("Authorization", f"Bearer {token}"), ("Host", url.split("/")[2])]
    return EnvironBuilder(path=f"/{path}", query_string=query, headers=headers).get_environ()


def _round(app: Any, environs: list[dict[str, Any]]) -> float:
    """Return milliseconds per question."""
    started = time.perf_counter()
    for environ in environs:
        parts, status, _ = run_wsgi_app(app, dict(environ))
        b"".join(parts)
        if not status.startswith("200"):
            raise SystemExit(f"a question was answered {status}")
    return (time.perf_counter() - started) * 1000 / len(environs)


def _without_consent() -> None:
    """Have the statements that ask for consent made anew, without."""
    vars(release_erasing)["consents"] = lambda *_given, **_named: true()
    for module in (release_prepared, release_finding):
        importlib.reload(module)


def _without_token(authoriser: Any, token: str) -> None:
    request = Request(EnvironBuilder(headers=[("Authorization", f"Bearer {token}")]).get_environ())
    access = authoriser.authorise(request)
    authoriser.authorise = lambda _request: access


def _without_audit(service: Service) -> None:
    object.__setattr__(service, "record", lambda _access: None)


if __name__ == "__main__":
    main()
