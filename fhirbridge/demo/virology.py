"""The course of HBV DNA and HBsAg under treatment, and how a laboratory reports them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.draws import Draws, logistic
from fhirbridge.demo.people import Person
from fhirbridge.records.values import Censored, LabValue, Number, Ordinal
from fhirbridge.study import Assay

_CENT = Decimal("0.01")
_LOSS = math.log10(0.05)


@dataclass(frozen=True, slots=True)
class ViralLoad:
    """HBV DNA in log10 IU/mL: a fast fall of ``first_fall``, then ``per_week``."""

    start: float
    first_fall: float
    per_week: float

    def log10(self, week: float) -> float:
        """Return the true level this many weeks after index."""
        fast = self.first_fall * (1 - math.exp(-max(week, 0.0) / rate.DNA_FIRST_FALL_WEEKS))
        return max(rate.DNA_FLOOR, self.start - fast - self.per_week * max(week, 0.0))


@dataclass(frozen=True, slots=True)
class SurfaceAntigen:
    """Quantitative HBsAg in log10 IU/mL; ``loss_week`` is when it passes 0.05 IU/mL, if ever."""

    start: float
    per_year: float
    peg_fall: float
    loss_week: float | None
    reverts_week: float | None

    def log10(self, week: float) -> float:
        """Return the true level this many weeks after index."""
        week = max(week, 0.0)
        if self.loss_week is None:
            fall = self.per_year * week / 52 + self.peg_fall * min(week, rate.PEG_WEEKS) / rate.PEG_WEEKS
            return max(rate.HBSAG_FLOOR_WITHOUT_LOSS, self.start - fall)
        if week < self.loss_week:
            return self.start + (_LOSS - self.start) * week / self.loss_week
        if self.reverts_week is not None and week >= self.reverts_week:
            return rate.HBSAG_AFTER_REVERSION
        return rate.HBSAG_AFTER_LOSS


def viral_load(who: Person, seed: int) -> ViralLoad:
    """Draw the HBV DNA course of one subject."""
    draws = Draws(seed, who.number, "hbv-dna")
    if draws.chance(rate.DNA_BEYOND_ASSAY):
        start = draws.uniform(*rate.DNA_BEYOND_ASSAY_LOG10)
    elif draws.chance(rate.DNA_SUPPRESSED):
        start = draws.normal(rate.DNA_SUPPRESSED_MEAN, rate.DNA_SUPPRESSED_SD)
    else:
        start = draws.normal_within(rate.DNA_ACTIVE_MEAN, rate.DNA_ACTIVE_SD, *rate.DNA_ACTIVE_RANGE)
    return ViralLoad(start, draws.uniform(*rate.DNA_FIRST_FALL), draws.uniform(*rate.DNA_SECOND_FALL_PER_WEEK))


def surface_antigen(who: Person, seed: int) -> SurfaceAntigen:
    """Draw the HBsAg course of one subject; peginterferon lowers it and makes loss likelier."""
    draws = Draws(seed, who.number, "hbsag")
    per_year = max(0.0, draws.normal(rate.HBSAG_SLOPE_PER_YEAR_MEAN, rate.HBSAG_SLOPE_PER_YEAR_SD))
    responds = draws.chance(rate.PEG_RESPONDER)
    fall = draws.uniform(*(rate.PEG_RESPONDER_FALL if responds else rate.PEG_OTHER_FALL))
    log_odds = rate.PEG_LOSS_LOG_ODDS + rate.PEG_LOSS_LOG_ODDS_PER_LOG10 * (who.hbsag_log10 - rate.HBSAG_MEAN)
    loses = draws.chance(logistic(log_odds) if who.pegylated else rate.ANALOGUE_LOSS)
    loss_week = draws.uniform(*(rate.PEG_LOSS_WEEKS if who.pegylated else rate.ANALOGUE_LOSS_WEEKS))
    reverts_week = loss_week + draws.uniform(*rate.LOSS_REVERTS_AFTER_WEEKS)
    reverts = draws.chance(rate.LOSS_REVERTS)
    return SurfaceAntigen(
        start=who.hbsag_log10,
        per_year=per_year,
        peg_fall=fall if who.pegylated else 0.0,
        loss_week=loss_week if loses else None,
        reverts_week=reverts_week if loses and reverts else None,
    )


def report_dna(log10: float, assay: Assay, draws: Draws) -> LabValue:
    """Return HBV DNA as reported: three significant digits, ``<LLOQ``, ``>ULOQ`` or not detected."""
    undetected = logistic(rate.DNA_UNDETECTED_STEEPNESS * (rate.DNA_UNDETECTED_MIDPOINT - log10))
    not_detected = draws.chance(undetected)
    measured = Decimal(repr(10 ** (log10 + draws.normal(0.0, rate.DNA_NOISE_SD))))
    if assay.lloq is not None and measured < assay.lloq:
        return Ordinal("not detected") if not_detected and assay.tells_not_detected else Censored("<", assay.lloq)
    return _within(_significant(measured), assay)


def report_hbsag(log10: float, assay: Assay, draws: Draws) -> LabValue:
    """Return HBsAg as reported: two decimals, ``<LLOQ`` or ``>ULOQ``."""
    measured = Decimal(repr(10 ** (log10 + draws.normal(0.0, rate.HBSAG_NOISE_SD))))
    if assay.lloq is not None and measured < assay.lloq:
        return Censored("<", assay.lloq)
    return _within(measured.quantize(_CENT, ROUND_HALF_EVEN), assay)


def text(value: LabValue) -> str:
    """Return a value as the study's tables write it: ``5.50``, ``<10``, ``1.7E8``, ``not detected``."""
    if isinstance(value, Number):
        return _digits(value.value)
    if isinstance(value, Censored):
        return value.comparator + _digits(value.value)
    return value.answer if isinstance(value, Ordinal) else value.text


def _within(reported: Decimal, assay: Assay) -> LabValue:
    if assay.uloq is not None and reported > assay.uloq:
        return Censored(">", assay.uloq)
    return Number(reported)


def _significant(measured: Decimal) -> Decimal:
    """Round to three significant digits; below 100 to whole units. From a million on, keep the exponent."""
    rounded = measured.quantize(Decimal(1).scaleb(max(0, measured.adjusted() - 2)), ROUND_HALF_EVEN)
    return rounded if rounded.adjusted() >= 6 else Decimal(int(rounded))


def _digits(value: Decimal) -> str:
    return str(value).replace("E+", "E")
