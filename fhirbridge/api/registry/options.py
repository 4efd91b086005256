"""The few parameters that reading and history take, by the rules of search: once each, ignored if unknown."""

from __future__ import annotations

from collections.abc import Collection

from fhirbridge.api.registry.service import Question
from fhirbridge.search import results
from fhirbridge.search.query import Limits
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import pairs

GENERAL = frozenset({"_format", "_pretty"})
PARTS = frozenset({"_summary", "_elements"})


def given(question: Question, names: Collection[str], limits: Limits) -> dict[str, str]:
    """Return the parameters of a question by name, in their order, those it may have being ``names`` and the general.

    Raises SearchError for what is not known and to be refused, for what is said twice, and for what is wrong.
    """
    if len(question.query) > limits.characters:
        raise SearchError(
            "the query", None, f"it is longer than {limits.characters} characters", "Ask for less.", "too-costly"
        )
    found = dict[str, str]()
    for name, value in pairs(question.query):
        if not value or (name not in names and name not in GENERAL):
            if question.strict:
                raise SearchError(
                    name, None, "this is no parameter of it, or has no value", "Leave it out.", "not-supported"
                )
            continue
        if name in found:
            raise SearchError(name, value, "it is given twice", "Give it once.", "invalid")
        if name in results.CHOICES:
            results.choice(name, value)
        if name == "_summary" and value == "count":
            raise SearchError(name, value, "there is nothing to count here", "Ask a search.")
        found[name] = value
    return found
