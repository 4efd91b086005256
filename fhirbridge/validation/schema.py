"""Compiles a tree of elements to one JSON Schema 2020-12: what it accepts is valid, what it refuses the walker decides.

Soundness is the only promise: wherever a rule cannot be said in JSON Schema, the schema refuses (``NEVER``), so that
the walker looks; it never lets pass what it could not check. Warnings are not its business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import discriminate
from fhirbridge.validation.fhirpath.logic import Logic
from fhirbridge.validation.invariants import DOM_3, REF_1, mended
from fhirbridge.validation.node import Model
from fhirbridge.validation.primitives import MAX_STRING, PRIMITIVES
from fhirbridge.validation.shapes import Schema, equals, patterned, reference_schema
from fhirbridge.validation.terminology import FORMATS, Expansion, Terminology
from fhirbridge.validation.tree import UNBOUNDED, Element, TypeRef

NEVER = False
_FEW = 300
"""Codes of a system that are listed in a schema; a larger one is looked up."""
_FAST_URI = (r"(?:[^\x00-\x20u#][^\x00-\x20]*|urn:[^\x00-\x20ou][^\x00-\x20]*|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
             r"|urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")  # fmt: skip

STRUCTURAL = frozenset(
    {
        "hasValue() or (children().count() > id.count())",  # empty objects and values are refused anyway
        "contained.contained.empty()",  # contained resources are refused, so that the walker looks at them
        "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()",
        "contained.meta.security.empty()",
        DOM_3,
        REF_1,
    }
)
"""Invariants that the rest of the schema already guarantees, by expression."""
_NEEDS_CONTEXT = ("%resource", "%rootResource", "resolve()", "conformsTo", "memberOf", "%context")

Keyword = tuple[str, str, str]
"""An invariant run as Python inside the schema: the StructureDefinition's URL, the element's id, the expression."""


class Compiler:
    """One compilation. ``rest`` collects the root's invariants that JSON Schema cannot say."""

    def __init__(self, model: Model, terminology: Terminology) -> None:
        self.model = model
        self.snapshots = model.snapshots
        self.terminology = terminology
        self.logic = Logic(model)
        self.defs: dict[str, Schema] = {}
        self.keywords: dict[str, Keyword] = {}
        self.rest: list[dict[str, Any]] = []
        self._systems: set[str] = set()
        self._named: dict[tuple[int, str], str] = {}
        self._kept: list[Element] = []

    def document(self, root: Element) -> dict[str, Any]:
        """Return the whole schema for a resource type or profile."""
        body = self._shape(root)
        for rule in root.constraints:
            told = self._constraint(rule, root)
            if told is None:
                self.rest.append(rule)
            elif told is not True:
                body = {"allOf": [body, told]}
        kind = root.path
        with_type = _with_resource_type(body, kind)
        self.defs["codes"] = self._codes()
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": self.defs, **with_type}

    def _ref(self, shape: Element, code: str) -> Schema:
        """Refer to a shape's own definition; types refer to each other, so each is compiled once."""
        key = (id(shape), code)
        if key not in self._named:
            name = f"{len(self._named)}.{shape.path}"
            self._named[key] = name
            self._kept.append(shape)
            self.defs[name] = True
            own = [self._whole_systems()] if code == "Coding" else []
            self.defs[name] = _all([self._shape(shape), *self._type_rules(shape, code), *own])
        return {"$ref": f"#/$defs/{self._named[key]}"}

    def _shape(self, shape: Element) -> dict[str, Any]:
        """The object that an element with children describes, without the element's own rules."""
        properties: dict[str, Schema] = {}
        required: list[str] = []
        rules: list[Schema] = []
        for child in shape.children.values():
            self._child(child, properties, required, rules)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 1,
        }
        if required:
            schema["required"] = required
        if rules:
            schema["allOf"] = rules
        return schema

    def _child(
        self,
        child: Element,
        properties: dict[str, Schema],
        required: list[str],
        rules: list[Schema],
    ) -> None:
        top = {n: s for n, s in child.slices.items() if n.rpartition("/")[0] not in child.slices}
        needed = max([child.min, *(s.min for s in top.values())])
        if child.max == 0:
            return
        for key, ref in child.keys.items():
            properties[key] = self._property(child, ref, top)
            if ref is not None and ref.code in PRIMITIVES and not child.is_array:
                element = self.snapshots.type_tree("Element")
                if element is not None:
                    properties["_" + key] = self._ref(element, "Element")
                    rules.append({"dependentRequired": {"_" + key: [key]}})
        keys = list(child.keys)
        if len(keys) == 1:
            required += keys if needed else []
            return
        if needed and not child.slices:
            rules.append({"anyOf": [{"required": [k]} for k in keys]})
        elif needed:
            rules.append({"oneOf": [{"required": [k]} for k in keys]})
        if len(keys) > 1:
            rules.append(_at_most_one(keys))

    def _property(self, child: Element, ref: TypeRef | None, top: dict[str, Element]) -> Schema:
        if any(s.slices or "/" in n for n, s in child.slices.items()):
            return NEVER
        if child.is_choice:
            return self._choice(child, ref, top)
        plain = self._item(child, ref)
        if not child.is_array:
            return plain if not top else NEVER
        limits: dict[str, Any] = {"type": "array", "minItems": max(1, child.min)}
        if child.max < UNBOUNDED:
            limits["maxItems"] = child.max
        if not top:
            return plain if plain is NEVER else {**limits, "items": plain}
        return self._sliced(child, top, plain, limits)

    def _choice(self, child: Element, ref: TypeRef | None, top: dict[str, Element]) -> Schema:
        """One typed key of a choice: slices by type are decided by the key itself."""
        if not top:
            return self._item(child, ref)
        discriminators = (child.slicing or {}).get("discriminator", [])
        if [(d.get("type"), d.get("path")) for d in discriminators] != [("type", "$this")]:
            return NEVER
        mine = [s for s in top.values() if ref and any(t.code == ref.code for t in s.types)]
        if len(mine) > 1 or any(s.max == 0 for s in mine) or sum(s.min for s in top.values()) > 1:
            return NEVER
        if any(s.min and s not in mine for s in top.values()):
            return NEVER
        if not mine:
            return NEVER if (child.slicing or {}).get("rules") == "closed" else self._item(child, ref)
        own = next((t for t in mine[0].types if ref and t.code == ref.code), ref)
        return self._item(mine[0], own)

    def _sliced(self, child: Element, top: dict[str, Element], plain: Schema, limits: dict[str, Any]) -> Schema:
        slicing = child.slicing or {}
        if slicing.get("ordered") or slicing.get("rules") == "openAtEnd":
            return NEVER
        matchers = {name: discriminate.schema(self, s, slicing) for name, s in top.items()}
        if any(m is None for m in matchers.values()):
            return NEVER
        items: list[Schema] = []
        counts: list[Schema] = []
        for name, sliced in top.items():
            matcher = matchers[name]
            ref = sliced.types[0] if sliced.types else None
            items.append({"if": matcher, "then": self._item(sliced, ref)})
            count: dict[str, Any] = {"contains": matcher, "minContains": sliced.min}
            if sliced.max < UNBOUNDED:
                count["maxContains"] = sliced.max
            if sliced.min or sliced.max < UNBOUNDED:
                counts.append(count)
        otherwise: Schema = NEVER if slicing.get("rules") == "closed" else plain
        items.append({"if": {"anyOf": list(matchers.values())}, "else": otherwise})
        return (
            {**limits, "items": {"allOf": items}, "allOf": counts} if counts else {**limits, "items": {"allOf": items}}
        )

    def _item(self, element: Element, ref: TypeRef | None) -> Schema:
        """One value of an element with the type it has here."""
        parts: list[Schema] = []
        own = list(element.constraints)
        code = ref.code if ref else "BackboneElement"
        if self.model.is_resource(code):
            return NEVER
        if code in PRIMITIVES:
            parts.append(primitive(code))
        else:
            shape = self.model.shape(element, ref)
            if shape is None:
                return NEVER
            if shape is element:
                parts += [self._shape(shape), *self._type_rules(shape, code, inline=True)]
                parts += [self._whole_systems()] if code == "Coding" else []
            else:
                parts.append(self._ref(shape, code))
            parts += self._type_profiles(element, ref, shape, code)
            known = {rule.get("expression") for rule in self._type_constraints(shape, code, inline=shape is element)}
            own = [rule for rule in own if rule.get("expression") not in known]
        parts += [self._sure(self._nested(rule, element)) for rule in own]
        parts += self._values(element, code)
        return _all(parts)

    def _sure(self, told: Schema | None) -> Schema:
        return NEVER if told is None else told

    def _type_constraints(self, shape: Element, code: str, *, inline: bool) -> list[dict[str, Any]]:
        """The rules of the type, and those of the profile or content reference that a shape comes from."""
        root = self.snapshots.type_tree(code) if code[:1].isupper() and "." not in code else None
        found = [*(() if inline else shape.constraints), *(root.constraints if root else ())]
        return list({rule["key"]: rule for rule in found}.values())

    def _type_rules(self, shape: Element, code: str, *, inline: bool = False) -> list[Schema]:
        at = (self.snapshots.type_tree(code) or shape) if inline else shape
        rules = self._type_constraints(shape, code, inline=inline)
        return [self._sure(self._nested(rule, at)) for rule in rules]

    def _type_profiles(self, element: Element, ref: TypeRef | None, shape: Element, code: str) -> list[Schema]:
        if code == "Extension":
            return [discriminate.extension(self, element, ref, shape)]
        parts: list[Schema] = []
        if ref is not None and ref.profiles:
            parts.append(self._profiles(ref, shape))
        if code == "Reference" and ref is not None:
            parts.append(reference_schema(self.snapshots, ref.targets))
        return parts

    def _whole_systems(self) -> Schema:
        """Look a code up (in Python) only where its system may be one that is loaded whole."""
        named: Schema = {"enum": self.terminology.whole_systems()}
        addressed: Schema = {"pattern": "^http://(?:terminology\\.)?hl7\\.org/"}
        loaded: Schema = {"required": ["system"], "properties": {"system": {"anyOf": [addressed, named]}}}
        return self.shared("known-code", lambda: {"if": loaded, "then": {"$ref": "#/$defs/codes"}})

    def _codes(self) -> Schema:
        """The codes of the small systems that this profile itself names; Python looks up any other."""
        listed: list[Schema] = []
        own = {entry.url for entry in self.snapshots.definitions.own if entry.kind == "CodeSystem"}
        for system in sorted(self._systems | own):
            codes = self.terminology.codes_of(system)
            if codes is not None and len(codes) <= _FEW:
                listed.append({"properties": {"system": {"const": system}, "code": {"enum": sorted(codes)}}})
        return {"anyOf": [*listed, {"x-code": True}]}

    def shared(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Keep a schema that many places use once, and refer to it."""
        if name not in self.defs:
            self.defs[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _profiles(self, ref: TypeRef, shape: Element) -> Schema:
        wanted = [p for p in ref.profiles if shape.home != p.partition("|")[0]]
        if not wanted:
            return True
        trees = [self.snapshots.tree(p) for p in ref.profiles]
        found = [self.profile(tree) for tree in trees if tree is not None]
        return NEVER if len(found) != len(trees) else found[0] if len(found) == 1 else {"anyOf": found}

    def profile(self, tree: Element) -> Schema:
        """A whole profile on a datatype: its shape and its root's rules."""
        return self._ref(tree, tree.path)

    def _values(self, element: Element, code: str) -> list[Schema]:
        parts: list[Schema] = []
        self._systems.update(_systems_in([element.fixed, element.pattern]))
        if element.fixed is not None:
            parts.append(equals(element.fixed))
        if element.pattern is not None:
            parts.append(patterned(element.pattern))
        if element.definition.get("maxLength"):
            parts.append({"maxLength": element.definition["maxLength"]})
        for key, limit in element.definition.items():
            if key.startswith(("minValue", "maxValue")):
                number = not isinstance(limit, (str, dict))
                parts.append({"minimum" if key.startswith("min") else "maximum": limit} if number else NEVER)
        binding = element.binding
        if binding and binding.get("strength") == "required":
            parts.append(self.bound(binding["valueSet"], code))
        return parts

    def bound(self, value_set: str, code: str) -> Schema:
        """What a required binding lets through."""
        expansion = self.terminology.expansion(value_set)
        if expansion is None or expansion.unknown:
            return True
        self._systems.update(expansion.codes)
        if code in PRIMITIVES:
            codes = sorted({c for s, found in expansion.codes.items() if not s.endswith("#lower") for c in found})
            return {"enum": codes} if codes else NEVER
        if code == "CodeableConcept":
            return {"required": ["coding"], "properties": {"coding": {"contains": _coding(expansion)}}}
        if code == "Coding":
            return _coding(expansion)
        return {"if": {"required": ["code"]}, "then": _coding(expansion)}

    def _nested(self, rule: dict[str, Any], element: Element) -> Schema | None:
        """A rule below the root: as schema, else as Python inside the schema, else (None) not at all."""
        told = self._constraint(rule, element)
        if told is not None:
            return told
        expression = mended(str(rule.get("expression")))
        if any(word in expression for word in _NEEDS_CONTEXT):
            return None
        keyword = (element.home, element.id, rule["expression"])
        name = next(
            (known for known, found in self.keywords.items() if found == keyword), f"x-fhirpath-{len(self.keywords)}"
        )
        self.keywords[name] = keyword
        return {name: True}

    def _constraint(self, rule: dict[str, Any], element: Element) -> Schema | None:
        expression = rule.get("expression")
        if not expression or rule.get("severity") != "error" or expression in STRUCTURAL:
            return True
        shape = element if element.children else self.snapshots.shape_of(element)
        try:
            return self.logic.as_schema(mended(expression), shape) if shape else None
        except ProfileError:
            return NEVER


def _all(parts: list[Schema]) -> Schema:
    """Join schemas that must all accept."""
    if any(part is NEVER for part in parts):
        return NEVER
    kept = [part for part in parts if part is not True]
    return kept[0] if len(kept) == 1 else {"allOf": kept} if kept else True


def _systems_in(value: Any) -> set[str]:
    """Return every ``system`` that a fixed value or pattern names."""
    if isinstance(value, list):
        return {system for item in value for system in _systems_in(item)}
    if not isinstance(value, dict):
        return set()
    found = {system for item in value.values() for system in _systems_in(item)}
    return found | {value["system"]} if isinstance(value.get("system"), str) else found


def primitive(code: str) -> Schema:
    """The schema of a primitive's JSON value."""
    rule = PRIMITIVES[code]
    if rule.json == "integer":
        return {"type": "integer", "minimum": rule.low, "maximum": rule.high, "x-whole": True}
    if rule.json != "string":
        return {"type": rule.json}
    if code in ("string", "markdown"):
        return {"type": "string", "pattern": f"^(?:{rule.regex})$", "maxLength": MAX_STRING}
    regex = _FAST_URI if code in ("uri", "url", "canonical") else rule.regex
    return {"type": "string", "pattern": f"^(?:{regex})$"}


def _with_resource_type(body: dict[str, Any], kind: str) -> dict[str, Any]:
    inner = body["allOf"][0] if "properties" not in body else body
    while "properties" not in inner:
        inner = inner["allOf"][0]
    inner["properties"]["resourceType"] = {"const": kind}
    inner["required"] = ["resourceType", *inner.get("required", [])]
    return body


def _at_most_one(keys: list[str]) -> Schema:
    """No two of these properties together: each is checked against those after it."""
    return {"dependentSchemas": {k: {"not": {"anyOf": [{"required": [o]} for o in keys if o != k]}} for k in keys}}


def _coding(expansion: Expansion) -> Schema:
    systems = {s: codes for s, codes in expansion.codes.items() if not s.endswith("#lower") and s}
    listed: list[Schema] = [
        {
            "properties": {"system": {"const": s}, "code": {"enum": sorted(codes)}},
            "required": ["system", "code"],
        }
        for s, codes in sorted(systems.items())
    ]
    whole = expansion.open - FORMATS.keys()  # a code system whose codes have a shape is left to the walker
    listed += [{"properties": {"system": {"const": s}}, "required": ["system", "code"]} for s in sorted(whole)]
    return {"type": "object", "anyOf": listed} if listed else NEVER
