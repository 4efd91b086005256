"""Where HAPI and we judge differently, by rule: docs/conformance.md says for each who is right and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fhirbridge.errors import Resource
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
    """Explains a case where only one side has errors, by the first that fits.

    ``ours`` is a pattern for ``rule location profile text`` of our errors, ``theirs`` for ``message id location text``
    of HAPI's. Each error must fit it, or ``besides``, which follows from it; one at least must fit the first. ``case``
    tells whether the resource has what the rule is about, where no error says it.
    """

    name: str
    ours: str = ""
    theirs: str = ""
    besides: str = ""
    case: Callable[[Resource], bool] = lambda resource: True

    def explains(self, resource: Resource, ours: list[Issue], theirs: list[Complaint]) -> bool:
        """Tell whether the errors of the one side are all of this rule's kind."""
        told = [f"{i.rule} {i.path} {i.profile} {i.text}" for i in ours]
        wanted = self.ours
        if not ours:
            told, wanted = [f"{c.message_id} {c.place} {c.text}" for c in theirs], self.theirs
        fits = [re.match(wanted, text, re.DOTALL) is not None for text in told] if wanted else []
        follows = [bool(self.besides) and re.match(self.besides, text, re.DOTALL) is not None for text in told]
        return any(fits) and all(map(max, fits, follows)) and self.case(resource)


def has_text_after_the_div(resource: Resource) -> bool:
    return any(re.search(r"</div>[^>]*[^>\s][^>]*$", text) for text in _texts(resource, "div"))


def has_space_in_base64(resource: Resource) -> bool:
    return any(re.search(r"\s", text) for text in _texts(resource, "data"))


def _texts(value: Any, name: str) -> Iterator[str]:
    """Yield the texts of all properties of a name."""
    if isinstance(value, dict) and isinstance(value.get(name), str):
        yield value[name]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner, name)


RULES = [
    Rule(
        "control characters", ours=r"(type-\w+|reference-format) .*\\x[01][0-9a-f]", besides="(txt-[12]|code-unknown) "
    ),
    Rule(
        "white space for a value",
        ours=r"type-(id|uri|url|canonical|code|date|dateTime|instant|time|uuid|base64Binary) .*: '[ ]+' is not",
        besides="((cod|ide|qty)-system|ide-value|qty-unit|reference-format) ",
    ),
    Rule("white space for a reference", ours=r"reference-format .*'[ ]+' is no"),
    Rule("relative system of a bound code", ours=r"cod-system \S+\.(coding|security)\[\d+\] "),
    Rule(
        "empty lists of primitives",
        ours=r"array \S+ \S* ?\S+\.(profile|given|line|\w*[cC]anonical|subjectType) is an empty",
    ),
    Rule("text behind the div", ours="txt-[12] ", case=has_text_after_the_div),
    Rule("units of ages and durations", ours=r"qty-unit \S+ \S+/(Age|Duration|Distance) "),
    Rule("units in ranges", ours="rng-2 ", theirs=r"\S*#rng-2 .*HAPI-0676"),
    Rule("systems that look like another", ours="code-unknown .* is no code system; the one meant is"),
    Rule("white space in an attachment", theirs=".*ATT_B64_DECODE_FAIL ", case=has_space_in_base64),
    Rule("an attachment's size that has only an extension", theirs=".*ATT_SIZE_INVALID .* Size null "),
    Rule("short OIDs", theirs="Type_Specific_Checks_DT_OID_Valid "),
    Rule("profile that is not loaded", theirs="Validation_VAL_Profile_Unknown "),
    Rule("a code that has only an extension", theirs="Terminology_PassThrough_TX_Message .* Unknown code '.*#null'"),
    Rule("references of an entry without a fullUrl", theirs="Bundle_BUNDLE_Entry_NoFullUrl "),
    Rule("references of a document to no type of R4", ours=r"entry-missing \S+  Foo/1 "),
]
"""The first that explains a case counts."""
