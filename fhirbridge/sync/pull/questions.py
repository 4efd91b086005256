"""What a hospital's server is asked, planned from its CapabilityStatement, its maker's row and the settings.

A plan is plain data: it can be shown before anything is asked, and is frozen with the run that asked it. It names no
patient; who is asked about is put in at the time of asking.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError
from fhirbridge.hospital import Capabilities
from fhirbridge.settings import Settings
from fhirbridge.store import instants
from fhirbridge.study import Study
from fhirbridge.sync.pull import vendors
from fhirbridge.sync.pull.vendors import Incremental, Select, Vendor
from fhirbridge.terminology.laboratories import Laboratories

LOINC = "http://loinc.org"

WITHHOLDING = "cancelled,entered-in-error"
"""The states of a DiagnosticReport in which its results are not to be used (DiagnosticReportStatus)."""

_LONGEST_ID = 65
_BESIDE = 400
"""Characters of a URL for all that is neither patients nor codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions:
    """The settings' own choices, which win; None is what the maker's row or the CapabilityStatement says."""

    vendor: str | None = None
    types: tuple[str, ...] = ("Observation", "DiagnosticReport")
    select: Select | None = None
    category: str = "laboratory"
    post: bool | None = None
    patient_parameter: Literal["patient", "subject"] | None = None
    incremental: Incremental | None = None
    patients: int | None = None
    codes: int | None = None
    page: int | None = None
    earliest: dt.date | None = None
    look_back: dt.timedelta = dt.timedelta(days=14)
    skew: dt.timedelta = dt.timedelta(seconds=60)

    @classmethod
    def of(cls, settings: Settings) -> AskOptions:
        """Return what the settings say."""
        return cls(
            vendor=settings.pull_vendor,
            types=settings.pull_types,
            select=settings.pull_select,
            category=settings.pull_category,
            post=settings.pull_post,
            patient_parameter=settings.pull_patient_parameter,
            incremental=settings.pull_incremental,
            patients=settings.pull_patients,
            codes=settings.pull_codes,
            page=settings.pull_page,
            earliest=settings.pull_from,
            look_back=dt.timedelta(days=settings.pull_look_back),
            skew=dt.timedelta(seconds=settings.pull_skew),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One search. ``key`` names it and changes with what it asks, so that an answer to another is never taken for it.

    ``params`` choose the matches, beside the patient and the time.
    """

    key: str
    kind: str
    params: tuple[tuple[str, str], ...]
    incremental: Incremental


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All questions for one server. ``left_out`` says in words what is not asked, and why.

    ``sifts``: the server is not told the category that is wanted; what is of another is put away unread.
    """

    vendor: str
    software: str
    questions: tuple[Question, ...]
    post: bool
    patient_parameter: Literal["patient", "subject"]
    patients: int
    page: int
    sifts: bool
    sort: str | None
    earliest: dt.date | None
    look_back: dt.timedelta
    skew: dt.timedelta
    left_out: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; times in seconds."""
        return {
            **asdict(self),
            "questions": [asdict(one) | {"params": [list(pair) for pair in one.params]} for one in self.questions],
            "earliest": None if self.earliest is None else self.earliest.isoformat(),
            "look_back": self.look_back.total_seconds(),
            "skew": self.skew.total_seconds(),
            "left_out": list(self.left_out),
        }

    def params(self, question: Question, patients: Sequence[str], since: dt.datetime | None) -> list[tuple[str, str]]:
        """Return a search's parameters for these patients; ``since`` None asks for everything."""
        prefix = "Patient/" if self.patient_parameter == "subject" else ""
        about = ",".join(f"{prefix}{patient}" for patient in patients)
        chosen = [pair for pair in question.params if not (self.sifts and pair[0] == "category")]
        asked = [(self.patient_parameter, about), *chosen, *self.time(question, since)]
        if self.sort is not None:
            asked.append(("_sort", self.sort))
        return [*asked, ("_count", str(self.page))]

    def time(self, question: Question, since: dt.datetime | None) -> list[tuple[str, str]]:
        """Return the parameter that keeps out what was answered before; at most one, since some take no two."""
        if since is not None and question.incremental != "whole":
            start = since - self.look_back
            if question.incremental == "updated":
                return [("_lastUpdated", f"ge{instants.written(start)}")]
            day = (start - dt.timedelta(days=1)).date()  # whatever the hospital's time zone
            return [("date", f"ge{max(day, self.earliest or dt.date.min).isoformat()}")]
        if self.earliest is not None and question.kind == "Observation":
            return [("date", f"ge{self.earliest.isoformat()}")]
        return []


def plan(capabilities: Capabilities, options: AskOptions, study: Study, laboratories: Laboratories) -> Plan:
    """Return what is asked of a server. Raises ConfigurationError for settings that it cannot be asked under."""
    vendor = _overridden(vendors.chosen(capabilities.software, options.vendor), options)
    left_out: list[str] = []
    questions: list[Question] = []
    for kind in options.types:
        if _offered(capabilities, kind, left_out):
            asked = _observations if kind == "Observation" else _reports
            questions += asked(capabilities, options, vendor, study, laboratories, left_out)
    by_subject = capabilities.searchable("Observation", "patient") is False
    return Plan(
        vendor=vendor.name,
        software=capabilities.software,
        questions=tuple(questions),
        post=vendor.post,
        patient_parameter=options.patient_parameter or ("subject" if by_subject else "patient"),
        patients=vendor.patients if vendor.post else _within(vendor.patients, vendor.url_length),
        page=vendor.page,
        sifts=vendor.sifts,
        sort=vendor.sort,
        earliest=options.earliest,
        look_back=options.look_back,
        skew=options.skew,
        left_out=tuple(left_out),
    )


def _overridden(vendor: Vendor, options: AskOptions) -> Vendor:
    wanted = {
        name: value
        for name in ("select", "post", "incremental", "patients", "codes", "page")
        if (value := getattr(options, name)) is not None
    }
    found = replace(vendor, **wanted)
    if found.needs_selection and found.select == "everything":
        raise ConfigurationError(
            f"setting 'pull_select': a server of {vendor.name} refuses to be asked for everything. Set 'category' or "
            "'code'."
        )
    return found


def _offered(capabilities: Capabilities, kind: str, left_out: list[str]) -> bool:
    """Say whether a type can be asked for. CapabilityStatements understate, so Observation is tried in any case."""
    if kind == "Observation":
        return True
    if kind != "DiagnosticReport":
        raise ConfigurationError(f"setting 'pull_types': {kind!r} is neither 'Observation' nor 'DiagnosticReport'.")
    if capabilities.searches(kind) is False:
        left_out.append(f"{kind}: the server's CapabilityStatement does not offer to search it")
        return False
    return True


def _observations(
    capabilities: Capabilities,
    options: AskOptions,
    vendor: Vendor,
    study: Study,
    laboratories: Laboratories,
    left_out: list[str],
) -> Iterator[Question]:
    select = vendor.select
    unoffered = capabilities.searchable("Observation", "category") is False
    if select == "category" and unoffered and not vendor.needs_selection and options.select is None:
        left_out.append("Observation?category: the server does not offer it, so everything is asked for")
        select = "everything"
    if select != "code":
        params = (("category", options.category),) if select == "category" else ()
        yield _question("Observation", params, vendor.incremental, options)
        return
    # A panel whose component is the test wanted is found by combo-code only.
    name = "combo-code" if capabilities.searchable("Observation", "combo-code") else "code"
    tokens = _tokens(study, laboratories, left_out)
    room = None if vendor.post else vendor.url_length - _BESIDE - len(quote("," * vendor.patients)) - _LONGEST_ID
    for some in _split(tokens, vendor.codes, room):
        yield _question("Observation", ((name, ",".join(some)),), vendor.incremental, options)


def _reports(
    capabilities: Capabilities,
    options: AskOptions,
    vendor: Vendor,  # noqa: ARG001  # of one shape with _observations
    study: Study,  # noqa: ARG001
    laboratories: Laboratories,  # noqa: ARG001
    left_out: list[str],
) -> Iterator[Question]:
    """Ask for the reports that take back their results: always for all, since one may have been put right again."""
    if capabilities.searchable("DiagnosticReport", "status") is False:
        left_out.append("DiagnosticReport?status: the server does not offer it, so every report is asked for")
        yield _question("DiagnosticReport", (), "whole", options)
    else:
        yield _question("DiagnosticReport", (("status", WITHHOLDING),), "whole", options)


def _question(
    kind: str, params: tuple[tuple[str, str], ...], incremental: Incremental, options: AskOptions
) -> Question:
    asked = fhirjson.dumps([kind, params, incremental, str(options.earliest)])
    return Question(
        key=f"{kind} {hashlib.sha256(asked).hexdigest()[:12]}", kind=kind, params=params, incremental=incremental
    )


def _tokens(study: Study, laboratories: Laboratories, left_out: list[str]) -> list[str]:
    """Return ``system|code`` of every row that is of one of the study's analytes, and of their LOINC codes."""
    names = {analyte.name for analyte in study.analytes}
    rows = [row for row in laboratories.rows if row.analyte in names]
    found = {(LOINC, row.loinc) for row in rows} | {(row.system, row.code) for row in rows if row.code is not None}
    if uncoded := sum(row.code is None for row in rows):
        left_out.append(f"{uncoded} rows of the laboratories' files have a label only, which cannot be asked for")
    if not found:
        raise ConfigurationError(
            "setting 'pull_select' is 'code', but the laboratories' files have no code for any analyte of the study. "
            "Add rows to them, or set 'category'."
        )
    return [f"{_escaped(system)}|{_escaped(code)}" for system, code in sorted(found)]


def _split(tokens: Sequence[str], most: int, room: int | None) -> Iterator[list[str]]:
    """Yield the tokens in parts of at most so many, and so many characters of a URL if there is a bound."""
    part: list[str] = []
    for token in tokens:
        longer = [*part, token]
        if part and (len(longer) > most or (room is not None and len(quote(",".join(longer), safe="")) > room)):
            yield part
            longer = [token]
        part = longer
    if part:
        yield part


def _within(patients: int, url_length: int) -> int:
    """Return how many patients half of a URL has room for."""
    return max(1, min(patients, url_length // 2 // (_LONGEST_ID + 3)))


def _escaped(text: str) -> str:
    return re.sub(r"([\\,$|])", r"\\\1", text)
