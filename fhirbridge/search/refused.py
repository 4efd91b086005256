"""Why a search cannot be answered, in the words of whoever asked it."""

from __future__ import annotations

from typing import Literal

from fhirbridge.errors import InputError

Issue = Literal["invalid", "value", "not-supported", "too-costly"]
"""Codes of http://hl7.org/fhir/R4/valueset-issue-type.html."""

SHOWN = 40
"""Characters of a value that a message repeats."""


class SearchError(InputError):
    """A search that cannot be answered as it stands: ``issue`` is its code, ``rule`` the rule it breaks.

    ``parameter`` is the name as it was sent. The message repeats the value, shortened, for whoever sent it;
    ``for_log`` leaves it out, since a value may be a name or a number of a person.
    """

    issue_code = "value"

    def __init__(self, parameter: str, value: str | None, rule: str, remedy: str, issue: Issue = "value") -> None:
        self.parameter = shortened(parameter)
        self.value = None if value is None else shortened(value)
        self.rule = rule
        self.remedy = remedy
        self.issue = issue
        stands = "" if self.value is None else f" = {self.value!r}"
        super().__init__(f"{self.parameter}{stands}: {rule}. {remedy}")

    @property
    def for_log(self) -> str:
        """The message without the value."""
        return f"{self.parameter}: {self.rule}"


def shortened(text: str) -> str:
    """Return a text that fits into a message, its end cut off and its control characters made visible."""
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: SHOWN + 1])
    return clean if len(clean) <= SHOWN else clean[: SHOWN - 1] + "…"
