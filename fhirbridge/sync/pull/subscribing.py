"""Subscriptions at the hospital's server: made for what a plan asks, found by our address, renewed in time.

Source: http://hl7.org/fhir/R4/subscription.html. They have no payload, so that no result travels with a notification.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Capabilities, Hospital, create_entry, delete_entry
from fhirbridge.store import instants
from fhirbridge.sync.pull.questions import Plan

RENEWED = dt.timedelta(days=7)
"""How long before its end a Subscription is made anew."""

_USABLE = ("requested", "active")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """One Subscription and what was done: ``error`` is the server's own word on one that failed."""

    id: str | None
    criteria: str
    state: str
    end: str | None
    action: Literal["kept", "created", "deleted", "found"]
    error: str | None = None


def criteria(plan: Plan) -> list[str]:
    """Return what to be told of: every question, whoever it is about, since a criterion names no patient."""
    asked = (
        (one.kind, "&".join(f"{name}={quote(value, safe=',|:/')}" for name, value in one.params))
        for one in plan.questions
    )
    return [f"{kind}?{params}" if params else f"{kind}?" for kind, params in asked]


def check_offered(capabilities: Capabilities) -> None:
    """Raise FatalHospitalError for a server that says that no Subscription can be made there."""
    listed = capabilities.searches("Subscription") is False and capabilities.resource("Subscription") is None
    if listed or capabilities.creates("Subscription") is False:
        raise FatalHospitalError(
            "the server's CapabilityStatement offers no Subscription. Ask its operator, or pull on schedule only."
        )


def subscribe(
    hospital: Hospital,
    plan: Plan,
    endpoint: str,
    token: str,
    *,
    lasting: dt.timedelta,
    clock: Callable[[], dt.datetime] = instants.utc_now,
) -> list[Subscribed]:
    """Make one Subscription for each criterion that has none in use, and remove ours that are of no use any more.

    Those in state ``error`` or ``off``, and those that end soon, are made anew. Raises HospitalError for the first
    that the server refuses.
    """
    wanted, done = dict.fromkeys(criteria(plan)), []
    for there in _ours(hospital, endpoint):
        if there.get("criteria") in wanted and _lasts(there, clock() + min(RENEWED, lasting / 2)):
            del wanted[there["criteria"]]
            done.append(_told(there, "kept"))
        else:
            done.append(_delete(hospital, there))
    for criterion in wanted:
        done.append(_create(hospital, _subscription(criterion, endpoint, token, clock() + lasting)))
    return done


def subscriptions(hospital: Hospital, endpoint: str) -> list[Subscribed]:
    """Return ours, as the server has them."""
    return [_told(there, "found") for there in _ours(hospital, endpoint)]


def unsubscribe(hospital: Hospital, endpoint: str) -> list[Subscribed]:
    """Delete ours."""
    return [_delete(hospital, there) for there in list(_ours(hospital, endpoint))]


def _ours(hospital: Hospital, endpoint: str) -> list[Resource]:
    """Return every Subscription that calls our address; the search is for all, since few servers know ``url``."""
    found = hospital.search("Subscription", {"_count": "100"})
    return [one for one in found if str((one.get("channel") or {}).get("endpoint", "")).rstrip("/") == endpoint]


def _subscription(criterion: str, endpoint: str, token: str, end: dt.datetime) -> Resource:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "end": instants.written(end),
        "reason": "fhirbridge fetches new laboratory results of a trial's subjects",
        "criteria": criterion,
        "channel": {"type": "rest-hook", "endpoint": endpoint, "header": [f"Authorization: Bearer {token}"]},
    }


def _create(hospital: Hospital, wanted: Resource) -> Subscribed:
    made = hospital.send([create_entry(wanted, full_url="", if_none_exist=None)], "single")[0]
    if (failure := made.failure()) is not None:
        raise failure
    there = hospital.read("Subscription", made.id) if made.id else wanted
    return _told(there, "created")


def _delete(hospital: Hospital, there: Resource) -> Subscribed:
    gone = hospital.send([delete_entry("Subscription", there["id"])], "single")[0]
    if (failure := gone.failure()) is not None:
        raise failure
    return _told(there, "deleted")


def _lasts(there: Resource, until: dt.datetime) -> bool:
    if there.get("status") not in _USABLE:
        return False
    try:
        return "end" not in there or dt.datetime.fromisoformat(str(there["end"])) > until
    except ValueError:
        return False


def _told(there: Resource, action: Literal["kept", "created", "deleted", "found"]) -> Subscribed:
    return Subscribed(
        id=there.get("id"),
        criteria=str(there.get("criteria")),
        state=str(there.get("status")),
        end=there.get("end"),
        action=action,
        error=there.get("error"),
    )
