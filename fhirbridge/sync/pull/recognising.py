"""Recognises which laboratory reported a result: by the systems of its codes, else by who it says performed it."""

from __future__ import annotations

from collections.abc import Iterable

from fhirbridge.terminology.glyphs import folded, plain
from fhirbridge.terminology.laboratories import ANY, Laboratories, ReportedCode


class LaboratoryNames:
    """The laboratories' names as their CSV files have them; ``default`` is that of results that name none.

    No other name ever comes out of here: a performer may be a person, and persons are not kept.
    """

    def __init__(self, laboratories: Laboratories, default: str = "") -> None:
        self._default = default
        self._names = {folded(plain(name)): name for name in laboratories.names()}
        self._by_system: dict[str, set[str]] = {}
        common = {row.system for row in laboratories.rows if row.laboratory == ANY}
        for row in laboratories.rows:
            if row.system not in common:
                self._by_system.setdefault(row.system, set()).add(row.laboratory)

    def of(self, codes: Iterable[ReportedCode], performers: Iterable[str]) -> str:
        """Return the laboratory's name, the default where nothing names one, nothing where several are named.

        ``performers`` are names and numbers of who performed the test.
        """
        by_code = {name for code in codes for name in self._by_system.get(code.system or "", ())}
        found = by_code or {
            name for performer in performers if (name := self._names.get(folded(plain(performer)))) is not None
        }
        if len(found) > 1:
            return ""
        return next(iter(found), self._default)
