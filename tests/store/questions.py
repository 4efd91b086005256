"""Searches of every kind, made from an index so that they find something, and often not all of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from fhirbridge.search.matching import Indexed
from fhirbridge.search.parameters import Parameter
from fhirbridge.search.rows import DateRow, QuantityRow, ReferenceRow, StringRow, TokenRow, UriRow
from fhirbridge.search.table import CATALOGUE, SERVED
from tests.store.releasing import VIRAL

PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


class Questions:
    """Makes searches over an index; the same ones for the same seed."""

    def __init__(self, index: Indexed, seed: int) -> None:
        self._index = index
        self._chance = random.Random(seed)

    def search(self) -> str:
        """``Type?query`` with up to three filters, and an order."""
        chance = self._chance
        type_ = chance.choice(["Observation"] * 5 + ["Patient"] * 2 + [*SERVED])
        filters = [self._filter(type_, 2) for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3]))]
        keys = [chance.choice(["", "-"]) + one.code for one in self._some(type_, chance.choice([0, 0, 1, 2]))]
        asked = [one for one in filters if one] + ([f"_sort={','.join(keys)}"] if keys else [])
        return f"{type_}?{'&'.join(asked)}"

    def including(self) -> str:
        """A search with includes."""
        chance, asked = self._chance, self.search()
        type_ = asked.partition("?")[0]
        found = [self._include(type_) for _ in range(chance.randint(1, 4))]
        return "&".join([asked, *(one for one in found if one)])

    def _include(self, type_: str) -> str:
        chance = self._chance
        again = chance.choice(["", "", ":iterate"])
        if chance.random() < 0.5:
            source = chance.choice(SERVED) if again else type_
            known = CATALOGUE.references(source)
            return f"_include{again}={source}:{chance.choice([one.code for one in known])}" if known else ""
        pointing = [one for one in CATALOGUE.pointing_to(type_) if one.base in SERVED]
        if not pointing:
            return ""
        one = chance.choice(pointing)
        return f"_revinclude{again}={one.base}:{one.code}{chance.choice(['', f':{type_}'])}"

    def _some(self, type_: str, number: int) -> list[Parameter]:
        known = [one for one in CATALOGUE.of(type_) if one.kind != "composite"]
        used = [one for one in known if any(self._rows(type_, one.code))] or known
        return [self._chance.choice(used) for _ in range(number)]

    def _filter(self, type_: str, depth: int) -> str:
        chance = self._chance
        if depth and chance.random() < 0.15:
            return self._chain(type_, depth)
        if depth and chance.random() < 0.12:
            return self._has(type_, depth)
        composites = [one for one in CATALOGUE.of(type_) if one.kind == "composite"]
        if composites and chance.random() < 0.15:
            one = chance.choice(composites)
            parts = [CATALOGUE.find(type_, code) for code in one.parts]
            values = [self._composed(type_, parts) for _ in range(chance.choice([1, 1, 2]))]
            return f"{one.code}={','.join(values)}"
        one = self._some(type_, 1)[0]
        return self._plain(type_, one)

    def _composed(self, type_: str, parts: Iterable[Parameter | None]) -> str:
        return "$".join(self._value(type_, part, "") for part in parts if part is not None)

    def _chain(self, type_: str, depth: int) -> str:
        chance = self._chance
        known = [one for one in CATALOGUE.references(type_) if any(self._rows(type_, one.code))]
        if not known:
            return ""
        one = chance.choice(known)
        targets = [target for target in one.targets or SERVED if target in SERVED]
        target = chance.choice(targets)
        inner = self._filter(target, depth - 1)
        return f"{one.code}:{target}.{inner}" if inner else ""

    def _has(self, type_: str, depth: int) -> str:
        pointing = [one for one in CATALOGUE.pointing_to(type_) if any(self._rows(one.base, one.code))]
        if not pointing:
            return ""
        one = self._chance.choice(pointing)
        inner = self._filter(one.base, depth - 1)
        return f"_has:{one.base}:{one.code}:{inner}" if inner else ""

    def _plain(self, type_: str, one: Parameter) -> str:
        chance = self._chance
        if chance.random() < 0.12:
            return f"{one.code}:missing={chance.choice(['true', 'false'])}"
        modifier = ""
        if one.kind == "token" and not one.boolean:
            modifier = chance.choice(["", "", "", "", ":not", ":text", ":in", ":not-in"])
        elif one.kind == "string":
            modifier = chance.choice(["", ":exact", ":contains"])
        elif one.kind == "reference":
            modifier = chance.choice(["", "", "", ":identifier"])
        values = [self._value(type_, one, modifier) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        return f"{one.code}{modifier}={','.join(values)}"

    def _rows(self, type_: str, code: str) -> Iterator[object]:
        for (kind, _), rows in self._index.items():
            if kind == type_:
                for table in (rows.tokens, rows.dates, rows.strings, rows.references, rows.quantities, rows.uris):
                    yield from (row for row in table if row.param == code)

    def _value(self, type_: str, one: Parameter, modifier: str) -> str:
        if modifier in (":in", ":not-in"):
            return quote(VIRAL)
        code = f"{one.code}:identifier" if modifier == ":identifier" else one.code
        rows = list(self._rows(type_, code))
        if not rows or self._chance.random() < 0.04:
            return "5" if one.kind == "quantity" else "2026" if one.kind == "date" else "true" if one.boolean else "x"
        return self._said(self._chance.choice(rows), modifier)

    def _said(self, row: object, modifier: str) -> str:
        chance = self._chance
        match row:
            case TokenRow(text=text) if modifier == ":text":
                return _escaped(text[: chance.randint(1, 8)].strip() or "x")
            case TokenRow(system=system, code=code):
                shapes = [code, f"{system}|{code}"] + ([f"{system}|", f"|{code}"] if chance.random() < 0.3 else [])
                return chance.choice([_token(one) for one in shapes if one.strip("|")] or ["x"])
            case DateRow(low=low, high=high):
                length = chance.choice([4, 7, 10, 16, 19])
                text = chance.choice([low, high])[:length]
                text = "2026-01-20" if text.startswith(("0000", "9999")) else text
                return quote(chance.choice(PREFIXES) + text + ("Z" if len(text) > 10 else ""))
            case StringRow(folded=folded, exact=exact):
                start = chance.randrange(len(folded)) if modifier == ":contains" else 0
                text = exact if modifier == ":exact" else folded[start : start + chance.randint(1, 9)].strip()
                return _escaped(text or folded)
            case ReferenceRow(type=type_, id=id, url=url):
                return quote(
                    chance.choice([id, f"{type_}/{id}", f"https://r.example/fhir/{type_}/{id}"]) if id else url
                )
            case QuantityRow(value=value, system=system, code=code):
                more = chance.choice(["", f"|{system}|{code}", f"||{code}"]) if code else ""
                return quote(chance.choice(PREFIXES) + value) + quote(more, safe="|")
            case UriRow(value=value):
                return _escaped(value)
        raise AssertionError(row)


def _token(text: str) -> str:
    return "|".join(_escaped(part) for part in text.split("|", 1))


def _escaped(text: str) -> str:
    for mark in "\\,$|":
        text = text.replace(mark, "\\" + mark)
    return quote(text)
