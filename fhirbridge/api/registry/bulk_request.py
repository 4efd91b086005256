"""Reads the kick-off of an export, from a URL or from Parameters, into what is asked for.

http://hl7.org/fhir/uv/bulkdata/STU2/export.html#query-parameters
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fhirbridge.api.registry.bulk_jobs import Asked, Level
from fhirbridge.release.agreement import TYPES
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.search import moments, results
from fhirbridge.search.query import Query, parse
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import pairs
from fhirbridge.search.values import Surroundings

FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
UNSUPPORTED = ("includeAssociatedData", "organizeOutputBy", "allowPartialManifests", "_until", "_groupBy")
"""Parameters of the specification's versions that are not here; refused unless the client wants to be lenient."""
MOST_PATIENTS = 1_000
LONGEST = 65_536
"""Bytes of a request."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "_outputFormat": ("valueString", "valueCode"),
    "_since": ("valueInstant", "valueDateTime", "valueString", "valueDate"),
    "_type": ("valueString", "valueCode"),
    "_elements": ("valueString",),
    "_typeFilter": ("valueString",),
    "patient": ("valueReference",),
}
_FILTER = re.compile(r"([A-Za-z]{1,64})\?(.+)", re.ASCII | re.DOTALL)
_BETWEEN = re.compile(r",(?=[A-Za-z]{1,64}\?)", re.ASCII)
_ELEMENT = re.compile(r"(?:([A-Z][A-Za-z]{1,63})\.)?([a-zA-Z][A-Za-z0-9]{0,63})", re.ASCII)
_PATIENT = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Handling:
    """How the client wants what is not supported to be handled: ``Prefer: handling=lenient`` or ``strict``."""

    lenient: bool = False
    strict: bool = False

    @classmethod
    def of(cls, prefer: str) -> Handling:
        """Read a Prefer header."""
        words = {word.strip().lower() for word in re.split("[,;]", prefer)}
        return cls("handling=lenient" in words, "handling=strict" in words)


def read(
    given: Iterable[tuple[str, str]],
    *,
    level: Level,
    group: str | None,
    allowed: Sequence[str],
    handling: Handling,
    around: Surroundings,
    by_url: bool,
    require: Callable[[str], None],
) -> Asked:
    """Return what is asked for; ``allowed`` are the types that this client may export.

    ``require`` is called with each type that is named, and raises for one that may not be exported. Raises SearchError
    for all that is wrong; what is only not supported passes where handling is lenient.
    """
    by_name = _by_name(given, handling, level, by_url)
    _check_format(by_name.get("_outputFormat", []))
    named = _types(by_name.get("_type", []), handling, level)
    for type_ in named:
        require(type_)
    types = named or [one for one in TYPES if one in allowed and (level == "system" or one not in PUBLIC)]
    asked = Asked(
        level=level,
        group=group,
        types=tuple(types),
        since=_since(by_name.get("_since", []), around),
        elements=tuple(_elements(by_name.get("_elements", []))),
        filters=tuple(_filters(by_name.get("_typeFilter", []))),
        patients=tuple(_patients(by_name.get("patient", []))),
    )
    for one in queries(asked, around, strict=not handling.lenient):
        if one not in asked.types:
            rule = f"{one} is not among the types that are exported"
            raise _wrong("_typeFilter", one, rule, "Name it in _type, or leave the filter out.")
    return asked


def queries(asked: Asked, around: Surroundings, *, strict: bool = False) -> dict[str, list[Query]]:
    """Return the searches by type, of which a record must meet one. Raises SearchError."""
    found: dict[str, list[Query]] = {}
    for text in asked.filters:
        parts = _FILTER.fullmatch(text)
        if parts is None or parts[1] not in TYPES:
            rule = "it is no search like Observation?code=… of a type that is here"
            raise _wrong("_typeFilter", text, rule, "Write a type, ?, and its search parameters.")
        raw = parts[2].encode()
        for name, _ in pairs(raw):
            if name in results.RESULTS or name.partition(":")[0] in results.RESULTS:
                raise _wrong("_typeFilter", name, "this says how a search is answered", "Leave it out.")
        found.setdefault(parts[1], []).append(parse(parts[1], raw, around, strict=strict))
    return found


def _by_name(
    given: Iterable[tuple[str, str]], handling: Handling, level: Level, by_url: bool
) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in given:
        if name == "patient" and (by_url or level == "system") and not handling.lenient:
            rule = "this is for exports of patients or of a group, by POST"
            raise _wrong(name, None, rule, "Send Parameters by POST to Patient/$export or Group/[id]/$export.")
        if name == "patient" and (by_url or level == "system"):
            continue
        if (name in UNSUPPORTED and not handling.lenient) or (name not in _KNOWN and handling.strict):
            raise _wrong(name, None, "this is not supported", "Leave it out, or ask with Prefer: handling=lenient.")
        found.setdefault(name, []).append(value)
    return found


def _check_format(values: list[str]) -> None:
    for value in values:
        if value.partition(";")[0].strip().replace(" ", "+") not in FORMATS:  # a + that nobody encoded is a space
            raise _wrong("_outputFormat", value, "files are application/fhir+ndjson", "Ask for that.")


def _types(values: list[str], handling: Handling, level: Level) -> list[str]:
    names = list(dict.fromkeys(one.strip() for value in values for one in value.split(",") if one.strip()))
    if unknown := [name for name in names if name not in TYPES]:
        if not handling.lenient:
            raise _wrong(
                "_type", unknown[0], f"there are none of these here. There are: {', '.join(TYPES)}", "Name those."
            )
        names = [name for name in names if name in TYPES]
    if level != "system" and names and all(name in PUBLIC for name in names) and not handling.lenient:
        rule = "none of these is about a patient"
        raise _wrong("_type", names[0], rule, "Ask for them at the system's $export.")
    if values and not names:
        raise _wrong("_type", None, "it names no type that is here", f"Name some of {', '.join(TYPES)}.")
    return sorted(names, key=TYPES.index)


def _since(values: list[str], around: Surroundings) -> str | None:
    """Return an instant in UTC, of any precision that a date may have: the moment at which it begins."""
    if len(values) > 1:
        raise _wrong("_since", None, "it is given twice", "Give it once.")
    for value in values:
        found = moments.span(value.replace(" ", "+"), around.zone)  # of a + that nobody encoded
        if found is None:
            raise _wrong("_since", value, "it is no instant like 2026-03-01T12:00:00Z", "Write one.")
        return f"{found[0][:23]}Z"
    return None


def _elements(values: list[str]) -> Iterable[str]:
    for value in values:
        for name in filter(None, (one.strip() for one in value.split(","))):
            if not _ELEMENT.fullmatch(name):
                rule = "it is no element of the top level, like id or Patient.gender"
                raise _wrong("_elements", name, rule, "Name those.")
            yield name


def _filters(values: list[str]) -> Iterable[str]:
    """Yield the queries; a comma ends one only if a type and a ``?`` follow, since values have commas too."""
    for value in values:
        yield from filter(None, _BETWEEN.split(value))


def _patients(values: list[str]) -> Iterable[str]:
    if len(values) > MOST_PATIENTS:
        raise _wrong("patient", None, f"there are more than {MOST_PATIENTS} of them", "Ask in several exports.")
    for value in values:
        found = _PATIENT.fullmatch(value)
        if found is None:
            raise _wrong("patient", value, "it is no reference like Patient/[id]", "Name a Patient of this service.")
        yield found[1]


def elements_of(asked: Asked, type_: str) -> tuple[str, ...]:
    """Return the elements of a type that are asked for, () where all are."""
    if not asked.elements:
        return ()
    found = [_ELEMENT.fullmatch(name) for name in asked.elements]
    return tuple(one[2] for one in found if one and one[1] in (None, type_)) or ("id",)


def _wrong(name: str, value: str | None, rule: str, remedy: str) -> SearchError:
    return SearchError(name, value, rule, remedy, "invalid" if value is None else "value")


_KNOWN = frozenset(KINDS) | {"_format", "_pretty"}
