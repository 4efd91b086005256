"""Where HAPI and we judge differently, by rule: docs/conformance.md says for each who is right and why."""

from __future__ import annotations

import re
from typing import NamedTuple

from fhirbridge.validation import Issue


class Complaint(NamedTuple):
    """One of HAPI's errors."""

    place: str
    message_id: str
    text: str


NO_ANSWER = Complaint("?", "exception", "")
"""HAPI's parser or validator failed itself."""
Disagreement = tuple[list[Issue], list[Complaint]]


class Rule(NamedTuple):
    """Explains a case if every error of the one side that has errors is of its kind.

    ``ours`` is a pattern for ``rule: text`` of our errors, ``theirs`` for ``message id: text`` of HAPI's.
    ``excluded`` marks what HAPI cannot judge at all: such cases count neither for nor against.
    """

    name: str
    ours: str = ""
    theirs: str = ""
    excluded: bool = False

    def explains(self, ours: list[Issue], theirs: list[Complaint]) -> bool:
        if NO_ANSWER in theirs:
            return self.theirs == NO_ANSWER.message_id
        if ours:
            return bool(self.ours) and all(re.match(self.ours, f"{i.rule}: {i.text}", re.DOTALL) for i in ours)
        return bool(self.theirs) and all(re.match(self.theirs, f"{c.message_id}: {c.text}", re.DOTALL) for c in theirs)


TRIMMED = "uri|code|date|dateTime|instant|time"
CONTROL = r".*\\x[01][0-9a-f]"
RULES = [
    Rule("no answer", theirs=NO_ANSWER.message_id, excluded=True),
    Rule("type of a target that is not at hand", ours="reference-target: ", excluded=True),
    Rule("terminology that HAPI lacks", ours="binding: .*(mimetypes|languages|currencies)", excluded=True),
    Rule(
        "control characters", ours=rf"(type-(string|uri|code|xhtml|markdown)|reference-format|code-unknown): {CONTROL}"
    ),
    Rule("relative system of a bound concept", ours="cod-system: "),
    Rule("white space for a value", ours=rf"(type-({TRIMMED})|reference-format): .*'( |\\t)'|(cod|ide|qty)-system: "),
    Rule(
        "empty lists of primitives", ours=r"array: \S*\.(profile|given|\w*[cC]anonical|subjectType) is an empty array"
    ),
    Rule("short OIDs", theirs="Type_Specific_Checks_DT_OID_Valid: "),
    Rule("profile that is not loaded", theirs="Validation_VAL_Profile_Unknown: ", excluded=True),
    Rule("system without a code", theirs="Terminology_PassThrough_TX_Message: Unknown code '.*#null'"),
    Rule("units in ranges", theirs=r".*#rng-2: .*HAPI-0676"),
    Rule("units of durations", ours="(qty-unit|drt-1): "),
    Rule("systems that look like another", ours="code-unknown: .* is no code system; the one meant is"),
    Rule("text outside of the div", ours="txt-[12]: "),
]
"""The first that explains a case counts."""
