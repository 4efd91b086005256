"""The worklist of a laboratory's file: codes and units that no row names yet, counted, with a few examples.

It holds nothing of a person: no subject, no date, and of a value only what was read of it, never its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fhirbridge.terminology.harmonising import Harmonised, Reported

EXAMPLES = 3
_LONGEST = 80
_WANTING: dict[str, Literal["code", "unit", "validity"]] = {
    "unmapped code": "code",
    "unit unknown": "unit",
    "unit missing": "unit",
    "code not valid then": "validity",
}


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """What a row is missing for: a code, a unit of a known code, or a date of a known code."""

    laboratory: str
    wanting: Literal["code", "unit", "validity"]
    system: str
    code: str
    label: str
    unit: str


@dataclass(frozen=True, slots=True)
class Work:
    """How often a gap was met, and up to three readings under it, in alphabetical order."""

    count: int
    examples: tuple[str, ...]


Worklist = Mapping[Gap, Work]


def gap(result: Reported, harmonised: Harmonised) -> Gap | None:
    """Return what is missing for this result, None where nothing is."""
    wanting = next((_WANTING[flag.code] for flag in harmonised.flags if flag.code in _WANTING), None)
    if wanting is None:
        return None
    code = result.codes[0] if result.codes else None
    unit = result.unit or result.reading.unit_code or result.reading.unit or ""
    return Gap(
        result.laboratory, wanting, (code.system if code else None) or "", _short(code.code if code else ""),
        _short(result.label or (code.display if code else None) or ""), _short(unit),
    )  # fmt: skip


def worklist(results: Iterable[tuple[Reported, Harmonised]]) -> Worklist:
    """Return the worklist of these results, the commonest gap first; their order does not matter."""
    found: dict[Gap, Work] = {}
    for result, harmonised in results:
        missing = gap(result, harmonised)
        if missing is not None:
            work = Work(1, (_short(result.reading.canonical),))
            found[missing] = _together(found[missing], work) if missing in found else work
    return _ordered(found)


def merged(first: Worklist, second: Worklist) -> Worklist:
    """Return two worklists as one, as if their results had come together."""
    found = dict(first)
    for missing, work in second.items():
        found[missing] = _together(found[missing], work) if missing in found else work
    return _ordered(found)


def _together(first: Work, second: Work) -> Work:
    examples = sorted({*first.examples, *second.examples})[:EXAMPLES]
    return Work(first.count + second.count, tuple(examples))


def _ordered(found: Mapping[Gap, Work]) -> Worklist:
    return dict(sorted(found.items(), key=lambda item: (-item[1].count, item[0])))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
