"""Reads a Questionnaire (http://hl7.org/fhir/R4/questionnaire.html): its items, their limits, when they are enabled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.fhirpath.temporal import compare_text
from fhirbridge.validation.measured import compare, is_number
from fhirbridge.validation.tree import STRUCTURES

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

Item = dict[str, Any]
"""An item of a Questionnaire, or of a QuestionnaireResponse."""

_SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"
_ORDERS: dict[str, frozenset[int | None]] = {
    "=": frozenset({0}),
    "!=": frozenset({-1, 1, None}),
    ">": frozenset({1}),
    "<": frozenset({-1}),
    ">=": frozenset({0, 1}),
    "<=": frozenset({0, -1}),
}
"""How an answer may stand to the value of enableWhen, by operator."""


def listed(value: Any, name: str) -> list[tuple[int, Item]]:
    """Return the objects of a list with their indexes; nothing where there is no such list."""
    found = value.get(name) if isinstance(value, dict) else None
    return [(n, item) for n, item in enumerate(found) if isinstance(item, dict)] if isinstance(found, list) else []


def items(value: Any) -> Iterator[Item]:
    """Yield the items below a Questionnaire, a QuestionnaireResponse or an item, answers' items too."""
    for _, item in listed(value, "item"):
        yield item
        yield from items(item)
        for _, answer in listed(item, "answer"):
            yield from items(answer)


def link_id(item: Item) -> str:
    """Return an item's linkId; "" where it has none."""
    found = item.get("linkId")
    return found if isinstance(found, str) else ""


def chosen(value: Item, stem: str = "value") -> tuple[str, Any]:
    """Return the type and content of a choice: ``("Coding", {...})``; ("", None) where it is not there."""
    for key, content in value.items():
        if key.startswith(stem) and key[len(stem) : len(stem) + 1].isupper():
            return key[len(stem) :], content
    return "", None


def limit(item: Item, name: str) -> Any:
    """Return the value of the first of HL7's extensions of that name, or None."""
    return next(iter(limits(item, name)), None)


def limits(item: Item, name: str) -> list[Any]:
    """Return the values of HL7's extensions of that name, of the core or of Structured Data Capture."""
    urls = (STRUCTURES + name, _SDC + name)
    found = [extension for _, extension in listed(item, "extension") if extension.get("url") in urls]
    return [content for content in (chosen(extension)[1] for extension in found) if content is not None]


def is_enabled(question: Item, response: Item) -> bool:
    """Tell whether a question's enableWhen lets it be answered, from all answers of the response."""
    rules = [rule for _, rule in listed(question, "enableWhen")]
    told = [_holds(rule, response) for rule in rules]
    return not rules or (any(told) if question.get("enableBehavior") == "any" else all(told))


def _holds(rule: Item, response: Item) -> bool:
    """Evaluate one condition; a question without answers fulfils only that it has none."""
    named = [item for item in items(response) if link_id(item) == rule.get("question")]
    answers = [chosen(answer) for item in named for _, answer in listed(item, "answer")]
    given = [(kind, content) for kind, content in answers if kind]
    kind, wanted = chosen(rule, "answer")
    if rule.get("operator") == "exists":
        return bool(given) == (wanted is True)
    fits = _ORDERS.get(str(rule.get("operator")), frozenset())
    return any(order(content, wanted) in fits for other, content in given if other == kind)


def order(one: Any, two: Any) -> int | None:
    """Compare two values of one type: -1, 0 or 1; None where they differ and have no order."""
    if is_number(one) and is_number(two):
        return int(one > two) - int(one < two)
    if isinstance(one, str) and isinstance(two, str):
        found = compare_text(one, two)
        return found if found is not None else 0 if one == two else None
    if isinstance(one, dict) and isinstance(two, dict):
        if "value" in one and "value" in two:
            return compare(one, two)
        keys = ("system", "code") if "code" in two else ("reference",) if "reference" in two else ("display",)
        return 0 if all(one.get(key) == two.get(key) for key in keys) else None
    return 0 if one == two else None


def waits_for_others(walker: Walker, node: Node) -> bool:  # noqa: ARG001  (as every rule stated in words)
    """Tell whether no item waits for an answer to itself, or to what stands below it."""
    return not any(
        rule.get("question") in {link_id(item), *map(link_id, items(item))} - {""}
        for item in items(node.value)
        for _, rule in listed(item, "enableWhen")
        if isinstance(rule.get("question"), str)
    )
