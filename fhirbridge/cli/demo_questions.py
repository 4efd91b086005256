"""What the demo's registry wants to know, and what the store itself counts in answer to that."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.registry import Answered
from fhirbridge.elements import LOINC, UCUM
from fhirbridge.release import cells
from fhirbridge.release.agreement import Agreement
from fhirbridge.search.query import Query, parse
from fhirbridge.search.values import Surroundings
from fhirbridge.store import instants
from fhirbridge.terminology import lirads

OF_PEOPLE = ("Patient", "ResearchSubject", "BodyStructure", "Observation", "DiagnosticReport")
PAGE = 1000
MOST_INCLUDED = 10 * PAGE


@dataclass(frozen=True, slots=True)
class Question:
    """What the registry wants to know: in ``words``, as what is asked of the API, and as searches of the release."""

    kind: str
    words: str
    asked: str
    searches: tuple[str, ...]


def _search(kind: str, words: str, asked: str) -> Question:
    return Question(kind, words, asked, (asked,))


QUESTIONS = (
    _search(
        "search",
        "Whose HBV DNA was above 2,000 IU/mL at baseline?",
        f"Observation?code={LOINC}|42595-9&visit=W000&value-quantity=gt2000|{UCUM}|[IU]/mL",
    ),
    _search(
        "include",
        "Which MRI findings were LR-5, in which lesion and of whom?",
        f"Observation?value-concept={lirads.CATEGORY_SYSTEM}|LR-5"
        "&_include=Observation:focus&_include=Observation:subject",
    ),
    Question(
        "export", "What is there of everybody, as files?", f"Patient/$export?_type={','.join(OF_PEOPLE)}", OF_PEOPLE
    ),
)


@dataclass(slots=True)
class Held:
    """What a release holds in answer to a question, counted by the store."""

    matches: Counter[str] = field(default_factory=Counter)
    included: Counter[str] = field(default_factory=Counter)
    people: int = 0
    told: dict[str, int | None] = field(default_factory=dict)
    """The numbers that the agreement lets be told, by type; None where one rests on too few people."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A question, what came, and what the store holds."""

    question: Question
    came: Answered
    held: Held

    @property
    def agrees(self) -> bool:
        """Whether the registry got what is released, no more and no less, and no number that it must not be told."""
        came, held = self.came, self.held
        same = (came.matches, came.included, len(came.people)) == (held.matches, held.included, held.people)
        # An export has no file, and so no number, of what there is none of.
        return same and all(came.told.get(kind, 0) == number for kind, number in held.told.items())

    @property
    def withheld(self) -> list[str]:
        """The types whose number was not told."""
        return [kind for kind, number in self.came.told.items() if number is None]


def held(place: Workplace, agreement: Agreement, question: Question) -> Held:
    """Count in the store's release what answers a question. Raises StoreError."""
    found, around = Held(), Surroundings(zone=place.study.schedule.zone, now=instants.utc_now())
    for text in question.searches:
        kind, _, raw = text.partition("?")
        _add(place, agreement, parse(kind, raw.encode(), around), found)
    return found


def _add(place: Workplace, agreement: Agreement, query: Query, found: Held) -> None:
    releases = place.store.releases
    position = releases.position(agreement.id)
    at = 0 if position is None else position.number
    count = releases.count(agreement.id, query, at=at)
    if count.resources:
        found.matches[query.type] += count.resources
    found.people = max(found.people, count.people or 0)
    found.told[query.type] = cells.shown([count], agreement.counts)[0]
    after, included, more = None, set[tuple[str, str]](), bool(query.includes)
    while more:
        page = releases.search(agreement.id, query, at=at, after=after, count=PAGE)
        if page.matches:
            added = releases.included(agreement.id, query, page.matches, at=at, limit=MOST_INCLUDED)
            included |= {(one.type, one.id) for one in added}
        after, more = page.after, page.after is not None
    found.included.update(kind for kind, _ in included)
