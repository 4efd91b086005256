"""One ClinicalTrials.gov API v2 record: checked, typed, and still whole as it came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec

from fhirbridge.errors import Finding, RecordError
from fhirbridge.records.ctgov_modules import Derived, Module, Protocol, Study
from fhirbridge.records.ctgov_values import decode

MAX_TEXT = 1_048_576
"""Characters in a FHIR string (http://hl7.org/fhir/R4/datatypes.html#string)."""

REFETCH = "Fetch the record again from https://clinicaltrials.gov/api/v2/studies/{NCT number}."

_NCT = re.compile(r"NCT\d{8}", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_WHERE = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_OTHERS = {
    "clinical_study": "a record of the registry's old XML download",
    "resourceType": "a FHIR resource",
    "FullStudiesResponse": "an answer of API v1",
    "FullStudy": "an answer of API v1",
    "Study": "an answer of API v1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRecord:
    """One registry record: typed, without blank texts, and ``raw``, all of it as it came (treat it as read-only)."""

    nct_id: str
    protocol: Protocol
    derived: Derived
    raw: Mapping[str, Any]
    file: str | None = None
    line: int | None = None


def parse(raw: object, *, file: str | None = None, line: int | None = None) -> RegistryRecord:
    """Check and type one decoded record. Raises RecordError naming record, field, value, rule and remedy."""
    try:
        return _parse(raw, file, line)
    except RecordError as error:
        raise RecordError(replace(error.finding, file=file, line=line)) from error


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a record with its path: ``protocolSection.conditionsModule.conditions[0]``.

    Nulls and empty lists or objects hold nothing and are left out.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    elif value is not None:
        yield path, value


def generic(path: str) -> str:
    """Return the path without positions: ``protocolSection.conditionsModule.conditions``."""
    return re.sub(r"\[\d+\]", "", path)


@cache
def known_paths() -> frozenset[str]:
    """Return the generic paths of all fields that the types know; the others are nobody's yet."""
    return frozenset(_paths(Study, ""))


def _paths(kind: type[Module], prefix: str) -> Iterator[str]:
    hints = get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.encode_name}"
        inner = [arg for arg in (hints[field.name], *get_args(hints[field.name])) if isinstance(arg, type)]
        modules = [arg for arg in inner if issubclass(arg, Module)]
        yield from (_paths(modules[0], f"{path}.") if modules else (path,))


def _parse(raw: object, file: str | None, line: int | None) -> RegistryRecord:
    name = _refuse_others(raw)
    assert isinstance(raw, dict)  # _refuse_others saw to it
    try:
        study = msgspec.convert(_spoken(raw), Study, dec_hook=decode)
    except msgspec.ValidationError as error:
        message, where = _WHERE.fullmatch(str(error)).groups()  # type: ignore[union-attr]  # matches any text
        raise RecordError(
            finding(name, "API v2 data structure", message, REFETCH, field=where, value=_at(raw, where))
        ) from error
    _check(study.protocol, name)
    for path, value in leaves(raw):
        if isinstance(value, str) and (len(value) > MAX_TEXT or _FORBIDDEN.search(value)):
            rule = f"text of at most {MAX_TEXT} characters without control characters"
            raise RecordError(finding(name, rule, "FHIR cannot hold this text", REFETCH, field=path, value=value[:80]))
    return RegistryRecord(nct_id=name, protocol=study.protocol, derived=study.derived, raw=raw, file=file, line=line)


def _spoken(value: Any) -> Any:
    """Return the record without blank texts and nulls: FHIR has no empty string, so that they say nothing."""
    if isinstance(value, dict):
        spoken = {key: _spoken(inner) for key, inner in value.items()}
        return {key: inner for key, inner in spoken.items() if inner is not None}
    if isinstance(value, list):
        return [inner for inner in map(_spoken, value) if inner is not None]
    return None if isinstance(value, str) and not value.strip() else value


def _refuse_others(raw: object) -> str:
    """Return the record's NCT number; raise for what is no API v2 record, saying what it looks like."""
    if not isinstance(raw, dict) or "protocolSection" not in raw:
        kind = next(
            (what for key, what in _OTHERS.items() if isinstance(raw, dict) and key in raw), "no registry record"
        )
        raise RecordError(finding("unknown", "protocolSection", f"this is {kind}, it has no protocolSection", REFETCH))
    nct = _at(raw, "protocolSection.identificationModule.nctId")
    if nct is not None and not _NCT.fullmatch(nct):
        raise RecordError(finding("unknown", "NCT and eight digits", "this is no NCT number", REFETCH,
                                   field="protocolSection.identificationModule.nctId", value=nct))  # fmt: skip
    return nct or "unknown"


def _check(protocol: Protocol, name: str) -> None:
    """Refuse what the types cannot see."""
    eligibility, enrollment = protocol.eligibility, protocol.design.enrollment_info
    low, high = (eligibility.minimum_age, eligibility.maximum_age) if eligibility else (None, None)
    if low and high and low.unit == high.unit and low.number > high.number:
        field, rule = "protocolSection.eligibilityModule.minimumAge", "minimum age is not above maximum age"
        raise RecordError(
            finding(name, rule, f"the maximum is {high}", "Ask the sponsor.", field=field, value=str(low))
        )
    count = enrollment.count if enrollment else None
    if count is not None and not 0 <= count < 2**31:
        field, rule = "protocolSection.designModule.enrollmentInfo.count", "a count from 0 to 2147483647"
        what = "this is no number of participants"
        raise RecordError(finding(name, rule, what, "Ask the sponsor.", field=field, value=str(count)))


def _at(raw: object, path: str | None) -> str | None:
    """Return what stands at a path as text, or None where nothing or more than one value stands there."""
    for step in re.findall(r"[^.\[\]]+", path or ""):
        try:
            raw = raw[int(step)] if isinstance(raw, list) else raw[step]  # type: ignore[index]  # refused below
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return None if raw is None or isinstance(raw, dict | list) else str(raw)[:80]


def finding(record: str, rule: str, message: str, remedy: str, **place: Any) -> Finding:
    """Return a Finding; ``place`` is its field, value, file and line."""
    return Finding(record=record, rule=rule, message=message, remedy=remedy, **place)
