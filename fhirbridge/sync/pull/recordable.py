"""What a decided candidate is to be in the study's data: a LaboratoryResult with its source, or why it cannot be one.

What was decided on is what is recorded: the proposal that was shown, of the version that was seen. A table's row and a
pulled result are held to the same rules (``records.checks``), and read by the same grammar (``records.values``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from fhirbridge import fhirjson
from fhirbridge.errors import Finding, RecordError
from fhirbridge.identity import Identity
from fhirbridge.records import build, values
from fhirbridge.records.checks import check, outside_consent
from fhirbridge.records.columns import Table, Values, tables
from fhirbridge.records.overriding import merged
from fhirbridge.records.refusals import Problem, explain, quoted
from fhirbridge.records.types import (
    LaboratoryResult,
    MeasuredValue,
    ResultDecision,
    ResultSource,
    ResultStatus,
    SubjectFacts,
)
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import Decision
from fhirbridge.store.judgements import Candidate
from fhirbridge.study import Study
from fhirbridge.sync.pull import proposal as proposals
from fhirbridge.sync.pull.proposal import Measured, Proposal

Version = Callable[[int], Arrival]
"""From an arrival's key to it."""

_STATUSES: dict[str, ResultStatus] = {
    "preliminary": "preliminary", "final": "final", "amended": "amended", "corrected": "corrected",
}  # fmt: skip

_COMPARATORS: tuple[values.Comparator, ...] = ("<=", ">=", "<", ">")


@dataclass(frozen=True)
class Rules:
    """What decides whether a candidate can be recorded; ``study`` is the one with the laboratories' analytes."""

    study: Study
    identity: Identity
    today: dt.date
    software: str

    @cached_property
    def table(self) -> Table:
        """The laboratory table that a row is held against."""
        return tables(self.study)["laboratory"]


def result_key(subject: str, feed: str, reference: str, identity: Identity) -> str:
    """Return the business identifier that a source's result has in the study's data: a keyed digest.

    The subject belongs to it: a result that the hospital moves to another patient is another result of ours, and can
    never overwrite the first.
    """
    return identity.id("source", subject, feed, reference)


def accepted(
    candidate: Candidate, decision: Decision, version: Version, facts: SubjectFacts | None, rules: Rules
) -> LaboratoryResult:
    """Return the result as it was decided. Raises RecordError naming the candidate and the rule it breaks."""
    shown = proposals.read_back(decision.proposal)
    row = _row(candidate, decision, shown, facts, rules)
    problems = _problems(row, facts, rules)
    if problems:
        raise RecordError(_finding(candidate, row, problems[0], rules.table))
    changed = "value" in _override(decision) or "analyte" in _override(decision)
    return replace(
        build.laboratory(row, rules.study),
        reported=shown.reported,
        source=ResultSource(
            feed=candidate.feed,
            reference=candidate.reference,
            version=version(decision.arrival).version,
            laboratory=shown.laboratory,
            row=shown.row,
            mapping=shown.mapping,
            decision=_decision(decision),
            software=rules.software,
            measured=None if changed or shown.measured is None else _measured(shown.measured),
        ),
    )


def taken_back(
    candidate: Candidate,
    decisions: Sequence[Decision],
    version: Version,
    facts: SubjectFacts | None,
    rules: Rules,
) -> LaboratoryResult:
    """Return what was recorded of a candidate, values kept, as entered in error by its last decision.

    What has been recorded is found among the decisions by its hash, so rules that came later stand in no way.
    """
    last, lenient = decisions[-1], replace(rules, today=dt.date.max)
    made: list[LaboratoryResult] = []
    for decision in reversed([one for one in decisions if one.action in ("accept", "override")]):
        try:
            found = _as_it_was(candidate, decision, version, facts, lenient)
        except (RecordError, ValueError):
            continue
        made.append(found)
        if digest(found) == candidate.recorded:
            break
    if not made:
        raise RecordError(
            Finding(
                record=candidate.name,
                rule="not-rebuilt",
                message="what was recorded of it cannot be said under the present study file, so it stands as it is",
                remedy="Put back the analyte or visit that it was recorded under, then record again.",
            )
        )
    was = made[-1] if digest(made[-1]) == candidate.recorded else made[0]
    assert was.source is not None
    source = replace(was.source, version=version(last.arrival).version, decision=_decision(last))
    return replace(was, status="entered-in-error", source=source)


def digest(result: LaboratoryResult) -> bytes:
    """Return the hash of all that a result says, but the software that carried it."""
    said: dict[str, Any] = msgspec.to_builtins(result, builtin_types=(Decimal,))
    if result.source is not None:
        del said["source"]["software"]
    return hashlib.sha256(fhirjson.dumps([type(result.value).__name__, said])).digest()


def _as_it_was(
    candidate: Candidate, decision: Decision, version: Version, facts: SubjectFacts | None, rules: Rules
) -> LaboratoryResult:
    """Return a result as ``accepted`` gave it once, whatever the subject's consent says since."""
    open_ended = None if facts is None else replace(facts, consent_date=dt.date.min, consent_withdrawn=None)
    return accepted(candidate, decision, version, open_ended, rules)


def _row(candidate: Candidate, decision: Decision, shown: Proposal, facts: SubjectFacts | None, rules: Rules) -> Values:
    """Return the row of the laboratory table that the proposal gives with the person's override."""
    said = msgspec.to_builtins(shown, builtin_types=(Decimal,))
    return {
        "result": result_key(candidate.subject, candidate.feed, candidate.reference, rules.identity),
        "subject": facts.subject if facts else candidate.subject,
        "status": _status(shown.status),
        **merged(said, _override(decision)),
    }


def _status(said: str) -> ResultStatus:
    """Return the source's status. Who takes in what the source calls unknown, or took back, vouches for it: final."""
    return _STATUSES.get(said, "final")


def _problems(row: Values, facts: SubjectFacts | None, rules: Rules) -> list[Problem]:
    """Return what a table's reader would refuse: schema, row, subject, consent, in this order."""
    errors = rules.table.errors(row)
    if errors:
        return explain(rules.table, row, errors)
    problems = check("laboratory", row, rules.study, rules.today)
    if problems:
        return problems
    if facts is None:
        message = "its subject is not in the store, or without a Consent"
        return [Problem("unknown-subject", "subject", message, "Load the table subjects first.")]
    if "laboratory" not in rules.study.schedule.requires_consent:
        return []
    day = build.civil(build.moment(row["collected"], rules.study)).isoformat()
    until = facts.consent_withdrawn.isoformat() if facts.consent_withdrawn else None
    found = outside_consent("collected", day, facts.consent_date.isoformat(), until)
    return [found] if found else []


def _finding(candidate: Candidate, row: Values, problem: Problem, table: Table) -> Finding:
    texts = {name: str(value) for name, value in row.items()}
    return Finding(
        record=candidate.name,
        rule=problem.rule,
        field=problem.field,
        value=quoted(table, problem.field, texts),
        message=problem.message,
        remedy=f"{problem.remedy} `fhirbridge inbox show {candidate.name}` shows it; `reopen` it to decide again.",
    )


def _override(decision: Decision) -> dict[str, str]:
    given: dict[str, str] = fhirjson.loads(decision.value) if decision.value else {}
    return given


def _decision(decision: Decision) -> ResultDecision:
    assert decision.action != "reopen"  # callers pass those that take a result in or put it out
    return ResultDecision(
        action=decision.action, by=decision.by, at=decision.at, reason=decision.reason, run=decision.run
    )


def _measured(shown: Measured) -> MeasuredValue:
    """Return what was measured; a logarithm may lie below zero, which the tables' grammar has no need of."""
    comparator = next((sign for sign in _COMPARATORS if shown.value.startswith(sign)), None)
    number = Decimal(shown.value.removeprefix(comparator or ""))
    value = values.Censored(comparator, number) if comparator else values.Number(number)
    return MeasuredValue(loinc=shown.loinc, display=shown.display, unit=shown.unit, value=value, rule=shown.rule)
