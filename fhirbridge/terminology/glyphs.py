"""One spelling for the many characters that laboratories print for the same sign, so that a text can be read by rule.

Nothing that changes a value happens here. Unicode's own compatibility forms (NFKC) would turn 10² into 102, so each
sign is named, and a superscript becomes an exponent only after a ten of its own. What is not named stays as it is,
and nothing reads it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SPACES = "\t\n\v\f\r\u0085\u1680\u2000\u2001\u2002\u2003\u2004\u205f\u3000"
_GROUPING_SPACES = "\u00a0\u2005\u2006\u2007\u2008\u2009\u200a\u202f"
_UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_SIGNS = {
    "≤": "<=", "≦": "<=", "⩽": "<=", "≥": ">=", "≧": ">=", "⩾": ">=", "﹤": "<", "﹥": ">", "﹢": "+", "﹣": "-",
    "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "’": "'", "‘": "'", "´": "'", "ʼ": "'",
    "✕": "×", "✖": "×", "╳": "×", "⨯": "×", "∗": "*", "⋅": "·", "∙": "·", "。": ";", "【": "[", "】": "]",
    "\u03bc": "\u00b5", "₁": "1", "₀": "0", "…": " ... ",
}  # fmt: skip
_ONE_FOR_ONE = str.maketrans(
    {chr(full): chr(full - 0xFEE0) for full in range(0xFF01, 0xFF5F)} | dict.fromkeys(_SPACES, " ") | _SIGNS
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_POWER = re.compile(r"(?<![0-9.,])10([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})(?![⁰¹²³⁴⁵⁶⁷⁸⁹0-9])")
_POWER_SIGNS = r"10(?:\^[+-]?[0-9]{1,2}|[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})(?![0-9/⁰¹²³⁴⁵⁶⁷⁸⁹])"
_TIMES = re.compile(rf"(?<![0-9.,'])([1-9],[0-9]{{1,4}}) ?[. ] ?(?={_POWER_SIGNS})")
"""In France a power of ten is multiplied by a point or a blank: 3,45.10⁵."""
_GROUPED = re.compile(rf"(?<=[0-9])[{_GROUPING_SPACES}](?=[0-9]{{3}}(?![0-9]))")
_HIDDEN = re.compile(rf"(?<!\S)[{_UNSEEN}]+|[{_UNSEEN}]+(?!\S)")
_ESCAPED = {"&lt;": "<", "&gt;": ">", "&#60;": "<", "&#62;": ">"}
_WHITE = re.compile(rf"[ {_GROUPING_SPACES}]+")
_SHORT = 200
"""Signs of a text that is remembered: names of tests and units come again and again, long texts do not."""


def plain(text: str) -> str:
    """Return the text in plain signs: ASCII digits and comparators, single spaces, ``10^2`` for 10².

    A space that no break may come at (no-break, thin, figure space) between digits is a thousands separator and
    becomes an apostrophe, which is one too. Case and letters stay.
    """
    return _short_plain(text) if len(text) <= _SHORT else _plain(text)


def _plain(text: str) -> str:
    text = _HIDDEN.sub("", unicodedata.normalize("NFC", text))
    for escaped, sign in _ESCAPED.items():
        text = text.replace(escaped, sign)
    text = _POWER.sub(
        lambda found: "10^" + found[1].translate(_SUPERSCRIPTS), _TIMES.sub(r"\1×", text.translate(_ONE_FOR_ONE))
    )
    return _WHITE.sub(" ", _GROUPED.sub("'", text)).strip()


def folded(text: str) -> str:
    """Return the text in lower case without accents, exactly as long as it was: ``Détecté`` gives ``detecte``."""
    return _short_folded(text) if len(text) <= _SHORT else _folded(text)


def _folded(text: str) -> str:
    return "".join(map(_folded_letter, text))


_short_plain = lru_cache(maxsize=4096)(_plain)
_short_folded = lru_cache(maxsize=4096)(_folded)


def unit_text(text: str) -> str:
    """Return a unit as the key of a table: plain signs, no blanks around it, case kept (mU is not MU)."""
    return plain(text)


def _folded_letter(letter: str) -> str:
    if letter.isascii():
        return letter.lower()
    lower = unicodedata.normalize("NFD", letter)[0].lower()
    return "i" if lower == "ı" else lower[0]
