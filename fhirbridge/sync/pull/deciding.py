"""Decides what needs no person: a decision stands or is reopened, and a policy accepts what meets its conditions."""

from __future__ import annotations

from collections.abc import Sequence, Set

from fhirbridge.protocol.civil import Day
from fhirbridge.protocol.windows import PlacedBy
from fhirbridge.store.decisions import WITHDRAWN, NewDecision
from fhirbridge.study import Condition
from fhirbridge.sync.pull import policy
from fhirbridge.sync.pull.cases import Case
from fhirbridge.sync.pull.meaning import DONE
from fhirbridge.sync.pull.proposing import value_of
from fhirbridge.sync.pull.reopening import JUDGE, POLICY, SAME, SAYS_IT_AGAIN, Standing

_PLACED: tuple[PlacedBy, ...] = ("window", "nearest-target", "earlier-visit", "outside")
"""Rules by which a result has a place in or beside the schedule; with all others a person looks in any case."""

_Filled = Set[tuple[str | None, str]]
_NONE: _Filled = frozenset()


def decide(cases: Sequence[Case]) -> None:
    """Settle the states of a subject's results, which are placed and compared already."""
    for case in cases:
        if case.stands is not None:
            _review(case, case.stands)
    filled = _filled(cases)
    for case in cases:
        if (case.state == "waiting" or _may_return(case)) and not _failures(case, _present_terms(case), filled):
            _accept(case)
    filled = _filled(cases)
    for case in cases:
        if case.state == "waiting":
            case.reasons += [*_about_place(case, filled), *_failures(case, _present_terms(case), filled)]


def _filled(cases: Sequence[Case]) -> _Filled:
    """Return the visits, each with its analyte, that have an accepted result."""
    return {(case.visit, case.analyte) for case in cases if case.state == "accepted" and case.inside}


def _review(case: Case, stands: Standing) -> None:
    """Say whether the decision on a result still stands, and reopen it if not."""
    withdrawn = case.state == "cancelled"
    why = _against(case, stands)
    if stands.opened is not None:
        again = [SAYS_IT_AGAIN] if stands.opened.by == JUDGE else []
        case.state, case.reasons = "reopened", why or [stands.opened.reason, *again, *case.reasons]
    elif why:
        case.state, case.reasons = "reopened", why
        case.ruling = NewDecision(action="reopen", by=JUDGE, reason=", ".join(dict.fromkeys(why)))
    else:
        newer = stands.decision.arrival != case.held.arrival
        case.state = "accepted" if stands.accepts else "rejected"
        case.reasons = [WITHDRAWN, *case.reasons] if withdrawn else [SAME] * newer


def _against(case: Case, stands: Standing) -> list[str]:
    """Return why a decision does not stand any more."""
    if case.state == "cancelled":
        # What was rejected and then withdrawn needs nobody: it is not in the study's data either way.
        return [WITHDRAWN, *case.reasons] if stands.accepts else []
    if case.changes or (stands.accepts and case.state == "pending"):
        return [*case.changes, *case.reasons]
    if not stands.accepts or stands.decision.by != POLICY:
        return []
    failures = _failures(case, _terms_then(stands), _NONE)
    if case.state == "duplicate" or not failures:
        return list(case.reasons) if case.state == "duplicate" else []
    return [*case.reasons, *_about_place(case, _NONE), *failures]


def _may_return(case: Case) -> bool:
    """Tell whether a policy may accept again what it had accepted, and only other results made the judge reopen."""
    stands = case.stands
    return (
        case.state == "reopened"
        and stands is not None
        and stands.accepts
        and stands.opened is not None
        and stands.by_policy
        and not case.changes
        and case.meaning.usable
    )


def _accept(case: Case) -> None:
    case.state, case.reasons = "accepted", []
    case.ruling = NewDecision(action="accept", by=POLICY, reason=", ".join(_present_terms(case)))


def _present_terms(case: Case) -> Sequence[Condition]:
    return case.meaning.analyte.accept if case.meaning.analyte else ()


def _terms_then(stands: Standing) -> Sequence[Condition]:
    """Return the conditions under which a policy accepted; a policy that changes decides on other results only."""
    return tuple(stands.shown.details.get("terms", ()))


def _about_place(case: Case, filled: _Filled) -> list[str]:
    """Return what of its place in the schedule a person must know."""
    place = case.placement
    if place is None:
        return [] if isinstance(case.meaning.day, Day) else [f"place: {case.meaning.day}"]
    if not place.inside:
        return ["out of window", *([] if place.placed_by == "outside" else [f"place: {place.placed_by}"])]
    found = ["several candidates"] if case.rivals else []
    found += [] if place.picked or not case.meaning.usable or case.held.doubted else ["not picked"]
    return [*found, "visit filled"] if (case.visit, case.analyte) in filled else found


def _failures(case: Case, terms: Sequence[Condition], filled: _Filled) -> list[str]:
    meaning, place = case.meaning, case.placement
    facts = policy.Facts(
        mapped=meaning.harmonised.test is not None and meaning.analyte is not None,
        readable=value_of(meaning) is not None,
        flags=bool(meaning.doubts or case.contradicts or case.held.doubted),
        inside=case.inside,
        picked=place is not None and place.picked,
        single=not case.rivals,
        final=case.held.incoming.status in DONE,
        noted=bool(case.held.incoming.notes),
        derived=not meaning.as_reported,
        placed=place is not None and place.placed_by in _PLACED,
        visit_free=not case.inside or (case.visit, case.analyte) not in filled,
    )
    return list(policy.refusals(terms, facts))
