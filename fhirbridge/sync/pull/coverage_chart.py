"""Draws a coverage as SVG: a row of bars for each analyte, a bar for each visit, its parts the states of its cells."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from fhirbridge.sync.pull.coverage import STATES, YARDSTICK, Coverage, State, filled

COLOURS: dict[State, str] = {
    "filled": "#2a7f62", "waiting": "#e0a526", "late": "#d9772b", "missed": "#b3392f", "due": "#8fb8de",
    "upcoming": "#dfe5ea", "ended": "#b8bec4",
}  # fmt: skip
"""Told apart also without red and green: they differ in lightness, and the legend has their order."""

_LEFT, _TOP, _BAR, _GAP, _HIGH, _ROW = 110, 56, 34, 10, 90, 130


def svg(coverage: Coverage) -> str:
    """Return the drawing; what there is nothing of is not drawn."""
    analytes, visits = coverage.names("analyte"), coverage.names("visit")
    width = max(_LEFT + len(visits) * (_BAR + _GAP) + 80, 620)
    height = _TOP + len(analytes) * _ROW + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_legend(),
    ]
    for number, analyte in enumerate(analytes):
        parts += _row(coverage, analyte, visits, _TOP + number * _ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> Iterator[str]:
    for number, state in enumerate(STATES):
        at = 16 + number * 82
        yield f'<rect x="{at}" y="14" width="12" height="12" fill="{COLOURS[state]}"/>'
        yield f'<text x="{at + 16}" y="24">{state}</text>'


def _row(coverage: Coverage, analyte: str, visits: list[str], top: int) -> Iterator[str]:
    share = filled(coverage.counts("analyte", analyte))
    told = "nothing expected yet" if share is None else f"{share:.0%} (published: {YARDSTICK['filled']:.0%})"
    yield f'<text x="16" y="{top + 14}" font-weight="bold">{escape(analyte)}</text>'
    yield f'<text x="{_LEFT}" y="{top - 4}">{told}</text>'
    of_analyte = Coverage([cell for cell in coverage.cells if cell.analyte == analyte])
    for number, visit in enumerate(visits):
        left = _LEFT + number * (_BAR + _GAP)
        counts = of_analyte.counts("visit", visit)
        yield from _bar(counts.total(), [(state, counts[state]) for state in STATES], left, top)
        yield f'<text x="{left + _BAR / 2}" y="{top + _HIGH + 14}" text-anchor="middle">{escape(visit)}</text>'


def _bar(total: int, parts: list[tuple[State, int]], left: int, top: int) -> Iterator[str]:
    bottom = float(top + _HIGH)
    for state, count in parts:
        if count:
            high = _HIGH * count / total
            bottom -= high
            yield (
                f'<rect x="{left}" y="{bottom:.1f}" width="{_BAR}" height="{high:.1f}" fill="{COLOURS[state]}">'
                f"<title>{state}: {count} of {total}</title></rect>"
            )
