"""A study as its study file says it: identifiers, arms, schedule, analytes; the engine knows no other."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fhirbridge.errors import ConfigurationError


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a study file: immutable, and a misspelt key is an error."""


class StudyIdentifier(_Part, frozen=True, kw_only=True):
    """A business identifier of the study."""

    system: str
    value: str
    use: Literal["official", "secondary", "usual"] = "secondary"


class Code(_Part, frozen=True, kw_only=True):
    """A code of a code system, as FHIR's Coding."""

    system: str
    code: str
    display: str | None = None


class Concept(_Part, frozen=True, kw_only=True):
    """Codes for one meaning, preferred first, and its text."""

    text: str
    codes: tuple[Code, ...] = ()


class Organisation(_Part, frozen=True, kw_only=True):
    """A sponsor or site; ``name`` is how records refer to it, ``title`` what a person reads."""

    name: str
    title: str
    city: str | None = None
    country: str | None = None


class Arm(_Part, frozen=True, kw_only=True):
    """An arm; ``name`` is exact, ResearchSubject.assignedArm repeats it."""

    name: str
    title: str
    kind: str
    description: str
    on_study_status: str
    """The ResearchSubject.status of a subject who is on study in this arm."""


class Objective(_Part, frozen=True, kw_only=True):
    """A study objective and its kind (http://hl7.org/fhir/R4/valueset-research-study-objective-type.html)."""

    name: str
    kind: Literal["primary", "secondary", "exploratory"]


class Criterion(_Part, frozen=True, kw_only=True):
    """One eligibility criterion; ``minimum`` and ``maximum`` are inclusive years for an age range."""

    code: str
    text: str
    exclude: bool = False
    minimum: int | None = None
    maximum: int | None = None


class Visit(_Part, frozen=True, kw_only=True):
    """A planned visit: ``week`` after the anchor; days before and after that still count, both inclusive."""

    name: str
    week: int
    title: str | None = None
    before_days: int | None = None
    after_days: int | None = None


class Schedule(_Part, frozen=True, kw_only=True):
    """The visit schedule; dates are civil dates in ``time_zone``."""

    time_zone: str
    before_days: int
    after_days: int
    visits: tuple[Visit, ...]
    unscheduled: str = "UNS"
    requires_consent: tuple[Literal["laboratory", "imaging"], ...] = ("laboratory", "imaging")
    """Tables whose rows must not be dated before the subject's consent."""

    def target(self, visit: Visit, anchor: dt.date) -> dt.date:
        """Return the day this visit is planned for, ``week`` weeks after the anchor."""
        return anchor + dt.timedelta(weeks=visit.week)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the study's civil dates."""
        return ZoneInfo(self.time_zone)


class Assay(_Part, frozen=True, kw_only=True):
    """How a laboratory measures an analyte; limits are in the analyte's unit and belong to the assay alone."""

    name: str
    lloq: Decimal | None = None
    uloq: Decimal | None = None
    tells_not_detected: bool = False
    """The assay says "not detected" in words, so a result below a limit was detected."""
    positive_from: Decimal | None = None
    """Smallest value that counts as positive; a result known to lie below it is negative."""


class Logarithm(_Part, frozen=True, kw_only=True):
    """The code and unit under which the decimal logarithm of a test's result is reported beside it."""

    title: str
    loinc: str
    display: str
    unit: str
    unit_title: str
    profile: str = "laboratory-log10"


class Analyte(_Part, frozen=True, kw_only=True):
    """A test of the study: its LOINC code, exact UCUM unit, scale and assays (the first is the default)."""

    name: str
    title: str
    loinc: str
    display: str
    scale: Literal["Qn", "Ord", "Nar"]
    unit: str | None = None
    unit_title: str | None = None
    specimen: Code | None = None
    assays: tuple[Assay, ...] = ()
    profile: str = "laboratory-result"
    """Id of the profile that its Observations follow; a tighter one than the default is written in ``profiles/``."""
    log10: Logarithm | None = None
    """Where results are also reported as a decimal logarithm."""

    def assay(self, name: str | None) -> Assay | None:
        """Return the named assay, the first where no name is given, None where there is none."""
        if name is None:
            return self.assays[0] if self.assays else None
        return next((assay for assay in self.assays if assay.name == name), None)


class Study(_Part, frozen=True, kw_only=True):
    """A study, immutable. ``id`` is the logical id of its ResearchStudy, ``namespace`` the root of its systems."""

    id: str
    namespace: str
    identifiers: tuple[StudyIdentifier, ...]
    title: str
    description: str
    status: str
    progress_status: Code | None = None
    """Where R4's status list has no word for it: the state in the registry's terms."""
    start: str
    end: str
    phase: str
    categories: tuple[Concept, ...]
    conditions: tuple[Concept, ...]
    keywords: tuple[str, ...] = ()
    sponsor: str
    sites: tuple[Organisation, ...]
    organisations: tuple[Organisation, ...]
    target: int
    arms: tuple[Arm, ...]
    objectives: tuple[Objective, ...]
    eligibility: tuple[Criterion, ...]
    schedule: Schedule
    analytes: tuple[Analyte, ...]

    def system(self, name: str) -> str:
        """Return the URI of one of the study's own identifier systems: ``subject``, ``result``, ``exam`` …"""
        return f"{self.namespace}/{name}"

    def arm(self, name: str) -> Arm | None:
        """Return the arm of this exact name."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def analyte(self, name: str) -> Analyte | None:
        """Return the analyte of this exact name."""
        return next((analyte for analyte in self.analytes if analyte.name == name), None)

    def visit(self, name: str) -> Visit | None:
        """Return the planned visit of this exact name."""
        return next((visit for visit in self.schedule.visits if visit.name == name), None)


def load(path: Path) -> Study:
    """Read a study file (TOML). Raises ConfigurationError naming the file, the key and what was expected."""
    try:
        study = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal), Study)
    except FileNotFoundError as error:
        raise ConfigurationError(f"no study file at {path}. Study files are TOML; see docs/study-file.md.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}. See docs/study-file.md for the keys of a study file.") from error
    _check(study, path)
    return study


def _check(study: Study, path: Path) -> None:
    """Refuse what the types cannot see: names that repeat, and names that nothing answers to."""
    if not re.fullmatch(r"[a-z0-9-]{1,40}", study.id):
        raise ConfigurationError(f"{path}: id {study.id!r} may hold lower-case letters, digits and hyphens, up to 40.")
    for what, names in (
        ("arm", [arm.name for arm in study.arms]),
        ("visit", [visit.name for visit in study.schedule.visits]),
        ("analyte", [analyte.name for analyte in study.analytes]),
        ("site", [site.name for site in study.sites]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"{path}: {what} {twice[0]!r} is defined twice. Names must differ.")
        if not names:
            raise ConfigurationError(f"{path}: the study has no {what}. Give at least one.")
    if study.sponsor not in {found.name for found in (*study.organisations, *study.sites)}:
        raise ConfigurationError(f"{path}: sponsor {study.sponsor!r} is not among organisations or sites.")
    try:
        _ = study.schedule.zone
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(f"{path}: {study.schedule.time_zone!r} is no IANA time zone.") from error
    for analyte in study.analytes:
        if (analyte.scale == "Qn") != (analyte.unit is not None):
            raise ConfigurationError(f"{path}: analyte {analyte.name!r}: a unit goes with scale Qn and only with it.")
