"""Reads FHIR R4 Observations into results that name no patient, and tells apart what is not to be pulled.

http://hl7.org/fhir/R4/observation.html. Of a resource that may hold anything only named elements are taken: no
subject, no identifier, no narrative, no performer, no free text of notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from fhirbridge import fhirjson
from fhirbridge.elements import CANONICAL, STUDY_TAG, Element
from fhirbridge.study import Study
from fhirbridge.sync.pull import remarks
from fhirbridge.sync.pull.fhir_values import absent_of, codes_of, collected_of, elements, text_of, value_of
from fhirbridge.sync.pull.incoming import Incoming, SetAside, SourceStatus
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.pull.references import id_of
from fhirbridge.sync.pull.reports import ReportStates

STATUSES: tuple[SourceStatus, ...] = get_args(SourceStatus)


def _none(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The server that Observations come from."""

    feed: str
    """Its normalised base URL."""
    study: Study
    laboratories: LaboratoryNames
    ours: Callable[[str], bool] = field(default=_none)
    """Tells whether the server gave this id to an Observation of ours (the crosswalk)."""


def incoming(
    observation: Any, source: Source, *, patients: Collection[str], reports: ReportStates
) -> tuple[Incoming | SetAside, ...]:
    """Return the results of one Observation: its own value and those of its components, or why it is set aside.

    ``patients`` are the server's ids of the subject who was asked for. Never raises and never returns nothing; each
    part of the answer counts once in the funnel. A panel without a value of its own is set aside: its members come
    as resources of their own.
    """
    aside = _aside(observation, source, patients)
    if aside is not None:
        return (aside,)
    common = _common(observation, source, reports)
    found: list[Incoming | SetAside] = []
    components = list(elements(observation, "component"))
    if _says(observation) or not (components or observation.get("hasMember")):
        found.append(_result(observation, common, None))
    found += _components(components, common)
    return tuple(found) or (SetAside(why="not collected", detail="a panel, whose members are resources of their own"),)


def _aside(observation: Any, source: Source, patients: Collection[str]) -> SetAside | None:
    if not isinstance(observation, dict) or observation.get("resourceType") != "Observation":
        return SetAside(why="unusable", detail="it is no Observation")
    id = observation.get("id")
    if not isinstance(id, str) or not id:
        return SetAside(why="unusable", detail="it has no id, so it could not be found again")
    if _is_ours(observation, source, id):
        return SetAside(why="ours", detail="it was written by this project")
    if not isinstance(observation.get("subject"), dict):
        return SetAside(why="unusable", detail="it names no subject")
    if id_of(observation["subject"], "Patient", source.feed) not in patients:
        return SetAside(why="other patient", detail="its subject is not the patient who was asked for")
    if any(_is_person(one, source.feed, patients) for one in elements(observation, "focus")):
        return SetAside(why="other patient", detail="its focus is another person than the subject")
    if observation.get("status") not in STATUSES:
        return SetAside(why="unusable", detail="its status is none that R4 knows")
    code = observation.get("code")
    if not codes_of(code) and not text_of(code, "text"):
        return SetAside(why="unusable", detail="it has no code and no name")
    return None


def _is_ours(observation: Element, source: Source, id: str) -> bool:
    """Tell whether it came from here: by its tag, its profile, its identifier, or the server's id of ours."""
    meta = observation.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    roots = f"{CANONICAL}/StructureDefinition/", f"{source.study.namespace}/"
    return (
        any(tag.get("system") == STUDY_TAG for tag in elements(meta, "tag"))
        or any(str(profile).startswith(roots[0]) for profile in (profiles if isinstance(profiles, list) else ()))
        or any(str(one.get("system")).startswith(roots[1]) for one in elements(observation, "identifier"))
        or source.ours(id)
    )


def _is_person(focus: Element, feed: str, patients: Collection[str]) -> bool:
    literal = str(focus.get("reference"))
    if "RelatedPerson/" in literal:
        return True
    return "Patient/" in literal and id_of(focus, "Patient", feed) not in patients


def _says(holder: Element) -> bool:
    return value_of(holder) is not None or absent_of(holder) is not None


def _common(observation: Element, source: Source, reports: ReportStates) -> dict[str, Any]:
    """Return what all results of one Observation share."""
    id, meta = observation["id"], observation.get("meta")
    performers = [*elements(observation, "performer"), *reports.performers.get(id, ())]
    version = meta.get("versionId") if isinstance(meta, dict) else None
    method = observation.get("method")
    parts = [observation, *elements(observation, "component")]
    codes = [code for part in parts for code in codes_of(part.get("code"))]
    return {
        "feed": source.feed,
        "reference": f"Observation/{id}",
        "version": str(version) if version else f"sha256:{fhirjson.content_hash(observation)}",
        "updated": text_of(meta, "lastUpdated") or text_of(observation, "issued"),
        "status": reports.status(id, observation["status"]),
        "laboratory": source.laboratories.of(codes, _names(performers)),
        "collected": collected_of(observation),
        "issued": text_of(observation, "issued"),
        "method": text_of(method, "text") or next((code.display or code.code for code in codes_of(method)), None),
        "notes": remarks.kept(note.get("text") for note in elements(observation, "note")),
    }


def _names(performers: list[Any]) -> Iterator[str]:
    """Yield what may name a laboratory: a reference's display, its identifier's value."""
    for performer in performers:
        for text in (text_of(performer, "display"), text_of(performer.get("identifier"), "value")):
            if text:
                yield text


def _result(holder: Element, common: dict[str, Any], part: str | None) -> Incoming:
    code = holder.get("code")
    said = [code.code for concept in elements(holder, "interpretation") for code in codes_of(concept)]
    return Incoming(
        **common, codes=codes_of(code), label=text_of(code, "text"), value=value_of(holder), absent=absent_of(holder),
        interpretation=tuple(dict.fromkeys(said)), part=part,
    )  # fmt: skip


def _components(components: list[Element], common: dict[str, Any]) -> Iterator[Incoming | SetAside]:
    """Yield the components' results; ``-2``, ``-3`` tell apart those of one code, in their order."""
    seen = Counter[str]()
    for component in components:
        code = component.get("code")
        codes = codes_of(code)
        name = codes[0].code if codes else text_of(code, "text")
        if name is None:
            yield SetAside(why="unusable", detail="a component has no code and no name")
            continue
        seen[name] += 1
        part = name if seen[name] == 1 else f"{name}-{seen[name]}"
        yield _result(component, common | {"reference": f"{common['reference']}#{part}"}, part)
