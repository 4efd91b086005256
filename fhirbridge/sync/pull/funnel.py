"""Accounts for a pull: everything that was found has one fate, everything new has one state, and the sums balance.

Per subject (the id of our own Patient) and per analyte; nothing here names a person or holds a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fhirbridge.store.decisions import State
from fhirbridge.store.judgements import Judgement
from fhirbridge.sync.pull.incoming import Why

Fate = Literal["ours", "not collected", "other patient", "unusable", "unchanged", "new", "changed"]
End = Literal[
    "pending", "cancelled", "unmapped", "unreadable", "duplicate", "waiting", "out of window", "reopened", "accepted",
    "rejected",
]  # fmt: skip

FATES: tuple[Fate, ...] = get_args(Fate)
ENDS: tuple[End, ...] = get_args(End)
KEPT: tuple[Fate, ...] = ("new", "changed")

Counts = Mapping[str, int]

_NONE: Counter[str] = Counter()
_COUNTED = ("read", "fates", "ends", "moved")


def end_of(judged: Judgement) -> End:
    """Return where a judgement left a result; one that waits outside every window is counted apart."""
    if judged.state == "waiting" and not judged.inside:
        return "out of window"
    return _ENDS[judged.state]


_ENDS: dict[State, End] = {
    "pending": "pending", "cancelled": "cancelled", "unmapped": "unmapped", "unreadable": "unreadable",
    "duplicate": "duplicate", "waiting": "waiting", "reopened": "reopened", "accepted": "accepted",
    "rejected": "rejected",
}  # fmt: skip


@dataclass(slots=True)
class Funnel:
    """The counts of one pull.

    What was found is counted when it is read, its fate when it is known: neither is worked out from the other, so
    that what was lost between them shows.
    """

    read: Counter[str] = field(default_factory=Counter)
    """Results found, by subject."""
    fates: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By subject, analyte (empty where none is known) and fate."""
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Of what was new or changed: by subject, analyte and state."""
    moved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """States of results that did not come this time, and stand otherwise than before because others came."""

    def found(self, subject: str, results: int = 1) -> None:
        """Count what a source answered: results and what is set aside."""
        self.read[subject] += results

    def fate(self, subject: str, fate: Fate | Why, analyte: str = "", *, results: int = 1) -> None:
        """Count what some of them turned out to be."""
        self.fates[subject, analyte, fate] += results

    def ended(self, subject: str, judged: Judgement) -> None:
        """Count where something new or changed ended; once for each version of it that came."""
        self.ends[subject, judged.analyte, end_of(judged)] += 1

    def shifted(self, subject: str, judged: Judgement) -> None:
        """Count a result that stands otherwise than before though it did not come this time."""
        self.moved[subject, judged.analyte, end_of(judged)] += 1

    def merge(self, other: Funnel) -> None:
        """Add another's counts, as of another feed or thread."""
        for name in _COUNTED:
            getattr(self, name).update(getattr(other, name))

    def leave_out(self, other: Funnel) -> None:
        """Take back what was merged of another."""
        for name in _COUNTED:
            mine: Counter[Any] = getattr(self, name)
            mine.subtract(getattr(other, name))
            for key in [key for key in getattr(other, name) if not mine[key]]:
                del mine[key]

    @property
    def balanced(self) -> bool:
        """Whether every sum holds."""
        return not any(self.imbalances())

    def imbalances(self) -> Iterator[str]:
        """Yield, for each subject whose sums do not hold, which of them."""
        all_fates, all_ends = _grouped(self.fates, 0), _grouped(self.ends, 0)
        told = {subject for subject, results in self.read.items() if results}
        for subject in sorted({*told, *all_fates, *all_ends}):
            fates, ends = all_fates.get(subject, _NONE), all_ends.get(subject, _NONE)
            if self.read[subject] != fates.total():
                yield f"{subject}: {self.read[subject]} found, but {fates.total()} with a fate"
            kept = sum(fates[fate] for fate in KEPT)
            if kept != ends.total():
                yield f"{subject}: {kept} new or changed, but {ends.total()} with a state"

    def as_dict(self) -> dict[str, Any]:
        """Return all counts as plain JSON: the total, each subject's and each analyte's."""
        parts = self.fates, self.ends, self.moved
        total, subjects, analytes = ([_grouped(part, place) for part in parts] for place in (None, 0, 1))
        return {
            "balanced": self.balanced,
            "total": {"found": self.read.total()} | _shown("", total),
            "subjects": {
                one: {"found": self.read[one]} | _shown(one, subjects)
                for one in sorted({*self.read, *(name for part in subjects for name in part)})
            },
            "analytes": {one: _shown(one, analytes) for one in sorted({name for part in analytes for name in part})},
        }


def _grouped(counts: Counter[tuple[str, str, str]], place: int | None) -> dict[str, Counter[str]]:
    """Return counts of fates or states by one part of their keys, or all under the empty name."""
    found: dict[str, Counter[str]] = {}
    for key, count in counts.items():
        found.setdefault("" if place is None else key[place], Counter())[key[2]] += count
    return found


def _shown(name: str, parts: list[dict[str, Counter[str]]]) -> dict[str, Any]:
    fates, ends, moved = (part.get(name, _NONE) for part in parts)
    if not (fates or ends or moved):  # most subjects of most pulls
        return {"fates": dict.fromkeys(FATES, 0), "states": dict.fromkeys(ENDS, 0), "moved": {}}
    return {
        "fates": {fate: fates[fate] for fate in FATES},
        "states": {end: ends[end] for end in ENDS},
        "moved": {end: moved[end] for end in ENDS if moved[end]},
    }
