"""Separators of a message, and the escape sequences that stand for them (HL7 v2.5.1, chapter 2, section 2.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HIDDEN = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LAYOUT = re.compile(r"\.(br|ce|sp|sk|in|ti|fi|nf)\s*([+-]?[0-9]{0,3})", re.ASCII)
_HEX = re.compile(r"X(?:[0-9A-Fa-f]{2})+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Separators:
    """The characters that MSH-1 and MSH-2 name."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


def separators_of(text: str) -> Separators | None:
    """Return the separators that the text's MSH names, None where they are none that can be told apart."""
    field = text[3:4]
    named = text[4:].split(field, 1)[0] if field else ""
    # v2.7 adds a fifth character, the truncation mark, which nothing here depends on.
    every = field + named
    if len(named) not in (4, 5) or len(set(every)) != len(every):
        return None
    if any(not "!" <= character <= "~" or character.isalnum() or character in "\"'." for character in every):
        return None
    return Separators(field, *named[:4])


def unescape(text: str, separators: Separators, codec: str) -> str:
    """Return a text with its escape sequences resolved; ``\\.br\\`` and its like become line breaks.

    Highlighting is dropped. Raises ValueError for a sequence that is not closed, unknown, of another character set, or
    that hides a control character.
    """
    if separators.escape not in text:
        return text
    pieces = text.split(separators.escape)
    if len(pieces) % 2 == 0:
        raise ValueError("an escape character stands alone")
    for index in range(1, len(pieces), 2):
        pieces[index] = _meaning(pieces[index], separators, codec)
    return "".join(pieces)


def _meaning(sequence: str, separators: Separators, codec: str) -> str:
    plain = {
        "F": separators.field, "S": separators.component, "R": separators.repetition, "E": separators.escape,
        "T": separators.subcomponent, "H": "", "N": "",
    }  # fmt: skip
    if sequence in plain:
        return plain[sequence]
    layout = _LAYOUT.fullmatch(sequence)
    if layout is not None:
        count = max(1, int(layout[2])) if layout[2].strip("+-") else 1
        return {"br": "\n", "ce": "\n", "sp": "\n" * count, "sk": " " * count}.get(layout[1], "")
    if _HEX.fullmatch(sequence):
        try:
            found = bytes.fromhex(sequence[1:]).decode(codec)
        except UnicodeDecodeError:
            raise ValueError("an escape sequence holds bytes of another character set") from None
        if _HIDDEN.search(found):
            raise ValueError("an escape sequence hides a control character")
        return found.replace("\r\n", "\n").replace("\r", "\n")
    raise ValueError("an escape sequence is unknown")
