"""What the hospital's FHIR Subscriptions call (rest-hook): it says that there is news, and nothing it says is believed.

Source: http://hl7.org/fhir/R4/subscription.html#2.46.7.1. A notification is a POST without a body, or a POST or PUT of
the resource below the address given; the body is not even read. A pull fetches the news from the hospital itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from flask import Blueprint, Response
from flask import request as incoming
from werkzeug.exceptions import Unauthorized

METHODS = ["POST", "PUT", "DELETE"]


def notifications(token: str, want_pull: Callable[[], object]) -> Blueprint:
    """Return the route ``/notifications``; ``want_pull`` is called for each that bears the token.

    It comes as ``Authorization: Bearer``, or, from servers that send no headers of ours, as the path's next segment.
    """
    routes = Blueprint("notifications", __name__)

    @routes.route("/notifications", methods=METHODS)
    @routes.route("/notifications/<path:rest>", methods=METHODS)
    def notified(rest: str = "") -> Response:
        scheme, _, borne = incoming.headers.get("Authorization", "").partition(" ")
        by_header = scheme.lower() == "bearer" and _same(borne.strip(), token)
        by_path = _same(rest.partition("/")[0], token)
        if not by_header and not by_path:
            raise Unauthorized("This address takes notifications of the hospital's server only.")
        want_pull()
        return Response(status=200, headers={"Cache-Control": "no-store"})

    return routes


def _same(borne: str, token: str) -> bool:
    return hmac.compare_digest(borne.encode(), token.encode())
