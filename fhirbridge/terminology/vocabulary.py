"""What the words on a laboratory's report mean, from ``result_words.csv``: a new word is one row there.

A meaning is a kind and mostly a detail, as ``answer:not detected``. The kinds: ``answer`` (a result in words),
``absent`` (why there is none), ``unquantified`` (no number could be given, which says neither yes nor no),
``comparator``, ``beyond`` (one that follows its number: 10未満), ``limit`` (a limit of the assay is named),
``logarithm``, ``flag`` (printed behind a number), ``label`` (which test it is), ``doubt`` (what makes a text unsafe to
read: the value is elsewhere, about another time, or the word means two things) and ``filler`` (changes nothing;
``filler:result`` are those that may stand by a number without a unit).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fhirbridge.terminology.glyphs import folded, plain

WORD_ENDS = "(?![0-9A-Za-z\u00c0-\u052f])"
"""No letter of an alphabet and no digit follows; a Chinese or Japanese sign may, those write no blanks."""


@dataclass(frozen=True, slots=True)
class Word:
    """A phrase found at a place: its kind, its detail, and where it ends."""

    kind: str
    detail: str
    end: int


def word_at(text: str, at: int) -> Word | None:
    """Return the longest known phrase that begins here in a ``folded`` text and ends where a word ends."""
    meanings, phrases = _phrases()
    phrase = phrases.get(text[at])
    found = phrase.match(text, at) if phrase else None
    if found is None:
        return None
    kind, _, detail = meanings[_key(found[0])].partition(":")
    return Word(kind, detail, found.end())


def meaning_of(phrase: str) -> str | None:
    """Return what a whole phrase means, None for an unknown one."""
    return _phrases()[0].get(_key(folded(plain(phrase))))


def _key(phrase: str) -> str:
    return re.sub(r"[- ]", "", phrase)


@cache
def _phrases() -> tuple[dict[str, str], dict[str, re.Pattern[str]]]:
    """Return the meanings by phrase, and by first letter what finds the longest phrase that begins with it."""
    meanings: dict[str, str] = {}
    patterns: dict[str, set[str]] = {}
    written = files("fhirbridge.terminology").joinpath("result_words.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(written.splitlines()):
        phrase = folded(plain(row["phrase"]))
        if meanings.setdefault(_key(phrase), row["meaning"]) != row["meaning"]:
            raise ValueError(f"result_words.csv: {row['phrase']!r} has two meanings")
        patterns.setdefault(phrase[0], set()).add(_pattern(phrase))
    longest_first = {
        first: sorted(some, key=lambda pattern: (-len(pattern), pattern)) for first, some in patterns.items()
    }
    return meanings, {first: re.compile("|".join(some)) for first, some in longest_first.items()}


def _pattern(phrase: str) -> str:
    """A hyphen may be printed as a space or left out; a phrase in letters that join must end with its word."""
    escaped = "".join("[- ]?" if sign == "-" else re.escape(sign) for sign in phrase)
    return escaped if ord(phrase[-1]) > 0x2E7F else rf"{escaped}{WORD_ENDS}"
