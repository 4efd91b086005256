"""Results of a made-up hospital for tests of the judge, and what became of decisions between two runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fhirbridge import study as studies
from fhirbridge.elements import LOINC, quantity
from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store.decisions import Decision, NewDecision
from fhirbridge.store.judgements import Judgement
from fhirbridge.study import Study
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.judging import Context, Held, Picture, judge
from fhirbridge.terminology.analytes import with_laboratories
from fhirbridge.terminology.laboratories import Laboratories, ReportedCode
from fhirbridge.terminology.laboratory_files import load

ROOT = Path(__file__).parents[3]
FEED = "https://fhir.hospital.example/r4"
LABORATORIES = load([ROOT / "mappings" / "laboratories"])
TRIAL = studies.load(ROOT / "mappings" / "studies" / "nct07120750.toml")
NORTH, SOUTH = "North Hospital", "South Reference Laboratory"
DNA, DNA_LOG = "42595-9", "48398-2"
INDEX = dt.date(2026, 1, 5)
W012 = "2026-03-30T08:15:00+08:00"
ALL_TERMS = ("mapped", "readable", "no-flags", "in-window", "single", "final", "no-notes")


def context(
    accept: Mapping[str, tuple[str, ...]] | None = None,
    *,
    today: dt.date = dt.date(2026, 12, 31),
    laboratories: Laboratories = LABORATORIES,
) -> Context:
    """The reference study, with these policies instead of its own."""
    study: Study = with_laboratories(TRIAL, laboratories)
    if accept is not None:
        analytes = tuple(msgspec.structs.replace(one, accept=accept.get(one.name, ())) for one in study.analytes)
        study = msgspec.structs.replace(study, analytes=analytes)
    return Context(study=study, laboratories=laboratories, today=today, mapping="m1")


def dna(reference: str = "1", value: str | None = "1234", **changed: Any) -> Incoming:
    """One HBV DNA result; ``comparator``, ``unit`` and ``code`` change its Quantity and code."""
    unit, code = changed.pop("unit", "[IU]/mL"), changed.pop("code", DNA)
    comparator = changed.pop("comparator", None)
    given = None if value is None else {"valueQuantity": quantity(Decimal(value), unit, unit, comparator)}
    fields: dict[str, Any] = {
        "feed": FEED, "reference": f"Observation/{reference}", "version": "1", "updated": "2026-03-31T10:00:00Z",
        "status": "final", "laboratory": "", "codes": (ReportedCode(LOINC, code),), "label": None, "value": given,
        "collected": W012,
    }  # fmt: skip
    return Incoming(**fields | changed)


class Inbox:
    """What a store does between two judgements of one subject: it keeps the last arrival and the decisions."""

    def __init__(self, context: Context, follow_up: FollowUp | None = None) -> None:
        self.context = context
        self.follow_up = follow_up or FollowUp(anchor=INDEX)
        self.held: dict[tuple[str, str], Held] = {}
        self.judged: dict[str, Judgement] = {}
        self.arrivals = 0

    def arrive(self, *results: Incoming) -> None:
        for result in results:
            self.arrivals += 1
            before = self.held.get((result.feed, result.reference))
            decisions = before.decisions if before else ()
            held = Held(arrival=self.arrivals, incoming=result, decisions=decisions)
            self.held[held.name] = held

    def judge(self) -> dict[str, str]:
        """Judge all that is held, keep what the judge decides, and return the states by reference."""
        found = judge(Picture(follow_up=self.follow_up, results=tuple(self.held.values())), self.context)
        for one in found:
            self.judged[one.reference] = one
            if one.decision is not None:
                self._decide((one.feed, one.reference), one, one.decision)
        return {one.reference: one.state for one in found}

    def run(self, *results: Incoming) -> dict[str, str]:
        self.arrive(*results)
        return self.judge()

    def decide(self, reference: str, action: str, *, by: str = "anna", value: bytes | None = None) -> None:
        """A person decides on what was judged last."""
        judged = self.judged[f"Observation/{reference}"]
        new = NewDecision(action=action, by=by, reason="seen", value=value)  # type: ignore[arg-type]
        self._decide((judged.feed, judged.reference), judged, new)

    def _decide(self, name: tuple[str, str], judged: Judgement, new: NewDecision) -> None:
        held = self.held[name]
        decision = Decision(
            candidate=1, number=len(held.decisions) + 1, arrival=judged.arrival, action=new.action, by=new.by,
            at="2026-04-01T00:00:00Z", reason=new.reason, value=new.value, proposal=judged.proposal, run=None,
        )  # fmt: skip
        self.held[name] = replace(held, decisions=(*held.decisions, decision))

    def reasons(self, reference: str) -> tuple[str, ...]:
        return self.judged[f"Observation/{reference}"].reasons

    def state(self, reference: str) -> str:
        return self.judged[f"Observation/{reference}"].state


def judged(results: Iterable[Incoming], accept: Mapping[str, tuple[str, ...]] | None = None) -> Inbox:
    """An inbox in which these results were judged once."""
    inbox = Inbox(context(accept))
    inbox.run(*results)
    return inbox
