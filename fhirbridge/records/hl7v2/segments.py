"""From a message's text to its segments: what is cut, glued or broken across lines is refused here, as a whole."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import hl7

from fhirbridge.records.hl7v2.escapes import unescape
from fhirbridge.records.hl7v2.faults import Fault, Faulty, Rule
from fhirbridge.records.hl7v2.header import Header

READ = frozenset({"PID", "ORC", "OBR", "OBX", "NTE", "SPM"})
"""Segments whose content is used; of the others only the name is looked at."""
KNOWN = READ | {
    "MSH", "SFT", "PD1", "NK1", "PV1", "PV2", "TQ1", "TQ2", "CTD", "FT1", "CTI", "DSC", "ERR", "MSA", "EVN", "ROL",
    "AL1", "DG1", "GT1", "IN1", "IN2", "IN3", "DB1", "ACC", "BLG", "PRT", "UAC", "ARV", "OBS", "PR1", "SAC", "INV",
}  # fmt: skip
"""Segments that may stand in a result message, and some that senders add; sites' own begin with Z."""

MOST_PARTS = 250_000
"""Separators and line ends in one message: each becomes an object, and a message of nothing else fills the memory."""

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)
_HIDDEN = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Segment:
    """One segment of a message; fields are numbered as HL7 does."""

    name: str
    occurrence: int
    line: int
    fields: hl7.Segment
    header: Header
    codec: str

    def fault(self, rule: Rule, message: str, remedy: str, field: int | None = None) -> Faulty:
        """Return an error that names this segment and field."""
        return Faulty(
            Fault(rule, message, remedy, segment=self.name, occurrence=self.occurrence, line=self.line, field=field)
        )

    @cached_property
    def _esc(self) -> str:
        return self.header.separators.escape

    def repetitions(self, number: int) -> list[list[str]]:
        """Return a field's repetitions as lists of components, unescaped and stripped; null counts as empty."""
        return [[self.text(part, number) for part in components] for components in self.raw(number)]

    def raw(self, number: int) -> list[list[str]]:
        """Return a field's repetitions as lists of components as they stand; subcomponents are not split."""
        if number >= len(self.fields):
            return []
        field = self.fields[number]
        if isinstance(field, str) or (len(field) == 1 and isinstance(field[0], str)):
            whole = field if isinstance(field, str) else field[0]
            return [[whole]] if whole else []
        join = self.header.separators.subcomponent.join
        return [
            [component if isinstance(component, str) else join(component) for component in repetition]
            for repetition in field
        ]

    def first(self, number: int, component: int = 1) -> str:
        """Return one component of a field's first repetition, empty where there is none."""
        if number >= len(self.fields):
            return ""
        repetitions = self.raw(number)
        if not repetitions or component > len(repetitions[0]):
            return ""
        return self.text(repetitions[0][component - 1], number)

    def text(self, raw: str, number: int, *, strip: bool = True) -> str:
        """Unescape one part of a field. Raises Faulty where its escape sequences are wrong."""
        if self._esc in raw:
            try:
                raw = unescape(raw, self.header.separators, self.codec)
            except ValueError as error:
                remedy = "Escape it as \\E\\, and bytes as \\Xhh\\ in the message's own character set."
                raise self.fault("escape", str(error), remedy, number) from None
        if strip:
            raw = raw.strip()
        return "" if raw == '""' else raw


def segments_of(text: str, header: Header, codec: str) -> list[Segment]:
    """Return a message's segments whose content is used. Raises Faulty where any segment is not one."""
    _check_parts(text, header)
    lines = _lines(text)
    wanted: list[tuple[str, int, int]] = []
    kept = [lines[0]]
    counts: Counter[str] = Counter()
    for number, line in enumerate(lines[1:], start=2):
        name = _name(line, header, number, lines[number - 2][:3])
        counts[name] += 1
        if name == "DSC" and line[4:].split(header.separators.field)[0].strip():
            raise Faulty(
                Fault("continued", "the message goes on in another one (DSC-1)", "Send it in one.", "DSC", 1, number, 1)
            )
        if name in READ:
            wanted.append((name, counts[name], number))
            kept.append(line)
    parsed = hl7.parse("\r".join(kept))
    return [
        Segment(name, occurrence, number, fields, header, codec)
        for (name, occurrence, number), fields in zip(wanted, parsed[1:], strict=True)
    ]


def _lines(text: str) -> list[str]:
    """Split at HL7's carriage returns; where a message has none, at line feeds.

    Beside carriage returns a line feed starts a segment only where one follows; else it belongs to a text.
    """
    text = text.replace("\r\n", "\r")
    pieces = re.split(r"\r|\n(?=[A-Z][A-Z0-9]{2}[^A-Za-z0-9\s])", text) if "\r" in text.strip() else text.split("\n")
    return [piece.strip("\n ") for piece in pieces if piece.strip()]


def _check_parts(text: str, header: Header) -> None:
    marks = header.separators
    every = (marks.field, marks.component, marks.repetition, marks.subcomponent, marks.escape, "\r", "\n")
    parts = sum(map(text.count, every))
    if parts > MOST_PARTS:
        raise Faulty(
            Fault(
                "too-many-parts",
                f"the message has more than {MOST_PARTS:,} segments, fields and components",
                "Split it.",
            )
        )
    hidden = _HIDDEN.search(text)
    if hidden:
        line = text[: hidden.start()].replace("\r\n", "\r").count("\r") + 1
        raise Faulty(
            Fault("line-break", "the message has a control character", "Escape it as \\Xhh\\, or remove it.", line=line)
        )
    start = f"MSH{marks.field}{marks.component}{marks.repetition}"
    if text.find(start, 1) > 0:
        raise Faulty(
            Fault("cut", "another message begins within this one: its rest is lost", "Send it again, whole.", "MSH", 2)
        )


def _name(line: str, header: Header, number: int, before: str) -> str:
    """Return a segment's name. Raises Faulty where the line is none, naming the segment that it broke off from."""
    name, mark = line[:3], line[3:4]
    if not _NAME.fullmatch(name) or mark not in ("", header.separators.field):
        if _NAME.fullmatch(name) and not mark.isalnum() and name in KNOWN:
            raise Faulty(
                Fault(
                    "separators",
                    "a segment's name is not followed by the separator that MSH-1 names",
                    "Use one set of separators throughout.",
                    segment=name,
                    line=number,
                )
            )
        raise Faulty(
            Fault(
                "line-break",
                "the line after this segment is no segment: a line break within a text, or a cut",
                "Escape line breaks within texts as \\.br\\.",
                segment=before,
                line=number - 1,
            )
        )
    if name not in KNOWN and not name.startswith("Z"):
        raise Faulty(
            Fault(
                "unknown-segment",
                "a segment of this name does not belong here",
                "Correct or remove it.",
                name,
                1,
                number,
            )
        )
    return name
