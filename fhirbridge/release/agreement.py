"""A data-use agreement as its file says it: which registry may see what of which study, how, and until when."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from fhirbridge.errors import ConfigurationError

TYPES = (
    "Organization", "Location", "Group", "ResearchStudy", "Patient", "Consent", "ResearchSubject", "BodyStructure",
    "Observation", "DiagnosticReport", "Provenance",
)  # fmt: skip
"""The types that can be released at all, in the order in which they refer to each other."""

PURPOSES = frozenset(
    ("BIORCH", "CLINTRCH", "CLINTRCHNPC", "CLINTRCHPC", "DSRCH", "HOUTCOMS", "HQUALIMP", "HRESCH", "POARCH",
     "PRECLINTRCH", "PUBHLTH", "TRANSRCH")
)  # fmt: skip
"""Codes of http://terminology.hl7.org/CodeSystem/v3-ActReason that data for research may be used for."""

LEAST_SHIFT, MOST_SHIFT = 7, 3650
"""Days: a shorter shift hides nothing, a longer one makes dates that no server takes for dates of this study."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]{1,63})\.(?:read|r|s|rs)", re.ASCII)

Text = Literal["note", "conclusion", "value", "reason"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of an agreement file: immutable, and a misspelt key is an error."""


class ViewRules(_Part, frozen=True, kw_only=True):
    """How much of a person is shown. Ids, identifiers and references are always the registry's own pseudonyms."""

    shift_days: int = 180
    """Every date of a person is moved by one number of days, up to so many forth or back; 0 means that none is."""
    partial_dates: Literal["shift", "hide"] = "shift"
    """What becomes of dates without a day (2028, 2028-02), where dates are shifted."""
    birth_date: Literal["year", "five-years"] = "year"
    """The year of birth, or the first year of the five in which it lies: 1970 for 1970 to 1974."""
    deceased: Literal["day", "year", "hide"] = "day"
    texts: tuple[Text, ...] = ()
    """Free text that is let out. It may hold dates and names, so it goes only with dates that are not shifted."""


class CountRules(_Part, frozen=True, kw_only=True):
    """How counts of few people are answered."""

    threshold: int = 5
    """A count that rests on fewer people, but on somebody, is small; 1 means that none is."""
    small: Literal["hide", "round"] = "hide"
    """``hide`` gives no number; ``round`` gives every number, the great ones too, as a multiple of the threshold."""


class Agreement(_Part, frozen=True, kw_only=True):
    """A data-use agreement. Pseudonyms belong to the ``registry``: its agreements share them, others' never do."""

    id: str
    registry: str
    study: str
    purpose: str
    types: tuple[str, ...]
    expires: dt.date
    """The last day on which it holds, in UTC."""
    scopes: tuple[str, ...] = ("system/*.rs",)
    """The most that a client of the registry may be granted under it."""
    release_every_days: int = 0
    """Days between two releases, so that when something appears does not tell when it happened; 0 is at once."""
    view: ViewRules = ViewRules()
    counts: CountRules = CountRules()

    def holds(self, now: dt.datetime) -> bool:
        """Say whether the agreement is in force at this moment (with its time zone)."""
        return now.astimezone(dt.UTC).date() <= self.expires

    def due(self, last: dt.datetime | None, now: dt.datetime) -> bool:
        """Say whether what changed in the store may be released now, ``last`` being when it was released last.

        Withdrawals never wait for it.
        """
        return last is None or now - last >= dt.timedelta(days=self.release_every_days)


def load(path: Path) -> Agreement:
    """Read an agreement file (TOML). Raises ConfigurationError naming the file, the key and the rule."""
    try:
        agreement = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Agreement)
    except OSError as error:
        raise ConfigurationError(f"{path}: the agreement cannot be read ({error.strerror}). {_SEE}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}. {_SEE}") from None
    for key, rule in _broken(agreement):
        raise ConfigurationError(f"{path}: {key} {rule}. {_SEE}")
    return agreement


def load_all(folder: Path) -> dict[str, Agreement]:
    """Read every ``*.toml`` of a folder, by the agreements' ids. Raises ConfigurationError, also where two collide."""
    if not folder.is_dir():
        raise ConfigurationError(f"agreements: {folder} is no folder. Put one TOML file for each agreement there.")
    found = {path: load(path) for path in sorted(folder.glob("*.toml"))}
    by_id: dict[str, Agreement] = {}
    shifts: dict[str, tuple[int, Path]] = {}
    for path, agreement in found.items():
        if agreement.id in by_id:
            raise ConfigurationError(f"{path}: id {agreement.id!r} is that of another file too. Ids must differ.")
        by_id[agreement.id] = agreement
        shift, first = shifts.setdefault(agreement.registry, (agreement.view.shift_days, path))
        if shift != agreement.view.shift_days:
            raise ConfigurationError(
                f"{path}: view.shift_days differs from that of {first}, which is of the same registry: it would learn "
                "every shift from the difference. Give both the same."
            )
    return by_id


def _broken(agreement: Agreement) -> Iterable[tuple[str, str]]:
    """Yield each key that breaks a rule which its type cannot tell, and the rule."""
    for key, name in (("id", agreement.id), ("registry", agreement.registry)):
        if not _NAME.fullmatch(name):
            yield key, f"{name!r} may hold lower-case letters, digits and hyphens, up to 40"
    if agreement.purpose not in PURPOSES:
        yield "purpose", f"{agreement.purpose!r} is none of these codes of v3-ActReason: {', '.join(sorted(PURPOSES))}"
    if not agreement.types or len(set(agreement.types)) < len(agreement.types):
        yield "types", "must name at least one resource type, and none twice"
    for name in agreement.types:
        if name not in TYPES:
            yield "types", f"{name!r} is never released. These can be: {', '.join(TYPES)}"
    for scope in agreement.scopes:
        asked = _SCOPE.fullmatch(scope)
        if asked is None:
            yield "scopes", f"{scope!r} is no scope to read or search, such as system/Observation.rs"
        elif asked[1] not in ("*", *agreement.types):
            yield "scopes", f"{scope!r} is of a type that the agreement does not name"
    if not agreement.scopes:
        yield "scopes", "must name at least one, such as system/*.rs"
    if agreement.release_every_days < 0:
        yield "release_every_days", "must not be negative"
    yield from _broken_rules(agreement.view, agreement.counts)


def _broken_rules(view: ViewRules, counts: CountRules) -> Iterable[tuple[str, str]]:
    if view.shift_days != 0 and not LEAST_SHIFT <= view.shift_days <= MOST_SHIFT:
        yield "view.shift_days", f"must be 0 or from {LEAST_SHIFT} to {MOST_SHIFT}"
    if view.texts and view.shift_days:
        yield "view.texts", "lets free text out, which may hold dates: then shift_days must be 0"
    if not 1 <= counts.threshold <= 1000:
        yield "counts.threshold", "must be from 1 to 1000"


_SEE = "See docs/release.md for the keys of an agreement file."
