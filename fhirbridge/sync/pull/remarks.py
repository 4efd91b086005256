"""What of a laboratory's notes is kept: free text may name people, so only notes whose every word is known stay."""

from __future__ import annotations

from collections.abc import Iterable

from fhirbridge.terminology.readings import Reading
from fhirbridge.terminology.texts import read_text

NOT_KEPT = "(a note that is not kept)"
"""In the place of every other note, so that a person knows to look for it at its source."""

_LONGEST = 200


def kept(notes: Iterable[object]) -> tuple[str, ...]:
    """Return notes that say no more than a result can (``haemolysed``, ``not detected``); for others ``NOT_KEPT``.

    ``read_text`` refuses a text with a single word that it does not know, and so every text with a name in it. Notes
    with numbers are not kept either: they may be telephone or record numbers.
    """
    texts = [note for note in notes if isinstance(note, str) and note.strip()]
    return tuple(dict.fromkeys(text if _harmless(text) else NOT_KEPT for text in texts))


def contradicted(notes: Iterable[str], reading: Reading) -> bool:
    """Tell whether a kept note says that there is no result, or another one than was read."""
    for note in notes:
        said = read_text(note)
        if said.kind == "no result" and reading.kind not in ("no result", "unreadable"):
            return True
        if said.answer is not None and _side(said.answer) != _side(reading.answer or "detected"):
            return True
    return False


def _harmless(text: str) -> bool:
    if len(text) > _LONGEST or any(letter.isdigit() for letter in text):
        return False
    return read_text(text).kind != "unreadable"


def _side(answer: str) -> bool:
    return answer in ("not detected", "negative", "non-reactive")
