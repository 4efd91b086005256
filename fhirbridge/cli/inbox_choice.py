"""Which candidates of the inbox a command means: by name, with what was seen of them, or all that wait."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import InputError
from fhirbridge.store import Candidate
from fhirbridge.store.candidates import After
from fhirbridge.store.decisions import STATES, State

PAGE = 500

_NAME = re.compile(r"(?:C-)?([0-9]{1,18})(?:@([0-9]{1,18}-[0-9a-f]{6}))?", re.ASCII | re.IGNORECASE)

Named = Annotated[
    str,
    typer.Argument(metavar="CANDIDATE", help="For example C-1234, or C-1234@… as `show` gives it for what you saw."),
]
Chosen = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CANDIDATE]...", help="Some by name, for example C-1234; C-1234@… for what you saw."),
]
Analyte = Annotated[str | None, typer.Option("--analyte", help="Only this analyte of the study.")]
Subject = Annotated[
    str | None, typer.Option("--subject", help="Only this subject: its number in the study, or Patient/ID.")
]
Why = Annotated[str, typer.Option("--reason", help="Why, for those who read it later; needed.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before deciding on all.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A candidate as it stands now, and what was seen of it: what a decision on it rests on."""

    candidate: Candidate
    seen: str


def named(place: Workplace, text: str) -> Choice:
    """Return the candidate of a name. Raises InputError for what is no name, and for none of this study."""
    parts = _NAME.fullmatch(text.strip())
    if parts is None:
        raise InputError(f"{text!r} names no candidate. Write it like C-1234. `fhirbridge inbox list` names them.")
    known = place.store.candidates.get(int(parts[1]))
    if known is None or known[0].study != place.study.id:
        raise InputError(f"there is no candidate {text}. `fhirbridge inbox list` names them.")
    return Choice(candidate=known[0], seen=(parts[2] or known[0].seen).lower())


def chosen(
    place: Workplace,
    texts: Sequence[str] | None,
    *,
    every: bool,
    analyte: str | None,
    subject: str | None,
    states: Sequence[State],
) -> list[Choice]:
    """Return the candidates named, or with ``every`` all in these states, each once."""
    if bool(texts) == every:
        choose = "name candidates like C-1234" + (", or give --all, not both" if states else "")
        raise InputError(f"{choose}. `fhirbridge inbox list` names them.")
    if texts:
        if analyte or subject:
            raise InputError("--analyte and --subject go with --all, not with names.")
        return list({one.candidate.key: one for one in (named(place, text) for text in texts)}.values())
    about = subject_of(place, subject) if subject else None
    found = pages(place, states, analyte, about, None)
    return [Choice(candidate=one, seen=one.seen) for one in found]


def pages(
    place: Workplace, states: Sequence[State], analyte: str | None, subject: str | None, most: int | None
) -> list[Candidate]:
    """Return the candidates in these states, at most so many, those that have stood so the longest first."""
    if analyte is not None and place.pulled_study.analyte(analyte) is None:
        known = ", ".join(one.name for one in place.pulled_study.analytes)
        raise InputError(f"the study has no analyte {analyte!r}. It has: {known}.")
    found = list[Candidate]()
    after: After | None = None
    while most is None or len(found) < most:
        limit = PAGE if most is None else min(PAGE, most - len(found))
        some = place.store.candidates.page(
            place.study.id, states, analyte=analyte, subject=subject, after=after, limit=limit
        )
        found += some
        if len(some) < limit:
            break
        after = some[-1].changed, some[-1].key
    return found


def subject_of(place: Workplace, text: str) -> str:
    """Return the id of the Patient whom a subject's number, or ``Patient/ID``, means. Raises InputError for nobody."""
    patient = text.removeprefix("Patient/") if text.startswith("Patient/") else place.identity.id("Patient", text)
    if not any(one.study == place.study.id for one in place.store.read_many("Patient", [patient])):
        raise InputError("the study has no such subject. Give its number in the study, or Patient/ID as `show` has it.")
    return patient


def states_of(texts: Sequence[str] | None, otherwise: Sequence[State]) -> tuple[State, ...]:
    """Return the states named, those that wait if none is. Raises InputError for what is none."""
    if not texts:
        return tuple(otherwise)
    if unknown := [text for text in texts if text not in STATES]:
        raise InputError(f"no candidate is {unknown[0]!r}. A candidate is one of: {', '.join(STATES)}.")
    return tuple(state for state in STATES if state in texts)
