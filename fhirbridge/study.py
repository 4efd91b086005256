"""A study as its study file says it: identifiers, arms, schedule, analytes; the engine knows no other."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Literal, cast
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


Pick = Literal["nearest", "first", "last"]
"""Which of several results within one visit's window is the visit's."""


class Visit(_Part, frozen=True, kw_only=True):
    """A planned visit: ``week`` after the anchor; days before and after that still count, both inclusive."""

    name: str
    week: int
    """Negative before the anchor."""
    day: int = 0
    """Days added to the weeks."""
    title: str | None = None
    before_days: int | None = None
    after_days: int | None = None
    pick: Pick | None = None

    @property
    def offset(self) -> int:
        """Days from the anchor to this visit's target."""
        return 7 * self.week + self.day


class Window(_Part, frozen=True, kw_only=True):
    """Where one procedure's window at one visit differs; what is absent is as elsewhere."""

    visit: str
    before_days: int | None = None
    after_days: int | None = None
    pick: Pick | None = None


class Procedure(_Part, frozen=True, kw_only=True):
    """What is done at visits, with windows of its own: the analytes it lists, or itself where it lists none."""

    name: str
    analytes: tuple[str, ...] = ()
    before_days: int | None = None
    after_days: int | None = None
    grace_days: int = 0
    """Days after a window's end before what has not come counts as missed."""
    pick: Pick = "nearest"
    tie: Literal["earlier", "later"] = "earlier"
    """Which side of the target wins where two are equally near."""
    visits: tuple[str, ...] | None = None
    """Visits at which it is expected; absent: all."""
    windows: tuple[Window, ...] = ()


class Schedule(_Part, frozen=True, kw_only=True):
    """The visit schedule; dates are civil dates in ``time_zone``."""

    time_zone: str
    before_days: int
    after_days: int
    visits: tuple[Visit, ...]
    anchor: Literal["index_date", "enrolment_date", "consent_date"] = "index_date"
    """The subject's date that weeks are counted from."""
    procedures: tuple[Procedure, ...] = ()
    unscheduled: str = "UNS"
    requires_consent: tuple[Literal["laboratory", "imaging"], ...] = ("laboratory", "imaging")
    """Tables whose rows must not be dated before the subject's consent."""

    def target(self, visit: Visit, anchor: dt.date) -> dt.date:
        """Return the day this visit is planned for, ``week`` weeks and ``day`` days after the anchor."""
        return anchor + dt.timedelta(days=visit.offset)

    def procedure(self, item: str | None) -> Procedure | None:
        """Return the procedure of an analyte, or of its own name where it lists no analytes."""
        return next((one for one in self.procedures if item in (one.analytes or (one.name,))), None)

    def window(self, visit: Visit, item: str | None) -> tuple[int, int, Pick]:
        """Return days before and after the target that count, and the pick, for an item at a visit.

        What is most particular wins: the procedure's window for this visit, the visit, the procedure, the schedule.
        """
        procedure = self.procedure(item)
        own = next((one for one in procedure.windows if one.visit == visit.name), None) if procedure else None
        before, after, pick = self.before_days, self.after_days, "nearest"
        for part in (procedure, visit, own):
            if part is not None:
                before = before if part.before_days is None else part.before_days
                after = after if part.after_days is None else part.after_days
                pick = part.pick or pick
        return before, after, cast(Pick, pick)

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
    copies_per_iu: Decimal | None = None
    """How many copies this assay counts to an international unit; every maker's assay has its own factor."""


class Logarithm(_Part, frozen=True, kw_only=True):
    """The code and unit under which the decimal logarithm of a test's result is reported beside it."""

    title: str
    loinc: str
    display: str
    unit: str
    unit_title: str
    profile: str = "laboratory-log10"


Condition = Literal["mapped", "readable", "no-flags", "in-window", "single", "final", "no-notes"]
"""What must hold of a pulled result for it to be accepted without a person (docs/pull.md)."""


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
    lowest_possible: Decimal | None = None
    highest_possible: Decimal | None = None
    """What no living person's result lies below or above, in the analyte's unit: beyond it, something is wrong."""
    accept: tuple[Condition, ...] = ()
    """Under which conditions a pulled result is accepted without a person; none: never."""

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
        ("procedure", [procedure.name for procedure in study.schedule.procedures] or ["none"]),
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
    _check_windows(study, path)


def _check_windows(study: Study, path: Path) -> None:
    """Refuse procedures that name what the study has not, and windows that end before they begin."""
    days = study.schedule
    planned = {visit.name for visit in days.visits}
    if days.unscheduled in planned:
        raise ConfigurationError(f"{path}: schedule.unscheduled {days.unscheduled!r} is the name of a planned visit.")
    claimed: dict[str, str] = {}
    for procedure in days.procedures:
        where = f"{path}: procedure {procedure.name!r}"
        for name in procedure.analytes or (procedure.name,):
            if procedure.analytes and study.analyte(name) is None:
                raise ConfigurationError(f"{where}: {name!r} is none of the study's analytes.")
            if name in claimed:
                raise ConfigurationError(f"{where}: {name!r} belongs to {claimed[name]!r} already. Keep it in one.")
            claimed[name] = procedure.name
        named = [window.visit for window in procedure.windows]
        for name in (*(procedure.visits or ()), *named):
            if name not in planned:
                raise ConfigurationError(f"{where}: {name!r} is none of the study's visits.")
        if len(set(named)) < len(named):
            raise ConfigurationError(f"{where}: two windows for one visit. Keep one.")
        if procedure.grace_days < 0:
            raise ConfigurationError(f"{where}: grace_days is negative.")
    for item in (None, *claimed):
        for visit in days.visits:
            before, after, _ = days.window(visit, item)
            if before + after < 0:
                what = f" for {item!r}" if item else ""
                raise ConfigurationError(f"{path}: the window of visit {visit.name!r}{what} ends before it begins.")
