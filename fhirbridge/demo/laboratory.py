"""The laboratory results of a synthetic subject: HBV DNA and HBsAg at every visit, and what goes wrong with them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.attendance import Contact, civil, specimen_time, toward
from fhirbridge.demo.draws import Draws
from fhirbridge.demo.people import Person
from fhirbridge.demo.virology import (
    SurfaceAntigen,
    ViralLoad,
    report_dna,
    report_hbsag,
    text,
)
from fhirbridge.errors import ConfigurationError
from fhirbridge.records.types import AbsentReason, LaboratoryResult, ResultStatus
from fhirbridge.records.values import Censored, LabValue, Number
from fhirbridge.study import Analyte, Assay, Study

DNA = "HBV-DNA"
HBSAG = "HBSAG"

_Outcome = tuple[AbsentReason | None, ResultStatus, str | None]
_OUTCOMES: tuple[tuple[_Outcome, float], ...] = (
    (("not-performed", "cancelled", "Quantity of serum not sufficient."), rate.NOT_PERFORMED),
    (("error", "final", "Specimen haemolysed; could not be drawn again."), rate.HAEMOLYSED),
    ((None, "corrected", "Specimen had been mixed up; measured again from the retained one."), rate.CORRECTED),
    ((None, "final", None), 1 - rate.NOT_PERFORMED - rate.HAEMOLYSED - rate.CORRECTED),
)
"""Absent reason, status and comment of a result, with their shares."""


def results(
    study: Study,
    who: Person,
    courses: tuple[ViralLoad, SurfaceAntigen],
    visits: Sequence[Contact],
    seed: int,
) -> tuple[LaboratoryResult, ...]:
    """Return two results per visit with blood drawn, and a recheck after each blip of HBV DNA, in order."""
    draws = Draws(seed, who.number, "laboratory")
    load, antigen = courses
    dna, hbsag = _measured(study, DNA), _measured(study, HBSAG)
    last_day = max((civil(visit.laboratory) for visit in visits if visit.laboratory), default=who.index)
    found: list[LaboratoryResult] = []
    rechecks = 0
    for visit in visits:
        if visit.laboratory is None:
            continue
        week = who.day(civil(visit.laboratory)) / 7
        blip = week >= rate.BLIP_FROM_WEEK and load.log10(week) < 1 and draws.chance(rate.BLIP)
        level = draws.uniform(*rate.BLIP_LOG10) if blip else load.log10(week)
        found.append(_result(who, visit.visit, dna, visit.laboratory, report_dna(level, dna[1], draws), draws))
        value = report_hbsag(antigen.log10(week), hbsag[1], draws)
        found.append(_result(who, visit.visit, hbsag, visit.laboratory, value, draws))
        again = specimen_time(study, _recheck_date(visit.laboratory, draws), draws)
        if blip and civil(again) <= last_day:
            rechecks += 1
            name = f"{study.schedule.unscheduled}{rechecks:02d}"
            value = report_dna(load.log10(who.day(civil(again)) / 7), dna[1], draws)
            recheck = _result(who, name, dna, again, value, draws, visit=study.schedule.unscheduled)
            found.append(recheck)
    return tuple(found)


def _measured(study: Study, name: str) -> tuple[Analyte, Assay]:
    analyte = study.analyte(name)
    assay = analyte.assay(None) if analyte else None
    if analyte is None or assay is None:
        raise ConfigurationError(
            f"study {study.id!r} has no analyte {name!r} with an assay: the synthetic cohort is that of NCT07120750. "
            "Give its study file."
        )
    return analyte, assay


def _recheck_date(collected: dt.date, draws: Draws) -> dt.date:
    date = civil(collected) + dt.timedelta(days=draws.integer(*rate.BLIP_RECHECK_DAYS))
    return toward(date, date)


def _result(
    who: Person,
    occasion: str,
    measured: tuple[Analyte, Assay],
    collected: dt.date,
    value: LabValue,
    draws: Draws,
    *,
    visit: str | None = None,
) -> LaboratoryResult:
    """Return one result, now and then without its value. ``occasion`` makes its identifier unique."""
    analyte, assay = measured
    absent, status, comment = draws.pick(_OUTCOMES)
    has_unit = isinstance(value, Number | Censored) and absent is None
    return LaboratoryResult(
        result=f"{who.subject}-{occasion}-{analyte.name}",
        subject=who.subject,
        visit=visit or occasion,
        analyte=analyte.name,
        collected=collected,
        value=None if absent else value,
        unit=analyte.unit if has_unit else None,
        absent_reason=absent,
        status=status,
        assay=assay.name,
        reported=None if absent else text(value),
        comment=comment,
    )
