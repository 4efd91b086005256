"""A laboratory's text cut into what its parts are: numbers with units, answers, comparators, and words by meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from fhirbridge.terminology.glyphs import folded, plain
from fhirbridge.terminology.numerals import NUMERAL, DecimalMark, DoubtfulError, exact, power_of_ten
from fhirbridge.terminology.vocabulary import WORD_ENDS, Word, word_at

LONGEST = 400
"""A text longer than this is a report, not a value."""

LexemeKind = Literal[
    "number", "titre", "answer", "absent", "unquantified", "comparator", "beyond", "limit", "logarithm", "flag",
    "label", "filler", "mark", "dash",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lexeme:
    """One part of a text. ``detail`` is the comparator, answer, label …; a number has ``value`` and its unit."""

    kind: LexemeKind
    detail: str = ""
    value: Decimal = Decimal(0)
    unit: str | None = None
    grade: int | None = None
    spaced: bool = False
    """A blank stands before it."""


_COPIES = (
    r"(?:\{copies\}|copies|copy|cop|cps?|kopien|kopie|copias|copie|kopya|копий|копии|拷贝数?|拷貝數?|コピー|geq|ge|gc)"
)
_INTERNATIONAL = r"(?:[kmµunMKм]?\[?(?:I\.?U\.?|U\.?I\.?|I\.?E\.?|МЕ)\]?|万?(?:国际单位|國際單位))"
_AMOUNT = (
    rf"(?:{_INTERNATIONAL}|{_COPIES}|(?:PE|NC|A|B|R|G|Paul-Ehrlich-)?[kmµuMK]?[UE]|[kmµunpfM]?(?:g|mol|kat|eq|osm))"
)
_PER = r"(?:[mdcµunf]?L|mm3|mm\^3|µl|24 ?h|d|h|min|hpf|lpf|g|kg|mmol|毫升|升|мл|дл|л)"
_COUNTS = r"(?:[×x*] ?)?10(?:\^|\*|\*\*)(?:3|6|9|12)/(?:[mµu]?L|mm3)|[GT]/L"
_ALONE = r"%|‰|mL/min(?:/1\.73 ?m2)?|mm/h|fL|pg|mg|s/co|s/n|coi|inr|index|s|secs?\.?|秒|сек|mmhg|\[?IU\]?|UI|IE"
UNIT = re.compile(
    rf" ?(?P<unit>(?P<log>(?:log ?(?:10)?|lg) ?)?(?:{_COUNTS}|{_AMOUNT} ?/ ?{_PER}(?:/1\.73 ?m2)?"
    rf"|(?:log ?(?:10)?|lg) ?\({_AMOUNT} ?/ ?{_PER}\)"
    rf"|{{Log_(?:IU|copies)}}/mL|{_COPIES}|{_ALONE}|/ ?(?:hpf|lpf|[mµu]?L))|(?:log ?10|log|lg)){WORD_ENDS}(?![/^])",
    re.IGNORECASE,
)
"""Units that are printed behind a number; what they are worth is decided by the laboratory's table, not here."""

_SIGNED_ANSWER = re.compile(
    r"(?P<negative>\(-\))|(?P<doubtful>\(\+/?-\)|\(±\)|\+/-|±)(?! ?[0-9])"
    r"|(?P<grade>\((?:\+{1,4}|[1-4]\+)\)|\+{1,4}|[1-4]\+)(?![0-9+A-Za-z]| ?[0-9])"
)
_COMPARATOR = re.compile(r"<=|>=|<(?![=<>])|>(?![=<>])")
_NEGATIVE = re.compile(r"-(?=[0-9])")
_FLAG = re.compile(r"\(?(?:\*{1,3}|↑{1,3}|↓{1,3}|!)\)?(?!\S)")
_TITRE = re.compile(r"1 ?: ?(?P<titre>[1-9][0-9]{0,5})(?![0-9.,:'])")
_MARK = re.compile(r"[,;:()\[\]]|=(?![<>=])|\.{1,6}(?![0-9])")
_DASH = re.compile(r"-+|/")
_AFTER_DIGITS = re.compile(r"[ ;:()\[\]\-/*↑↓!]|, |(?:hh?|ll?)(?![^\W_])|[\u2e80-\uffff]")


def lexemes(text: str, mark: DecimalMark | None) -> list[Lexeme]:
    """Cut a text completely. Raises DoubtfulError where any of it is not known for certain."""
    if len(text) > LONGEST:
        raise DoubtfulError("it is too long to be a value")
    shown = plain(text)
    return list(_Scan(shown, folded(shown), mark).run())


class _Scan:
    """One pass over a text; ``at`` is where it stands."""

    def __init__(self, shown: str, low: str, mark: DecimalMark | None) -> None:
        self.shown, self.low, self.mark = shown, low, mark
        self.at = 0
        self.found: list[Lexeme] = []

    def run(self) -> list[Lexeme]:
        while self.at < len(self.shown):
            if self.shown[self.at] == " ":
                self.at += 1
                continue
            lexeme = self._sign() or self._number() or self._word() or self._mark()
            if lexeme is None:
                raise DoubtfulError("it holds a word or sign whose meaning is not known")
            self.found.append(lexeme)
        return self.found

    def _spaced(self) -> bool:
        return self.at > 0 and self.shown[self.at - 1] == " "

    def _joined(self) -> bool:
        """Whether the text goes on here in the middle of a word of letters or digits."""
        return self.at > 0 and self.shown[self.at - 1].isalnum() and ord(self.shown[self.at - 1]) < 0x2E80

    def _sign(self) -> Lexeme | None:
        if sign := _SIGNED_ANSWER.match(self.shown, self.at):
            if self._joined() and not (sign["negative"] and self.shown[self.at - 1].isalpha()):
                return None
            self.at = sign.end()
            if sign["negative"]:
                return Lexeme("answer", "negative")
            if sign["doubtful"]:
                return Lexeme("answer", "indeterminate")
            shown = sign["grade"].strip("()")
            return Lexeme("answer", "positive", grade=_grade(shown))
        if comparator := _COMPARATOR.match(self.shown, self.at):
            self.at = comparator.end()
            return Lexeme("comparator", comparator[0])
        if self.found and (flag := _FLAG.match(self.shown, self.at)):
            self.at = flag.end()
            return Lexeme("flag", flag[0].strip("()"))
        return None

    def _number(self) -> Lexeme | None:
        if self._joined() or (self.at > 0 and self.shown[self.at - 1] in ".,'"):
            return None
        if titre := _TITRE.match(self.shown, self.at):
            self.at = titre.end()
            return Lexeme("titre", value=Decimal(titre["titre"]), spaced=self._spaced())
        negative = _NEGATIVE.match(self.shown) if self.at == 0 else None
        start = negative.end() if negative else self.at
        spaced = self._spaced()
        value = self._ten(start) or self._numeral(start)
        if value is None:
            return None
        amount, unit, self.at = value
        if not unit and self.at < len(self.shown) and not _AFTER_DIGITS.match(self.low, self.at):
            raise DoubtfulError("its number runs into a word")
        return Lexeme("number", value=-amount if negative else amount, unit=unit, spaced=spaced)

    def _ten(self, start: int) -> tuple[Decimal, str | None, int] | None:
        ten = power_of_ten(self.shown, start)
        if ten is None or _COUNT_UNIT.match(self.shown, start):
            return None
        unit = UNIT.match(self.shown, ten[1])
        return ten[0], unit["unit"] if unit else None, unit.end() if unit else ten[1]

    def _numeral(self, start: int) -> tuple[Decimal, str | None, int] | None:
        found = NUMERAL.match(self.shown, start)
        if found is None:
            return None
        if found["power"] and _COUNT_UNIT.match(self.shown, found.end("mantissa")):
            found = NUMERAL.fullmatch(found["mantissa"])  # 3.5 ×10^9/L: the power belongs to the unit
            if found is None:
                return None
        end = start + found.end() - found.start()
        unit = UNIT.match(self.shown, end)
        return (
            exact(found, self.mark, united=unit is not None),
            unit["unit"] if unit else None,
            unit.end() if unit else end,
        )

    def _word(self) -> Lexeme | None:
        word = word_at(self.low, self.at)
        if word is None:
            return None
        if word.kind == "flag" and word.end - self.at <= 2 and self.shown[self.at : word.end].islower():
            if self.low[self.at : word.end] != "a":
                return None  # h and l are hour and litre in small letters
            word = Word("filler", "", word.end)
        if self._joined() and word.kind != "flag" and ord(self.shown[self.at]) < 0x2E80:
            return None
        spaced, shown = self._spaced(), self.shown[self.at : word.end]
        self.at = word.end
        if word.kind == "doubt":
            raise DoubtfulError(_DOUBTS[word.detail])
        return Lexeme(word.kind, shown if word.kind == "flag" else word.detail, spaced=spaced)  # type: ignore[arg-type]

    def _mark(self) -> Lexeme | None:
        if mark := _MARK.match(self.shown, self.at):
            self.at = mark.end()
            return Lexeme("mark", mark[0])
        if dash := _DASH.match(self.shown, self.at):
            self.at = dash.end()
            return Lexeme("dash", dash[0])
        return None


def _grade(shown: str) -> int | None:
    """Two plus signs and more are a grade, as ``2+`` is; a single one only says positive."""
    if shown[0].isdigit():
        return int(shown[0])
    return len(shown) if len(shown) > 1 else None


_COUNT_UNIT = re.compile(rf" ?(?:{_COUNTS}){WORD_ENDS}", re.IGNORECASE)

_DOUBTS = {
    "the value is elsewhere": "it says that the value stands elsewhere",
    "approximate": "it is approximate, which no result may be",
    "reference": "it names a reference range or cut-off beside the result or instead of it",
    "two meanings": "it holds an abbreviation or word with more than one meaning",
    "unsure": "it holds a word that limits, denies or dates the result",
}
