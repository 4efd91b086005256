"""Filters of a search in SQL: which entries of a release meet them, and by which of them the search begins.

A filter says of an entry whether it meets it, by the index's rows of that entry. One filter can instead be where the
search begins: that by which the fewest entries are found, so that what is looked at is little more than what is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    false,
    or_,
    select,
    true,
)

from fhirbridge.search.filters import Chain, Filter, Has, Match, Missing, Together
from fhirbridge.store import release_prepared, release_terms
from fhirbridge.store.release_index import axis
from fhirbridge.store.release_remembering import Remembered
from fhirbridge.store.release_tables import (
    release_date,
    release_entry,
    release_posting,
    release_quantity,
    release_term,
)

MANY = 200
"""Terms that are put into a statement by their keys; more are left to the database."""

Condition = ColumnElement[bool]
Aliased = Any
_SPANS = {"date": release_date, "quantity": release_quantity}


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms that were looked up, and about how many entries have one of them."""

    keys: tuple[int, ...]
    uses: int


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a search begins: what it selects from, and under which conditions. ``place`` is what it is ordered by."""

    source: FromClause
    conditions: tuple[Condition, ...]
    place: ColumnElement[int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a release at a position, by a connection that sees one state of the database."""

    connection: Connection
    release: int
    study: str
    at: int
    counting: bool = False
    """All that is found is counted, not only a page of it shown."""
    ruled: int = 0
    """The generation of the rules that the index was made under."""
    remembered: Remembered[Terms] | None = None
    """Terms of single values; None while the index is made anew under other rules."""
    _known: dict[tuple[str, Filter], Terms | None] = field(default_factory=dict)

    def visible(self, entry: Aliased, *, deleted: bool = False) -> Condition:
        """Say whether an entry is there at the position, and its person consents now."""
        return release_prepared.there(entry, self.at, self.study, few=not self.counting, deleted=deleted)

    def only_terms(self, type_: str, filters: Sequence[Filter]) -> tuple[int, ...] | None:
        """Return the terms that all matches have, the rarest first; None where it is not that simple."""
        found = []
        for one in filters:
            terms = self._terms(type_, one) if isinstance(one, Match) else None
            if terms is None or len(terms.keys) != 1:
                return None
            found.append((terms.uses, terms.keys[0]))
        return tuple(key for _, key in sorted(found)) or None

    def begin(self, type_: str, filters: Sequence[Filter], entry: Aliased, *, ordered: bool = False) -> Begun | None:
        """Return how to find the entries of a type that meet all filters; None where nothing can.

        ``ordered``: a page in order of ``place`` is wanted, so it may be better to go through all of the type.
        """
        looked_up = {number: found for number, one in enumerate(filters) if (found := self._terms(type_, one))}
        if any(not found.keys for found in looked_up.values()):
            return None
        best = min(looked_up, key=lambda number: looked_up[number].uses, default=None)
        first = None if best is None else looked_up[best]
        rest = [one for number, one in enumerate(filters) if number != best or isinstance(one, Together)]
        c, visible = entry.c, self.visible(entry)
        if first is not None and len(first.keys) == 1:
            posting = release_posting.alias()
            source = posting.join(entry, c.key == posting.c.entry)
            met = [self.meets(one, type_, entry) for one in rest]
            return Begun(source, (posting.c.term == first.keys[0], visible, *met), posting.c.place)
        here = and_(c.release == self.release, c.type == type_)
        if first is not None and (first.uses < release_prepared.FEW or not ordered):
            chosen = select(release_posting.c.entry).where(release_posting.c.term.in_(first.keys))
            met = [self.meets(one, type_, entry) for one in rest]
            return Begun(entry, (c.key.in_(chosen), here, visible, *met), c.place)
        met = [self._ranged(one, type_, entry) for one in filters]
        return Begun(entry, (here, visible, *met), c.place)

    def meets(self, one: Filter, type_: str, entry: Aliased) -> Condition:
        """Say whether an entry of a type meets a filter."""
        if isinstance(one, Match):
            found = self._has(one, type_, entry).exists()
            return ~found if one.negated else found
        if isinstance(one, Missing):
            there = self._any_row(one, type_, entry).exists()
            return ~there if one.missing else there
        if isinstance(one, Chain):
            return self._points(one, type_, entry)
        if isinstance(one, Has):
            return self._pointed_at(one, type_, entry)
        return or_(false(), *(self._together(matches, type_, entry) for matches in one.alternatives))

    def _ranged(self, one: Filter, type_: str, entry: Aliased) -> Condition:
        """Say the same where nothing narrower is known: spans by their own order, not entry by entry."""
        if not isinstance(one, Match) or one.negated or one.index not in _SPANS:
            return self.meets(one, type_, entry)
        rows = _SPANS[one.index].alias()
        along = and_(rows.c.release == self.release, rows.c.axis == axis(type_, one.code))
        return entry.c.key.in_(select(rows.c.entry).where(along, _spans(rows, one)))  # type: ignore[no-any-return]

    def _terms(self, type_: str, one: Filter) -> Terms | None:
        """Return the terms by which a filter can be met, None for one that is met otherwise or by too many."""
        if isinstance(one, Match):
            return None if one.negated or one.index in _SPANS else self._look_up(type_, one)
        if isinstance(one, Chain):
            return self._look_up(type_, one)
        if not isinstance(one, Together):
            return None
        found = []
        for matches in one.alternatives:
            known = [terms for match in matches if (terms := self._terms(type_, match)) is not None]
            if not known:
                return None
            found.append(min(known, key=lambda terms: terms.uses))
        return Terms(tuple({key for each in found for key in each.keys}), sum(each.uses for each in found))

    def _look_up(self, type_: str, one: Match | Chain) -> Terms | None:
        """Return the terms that have one of a match's values or point to what is meant, once; None for too many."""
        question = type_, one
        if question not in self._known:
            self._known[question] = (
                self._look_up_match(type_, one) if isinstance(one, Match) else self._look_up_chain(type_, one)
            )
        return self._known[question]

    def _look_up_match(self, type_: str, one: Match) -> Terms | None:
        prepared = release_prepared.one_term(one)
        if prepared is not None:
            return self._remembered(type_, one, *prepared)
        c = release_term.c
        here = and_(c.release == self.release, c.axis == axis(type_, one.code, one.index))
        wanted = release_terms.of_term(c, one, self.connection.dialect.name)
        return self._counted(select(c.key).where(here, wanted))

    def _remembered(self, type_: str, one: Match, chosen: Select[Any], given: dict[str, str]) -> Terms | None:
        """Return the terms of a single value: at one position, and under the same rules, they stay the same."""
        question = self.release, self.ruled, self.at, type_, one
        found = None if self.remembered is None else self.remembered.get(question)
        if found is None:
            where = {"release": self.release, "axis": axis(type_, one.code, one.index), "most": MANY + 1}
            found = self._found(self.connection.execute(chosen, where | given).all())
            if self.remembered is not None and found and found.keys:
                self.remembered.put(question, found)
        return found

    def _look_up_chain(self, type_: str, one: Chain) -> Terms | None:
        found = []
        for target, inner in one.targets:
            entry = release_entry.alias()
            begun = self.begin(target, (inner,), entry)
            if begun is None:
                continue
            c = release_term.c
            of_it = and_(c.short == entry.c.id, c.code == entry.c.id, c.system == target)
            along = and_(c.release == self.release, c.axis == axis(type_, one.code))
            source = begun.source.join(release_term, and_(along, of_it))
            terms = self._counted(select(c.key).select_from(source).where(*begun.conditions))
            if terms is None:
                return None
            found.append(terms)
        return Terms(tuple({key for each in found for key in each.keys}), sum(each.uses for each in found))

    def _counted(self, chosen: Select[Any]) -> Terms | None:
        return self._found(self.connection.execute(release_prepared.counted(chosen.limit(MANY + 1))).all())

    def _found(self, rows: Sequence[Any]) -> Terms | None:
        if len(rows) > MANY:
            return None
        return Terms(tuple(key for key, _ in rows), sum(number for _, number in rows))

    def _has(self, one: Match, type_: str, entry: Aliased) -> Select[Any]:
        """Select the rows of an entry that have one of a match's values."""
        return self._rows_of(one, type_, entry)[1]

    def _rows_of(self, one: Match, type_: str, entry: Aliased) -> tuple[ColumnElement[int], Select[Any]]:
        """Return the bits of the parts of an entry's rows that have one of a match's values, and their selection."""
        along = axis(type_, one.code, one.index)
        if one.index in _SPANS:
            rows = _SPANS[one.index].alias()
            mine = and_(rows.c.entry == entry.c.key, rows.c.axis == along)
            return rows.c.part, select(rows.c.part).where(mine, _spans(rows, one)).correlate(entry)
        posting = release_posting.alias()
        terms = self._look_up(type_, one)
        bits = select(posting.c.parts)
        if terms is not None:
            mine = and_(posting.c.place == entry.c.place, posting.c.entry == entry.c.key)
            known = posting.c.term == terms.keys[0] if len(terms.keys) == 1 else posting.c.term.in_(terms.keys)
            return posting.c.parts, bits.where(known, mine).correlate(entry)
        term = release_term.alias()
        mine = and_(posting.c.entry == entry.c.key, posting.c.axis == along, term.c.key == posting.c.term)
        wanted = release_terms.of_term(term.c, one, self.connection.dialect.name)
        return posting.c.parts, bits.select_from(posting, term).where(mine, wanted).correlate(entry)

    def _any_row(self, one: Missing, type_: str, entry: Aliased) -> Select[Any]:
        rows = _SPANS.get(one.index, release_posting).alias()
        mine = and_(rows.c.entry == entry.c.key, rows.c.axis == axis(type_, one.code))
        return select(rows.c.entry).where(mine).correlate(entry)

    def _together(self, matches: tuple[Match, ...], type_: str, entry: Aliased) -> Condition:
        """Say whether rows of one part have all of the matches' values."""
        found = [self._rows_of(one, type_, entry) for one in matches]
        chosen = found[0][1]
        for _, other in found[1:]:
            chosen = chosen.add_columns(*other.selected_columns).where(other.whereclause)  # type: ignore[arg-type]
        shared: Any = found[0][0]
        for bits, _ in found[1:]:
            shared = shared.op("&")(bits)
        return chosen.where(shared != 0).exists()

    def _points(self, one: Chain, type_: str, entry: Aliased) -> Condition:
        posting = release_posting.alias()
        terms = self._look_up(type_, one)
        if terms is not None:
            mine = and_(posting.c.place == entry.c.place, posting.c.entry == entry.c.key)
            return select(posting.c.entry).where(posting.c.term.in_(terms.keys), mine).correlate(entry).exists()
        term = release_term.alias()
        mine = and_(posting.c.entry == entry.c.key, posting.c.axis == axis(type_, one.code))
        met = []
        for target, inner in one.targets:
            other = release_entry.alias()
            same = and_(other.c.release == self.release, other.c.type == target, other.c.id == term.c.code)
            there = and_(same, self.visible(other), self.meets(inner, target, other))
            met.append(and_(term.c.system == target, select(other.c.key).where(there).correlate(term).exists()))
        pointing = select(posting.c.entry).select_from(posting, term)
        return pointing.where(mine, term.c.key == posting.c.term, or_(false(), *met)).correlate(entry).exists()

    def _pointed_at(self, one: Has, type_: str, entry: Aliased) -> Condition:
        other, posting, term = release_entry.alias(), release_posting.alias(), release_term.alias()
        begun = self.begin(one.type, (one.filter,), other)
        if begun is None:
            return false()
        along = and_(posting.c.entry == other.c.key, posting.c.axis == axis(one.type, one.code))
        source = begun.source.join(posting, along).join(term, term.c.key == posting.c.term)
        ids = select(term.c.code).select_from(source).where(term.c.system == type_, *begun.conditions)
        return entry.c.id.in_(ids)  # type: ignore[no-any-return]


def either(conditions: Iterable[Sequence[Condition]]) -> Condition:
    """Say whether all conditions of one of these hold."""
    return or_(false(), *(and_(true(), *some) for some in conditions))


def _spans(rows: Aliased, one: Match) -> Condition:
    said = release_terms.of_date if one.index == "date" else release_terms.of_quantity
    return said(rows.c, one.values)
