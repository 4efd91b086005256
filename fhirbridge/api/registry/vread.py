"""vread: one version of a resource, the current one or an older. http://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

from werkzeug.exceptions import NotFound

from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.read import version
from fhirbridge.api.registry.service import Asking

LONGEST = 9
"""Digits of a version's number."""


def vread(asking: Asking, type: str, id: str, number: str) -> Answer:
    """Return a version. Raises NotFound for one that is not there, Gone where the resource is released no longer."""
    asking.require("vread", type)
    if not (number.isascii() and number.isdigit() and len(number) <= LONGEST):
        raise NotFound(f"There is no such version of this {type} here.")
    return version(asking, type, id, int(number))
