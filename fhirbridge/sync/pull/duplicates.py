"""Tells results that say one thing twice from results of one specimen that contradict each other.

One specimen is one analyte at one moment, or on one civil day where a time is unknown. Which of two equal results is
kept depends on the results alone, never on which of them came first; what was accepted is kept in any case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from fhirbridge.elements import LOINC
from fhirbridge.protocol.civil import Day
from fhirbridge.sync.pull.meaning import Meaning
from fhirbridge.terminology.logarithms import agree
from fhirbridge.terminology.units import Amount

Name = tuple[str, str]
"""Feed and reference."""
Relation = Literal["same", "values contradict", "logarithm disagrees", "copies disagree"]

_LOGARITHM, _COPIES = 2, 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One dated result with a value; ``held`` says that it was accepted."""

    name: Name
    meaning: Meaning
    held: bool = False

    @property
    def rank(self) -> tuple[object, ...]:
        """What decides which of two equal results is kept: the smaller."""
        coded = any(code.system == LOINC for code in self.meaning.incoming.codes)
        return self.meaning.kind, not self.held, bool(self.meaning.doubts), not coded, self.name


@dataclass(slots=True)
class Duplicates:
    """``same``: for each duplicate the result that is kept; ``conflicts``: in what a result contradicts another."""

    same: dict[Name, Name] = field(default_factory=dict)
    conflicts: dict[Name, set[str]] = field(default_factory=dict)


def find(entries: Iterable[Entry]) -> Duplicates:
    """Compare all results of a subject; their order does not matter."""
    days: defaultdict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.meaning.analyte is not None and isinstance(entry.meaning.day, Day):
            days[entry.meaning.analyte.name, entry.meaning.day.number].append(entry)
    found = Duplicates()
    for together in days.values():
        if len(together) > 1:
            _compare(sorted(together, key=lambda entry: entry.rank), found)
    return found


def _compare(ranked: Sequence[Entry], found: Duplicates) -> None:
    """Compare one day's results, the best first: each is kept, or is the same as one that is kept."""
    kept: list[Entry] = []
    for entry in ranked:
        twin = next((one for one in kept if _one_specimen(one, entry) and _relation(one, entry) == "same"), None)
        if twin is None or entry.held:
            kept.append(entry)
        else:
            found.same[entry.name] = twin.name
    for index, one in enumerate(kept):
        for other in kept[index + 1 :]:
            relation = _relation(one, other)
            if relation != "same" and _one_specimen(one, other):
                found.conflicts.setdefault(one.name, set()).add(relation)
                found.conflicts.setdefault(other.name, set()).add(relation)


def _one_specimen(one: Entry, other: Entry) -> bool:
    """Tell whether two results of one day may be of one specimen."""
    seconds = {entry.meaning.day.seconds for entry in (one, other) if isinstance(entry.meaning.day, Day)}
    return len(seconds) == 1 or None in seconds


def _relation(one: Entry, other: Entry) -> Relation:
    """Say whether two results agree. Copies and logarithms agree with a number where they do within rounding."""
    first, second = sorted((one.meaning, other.meaning), key=lambda meaning: meaning.kind)
    left, right = first.harmonised, second.harmonised
    if left.answer is not None or right.answer is not None:
        return "same" if left.answer == right.answer else "values contradict"
    if left.canonical is None or right.canonical is None:
        return "values contradict"
    if left.canonical.unit == right.canonical.unit:
        equal = (left.canonical.value, left.canonical.comparator) == (right.canonical.value, right.canonical.comparator)
        return "same" if equal else "values contradict"
    same_side = left.canonical.comparator == right.canonical.comparator
    if second.kind == _LOGARITHM:
        linear = first.amount
        near = linear is not None and agree(linear.value, right.canonical.value)
        return "same" if near and same_side else "logarithm disagrees"
    return "same" if same_side and _near(first.amount, second.amount) else "copies disagree"


def _near(one: Amount | None, other: Amount | None) -> bool:
    """Tell whether two numbers agree to the digits of the less exact one, its last digit give or take one."""
    if one is None or other is None:
        return False
    step = max(_step(one.value), _step(other.value))
    return abs(one.value - other.value) <= step


def _step(value: Decimal) -> Decimal:
    """Return what one in the last digit is worth; zeros at the end of a whole number may be digits or none."""
    exponent = value.as_tuple().exponent
    return Decimal(1).scaleb(exponent) if isinstance(exponent, int) else Decimal(0)
