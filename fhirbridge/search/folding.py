"""Texts as a string search compares them: without case, accents, punctuation and needless spaces.

Source: http://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=16384)
def folded(text: str) -> str:
    """Return the text with case folded, combining characters and punctuation dropped, and single spaces."""
    if text.isascii() and text.isalnum():
        return text.lower()
    kept = []
    for letter in unicodedata.normalize("NFKD", text.casefold()):
        kind = unicodedata.category(letter)
        if kind[0] != "P" and kind != "Mn":
            kept.append(letter)
    return unicodedata.normalize("NFC", " ".join("".join(kept).casefold().split()))
