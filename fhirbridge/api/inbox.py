"""The inbox over HTTP, for the web page to come: JSON, bearer tokens, and the same rules as the command line.

Not FHIR, apart from errors. A decision made here is recorded by the next pull. Nothing of a body is logged.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Response, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, NotFound, Unauthorized

from fhirbridge import fhirjson
from fhirbridge.api import bearers
from fhirbridge.errors import InputError, Refused
from fhirbridge.records.overriding import check_recordable
from fhirbridge.store import INBOX, Action, Candidate, Decision, NewDecision, Store, decisions, telling
from fhirbridge.store.candidates import After
from fhirbridge.store.decisions import LEADS_TO, STATES, State
from fhirbridge.study import Study

LONGEST = 65_536
"""Bytes of a decision."""
PAGE = 50
LARGEST_PAGE = 200

_AFTER = re.compile(r"([0-9TZ:.-]{24})~([0-9]{1,18})", re.ASCII)
_FIELDS = frozenset({"action", "reason", "value", "seen"})


def inbox(
    open_store: Callable[[], Store], study: Callable[[], Study], tokens: Path, now: Callable[[], dt.datetime]
) -> Blueprint:
    """Return the routes below ``/inbox``; ``study`` is the one with the laboratories' analytes."""
    routes = Blueprint("inbox", __name__, url_prefix="/inbox")

    @routes.before_request
    def identify() -> None:
        g.bearer = _bearer(tokens)

    @routes.after_request
    def unstored(answer: Response) -> Response:
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @routes.get("")
    def listed() -> Response:
        return _json(_page(open_store(), study()))

    @routes.get("/counts")
    def counted() -> Response:
        return _json(telling.counts(open_store().candidates.counts(study().id)))

    @routes.get("/<name>")
    def shown(name: str) -> Response:
        found, decided = _known(open_store(), study(), name)
        versions = telling.versions(open_store().candidates.versions(found.key))
        told = {"versions": versions, "decisions": [telling.decision(one) for one in decided]}
        return _json(telling.candidate(found) | told)

    @routes.post("/<name>/decision")
    def decided(name: str) -> Response:
        if not g.bearer.decides:
            raise Forbidden("This token may look at the inbox, and decides nothing.")
        found, _ = _known(open_store(), study(), name)
        new, seen = _asked(g.bearer.name, found)
        decisions.check(found.state, found.reasons, new, candidate=found.name)
        if new.action in ("accept", "override"):
            today = now().astimezone(study().schedule.zone).date()
            check_recordable(found.proposal, new.value, study(), today, candidate=found.name)
        after = open_store().candidates.decide(
            found.key, new.action, by=new.by, reason=new.reason, value=new.value, seen=seen
        )
        return _json(telling.candidate(after))

    return routes


def _bearer(tokens: Path) -> bearers.Bearer:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    found = bearers.who(tokens, token.strip()) if scheme.lower() == "bearer" and token.strip() else None
    if found is None:
        raise Unauthorized(
            "The inbox is open to who bears a token of `fhirbridge inbox token`.",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "fhirbridge inbox"}),
        )
    return found


def _page(store: Store, study: Study) -> dict[str, Any]:
    """Return a page of candidates, and as ``next`` what ``after`` has to say for the one behind it."""
    given = request.args
    if unknown := set(given) - {"state", "analyte", "subject", "after", "limit"}:
        raise BadRequest(f"There is no parameter {min(unknown)!r} here.")
    if any(not text.isprintable() for text in given.values()):
        raise BadRequest("A parameter has a character that cannot be printed.")
    states, limit = _states(given.getlist("state")), _limit(given.get("limit"))
    found = store.candidates.page(
        study.id,
        states,
        analyte=given.get("analyte"),
        subject=given.get("subject"),
        after=_after(given.get("after")),
        limit=limit + 1,
    )
    shown = found[:limit]
    more = f"{shown[-1].changed}~{shown[-1].key}" if len(found) > limit else None
    return {"candidates": [telling.candidate(one) for one in shown], "next": more}


def _states(texts: Sequence[str]) -> Sequence[State]:
    if unknown := [text for text in texts if text not in STATES]:
        raise BadRequest(f"No candidate is {unknown[0]!r}. A state is one of: {', '.join(STATES)}.")
    return [state for state in STATES if state in texts] or INBOX


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LARGEST_PAGE):
        raise BadRequest(f"limit must be a number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _after(text: str | None) -> After | None:
    parts = _AFTER.fullmatch(text) if text is not None else None
    if text is not None and parts is None:
        raise BadRequest("after must be what a page before gave as `next`.")
    return (parts[1], int(parts[2])) if parts else None


def _known(store: Store, study: Study, name: str) -> tuple[Candidate, list[Decision]]:
    parts = re.fullmatch(r"C-([0-9]{1,18})", name, re.ASCII)
    known = store.candidates.get(int(parts[1])) if parts else None
    if known is None or known[0].study != study.id:
        raise NotFound("There is no such candidate.")
    return known[0], known[2]


def _asked(by: str, found: Candidate) -> tuple[NewDecision, str]:
    """Return the decision that the body asks for, and what it says was seen. Raises InputError or Refused."""
    if request.mimetype != "application/json":
        raise InputError("a decision is JSON: Content-Type application/json.")
    request.max_content_length = LONGEST
    body = fhirjson.loads(request.get_data())
    if not isinstance(body, dict) or set(body) - _FIELDS:
        raise InputError(f"a decision is a JSON object with {', '.join(sorted(_FIELDS))} and nothing else.")
    action, reason, value, seen = (body.get(name) for name in ("action", "reason", "value", "seen"))
    if not isinstance(action, str) or action not in LEADS_TO:
        raise Refused(f"{found.name}: action is one of {', '.join(LEADS_TO)}.")
    if not isinstance(seen, str) or not re.fullmatch(r"[0-9]{1,18}-[0-9a-f]{6}", seen, re.ASCII):
        raise Refused(f"{found.name}: seen must be what the candidate said as `seen` when it was looked at.")
    if not isinstance(reason, str | None) or not isinstance(value, Mapping | None):
        raise Refused(f"{found.name}: reason is text, and value an object.")
    told = None if value is None else fhirjson.dumps(value)
    return NewDecision(action=cast(Action, action), by=by, reason=reason or "", value=told), seen


def _json(body: object) -> Response:
    return Response(fhirjson.dumps(body), content_type="application/json")
