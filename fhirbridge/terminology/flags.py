"""What harmonising may find amiss with a result, and whether a person must look or no value is given at all."""

from __future__ import annotations

from dataclasses import dataclass

STOPS = {
    "unreadable": "the result cannot be read for certain",
    "unmapped code": "no row of the laboratory's file names this code",
    "code not valid then": "the laboratory's file names this code, but not at the specimen's date",
    "codes contradict": "the result's codes mean different tests",
    "code and label contradict": "the test's printed name and its code mean different tests",
    "unit missing": "a number came without a unit, and the laboratory's file does not say that none is printed",
    "unit unknown": "no row of the laboratory's file names this unit for this code",
    "units contradict": "the result gives two units that mean different things",
    "scale contradicts": "words came under the code of a measurement, or a number under the code of an answer",
    "no single number": "a range, ratio or titre is no measurement",
    "logarithm contradicts": "a logarithm came in the unit of a plain number",
    "answer not in the study's words": "the answer is a shade for which the study has no word",
}
"""Flags with which no canonical value is given."""

ASKS = {
    "label unfamiliar": "the laboratory's file knows this code by another name",
    "assay unsaid": "the code is that of several assays, and an answer in words does not say which",
    "unit's text unknown": "the unit's code is known, what is printed beside it is not",
    "impossible": "the value lies beyond what is biologically possible",
    "below the assay's limit": "an exact number below what the assay can quantify",
    "above the assay's limit": "an exact number above what the assay can quantify",
    "limit is not the assay's": "the result is censored at another limit than the assay's: diluted, or another assay",
    "detected or not is unsaid": "it lies below a limit of detection, which may mean detected or not detected",
    "assay not in the study file": "below a limit of an assay of which the study file does not say whether that means "
    "detected: add it there, with tells_not_detected",
    "answer and number contradict": "the answer in words and the number beside it lie on two sides of the threshold",
}
"""Flags with which the canonical value is given, for a person to judge."""


@dataclass(frozen=True, slots=True, order=True)
class Flag:
    """One finding. ``detail`` never holds a value or a text of the result."""

    code: str
    detail: str = ""

    @property
    def stops(self) -> bool:
        """Whether no canonical value is given."""
        return self.code in STOPS

    @property
    def meaning(self) -> str:
        """The finding as a sentence."""
        return STOPS.get(self.code) or ASKS[self.code]
