"""What a hospital's server should hold of a resource: our content, with what was settled, retracted, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.store import Delivery, Settled, State, Store
from fhirbridge.sync.differences import ABSENT, same, value_at, with_value

WHOLE = ""
"""The path of a decision about the resource as a whole: that it shall not be on the server."""

ENTERED_IN_ERROR = "entered-in-error"

_BY_STATUS = frozenset(
    {"AllergyIntolerance", "CarePlan", "ClinicalImpression", "Composition", "Device", "DiagnosticReport"}
    | {"DocumentReference", "Encounter", "FamilyMemberHistory", "Goal", "ImagingStudy", "Immunization", "List"}
    | {"Media", "MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement"}
    | {"Observation", "Procedure", "QuestionnaireResponse", "RiskAssessment", "ServiceRequest", "Specimen", "Task"}
)
"""Types whose ``status`` has the code entered-in-error in R4."""

_BY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_BY_ACTIVE = frozenset({"BodyStructure", "Group"})
"""Types that can only say that they are no longer in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What should be there. ``content`` is None where nothing should; ``hash`` is its content hash.

    Ids and references are ours; they are put in the server's terms when an entry is built.
    """

    state: State
    content: Resource | None
    hash: str | None


def desired(delivery: Delivery) -> Desired:
    """Return what a server should hold now, given how far the subject's consent goes and what was settled."""
    stored = delivery.stored
    if delivery.wanted == "deleted" or is_given_up(delivery):
        return Desired(state="deleted" if delivery.wanted == "deleted" else "live", content=None, hash=None)
    if delivery.wanted == "retracted":
        content = retracted(stored.content())
        return Desired(state="retracted", content=content, hash=fhirjson.content_hash(content))
    if not delivery.settled:
        return Desired(state="live", content=stored.content(), hash=stored.hash)
    content = settled_content(stored.content(), delivery.settled)
    return Desired(state="live", content=content, hash=fhirjson.content_hash(content))


def acknowledged_content(delivery: Delivery, store: Store, server: str) -> Resource | None:
    """Return what a server was last seen to take of a resource, in our terms; None if that is not known."""
    known = delivery.acknowledged
    if known is None or known.sent is None:
        return None
    content = store.base(server, delivery.stored.key)
    if content is None:
        return None
    content = settled_content(content, delivery.settled)
    return retracted(content) if known.state == "retracted" else content


def is_given_up(delivery: Delivery) -> bool:
    """Say whether it was decided that this very content shall not be on the server."""
    return any(one.path == WHOLE and _read(one.ours) == delivery.stored.hash for one in delivery.settled)


def retracted(content: Resource) -> Resource:
    """Return the resource marked as entered in error, as far as R4 gives its type a way to say so.

    A type with no such way (a Patient, a Provenance) is returned as it is.
    """
    kind = content["resourceType"]
    if kind in _BY_STATUS:
        return {**content, "status": ENTERED_IN_ERROR}
    if kind == "Condition":  # con-5: no clinicalStatus if it was entered in error
        kept = {name: value for name, value in content.items() if name != "clinicalStatus"}
        return {**kept, "verificationStatus": {"coding": [{"system": _BY_VERIFICATION, "code": ENTERED_IN_ERROR}]}}
    if kind in _BY_ACTIVE:
        return {**content, "active": False}
    return content


def settled_content(content: Resource, settled: tuple[Settled, ...]) -> Resource:
    """Return our content with the server's values where it was decided that they stand.

    A decision holds as long as our own value is the one it was taken about; a value that we changed since is ours.
    """
    for one in settled:
        if one.path != WHOLE and same(value_at(content, one.path), _read(one.ours)):
            content = with_value(content, one.path, _read(one.theirs))
    return content


def _read(value: bytes | None) -> Any:
    return ABSENT if value is None else fhirjson.loads(value)
