"""Which subjects a pull must judge beside those of whom something came: what others did moves their results too."""

from __future__ import annotations

from sqlalchemy import Connection, and_, exists, select

from fhirbridge.store.schema import arrival, candidate, decision, pull, resource

_OURS = ("fhirbridge", "policy")
"""Who decides where no person does: a judgement has considered that already."""
_DATES = ("Patient", "Consent", "ResearchSubject")
"""What a subject's index date and end of follow-up are read from."""


def subjects(connection: Connection, study: str, run: str, since: str | None) -> set[str]:
    """Return the subjects who lost a result to another in this run, of whom a killed run left something, and those
    on whom a person decided, or whose own dates came otherwise, since an instant.
    """
    found = {*_robbed(connection, study, run), *_left_behind(connection, study, run)}
    if since is None:
        return found
    return found | _decided(connection, study, since) | _dated_anew(connection, study, since)


def _robbed(connection: Connection, study: str, run: str) -> set[str]:
    """Return those whose result arrived in this run as another's."""
    now, before = arrival.alias(), arrival.alias()
    same = and_(
        before.c.study == now.c.study, before.c.feed == now.c.feed, before.c.reference == now.c.reference,
        before.c.subject != now.c.subject,
    )  # fmt: skip
    chosen = select(before.c.subject).distinct().select_from(now.join(before, same))
    return set(connection.execute(chosen.where(now.c.study == study, now.c.run == run)).scalars())


def _left_behind(connection: Connection, study: str, run: str) -> set[str]:
    """Return those of whom something arrived in an earlier run that never came to judge it."""
    unfinished = select(pull.c.run).where(pull.c.study == study, pull.c.funnel.is_(None), pull.c.run != run)
    judged = exists().where(
        candidate.c.study == arrival.c.study, candidate.c.subject == arrival.c.subject,
        candidate.c.feed == arrival.c.feed, candidate.c.reference == arrival.c.reference,
        candidate.c.arrival >= arrival.c.key,
    )  # fmt: skip
    chosen = select(arrival.c.subject).distinct().where(arrival.c.study == study, arrival.c.run.in_(unfinished))
    return set(connection.execute(chosen.where(~judged)).scalars())


def _decided(connection: Connection, study: str, since: str) -> set[str]:
    """Return those on whom a person decided at this instant or later."""
    chosen = select(candidate.c.subject).distinct().join(decision, decision.c.candidate == candidate.c.key)
    chosen = chosen.where(candidate.c.study == study, decision.c.at >= since, decision.c.by.not_in(_OURS))
    return set(connection.execute(chosen).scalars())


def _dated_anew(connection: Connection, study: str, since: str) -> set[str]:
    """Return those of whom results are held and what decides their windows changed at this instant or later."""
    changed = (
        select(resource.c.compartment).distinct().where(resource.c.study == study, resource.c.last_updated >= since)
    )
    held = exists().where(candidate.c.study == study, candidate.c.subject == resource.c.compartment)
    return set(connection.execute(changed.where(resource.c.type.in_(_DATES), held)).scalars())
