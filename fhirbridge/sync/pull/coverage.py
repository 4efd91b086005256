"""How much of what the schedule expects is in the study's data, and whether what was pulled is what people entered.

Read from the store: an Observation counts at the visit it names, whether a person entered it or it was pulled.
Cheng et al. (JCTS 2022) published what automated transfer from hospital records reached: ``YARDSTICK``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fhirbridge.errors import Resource
from fhirbridge.protocol.expectations import expect
from fhirbridge.protocol.slots import FollowUp, follow_up
from fhirbridge.records import values
from fhirbridge.records.build import moment
from fhirbridge.records.types import ResultFacts, SubjectFacts
from fhirbridge.store import Store
from fhirbridge.store.decisions import INBOX
from fhirbridge.store.judgements import Candidate
from fhirbridge.study import Schedule, Study
from fhirbridge.sync.naming import references
from fhirbridge.sync.pull import proposal as proposals
from fhirbridge.sync.pull.concordance import AGREEMENTS, Agreement, agreement, twins

YARDSTICK = {"filled": 0.84, "exact": 0.89}
"""Share of expected values that were filled, and of compared values that agreed exactly."""

State = Literal["filled", "waiting", "late", "missed", "due", "upcoming", "ended"]
STATES: tuple[State, ...] = get_args(State)
SO_FAR: tuple[State, ...] = ("filled", "waiting", "late", "missed")
"""States of what there should be a value for by now; ``due`` is still open, and what ended is not expected."""

_VOID = frozenset({"cancelled", "entered-in-error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One analyte expected at one visit of one subject; both dates of its window are inclusive."""

    subject: str
    """Subject number."""
    analyte: str
    visit: str
    state: State
    opens: dt.date
    closes: dt.date
    by: tuple[Literal["entered", "pulled"], ...] = ()
    """Where the value came from; both where it is in the study's data twice."""


@dataclass(slots=True)
class Coverage:
    """Every expected cell, and how each pair of an entered and a pulled value compares, by analyte."""

    cells: list[Cell] = field(default_factory=list)
    compared: dict[str, Counter[Agreement]] = field(default_factory=dict)

    def counts(self, name: Literal["analyte", "visit"], value: str | None = None) -> Counter[State]:
        """Return the cells by state: all, or those of an analyte or a visit."""
        return Counter(cell.state for cell in self.cells if value is None or getattr(cell, name) == value)

    def names(self, name: Literal["analyte", "visit"]) -> list[str]:
        """Return the analytes or visits in the order in which they are first expected."""
        return list(dict.fromkeys(getattr(cell, name) for cell in sorted(self.cells, key=lambda one: one.closes)))

    @property
    def agreements(self) -> Counter[Agreement]:
        """How the pairs compare, over all analytes."""
        return sum(self.compared.values(), Counter[Agreement]())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values; shares are None where there is nothing to share."""
        return {
            "total": _counted(self.counts("analyte")),
            "by_analyte": {name: _counted(self.counts("analyte", name)) for name in self.names("analyte")},
            "by_visit": {name: _counted(self.counts("visit", name)) for name in self.names("visit")},
            "concordance": {
                "total": _compared(self.agreements),
                "by_analyte": {name: _compared(found) for name, found in sorted(self.compared.items())},
            },
            "yardstick": YARDSTICK,
            "cells": [
                {
                    "subject": cell.subject, "analyte": cell.analyte, "visit": cell.visit, "state": cell.state,
                    "opens": cell.opens.isoformat(), "closes": cell.closes.isoformat(), "by": list(cell.by),
                }
                for cell in self.cells
            ],
        }  # fmt: skip


def filled(counts: Counter[State]) -> float | None:
    """Return the share of values there should be by now that are there, None where none should be."""
    expected = sum(counts[state] for state in SO_FAR)
    return counts["filled"] / expected if expected else None


def exact(agreements: Counter[Agreement]) -> float | None:
    """Return the share of compared values that agree exactly, None where none was compared."""
    compared = agreements.total()
    return agreements["exact"] / compared if compared else None


def followed(facts: SubjectFacts, schedule: Schedule) -> FollowUp:
    """Return what of a subject decides its windows: the one place where its dates become a FollowUp."""
    return follow_up(
        schedule,
        index_date=facts.index_date,
        enrolment_date=facts.enrolment_date,
        consent_date=facts.consent_date,
        consent_withdrawn=facts.consent_withdrawn,
        end_date=facts.end_date,
        death_date=facts.death_date,
    )


def cover(
    store: Store,
    study: Study,
    subjects: Iterable[tuple[str, SubjectFacts]],
    read: Callable[[Resource], ResultFacts | None],
    *,
    today: dt.date,
) -> Coverage:
    """Return the coverage of these subjects (each the id of our Patient and what is known of it) as of ``today``.

    ``study`` is the one with the laboratories' analytes; ``read`` reads back what an Observation says.
    """
    coverage = Coverage()
    for patient, facts in subjects:
        entered, pulled = _results(store, study, patient, read)
        inbox = [one for one, _, _ in store.candidates.of_subject(study.id, patient) if one is not None]
        coverage.cells += _cells(study, facts, entered, pulled, inbox, today)
        for pair in _pairs(study, entered, [*pulled, *_held_back(study, inbox)]):
            coverage.compared.setdefault(pair[0].analyte, Counter())[agreement(*pair)] += 1
    return coverage


def _results(
    store: Store, study: Study, patient: str, read: Callable[[Resource], ResultFacts | None]
) -> tuple[list[ResultFacts], list[ResultFacts]]:
    """Return a subject's results that people entered, and those that were pulled, as their Provenance tells."""
    stored = store.iterate(study.id, types=["Observation", "Provenance"], compartment=patient)
    contents = [one.content() for one in stored]
    origins = {id for one in contents for kind, id in references(one.get("target")) if kind == "Observation"}
    found = [read(one) for one in contents if one["resourceType"] == "Observation"]
    counting = [one for one in found if one is not None and one.status not in _VOID]
    entered = [one for one in counting if one.id not in origins]
    return entered, [one for one in counting if one.id in origins]


def _cells(
    study: Study,
    facts: SubjectFacts,
    entered: Sequence[ResultFacts],
    pulled: Sequence[ResultFacts],
    inbox: Sequence[Candidate],
    today: dt.date,
) -> Iterator[Cell]:
    there: dict[tuple[str, str], list[Literal["entered", "pulled"]]] = {}
    for one in (*entered, *pulled):
        if one.value is not None:
            there.setdefault((one.visit, one.analyte), []).append("entered" if one in entered else "pulled")
    waits = {(one.visit, one.analyte) for one in inbox if _waits(one) and one.inside}
    names = {one.name for one in study.analytes}
    keys = {place: "/".join(place) for place in there}
    for one_expected in expect(study.schedule, followed(facts, study.schedule), today, keys, {}):
        place = one_expected.visit, one_expected.item
        if one_expected.item in names:
            yield Cell(
                subject=facts.subject,
                analyte=one_expected.item,
                visit=one_expected.visit,
                state="waiting" if place in waits and place not in there else one_expected.state,
                opens=one_expected.opens,
                closes=one_expected.closes,
                by=tuple(dict.fromkeys(there.get(place, ()))),
            )


def _waits(one: Candidate) -> bool:
    """Tell whether a candidate waits for a person, or was accepted and is not in the study's data yet."""
    return one.state in INBOX or (one.state == "accepted" and one.recorded is None)


def _held_back(study: Study, inbox: Sequence[Candidate]) -> Iterator[ResultFacts]:
    """Yield what was accepted and not recorded, because people had entered a value already or a rule forbids it."""
    for one in inbox:
        if one.state != "accepted" or one.recorded is not None:
            continue
        shown = proposals.read_back(one.proposal)
        analyte = study.analyte(one.analyte)
        if analyte is None or one.visit is None or shown.collected is None or shown.value is None:
            continue
        yield ResultFacts(
            id=one.name, analyte=one.analyte, visit=one.visit, collected=moment(shown.collected, study),
            value=values.parse(shown.value, analyte.scale), status=shown.status,
        )  # fmt: skip


def _pairs(
    study: Study, entered: Sequence[ResultFacts], pulled: Sequence[ResultFacts]
) -> Iterator[tuple[ResultFacts, ResultFacts]]:
    """Yield each entered value with the pulled one it is best compared with, each entered value once."""
    for one in entered:
        others = [other for other in pulled if one in twins(entered, other, study.schedule.unscheduled)]
        if others:
            yield one, min(others, key=lambda other: list(AGREEMENTS).index(agreement(one, other)))


def _counted(counts: Counter[State]) -> dict[str, Any]:
    return {state: counts[state] for state in STATES} | {"share_filled": filled(counts)}


def _compared(found: Counter[Agreement]) -> dict[str, Any]:
    return {"compared": found.total(), **{how: found[how] for how in AGREEMENTS}, "share_exact": exact(found)}
