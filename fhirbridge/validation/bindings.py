"""Checks codes against bound value sets, and numbers and dates against an element's limits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fhirbridge.validation import ucum
from fhirbridge.validation.coded import WITH_CODE
from fhirbridge.validation.fhirpath.temporal import compare_text
from fhirbridge.validation.measured import compare
from fhirbridge.validation.primitives import shown
from fhirbridge.validation.terminology import Expansion
from fhirbridge.validation.tree import STRUCTURES

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.tree import Element
    from fhirbridge.validation.walker import Walker

_CHECKED = ("required", "extensible", "preferred")
_MAXIMUM = STRUCTURES + "elementdefinition-maxValueSet"
_ADDITIONAL = (
    "http://hl7.org/fhir/tools/StructureDefinition/additional-binding",
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition.binding.additional",
)


def check(walker: Walker, node: Node, element: Element) -> None:
    """Check a coded value against the element's binding: required is an error, the weaker ones are warnings."""
    _check_system(walker, node)
    binding = element.binding
    if binding is None:
        return
    if node.value is None:
        if node.type == "code" and binding.get("strength") == "required":
            text = (
                f"{element.id} needs a code of the value set {binding['valueSet']} (required); it has only extensions."
            )
            walker.error("code-invalid", "binding", text, node.path)
        return
    if binding.get("strength") in ("required", "extensible") or not _is_text_alone(node):
        for canonical in limits(binding):
            _check_limit(walker, node, element, canonical)
    if binding.get("strength") not in _CHECKED:
        return
    expansion = walker.terminology.expansion(binding["valueSet"])
    strength = binding["strength"]
    severity = "error" if strength == "required" else "warning"
    if expansion is None:
        walker.error(
            "not-found",
            "binding",
            f"The value set {binding['valueSet']} is not loaded, so {element.id} was not checked.",
            node.path,
            "Load the package that defines it.",
            "warning",
        )
        return
    if strength != "required" and _is_text_alone(node):
        return  # text alone says that no code of the set applies
    answer = in_value_set(node, expansion)
    if answer is None and expansion.unknown:
        walker.error(
            "incomplete",
            "binding",
            f"The value set {binding['valueSet']} has nothing to expand (neither compose nor expansion, or it names a "
            f"value set that is not loaded), so {element.id} was not checked.",
            node.path,
            "Load its content.",
            "warning",
        )
    elif answer is False:
        text = f"{element.id}: {_told(node)} is not in the value set {binding['valueSet']} ({strength})."
        walker.error("code-invalid", "binding", text, node.path, _offer(expansion), severity)


def _check_system(walker: Walker, node: Node) -> None:
    """Refuse a code where its own code system is loaded whole and lacks it."""
    if node.type == "CodeableConcept":
        _check_codings(walker, node)
    if node.type not in WITH_CODE or not isinstance(node.value, dict):
        return
    system, code = node.value.get("system"), node.value.get("code")
    if node.type != "Coding" and system == ucum.SYSTEM:
        return  # qty-unit says it
    wrong = walker.terminology.problem(system, code) if isinstance(system, str) and isinstance(code, str) else None
    if wrong:
        walker.error("code-invalid", "code-unknown", wrong, node.path)


def _check_codings(walker: Walker, node: Node) -> None:
    """Refuse a concept's coding that names a code system that is loaded whole, but no code of it.

    R4 does not say what such a coding means; HL7's validator looks up an empty code and does not find it.
    """
    codings = node.value.get("coding")
    for number, coding in enumerate(codings) if isinstance(codings, list) else ():
        if isinstance(coding, dict) and "code" not in coding and "_code" not in coding:
            system = coding.get("system")
            if isinstance(system, str) and walker.terminology.codes_of(system) is not None:
                text = f"The coding names the code system {system}, but no code of it."
                place = f"{node.path}.coding[{number}]"
                walker.error("code-invalid", "code-unknown", text, place, "Say the code, or leave the coding out.")


def limits(binding: dict[str, Any]) -> list[str]:
    """Return the value sets no code may leave, whatever the binding's strength: maximum, and additional required ones.

    Additional bindings that hold only in some usage, or for any one of several values, are not among them.
    """
    found: list[str] = []
    for extension in binding.get("extension", ()):
        if extension.get("url") == _MAXIMUM:
            told = extension.get("valueCanonical") or extension.get("valueUri")
            found += [str(told)] if told else []
        elif extension.get("url") in _ADDITIONAL:
            parts = {part.get("url"): part for part in extension.get("extension", ())}
            told = parts.get("valueSet", {}).get("valueCanonical")
            firm = parts.get("purpose", {}).get("valueCode") in ("required", "maximum")
            if firm and told and "usage" not in parts and not parts.get("any", {}).get("valueBoolean"):
                found.append(str(told))
    return found


def _is_text_alone(node: Node) -> bool:
    return node.type == "CodeableConcept" and not node.value.get("coding")


def _check_limit(walker: Walker, node: Node, element: Element, canonical: str) -> None:
    expansion = walker.terminology.expansion(canonical)
    if expansion is not None and in_value_set(node, expansion) is False:
        text = f"{element.id}: {_told(node)} is not in {canonical}, beyond which its binding may not go."
        walker.error("code-invalid", "binding", text, node.path, _offer(expansion))


def in_value_set(node: Node, expansion: Expansion) -> bool | None:
    """Tell whether a code, Coding, CodeableConcept or Quantity is in; None where that cannot be told."""
    value = node.value
    if isinstance(value, str):
        return expansion.has(None, value)
    if not isinstance(value, dict):
        return None
    if node.type == "CodeableConcept":
        codings = value.get("coding")
        answers = [_coding(c, expansion) for c in codings if isinstance(c, dict)] if isinstance(codings, list) else []
        return True if True in answers else None if None in answers else False
    if node.type in (
        "Coding",
        "Quantity",
        "Age",
        "Count",
        "Distance",
        "Duration",
        "MoneyQuantity",
        "SimpleQuantity",
    ):
        return _coding(value, expansion) if "code" in value or node.type == "Coding" else None
    return None


def _coding(value: dict[str, Any], expansion: Expansion) -> bool | None:
    code, system = value.get("code"), value.get("system")
    if not isinstance(code, str) or not isinstance(system, str):
        return None if expansion.unknown else False
    return expansion.has(system, code)


def _told(node: Node) -> str:
    if node.type != "CodeableConcept":
        value = node.value
        return f"{value.get('system')}|{value.get('code')}" if isinstance(value, dict) else shown(value)
    found = node.value.get("coding")
    codings = [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []
    return ", ".join(f"{c.get('system')}|{c.get('code')}" for c in codings) or "a concept without a coding"


def _offer(expansion: Expansion) -> str:
    codes = sorted({c for system, found in expansion.codes.items() if not system.endswith("#lower") for c in found})
    if not codes or expansion.open or expansion.unknown:
        return ""
    return f"Use one of: {', '.join(codes[:12])}{', …' if len(codes) > 12 else ''}."


def check_range(walker: Walker, node: Node, element: Element) -> None:
    """Check minValue[x] and maxValue[x]."""
    for key, limit in element.limits:
        if key.startswith("minValue") and _order(node.value, limit) == -1:
            walker.error(
                "value",
                "min-value",
                f"{element.id} must be at least {_plain(limit)}, is {_plain(node.value)}.",
                node.path,
            )
        if key.startswith("maxValue") and _order(node.value, limit) == 1:
            walker.error(
                "value",
                "max-value",
                f"{element.id} may be at most {_plain(limit)}, is {_plain(node.value)}.",
                node.path,
            )


def _plain(value: Any) -> str:
    return (
        f"{value.get('value')} {value.get('code') or value.get('unit') or ''}".strip()
        if isinstance(value, dict)
        else str(value)
    )


def _order(value: Any, limit: Any) -> int | None:
    """Return -1, 0 or 1 as the value is below, at or above the limit; None where they do not compare."""
    if isinstance(value, dict) and isinstance(limit, dict):
        return compare(value, limit)
    if isinstance(value, (int, Decimal, float)) and isinstance(limit, (int, Decimal, float)):
        one, two = Decimal(str(value)), Decimal(str(limit))
        return (one > two) - (one < two)
    if isinstance(value, str) and isinstance(limit, str):
        return compare_text(value, limit)
    return None
