"""A subject's true tumour course: when the cancer recurs, how, how fast it grows, and what else the liver holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.assumptions import Route
from fhirbridge.demo.draws import Draws
from fhirbridge.demo.people import Person

_SEGMENTS = (
    ("II", 0.08), ("III", 0.08), ("IVa", 0.06), ("IVb", 0.06), ("V", 0.16), ("VI", 0.18), ("VII", 0.16), ("VIII", 0.22),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """A recurrent tumour; diameter in mm on the day of the event, doubling time of its volume in days."""

    route: Route
    segment: str
    event_mm: float
    doubling_days: float
    capsule: bool
    ancillary: bool

    def size_mm(self, days_since_event: int) -> int:
        """Return the diameter in whole mm, exponential in time; negative days look back."""
        size = self.event_mm * math.exp2(days_since_event / (3 * self.doubling_days))
        return min(rate.LARGEST_MM, math.floor(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """What the treatment of the first tumour left: an ablation zone or a resection margin, shrinking."""

    segment: str
    start_mm: float

    def size_mm(self, day: int) -> int:
        """Return the diameter in whole mm on a study day."""
        shrunk = self.start_mm * math.exp(-rate.ZONE_SHRINKS_PER_WEEK * max(day, 0) / 7)
        return max(rate.ZONE_SMALLEST_MM, math.floor(shrunk))


@dataclass(frozen=True, slots=True, kw_only=True)
class Benign:
    """A stable observation, seen from a study day on: LR-1, LR-2 or LR-3."""

    category: str
    segment: str
    size_mm: int
    from_day: int
    enhancing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TumourCourse:
    """The truth behind the MRIs. ``event_day`` counts from the index day and may lie beyond any follow-up."""

    event_day: int
    route: Route
    nodules: tuple[Nodule, ...]
    zone: Zone | None
    benign: tuple[Benign, ...]
    treatment_lag: int
    """Exams after the one that detects the recurrence which still see it untreated."""


def tumour_course(who: Person, seed: int) -> TumourCourse:
    """Draw the course of one subject; the event follows the piecewise hazard of assumptions.py."""
    draws = Draws(seed, who.number, "tumour")
    event_day = _event_day(who.relative_hazard, draws)
    zone = _zone(who, draws)
    route = draws.pick(rate.ROUTES)
    if route == "local" and zone is None:
        route = "new"
    nodules = [_nodule(route, draws)]
    if draws.chance(rate.MULTIFOCAL) and route in ("new", "precursor"):
        nodules.append(_satellite(nodules[0], draws))
    return TumourCourse(
        event_day=event_day,
        route=route,
        nodules=tuple(nodules),
        zone=zone,
        benign=tuple(_benign(draws) for _ in range(draws.pick(rate.BENIGN_COUNT))),
        treatment_lag=draws.pick(rate.TREATMENT_LAG_EXAMS),
    )


def _event_day(relative_hazard: float, draws: Draws) -> int:
    """Invert the cumulative hazard; the result counts from 1."""
    cumulative = draws.exponential(1.0) / relative_hazard
    early = rate.EARLY_YEARS * rate.EARLY_HAZARD_PER_YEAR
    if cumulative <= early:
        years = cumulative / rate.EARLY_HAZARD_PER_YEAR
    else:
        years = rate.EARLY_YEARS + (cumulative - early) / rate.LATE_HAZARD_PER_YEAR
    return math.ceil(years * rate.DAYS_PER_YEAR)


def _zone(who: Person, draws: Draws) -> Zone | None:
    reported = draws.chance(rate.MARGIN_REPORTED) or not who.resected
    size = draws.uniform(*(rate.MARGIN_ZONE_MM if who.resected else rate.ABLATION_ZONE_MM))
    segment = draws.pick(_SEGMENTS)
    return Zone(segment=segment, start_mm=size) if reported else None


def _nodule(route: Route, draws: Draws) -> Nodule:
    low, high = rate.DOUBLING_RANGE_DAYS
    doubling = math.exp(draws.normal(math.log(rate.DOUBLING_MEDIAN_DAYS), rate.DOUBLING_LOG_SD))
    return Nodule(
        route=route,
        segment=draws.pick(_SEGMENTS),
        event_mm=draws.uniform(*(rate.PRECURSOR_EVENT_MM if route == "precursor" else rate.NEW_NODULE_MM)),
        doubling_days=max(low, min(high, doubling)),
        capsule=draws.chance(rate.CAPSULE),
        ancillary=draws.chance(rate.ANCILLARY_MALIGNANT),
    )


def _satellite(first: Nodule, draws: Draws) -> Nodule:
    size = first.event_mm * draws.uniform(*rate.SATELLITE_FRACTION)
    return Nodule(
        route="new",
        segment=draws.pick(_SEGMENTS),
        event_mm=max(rate.NEW_NODULE_MM[0], size),
        doubling_days=first.doubling_days,
        capsule=draws.chance(rate.CAPSULE),
        ancillary=first.ancillary,
    )


def _benign(draws: Draws) -> Benign:
    category = draws.pick(rate.BENIGN_KINDS)
    from_baseline = draws.chance(rate.BENIGN_FROM_BASELINE)
    later = draws.integer(1, 900)
    return Benign(
        category=category,
        segment=draws.pick(_SEGMENTS),
        size_mm=draws.integer(*rate.BENIGN_MM[category]),
        from_day=-rate.ENROLMENT_TO_INDEX_DAYS[1] if from_baseline else later,
        enhancing=category == "LR-3",
    )
