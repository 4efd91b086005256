"""Which subjects a pull must judge beside those of whom something came: what others did moves their results too."""

from __future__ import annotations

from sqlalchemy import Connection, Select, and_, exists, select

from fhirbridge.store.links import ANEW
from fhirbridge.store.schema import arrival, candidate, decision, link_event, pull, resource

_OURS = ("fhirbridge", "policy")
"""Who decides where no person does: a judgement has considered that already."""
_DATES = ("Patient", "Consent", "ResearchSubject")
"""What a subject's index date and end of follow-up are read from."""


def subjects(connection: Connection, study: str, run: str, since: str | None) -> set[str]:
    """Return the subjects who lost a result to another in this run, of whom a killed run left something, and those
    on whom a person decided, whose own dates came otherwise, or who were linked anew, since an instant.
    """
    found = {*_robbed(connection, study, run), *_left_behind(connection, study, run)}
    if since is None:
        return found
    since_then = _decided(connection, study, since) | _dated_anew(connection, study, since)
    return found | since_then | _linked_anew(connection, study, since)


def _robbed(connection: Connection, study: str, run: str) -> set[str]:
    """Return those whose result arrived in this run as another's."""
    now, every = arrival.alias(), arrival.alias()
    same = and_(every.c.study == now.c.study, every.c.feed == now.c.feed, every.c.reference == now.c.reference)
    named = select(every.c.key).select_from(now.join(every, same)).where(now.c.study == study, now.c.run == run)
    columns = (arrival.c.feed, arrival.c.reference, arrival.c.subject, arrival.c.run == run)
    rows = connection.execute(select(*columns).where(arrival.c.key.in_(named))).all()
    came: dict[tuple[str, str], set[str]] = {}
    for feed, reference, subject, is_now in rows:
        if is_now:
            came.setdefault((feed, reference), set()).add(subject)
    return {subject for feed, reference, subject, _ in rows if came[feed, reference] - {subject}}


def _left_behind(connection: Connection, study: str, run: str) -> set[str]:
    """Return those of whom something arrived in an earlier run that never came to judge it."""
    unfinished = select(pull.c.run).where(pull.c.study == study, pull.c.funnel.is_(None), pull.c.run != run)
    judged = exists().where(
        candidate.c.study == arrival.c.study, candidate.c.subject == arrival.c.subject,
        candidate.c.feed == arrival.c.feed, candidate.c.reference == arrival.c.reference,
        candidate.c.arrival >= arrival.c.key,
    )  # fmt: skip
    chosen = select(arrival.c.key).where(arrival.c.study == study, arrival.c.run.in_(unfinished))
    return _of(connection, chosen.where(~judged))


def _of(connection: Connection, keys: Select[tuple[int]]) -> set[str]:
    """Return whose these arrivals are; asked for subjects otherwise than by keys, SQLite looks through all arrivals."""
    return set(connection.execute(select(arrival.c.subject).distinct().where(arrival.c.key.in_(keys))).scalars())


def _decided(connection: Connection, study: str, since: str) -> set[str]:
    """Return those on whom a person decided at this instant or later."""
    decided = select(decision.c.candidate).where(decision.c.at >= since, decision.c.by.not_in(_OURS))
    chosen = select(candidate.c.study, candidate.c.subject).distinct().where(candidate.c.key.in_(decided))
    # Asked for one study, SQLite would look through all of its candidates.
    return {subject for of, subject in connection.execute(chosen) if of == study}


def _dated_anew(connection: Connection, study: str, since: str) -> set[str]:
    """Return those of whom results are held and what decides their windows changed at this instant or later."""
    changed = (
        select(resource.c.compartment).distinct().where(resource.c.study == study, resource.c.last_updated >= since)
    )
    held = exists().where(candidate.c.study == study, candidate.c.subject == resource.c.compartment)
    return set(connection.execute(changed.where(resource.c.type.in_(_DATES), held)).scalars())


def _linked_anew(connection: Connection, study: str, since: str) -> set[str]:
    """Return those of whom results are held and who are another person or number of the hospital since this instant."""
    chosen = select(link_event.c.subject).distinct().where(link_event.c.study == study, link_event.c.at >= since)
    held = exists().where(candidate.c.study == study, candidate.c.subject == link_event.c.subject)
    return set(connection.execute(chosen.where(link_event.c.action.in_(ANEW), held)).scalars())
