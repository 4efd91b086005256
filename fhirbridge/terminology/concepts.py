"""Reads results that come as codes: FHIR's CodeableConcept, in whose terms HL7 v2's CE and CWE are said too.

Codes come from SNOMED CT's qualifier values (those of its freely licensed Global Patient Set and of the laboratory
value sets that repeat them), LOINC's answer lists, and HL7's interpretations (v3-ObservationInterpretation, v2-0078).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhirbridge.elements import LOINC, SNOMED
from fhirbridge.terminology.codes import ANSWERS, INTERPRETATION
from fhirbridge.terminology.readings import Answer, Reading, unreadable
from fhirbridge.terminology.texts import read_text

V2_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v2-0078"

_INTERPRETATIONS: dict[str, Answer] = {
    "POS": "positive", "NEG": "negative", "DET": "detected", "ND": "not detected", "IND": "indeterminate",
    "E": "indeterminate", "RR": "reactive", "NR": "non-reactive", "WR": "weakly positive",
}  # fmt: skip
_ANSWERS: dict[tuple[str, str], Answer] = {
    **{(coded["system"], coded["code"]): word for word, (coded, _) in ANSWERS.items()},  # type: ignore[misc]
    (SNOMED, "11214006"): "reactive",
    (SNOMED, "131194007"): "non-reactive",
    (SNOMED, "42425007"): "indeterminate",
    (SNOMED, "419984006"): "indeterminate",
    (SNOMED, "260408008"): "weakly positive",
    (LOINC, "LA6576-8"): "positive",
    (LOINC, "LA6577-6"): "negative",
    (LOINC, "LA11882-0"): "detected",
    (LOINC, "LA11883-8"): "not detected",
    (LOINC, "LA11884-6"): "indeterminate",
    **{
        (system, code): word
        for system in (INTERPRETATION, V2_INTERPRETATION)
        for code, word in _INTERPRETATIONS.items()
    },
}
_NO = frozenset({"not detected", "negative", "non-reactive"})
_MAYBE = frozenset({"indeterminate"})


def read_coded(concept: object) -> Reading:
    """Read a FHIR CodeableConcept. Never raises.

    All its known codes must say the same, and neither its text nor a code's own display may say the opposite. A
    concept without a known code is read from its text, or else from its displays.
    """
    if not isinstance(concept, Mapping):
        return unreadable("", "it is no CodeableConcept")
    codings = [one for one in _list(concept.get("coding")) if isinstance(one, Mapping)]
    shown = _words(concept.get("text"), *(one.get("display") for one in codings))
    text = shown[0] if shown else ""
    coded = {
        word for one in codings if (word := _ANSWERS.get((str(one.get("system")), str(one.get("code"))))) is not None
    }
    said = [read_text(words) for words in shown]
    if not coded:
        return _agreed(text, said)
    answers = sorted(coded, key=list(_ANSWERS.values()).index)
    if len({_side(word) for word in answers}) > 1:
        return unreadable(text, "its codes contradict each other")
    for one in said:
        if one.kind == "no result" or (one.answer is not None and _side(one.answer) != _side(answers[0])):
            return unreadable(text, "its code and its text contradict each other")
        if one.measured:
            return unreadable(text, "its text holds a number beside the code")
    return _answered(text, answers[0])


def _answered(text: str, answer: Answer) -> Reading:
    kind = answer if answer in ("detected", "not detected") else "ordinal"
    return Reading(kind=kind, text=text, rule="code", answer=answer)


def _agreed(text: str, said: Iterable[Reading]) -> Reading:
    """Return the reading of the first words that can be read, unless others say something else."""
    readable = [one for one in said if one.kind != "unreadable"]
    if not readable:
        return unreadable(text, "neither a code of it nor its text is known to be a result")
    if len({one.canonical for one in readable}) > 1:
        return unreadable(text, "its text and its displays contradict each other")
    return readable[0]


def _side(answer: str) -> str:
    return "no" if answer in _NO else "maybe" if answer in _MAYBE else "yes"


def _words(*values: object) -> list[str]:
    return [value for value in values if isinstance(value, str) and value.strip()]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
