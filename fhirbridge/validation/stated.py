"""Rules that R4 states in words and gives no invariant for, put among the invariants of the types they are about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fhirbridge.validation import (
    datatype_rules,
    definition_rules,
    narrative_controls,
    narrative_links,
    questionnaires,
    ucum,
)
from fhirbridge.validation.tree import Element

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

ABSOLUTE = r"^[A-Za-z][A-Za-z0-9+.\-]*:"
SIZE = "data.empty() or size.empty() or size = data.length()"
HASH = "data.empty() or hash.empty() or hash = data.sha1()"
SECURITY = "security.select(system & '|' & code).isDistinct()"
UNIT = f"system.exists() and system = '{ucum.SYSTEM}' implies code.empty() or code.unit()"
SYSTEM = f"system.empty() or system.matches('{ABSOLUTE}')"
URI = "system = 'urn:ietf:rfc:3986' implies value.empty() or value.absolute()"
LINKS = "descendants().enableWhen.question.all($this in %resource.descendants().linkId)"
WAITS = "descendants().where(enableWhen.question in (linkId | descendants().linkId)).empty()"
PARSED = "expression.empty() or expression.parsed()"
SEARCHED = "expression.empty() or base.exists(finds(%resource.expression))"
COMPOSITE = "type = 'composite' implies component.count() > 1"
SUPPLEMENT = "(content = 'supplement') = supplements.exists()"
ABSENT = "content = 'not-present' implies concept.empty()"
IDS = "descendants().id.isDistinct()"
MAPPED = "group.all(element.code.in(source) and element.target.code.in(target))"
COUNT = "content != 'complete' or count.empty() or count = repeat(concept).count()"
LINKED = "div.links().all(leadsSomewhere())"
SHOWN = "extension.all(textLink())"
INCLUDED = "(compose.include | compose.exclude).system.all(absolute() and valueSet().not())"

_QUANTITIES = ("Quantity", "Age", "Count", "Distance", "Duration")


def _rule(key: str, expression: str, human: str) -> dict[str, Any]:
    return {"key": key, "severity": "error", "human": human, "expression": expression}


_OF_QUANTITIES = (
    _rule("qty-unit", UNIT, "with UCUM as system the code is a UCUM unit"),
    _rule("qty-system", SYSTEM, "system is an absolute URI"),
)
RULES: dict[str, tuple[dict[str, Any], ...]] = {
    "Attachment": (
        _rule("att-size", SIZE, "size is the number of bytes of the data, before base64"),
        _rule("att-hash", HASH, "hash is the SHA-1 of the data, before base64, in base64"),
    ),
    "Coding": (_rule("cod-system", SYSTEM, "system is an absolute URI"),),
    "Identifier": (
        _rule("ide-system", SYSTEM, "system is an absolute URI"),
        _rule("ide-value", URI, "with urn:ietf:rfc:3986 as system the value is an absolute URI"),
    ),
    "Meta": (_rule("met-security", SECURITY, "security labels are a set: none comes twice"),),
    "Narrative": (
        _rule("txt-links", LINKED, "links can be followed, and those to #id find it in the resource"),
        _rule("txt-shown", SHOWN, "a textLink's htmlid is in the narrative, and its data, if local, in the resource"),
    ),
    **dict.fromkeys(_QUANTITIES, _OF_QUANTITIES),
    "CodeSystem": (
        _rule("csd-count", COUNT, "of a complete code system count is the number of its concepts"),
        _rule("csd-supplement", SUPPLEMENT, "a supplement has the content supplement, and names what it supplements"),
        _rule("csd-absent", ABSENT, "a code system that is not present has no concepts here"),
    ),
    "Questionnaire": (
        _rule("que-links", LINKS, "enableWhen names the linkId of an item that is there"),
        _rule("que-waits", WAITS, "enableWhen names neither its own item nor one below that"),
    ),
    "SearchParameter": (
        _rule("spd-expression", PARSED, "expression is FHIRPath"),
        _rule("spd-base", SEARCHED, "expression finds something in one of the base types"),
        _rule("spd-composite", COMPOSITE, "a composite has two components or more"),
    ),
    "ConceptMap": (_rule("cmd-code", MAPPED, "codes are those of the code systems that the group maps"),),
    "ValueSet": (_rule("vsd-system", INCLUDED, "systems are absolute URIs of code systems, not of value sets"),),
}
"""By type. The expressions are names, read by people; what is run is in RUN."""

Schema = dict[str, Any] | bool

EVERY_RESOURCE = _rule("res-ids", IDS, "ids of elements are unique in their resource")
_KEYS = frozenset(
    [*(rule["key"] for rules in RULES.values() for rule in rules), EVERY_RESOURCE["key"], *narrative_controls.KEYS]
)


def add(root: Element, *, is_resource: bool) -> None:
    """Put the rules for a type among its root's invariants, and what extensions ask for among their elements'."""
    _put(root, [*RULES.get(root.path, ()), *([EVERY_RESOURCE] if is_resource else [])])
    for element in root.walk():
        if "extension" in element.definition:
            _put(element, list(narrative_controls.rules(element)))


def _put(element: Element, wanted: list[dict[str, Any]]) -> None:
    """Add the rules that an element does not have yet."""
    known = {(rule.get("key"), rule.get("expression")) for rule in element.constraints}
    fresh = [{**rule, "source": element.home} for rule in wanted if (rule["key"], rule["expression"]) not in known]
    if fresh:
        element.definition["constraint"] = [*element.constraints, *fresh]
        element.__dict__.pop("constraints", None)


def without(definition: dict[str, Any]) -> dict[str, Any]:
    """Return an ElementDefinition as its authors wrote it, without these rules."""
    rules = definition.get("constraint", ())
    kept = [rule for rule in rules if rule.get("key") not in _KEYS]
    if len(kept) == len(rules):
        return definition
    told = {**definition, "constraint": kept}
    return told if kept else {k: v for k, v in told.items() if k != "constraint"}


RUN: dict[str, Callable[[Walker, Node], bool]] = {
    SIZE: datatype_rules.size,
    HASH: datatype_rules.hash_,
    SYSTEM: datatype_rules.system,
    URI: datatype_rules.uri,
    LINKS: definition_rules.links,
    WAITS: questionnaires.waits_for_others,
    PARSED: definition_rules.parsed,
    SEARCHED: definition_rules.searched,
    COMPOSITE: definition_rules.composite,
    SUPPLEMENT: definition_rules.supplement,
    ABSENT: definition_rules.absent,
    SECURITY: datatype_rules.security,
    UNIT: datatype_rules.unit,
    IDS: datatype_rules.ids,
    COUNT: definition_rules.count,
    MAPPED: definition_rules.mapped,
    INCLUDED: definition_rules.included,
    LINKED: narrative_links.lead_somewhere,
    SHOWN: narrative_links.shows_what_it_says,
    narrative_controls.SOURCED: narrative_controls.sourced,
}
NEEDS_WALKER = frozenset({INCLUDED, MAPPED, SEARCHED})

_COMMON_UNITS = (
    *("%", "1", "/min", "mg", "g", "kg", "ug", "ng", "L", "mL", "dL", "mm", "cm", "m", "m2", "mm[Hg]", "Cel", "[degF]"),
    *(
        "s",
        "min",
        "h",
        "d",
        "wk",
        "mo",
        "a",
        "mg/dL",
        "g/dL",
        "g/L",
        "mmol/L",
        "umol/L",
        "ng/mL",
        "ug/L",
        "U/L",
        "[IU]/L",
    ),
    *(
        "[IU]/mL",
        "[iU]/mL",
        "10*3/uL",
        "10*6/uL",
        "10*9/L",
        "10*12/L",
        "meq/L",
        "mL/min",
        "fL",
        "pg",
        "kg/m2",
        "{score}",
    ),
    *("mL/min/{1.73_m2}", "10*", "log10", "{ratio}", "{INR}", "s", "Gy", "mm2"),
)


def schema(expression: str, python: Schema) -> Schema:
    """Return a JSON Schema that decides the usual cases; where it cannot, ``python`` (a schema too) decides."""
    if expression == SYSTEM:
        return {"properties": {"system": {"pattern": ABSOLUTE}}}
    if expression == URI:
        other: Schema = {"not": {"required": ["system"], "properties": {"system": {"const": datatype_rules.URIS}}}}
        return {"anyOf": [other, {"properties": {"value": {"pattern": ABSOLUTE}}}]}
    if expression in (SIZE, HASH):
        return {"anyOf": [{"not": {"required": ["data", "size" if expression == SIZE else "hash"]}}, python]}
    if expression == LINKED:
        return {"anyOf": [{"properties": {"div": {"not": {"pattern": "[<]a\\b|=\\s*[\"']#"}}}}, python]}
    if expression == SHOWN:
        return {"anyOf": [{"not": {"required": ["extension"]}}, python]}
    if expression == SECURITY:
        return {"anyOf": [{"properties": {"security": {"maxItems": 1}}}, python]}
    if expression == UNIT:
        usual = [code for code in _COMMON_UNITS if ucum.is_unit(code)]
        counted = {"required": ["system"], "properties": {"system": {"const": ucum.SYSTEM}}}
        return {"anyOf": [{"properties": {"code": {"enum": usual}}}, {"not": counted}, python]}
    return python
