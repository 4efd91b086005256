"""The logic of ``$validate``: a resource or Parameters in, an OperationOutcome out; knows nothing of HTTP or a store.

http://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation.outcome import Issue, outcome
from fhirbridge.validation.places import duplicate_keys
from fhirbridge.validation.validator import Validator

MODES = ("create", "update", "delete", "profile")
_TYPES = {
    "resource": ("resource",),
    "mode": ("valueCode", "valueString"),
    "profile": ("valueUri", "valueCanonical", "valueUrl", "valueString"),
}
"""The operation's parameters, and the properties that clients send their values in."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The resource that the operation is invoked on (``[base]/Type/id/$validate``).

    ``stored`` is its current version, None if there is none; ``referrers`` are references to what points at it.
    """

    type: str
    id: str
    stored: Resource | None = None
    referrers: Sequence[str] = ()


class _Unanswerable(Exception):
    """The question cannot be answered; carries the fatal issue that says why."""

    def __init__(self, code: str, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.issue = Issue("fatal", code, "operation", text, "", remedy=remedy)


def validate(
    validator: Validator,
    body: Any = None,
    *,
    type: str | None = None,
    instance: Instance | None = None,
    mode: str | None = None,
    profile: str | None = None,
    text: bytes | None = None,
    limit: int | None = None,
) -> Resource:
    """Answer ``$validate``.

    ``body`` is a resource, or Parameters with ``resource``, ``mode`` and ``profile``; ``mode`` and ``profile`` may
    come from the URL as well. ``type`` is the type in the URL, ``text`` the JSON that ``body`` was read from: keys that
    an object has twice are errors, and only the text shows them. A question that cannot be answered (unknown mode or
    profile, no resource, a mode that needs an instance) is one issue of severity *fatal*, which validating itself
    never gives: ``answered`` tells the two apart.
    """
    try:
        resource, mode, profile = _question(body, mode, profile, type)
        issues = _judged(validator, resource, mode, profile, type, instance)
        if text is not None and isinstance(body, dict):
            issues = [*duplicate_keys(text, body), *issues]
    except _Unanswerable as error:
        return outcome([error.issue])
    except ProfileError as error:
        why = f"The resource was not validated: {error}"
        return outcome([Issue("fatal", "not-supported", "operation", why, "", profile or "")])
    return outcome(issues, limit=limit)


def answered(outcome: Resource) -> bool:
    """Tell whether an outcome is about the resource (HTTP 200, valid or not) and not about the question (400)."""
    return all(issue["severity"] != "fatal" for issue in outcome["issue"])


def _judged(
    validator: Validator,
    resource: Any,
    mode: str | None,
    profile: str | None,
    type_: str | None,
    instance: Instance | None,
) -> list[Issue]:
    profiles = [profile] if profile else []
    if mode not in (None, *MODES):
        raise _Unanswerable("value", f"{mode!r} is not a mode of $validate.", f"Use one of: {', '.join(MODES)}.")
    if mode in ("update", "delete", "profile") and instance is None:
        text = f"The mode {mode} is for one resource: it can only be asked of [base]/Type/id/$validate."
        raise _Unanswerable("invalid", text, "Ask it there, or leave mode out.")
    if instance is not None and mode in ("delete", "profile"):
        return _of_instance(validator, instance, mode, resource, profiles)
    if resource is None:
        raise _Unanswerable("required", "There is no resource to validate.", "Send one, bare or as `resource`.")
    issues = validator.issues(resource, profiles)
    return [*_beside(resource, mode, instance.type if instance else type_, instance), *issues]


def _of_instance(
    validator: Validator, instance: Instance, mode: str, resource: Any, profiles: list[str]
) -> list[Issue]:
    """Answer the modes that look at what is stored: ``delete`` ignores any content, ``profile`` forbids it."""
    if instance.stored is None:
        raise _Unanswerable("not-found", f"There is no {instance.type}/{instance.id}.")
    if mode == "delete":
        text = f"{instance.type}/{instance.id} cannot be deleted: {', '.join(instance.referrers[:5])} refer(s) to it."
        return [Issue("error", "conflict", "operation", text, "")] if instance.referrers else []
    if resource is not None:
        text = "The mode profile validates what is stored, so no resource may be sent with it."
        raise _Unanswerable("invalid", text, "Leave the resource out, or leave mode out.")
    if not profiles:
        raise _Unanswerable("required", "The mode profile needs a profile.", "Name it in `profile`.")
    return validator.issues(instance.stored, profiles)


def _beside(resource: Any, mode: str | None, type_: str | None, instance: Instance | None) -> list[Issue]:
    """Check what a create or update asks of type and id (http://hl7.org/fhir/R4/http.html#create, #update)."""
    if not isinstance(resource, dict):
        return []
    kind, id_ = resource.get("resourceType"), resource.get("id")
    found = []
    if type_ is not None and kind != type_:
        text = f"A {kind} was sent to {type_}/$validate."
        found.append(Issue("error", "invalid", "operation", text, str(kind), remedy=f"Send it to {kind}/$validate."))
    if mode == "create" and id_ is not None:
        text = f"A create ignores the id {id_!r}: the server gives one."
        found.append(Issue("information", "informational", "operation", text, f"{kind}.id"))
    if mode == "update" and instance is not None and id_ != instance.id:
        text = f"An update of {instance.type}/{instance.id} needs the id {instance.id!r}, not {id_!r}."
        found.append(Issue("error", "invalid" if id_ else "required", "operation", text, f"{kind}.id"))
    return found


def _question(
    body: Any, mode: str | None, profile: str | None, type_: str | None
) -> tuple[Any, str | None, str | None]:
    """Take the question out of Parameters; any other body is the resource itself."""
    if not _is_question(body, type_):
        return body, mode, profile
    asked: dict[str, Any] = {}
    for number, given in enumerate(body["parameter"]):
        name = given.get("name") if isinstance(given, dict) else None
        if name not in _TYPES:
            text = f"Parameters.parameter[{number}]: $validate has no parameter {name!r}."
            raise _Unanswerable("not-supported", text, f"It has: {', '.join(_TYPES)}.")
        if name in asked:
            raise _Unanswerable("invalid", f"The parameter {name} is there twice.", "Send one.")
        value = next((given[key] for key in _TYPES[name] if key in given), None)
        if not isinstance(value, dict if name == "resource" else str):
            raise _Unanswerable("value", f"The parameter {name} has no {_TYPES[name][0]}.")
        asked[name] = value
    for name, other in (("mode", mode), ("profile", profile)):
        if other is not None and asked.get(name, other) != other:
            raise _Unanswerable("invalid", f"The {name} of the URL and of the Parameters differ.", "Send one.")
    return asked.get("resource"), asked.get("mode", mode), asked.get("profile", profile)


def _is_question(body: Any, type_: str | None) -> bool:
    """Tell Parameters that ask from Parameters that are to be validated (sent to ``Parameters/$validate``)."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        return False
    given = body.get("parameter")
    if not isinstance(given, list):
        return False
    return type_ != "Parameters" or any(isinstance(one, dict) and one.get("name") == "resource" for one in given)
