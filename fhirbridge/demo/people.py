"""Who enters the synthetic cohort: age, sex, dates up to the index day, and the arm a physician would choose."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.draws import Draws, logistic
from fhirbridge.errors import ConfigurationError
from fhirbridge.records.types import Sex
from fhirbridge.study import Arm, Study

_SUNDAY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One subject on the index day. ``age_years`` is at consent, ``hbsag_log10`` in log10 IU/mL before treatment."""

    number: int
    subject: str
    site: str
    sex: Sex
    birth_date: dt.date
    age_years: float
    consent: dt.date
    enrolment: dt.date
    index: dt.date
    arm: Arm
    pegylated: bool
    hbsag_log10: float
    resected: bool

    @property
    def relative_hazard(self) -> float:
        """Recurrence hazard against a 54-year-old with mean HBsAg on analogues alone."""
        ratio = rate.HAZARD_RATIO if self.pegylated else 1.0
        ratio *= rate.HAZARD_RATIO_PER_DECADE ** ((self.age_years - rate.AGE_MEAN_YEARS) / 10)
        return float(ratio * rate.HAZARD_RATIO_PER_LOG10_HBSAG ** (self.hbsag_log10 - rate.HBSAG_MEAN))

    def day(self, date: dt.date) -> int:
        """Return the study day of a date, the index day being 0."""
        return date.toordinal() - self.index.toordinal()


def person(study: Study, number: int, seed: int) -> Person:
    """Return subject ``number`` (from 1). Raises ConfigurationError for a study without the two arms of NCT07120750."""
    draws = Draws(seed, number, "person")
    index = _index_date(study, number, draws)
    enrolment = index - dt.timedelta(days=draws.integer(*rate.ENROLMENT_TO_INDEX_DAYS))
    consent = enrolment - dt.timedelta(days=draws.integer(*rate.CONSENT_TO_ENROLMENT_DAYS))
    age = draws.normal_within(rate.AGE_MEAN_YEARS, rate.AGE_SD_YEARS, *rate.AGE_RANGE_YEARS)
    hbsag = draws.normal_within(rate.HBSAG_MEAN, rate.HBSAG_SD, *rate.HBSAG_RANGE)
    pegylated = draws.chance(
        logistic(
            rate.PEG_LOG_ODDS
            + rate.PEG_LOG_ODDS_PER_DECADE_YOUNGER * (rate.AGE_MEAN_YEARS - age) / 10
            + rate.PEG_LOG_ODDS_PER_LOG10_HBSAG * (hbsag - rate.HBSAG_MEAN)
        )
    )
    return Person(
        number=number,
        subject=f"SZ-{number:04d}",
        site=study.sites[0].name,
        sex="male" if draws.chance(rate.MALE) else "female",
        birth_date=consent - dt.timedelta(days=int(age * rate.DAYS_PER_YEAR) + 1),
        age_years=age,
        consent=consent,
        enrolment=enrolment,
        index=index,
        arm=_arm(study, "NA+PegIFN" if pegylated else "NA"),
        pegylated=pegylated,
        hbsag_log10=hbsag,
        resected=draws.chance(rate.RESECTED),
    )


def _index_date(study: Study, number: int, draws: Draws) -> dt.date:
    """Spread one target's worth of subjects over the enrolment period; larger cohorts run in parallel rounds."""
    slot = (number - 1) % study.target
    date = rate.FIRST_INDEX + dt.timedelta(days=slot * rate.ENROLMENT_DAYS // study.target + draws.integer(0, 3))
    return date + dt.timedelta(days=1) if date.weekday() == _SUNDAY else date


def _arm(study: Study, name: str) -> Arm:
    arm = study.arm(name)
    if arm is None:
        raise ConfigurationError(
            f"study {study.id!r} has no arm {name!r}: the synthetic cohort is that of NCT07120750. Give its study file."
        )
    return arm
