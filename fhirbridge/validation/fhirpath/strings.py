"""FHIRPath's string functions on plain Python strings."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fhirbridge.validation.fhirpath.values import EvaluationError


@lru_cache(maxsize=512)
def pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression of FHIRPath (PCRE, one line): ``.`` also matches a line break."""
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise EvaluationError(f"the regular expression {text!r} cannot be read: {error}") from error


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not isinstance(start, int) or start < 0 or start >= len(text):
        return None
    return text[start:] if length is None else text[start : start + max(0, length)]


def _replace_matches(text: str, regex: str, by: str) -> str:
    if not regex:
        return text
    return pattern(regex).sub(re.sub(r"\$(\d+|\{\w+\})", lambda m: rf"\g<{m[1].strip('{}')}>", by), text)


STRINGS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "startsWith": (1, 1, lambda text, part: text.startswith(part)),
    "endsWith": (1, 1, lambda text, part: text.endswith(part)),
    "contains": (1, 1, lambda text, part: part in text),
    "indexOf": (1, 1, lambda text, part: text.find(part)),
    "lastIndexOf": (1, 1, lambda text, part: text.rfind(part)),
    "substring": (1, 2, _substring),
    "upper": (0, 0, str.upper),
    "lower": (0, 0, str.lower),
    "trim": (0, 0, str.strip),
    "length": (0, 0, len),
    "replace": (2, 2, lambda text, old, new: text.replace(old, new)),
    "matches": (1, 1, lambda text, regex: pattern(regex).search(text) is not None),
    "matchesFull": (1, 1, lambda text, regex: pattern(regex).fullmatch(text) is not None),
    "replaceMatches": (2, 2, _replace_matches),
    "toChars": (0, 0, list),
    "split": (1, 1, lambda text, separator: text.split(separator)),
}
"""Name: fewest and most arguments, and what it does."""
