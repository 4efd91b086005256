"""Checks one answer of a QuestionnaireResponse against its question: type, options, and the limits of extensions."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.datatype_rules import content_of
from fhirbridge.validation.measured import is_number
from fhirbridge.validation.primitives import shown
from fhirbridge.validation.questionnaires import Item, chosen, limit, limits, link_id, listed, order
from fhirbridge.validation.references import literal_type

if TYPE_CHECKING:
    from fhirbridge.validation.walker import Walker

TYPES = {
    "boolean": ("Boolean",),
    "decimal": ("Decimal",),
    "integer": ("Integer",),
    "date": ("Date",),
    "dateTime": ("DateTime",),
    "time": ("Time",),
    "string": ("String",),
    "text": ("String",),
    "url": ("Uri",),
    "attachment": ("Attachment",),
    "reference": ("Reference",),
    "quantity": ("Quantity",),
}
"""What ``value[x]`` an answer may be, by the question's type; choices are apart."""

_ENDS = ("minValue", "maxValue")
_MEGABYTE = 1_000_000


def check(walker: Walker, question: Item, answer: Item, path: str, form: Item) -> None:
    """Check the value of an answer; one that has none (only items, or an extension that says why) is left alone."""
    kind, value = chosen(answer)
    if not kind or value is None:
        return
    allowed = _allowed(question)
    if allowed is not None and kind not in allowed:
        text = f"The answer to {link_id(question)} may be {' or '.join(allowed)}, but is a {kind}."
        walker.error("structure", "qrs-type", text, path)
        return
    if not _is_option(walker, question, kind, value, form):
        text = f"The answer is none of those that {link_id(question)} offers."
        walker.error("code-invalid", "qrs-option", text, path, "Choose one of the question's options.")
    for broken in _broken(walker, question, kind, value):
        walker.error("business-rule", "qrs-limit", f"{link_id(question)}: {broken}.", path)


def _allowed(question: Item) -> tuple[str, ...] | None:
    kind = str(question.get("type"))
    if kind not in ("choice", "open-choice"):
        return TYPES.get(kind)
    offered = dict.fromkeys(chosen(option)[0] for _, option in listed(question, "answerOption"))
    return (*(offered or ("Coding",)), *(("String",) if kind == "open-choice" and "String" not in offered else ()))


def _is_option(walker: Walker, question: Item, kind: str, value: Any, form: Item) -> bool:
    """Tell whether a value is among a question's options; an open choice takes any string."""
    if kind == "String" and question.get("type") == "open-choice":
        return True
    options = [content for _, option in listed(question, "answerOption") for type_, content in [chosen(option)]
               if type_ == kind]  # fmt: skip
    if listed(question, "answerOption"):
        return any(order(value, option) == 0 for option in options)
    return _in_value_set(walker, question.get("answerValueSet"), value, form)


def _in_value_set(walker: Walker, canonical: Any, value: Any, form: Item) -> bool:
    """Tell whether a Coding, or a string, is in a value set, which may be contained in the Questionnaire."""
    if not isinstance(canonical, str):
        return True
    if canonical.startswith("#"):
        inside = [c for _, c in listed(form, "contained") if f"#{c.get('id')}" == canonical]
        expansion = walker.terminology.expanded(inside[0]) if inside else None
    else:
        expansion = walker.terminology.expansion(canonical)
    if expansion is None:
        return True
    if isinstance(value, str):
        return expansion.has(None, value) is not False
    code, system = (value.get("code"), value.get("system")) if isinstance(value, dict) else (None, None)
    if not isinstance(code, str) or not isinstance(system, str):
        return expansion.unknown
    return expansion.has(system, code) is not False


def _broken(walker: Walker, question: Item, kind: str, value: Any) -> list[str]:
    """Say which limits a value breaks."""
    found = _range(question, value)
    if kind == "String":
        found += _text(question, value)
    elif kind == "Decimal":
        found += _number(question, value)
    elif kind == "Attachment":
        found += _attachment(question, value)
    elif kind == "Reference":
        found += _reference(walker, question, value)
    elif kind == "Quantity":
        found += _unit(walker, question, value)
    return found


def _range(question: Item, value: Any) -> list[str]:
    ends = ("sdc-questionnaire-minQuantity", "sdc-questionnaire-maxQuantity") if isinstance(value, dict) else _ENDS
    low, high = (limit(question, end) for end in ends)
    found = [f"the value is below {shown(low)}"] if low is not None and order(value, low) == -1 else []
    return [*found, f"the value is above {shown(high)}"] if high is not None and order(value, high) == 1 else found


def _text(question: Item, value: Any) -> list[str]:
    longest, shortest, pattern = question.get("maxLength"), limit(question, "minLength"), limit(question, "regex")
    found = []
    if isinstance(longest, int) and len(value) > longest:
        found.append(f"the answer may have {longest} characters, has {len(value)}")
    if isinstance(shortest, int) and len(value) < shortest:
        found.append(f"the answer must have {shortest} characters, has {len(value)}")
    if isinstance(pattern, str) and not _fits(pattern, value):
        found.append(f"the answer does not match {pattern}")
    return found


def _fits(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def _number(question: Item, value: Any) -> list[str]:
    places = limit(question, "maxDecimalPlaces")
    exponent = Decimal(str(value)).as_tuple().exponent if is_number(value) else 0
    if isinstance(places, int) and isinstance(exponent, int) and -exponent > places:
        return [f"the answer has {-exponent} decimal places, may have {places}"]
    return []


def _attachment(question: Item, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    types, largest = limits(question, "mimeType"), limit(question, "maxSize")
    found = []
    if types and value.get("contentType") is not None and value["contentType"] not in types:
        found.append(f"the attachment must be {' or '.join(map(str, types))}")
    content = content_of(value)
    size = value.get("size") if content is None else len(content)
    if is_number(largest) and is_number(size) and Decimal(str(size)) > Decimal(str(largest)) * _MEGABYTE:
        found.append(f"the attachment is larger than {largest} megabytes")
    return found


def _reference(walker: Walker, question: Item, value: Any) -> list[str]:
    types = limits(question, "questionnaire-referenceResource")
    told = value.get("reference") if isinstance(value, dict) else None
    held = walker.around.resolve(told) if isinstance(told, str) else None
    kind = held.get("resourceType") if held else literal_type(told) if isinstance(told, str) else None
    if types and kind is not None and kind not in types:
        return [f"the answer must refer to a {' or '.join(map(str, types))}"]
    return []


def _unit(walker: Walker, question: Item, value: Any) -> list[str]:
    """Check a quantity's unit against the units a question offers."""
    options = [option for option in limits(question, "questionnaire-unitOption") if isinstance(option, dict)]
    if not isinstance(value, dict):
        return []
    told = value.get("system"), value.get("code")
    if options and told not in [(option.get("system"), option.get("code")) for option in options]:
        return ["the unit is none of those offered"]
    if not _in_value_set(walker, limit(question, "questionnaire-unitValueSet"), value, {}):
        return ["the unit is not in the value set of units"]
    return []
