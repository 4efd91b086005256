"""Judges all results of a subject together: what each means, where it belongs, and whether a person must decide.

Pure, total and deterministic: no clock, no database, no order of arrival. docs/pull.md has the states and the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.protocol.windows import Candidate as Dated
from fhirbridge.protocol.windows import placements
from fhirbridge.store.judgements import Judgement
from fhirbridge.sync.pull import duplicates, proposal, reopening
from fhirbridge.sync.pull.cases import Case, Context, Held, Picture, alone
from fhirbridge.sync.pull.deciding import decide
from fhirbridge.sync.pull.duplicates import Duplicates
from fhirbridge.sync.pull.meaning import mean
from fhirbridge.sync.pull.proposing import propose

__all__ = ["Context", "Held", "Picture", "judge"]


def judge(picture: Picture, context: Context) -> list[Judgement]:
    """Return how each of a subject's results stands, in the order of their names. Never raises for what a source sent.

    The results must be all that are held of the subject, each once, in the version that counts.
    """
    cases = [_case(held, context) for held in sorted(picture.results, key=lambda held: held.name)]
    # A decision that the source has overtaken must not hold a place, so changes are sought before and after placing.
    _find_changes(cases, context)
    entries = [duplicates.Entry(case.name, case.meaning, case.accepted) for case in cases if case.competes]
    found = duplicates.find(entries)
    _mark_duplicates(cases, found)
    _place(cases, picture.follow_up, context)
    for case in cases:
        case.proposal = _proposal(case, context, found)
    _find_changes(cases, context)
    decide(cases)
    return [_judgement(case) for case in cases]


def _case(held: Held, context: Context) -> Case:
    meaning = held.meaning or mean(held.incoming, context.laboratories, context.study)
    state, reasons = alone(held, meaning)
    return Case(held, meaning, state, reasons, reopening.standing(held.decisions))


def _proposal(case: Case, context: Context, found: Duplicates) -> proposal.Proposal:
    zone, same_as = context.study.schedule.zone, found.same.get(case.name)
    mapping, doubted = context.mapping, case.held.doubted
    return propose(case.meaning, case.placement, zone=zone, mapping=mapping, same_as=same_as, doubted=doubted)


def _find_changes(cases: Iterable[Case], context: Context) -> None:
    """Find what has changed of what was decided on; before anything has its place, the visit is taken as it was."""
    for case in cases:
        if case.stands is not None:
            unplaced = replace(_proposal(case, context, Duplicates()), visit=case.stands.shown.visit)
            case.changes = reopening.changes(case.stands, case.proposal or unplaced)


def _mark_duplicates(cases: Iterable[Case], found: Duplicates) -> None:
    for case in cases:
        twin = found.same.get(case.name)
        if twin is not None:
            feed, reference = twin
            case.state = "duplicate"
            case.reasons = [f"the same as {reference}" + (f" of {feed}" if feed != case.name[0] else "")]
        case.contradicts = sorted(found.conflicts.get(case.name, ()))
        case.reasons += case.contradicts


def _place(cases: Sequence[Case], follow_up: FollowUp, context: Context) -> None:
    """Give every result of a known analyte its visit; those that do not compete for it are placed by themselves."""
    known = [case for case in cases if case.meaning.analyte is not None]
    for competing in (True, False):
        # The key decides between two of one moment, so it must not depend on what arrived when.
        by_key = {"\n".join(case.name): case for case in known if case.competes == competing}
        dated = [Dated(key=key, item=case.item, when=case.held.incoming.collected) for key, case in by_key.items()]
        if not dated:
            continue
        placed = placements(context.study.schedule, follow_up, dated, context.today)
        windows = Counter((one.visit, one.item) for one in placed if one.inside)
        for one in placed:
            case = by_key[one.key]
            if competing:
                case.placement, case.rivals = one, windows[one.visit, one.item] - 1 if one.inside else 0
            else:
                case.placement = replace(one, picked=False, chosen_by=None)


def _judgement(case: Case) -> Judgement:
    assert case.proposal is not None  # every case was given one
    return Judgement(
        feed=case.name[0],
        reference=case.name[1],
        arrival=case.held.arrival,
        decided=case.held.decisions[-1].number if case.held.decisions else None,
        state=case.state,
        reasons=tuple(dict.fromkeys(case.reasons)),
        analyte=case.analyte,
        visit=case.visit,
        offset=case.placement.offset if case.placement else None,
        inside=case.inside,
        collected=case.proposal.collected,
        proposal=proposal.as_bytes(case.proposal),
        decision=case.ruling,
    )
