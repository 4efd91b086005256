"""history of a resource or of a type: what was released when, the newest first. http://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

import re
from urllib.parse import quote

from werkzeug.exceptions import NotFound

from fhirbridge.api.registry import answers, bundles, options, paging
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.service import ID, Asking
from fhirbridge.elements import instant
from fhirbridge.search import moments, results
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import encoded

NAMES = frozenset({"_since", "_count", paging.PAGE})

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)


def history_instance(asking: Asking, type: str, id: str) -> Answer:
    """Return the versions of one resource. Raises NotFound for one that was never released."""
    asking.require("history_instance", type)
    if not ID.fullmatch(id) or asking.service.releases.read(asking.agreement.id, type, id) is None:
        raise NotFound(f"There is no such {type} here.")
    return _history(asking, type, id)


def history_type(asking: Asking, type: str) -> Answer:
    """Return the versions of all resources of a type."""
    asking.require("history_type", type)
    return _history(asking, type, None)


def _history(asking: Asking, type: str, id: str | None) -> Answer:
    service, limits = asking.service, asking.service.limits
    given = options.given(asking.question, NAMES, limits)
    at, after = paging.read(given.get(paging.PAGE), asking.position)
    count = results.count(given["_count"], limits.count) if "_count" in given else service.page
    since = _since(asking, given["_since"]) if "_since" in given else None
    page = service.releases.history(asking.agreement.id, type, id, since=since, at=at, after=after, count=max(count, 1))
    found = page.matches if count else []
    entries = [bundles.past(service.base, one.type, one.id, one.body, one.version, one.last_updated) for one in found]
    address = f"{service.base}/{type}/{quote(id)}/_history" if id else f"{service.base}/{type}/_history"
    kept = [encoded(name, value) for name, value in given.items() if name != paging.PAGE]
    links = [("self", f"{address}?{'&'.join(kept or [f'_count={service.page}'])}")]
    if page.after and count:
        links.append(("next", f"{address}?{'&'.join([*kept, f'{paging.PAGE}={paging.marked(at, page.after)}'])}"))
    body, _ = bundles.bundle("history", entries, links, service.now())
    return Answer(body=body, records=len(entries), people=answers.people(found))


def _since(asking: Asking, text: str) -> str:
    """Return the first instant that ``_since`` means. Raises SearchError for what is none."""
    span = (
        moments.span(text.replace(" ", "+"), asking.service.zone)
        if _INSTANT.fullmatch(text.replace(" ", "+"))
        else None
    )
    begin = moments.read(span[0]) if span else None
    if begin is None:
        raise SearchError("_since", text, "this is no instant", "Write 2026-11-22T14:49:24Z.")
    return instant(begin)
