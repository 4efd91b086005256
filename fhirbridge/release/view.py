"""The view of one agreement: a resource of the store in, what the registry sees of it out, or nothing.

Pure, and total: whatever a resource holds, it is let out by the table in ``letting`` or hidden, and nothing raises.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from fhirbridge.elements import CANONICAL, STUDY_TAG, Element, coding, concept
from fhirbridge.errors import ConfigurationError, Resource
from fhirbridge.release.agreement import Agreement
from fhirbridge.release.kinds import PUBLIC, Letting, let
from fhirbridge.release.labels import labels
from fhirbridge.release.letting import LET_OUT
from fhirbridge.release.pseudonyms import Pseudonyms
from fhirbridge.release.vocabulary import vocabulary
from fhirbridge.study import Study
from fhirbridge.terminology.codes import ABSENT_REASON

PATIENT_ELEMENTS = ("subject", "patient", "individual")
PATIENT_EXTENSION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Provenance.patient"
SYSTEMS = (
    "pseudonym", "subject", "consent", "lesion", "finding", "result", "result-measured", "result-log10", "exam",
    "source", "mapping", "policy", "informed-consent",
)  # fmt: skip
"""The study's own systems (``Study.system``): identifiers and URIs of any other are hidden."""

MASKED = concept(coding(ABSENT_REASON, "masked", "Masked"))

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_PATIENT = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})", re.ASCII)
_PROFILE = re.compile(rf"{re.escape(CANONICAL)}/StructureDefinition/[A-Za-z0-9.-]{{1,64}}", re.ASCII)


class View:
    """What one agreement shows of its study; ``words`` are texts to let out beside the study's own vocabulary.

    ``study`` is best the one that laboratories' files were added to: their assays are part of the vocabulary then.
    Raises ConfigurationError for an agreement of another study or a short key.
    """

    def __init__(self, agreement: Agreement, study: Study, key: bytes, words: Iterable[str] = ()) -> None:
        if agreement.study != study.id:
            raise ConfigurationError(
                f"agreement {agreement.id}: study is {agreement.study!r}, but this is {study.id!r}. Name the study by "
                "the id in its study file."
            )
        self.agreement = agreement
        self.names = Pseudonyms(key, agreement.registry)
        self._words = vocabulary(study) | frozenset(words)
        self._systems = frozenset(study.system(name) for name in SYSTEMS)
        self._types = frozenset(agreement.types)
        self._tag = coding(STUDY_TAG, study.id)
        self._days: dict[str, int] = {}

    def release(self, resource: Resource) -> Resource | None:
        """Return the resource as the registry sees it; None where nothing of it may be seen.

        None for types that the agreement does not name, another study's, and what is nobody's. Without
        ``meta.versionId`` and ``meta.lastUpdated``: those are of the release (``stamped``).
        """
        kind, id, meta = resource.get("resourceType"), resource.get("id"), resource.get("meta")
        if not isinstance(kind, str) or kind not in self._types or not self._of_study(meta):
            return None
        if not isinstance(id, str) or not _ID.fullmatch(id):
            return None
        patient = patient_of(resource)
        if kind not in PUBLIC and patient is None:
            return None
        one = Letting(self.names, self.agreement.view, self._words, self._systems, self._shift(kind, patient))
        rest = {name: value for name, value in resource.items() if name not in _OWN}
        made = let(rest, LET_OUT[kind], one)
        if kind == "Observation":
            _mask(resource, made)
        shown = id if kind in PUBLIC else self.names.id(kind, id)
        return {"resourceType": kind, "id": shown, "meta": self._meta(meta, kind, one), **made}

    @property
    def digest(self) -> str:
        """What the contents of a release follow from, but for the resources: the agreement's rules, key and words."""
        rules = self.agreement.registry, self.agreement.study, self.agreement.types, self.agreement.view
        told = msgspec.json.encode((rules, sorted(self._words), sorted(self._systems), self.names.id("digest", "")))
        return hashlib.sha256(told).hexdigest()

    def patient(self, id: str) -> str:
        """Return the id under which the registry knows the Patient that has this id in the store."""
        return self.names.id("Patient", id)

    def _shift(self, kind: str, patient: str | None) -> int:
        if kind in PUBLIC or patient is None:
            return 0
        days = self._days.get(patient)
        if days is None:
            days = self._days[patient] = self.names.days(patient, self.agreement.view.shift_days)
        return days

    def _of_study(self, meta: Any) -> bool:
        tags = meta.get("tag") if isinstance(meta, dict) else None
        return isinstance(tags, list) and any(
            isinstance(tag, dict) and tag.get("system") == STUDY_TAG and tag.get("code") == self.agreement.study
            for tag in tags
        )

    def _meta(self, meta: Any, kind: str, one: Letting) -> Element:
        """Return the profiles that are this project's, the labels that say what was done, and the study's tag."""
        stated = meta.get("profile")
        profiles = [
            url
            for url in (stated if isinstance(stated, list) else ())
            if isinstance(url, str) and _PROFILE.fullmatch(url)
        ]
        security = labels(
            meta.get("security"), of_a_person=kind not in PUBLIC, coarsened=one.coarsened, hidden=one.hidden
        )
        made = {"profile": profiles, "security": security, "tag": [self._tag]}
        return {name: value for name, value in made.items() if value}


def patient_of(resource: Resource) -> str | None:
    """Return the id of the Patient that a resource is of, in the store or in a release; None where it is nobody's."""
    if resource.get("resourceType") == "Patient":
        id = resource.get("id")
        return id if isinstance(id, str) else None
    found = [resource.get(name) for name in PATIENT_ELEMENTS]
    extensions = resource.get("extension")
    for one in extensions if isinstance(extensions, list) else ():
        if isinstance(one, dict) and one.get("url") == PATIENT_EXTENSION:
            found.append(one.get("valueReference"))
    for one in found:
        literal = one.get("reference") if isinstance(one, dict) else None
        if isinstance(literal, str) and (known := _PATIENT.fullmatch(literal)):
            return known[1]
    return None


def stamped(released: Resource, version: int, at: str) -> Resource:
    """Return a released resource with ``meta.versionId`` and ``meta.lastUpdated``.

    Both are the release's: the ``version`` counts what the registry could see change, and ``at`` is the instant (UTC)
    of the release that first let this content out. The store's would stand unmoved beside moved dates.
    """
    about = {"versionId": str(version), "lastUpdated": at}
    return {**released, "meta": about | {k: v for k, v in released.get("meta", {}).items() if k not in about}}


def _mask(before: Resource, made: Resource) -> None:
    """Say of a value that was hidden that there is one: else the Observation would seem to have none."""
    if any(name.startswith("value") for name in before) and not any(name.startswith("value") for name in made):
        made["dataAbsentReason"] = MASKED


_OWN = frozenset({"resourceType", "id", "meta"})
