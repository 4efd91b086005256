"""Compiles a tree of elements to one JSON Schema 2020-12: what it accepts is valid, what it refuses the walker decides.

Soundness is the only promise: wherever a rule cannot be said in JSON Schema, the schema refuses (``NEVER``), so that
the walker looks; it never lets pass what it could not check. Warnings are not its business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhirbridge.validation import coded, discriminate
from fhirbridge.validation.bindings import limits
from fhirbridge.validation.node import Model
from fhirbridge.validation.primitives import PRIMITIVES
from fhirbridge.validation.rules import Rules
from fhirbridge.validation.shapes import (
    NEVER,
    Schema,
    all_of,
    apart,
    at_most_one,
    equals,
    patterned,
    primitive,
    reference_schema,
    with_resource_type,
)
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import UNBOUNDED, Element, TypeRef

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_USUAL = frozenset({"CodeableConcept", "Coding", "Identifier", "Period", "Quantity", "Reference"})
"""Datatypes that extensions usually have; any other is compiled apart, and only when an extension has it."""


class Compiler:
    """One compilation. ``rest`` collects the root's invariants that JSON Schema cannot say."""

    def __init__(self, model: Model, terminology: Terminology) -> None:
        self.model = model
        self.snapshots = model.snapshots
        self.terminology = terminology
        self.rules = Rules(model)
        self.defs: dict[str, Schema] = {}
        self.rest: list[dict[str, Any]] = []
        self._named: dict[tuple[int, str], str] = {}
        self._open: set[str] = set()
        self.elsewhere = False
        """Whether a content reference led here, so that paths do not tell where the value stands."""
        self._kept: list[Element] = []

    def document(self, root: Element) -> dict[str, Any]:
        """Return the whole schema for a resource type or profile."""
        body = self._shape(root)
        parts: list[Schema] = []
        for rule in root.constraints:
            told = self.rules.schema(rule, root)
            if told is None:
                self.rest.append(rule)
            elif told is not True:
                parts.append(told)
        with_type = with_resource_type(body, root.path)
        whole: dict[str, Any] = {"allOf": [with_type, *parts]} if parts else with_type
        return {"$schema": _DIALECT, "$defs": self.defs, **whole}

    def datatype(self, root: Element) -> dict[str, Any]:
        """Return the whole schema for a datatype or a profile on one."""
        return {"$schema": _DIALECT, "$defs": self.defs, "allOf": [self.profile(root)]}

    def _ref(self, shape: Element, code: str) -> Schema:
        """Refer to a shape's own definition; types refer to each other, so each is compiled once."""
        key = (id(shape), code)
        if key not in self._named:
            name = f"{len(self._named)}.{shape.path}"
            self._named[key] = name
            self._kept.append(shape)
            self._open.add(name)
            kept, self.elsewhere = self.elsewhere, "." in shape.path
            own = self._codes(code)
            self.defs[name] = all_of([self._shape(shape), *self._type_rules(shape, code), *own])
            self.elsewhere = kept
            self._open.discard(name)
        found: Schema = {"$ref": f"#/$defs/{self._named[key]}"}
        return {"allOf": [found, {"x-shallow": True}]} if self._named[key] in self._open else found

    def _shape(self, shape: Element) -> dict[str, Any]:
        """The object that an element with children describes, without the element's own rules."""
        properties: dict[str, Schema] = {}
        required: list[str] = []
        rules: list[Schema] = []
        choices: list[list[str]] = []
        for child in shape.children.values():
            self._child(child, properties, required, rules, choices)
        rules += [at_most_one(keys, required) for keys in choices]
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
        choices: list[list[str]],
    ) -> None:
        top = {n: s for n, s in child.slices.items() if n.rpartition("/")[0] not in child.slices}
        needed = max([child.min, *(s.min for s in top.values())])
        if child.max == 0 or child.definition.get("base", {}).get("path") == "Element.id":
            return  # the walker compares the ids of elements with each other
        for key, ref in child.keys.items():
            properties[key] = self._property(child, ref, top)
            fixed = child.fixed is not None or any(s.fixed is not None for s in child.slices.values())
            if ref is not None and ref.code in PRIMITIVES and ref.code != "xhtml" and not (child.is_array or fixed):
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
            choices.append(keys)

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
        told = [m for m in matchers.values() if m is not None]
        if all(apart(one, two) for n, one in enumerate(told) for two in told[:n]):
            items.append({"if": {"anyOf": told}, "else": otherwise})
        else:  # an item might be in two slices, which is an error
            items.append({"oneOf": [*told, all_of([{"not": {"anyOf": told}}, otherwise])]})
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
            if code == "canonical" and ref is not None and ref.targets and element.path != "Meta.profile":
                parts.append({"x-canonical": list(ref.targets)})
        elif _is_unusual(element, ref):
            parts.append({"x-type": code})
        else:
            shape = self.model.shape(element, ref)
            if shape is None:
                return NEVER
            if shape is element:
                parts += [self._shape(shape), *self._type_rules(shape, code, inline=True)]
                parts += self._codes(code)
            else:
                parts.append(self._ref(shape, code))
            parts += self._type_profiles(element, ref, shape, code)
            known = {rule.get("expression") for rule in self._type_constraints(shape, code, inline=shape is element)}
            own = [rule for rule in own if rule.get("expression") not in known]
        parts += [self.rules.nested(rule, element) for rule in own]
        parts += self._values(element, code)
        return all_of(parts)

    def _type_constraints(self, shape: Element, code: str, *, inline: bool) -> list[dict[str, Any]]:
        """The rules of the type, and those of the profile or content reference that a shape comes from."""
        root = self.snapshots.type_tree(code) if code[:1].isupper() and "." not in code else None
        found = [*(() if inline else shape.constraints), *(root.constraints if root else ())]
        return list({rule["key"]: rule for rule in found}.values())

    def _type_rules(self, shape: Element, code: str, *, inline: bool = False) -> list[Schema]:
        at = (self.snapshots.type_tree(code) or shape) if inline else shape
        rules = self._type_constraints(shape, code, inline=inline)
        return [self.rules.nested(rule, at) for rule in rules]

    def _type_profiles(self, element: Element, ref: TypeRef | None, shape: Element, code: str) -> list[Schema]:
        if code == "Extension":
            return [discriminate.extension(self, element, ref, shape)]
        parts: list[Schema] = []
        if ref is not None and ref.profiles:
            parts.append(self._profiles(ref, shape))
        if code == "Reference" and ref is not None:
            bare = not ref.aggregation and ref.versioning in ("", "either")
            parts.append(reference_schema(self.snapshots, ref.targets) if bare else NEVER)
        return parts

    def _codes(self, code: str) -> list[Schema]:
        """Refuse codes that their own code system lacks, and leave codings without a code to the walker."""
        if code in coded.WITH_CODE:
            return [self.shared("known-code", lambda: coded.known_code(self.terminology))]
        return [coded.WITH_CODES] if code == "CodeableConcept" else []

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
        if element.fixed is not None:
            parts.append(equals(element.fixed))
        if element.pattern is not None:
            parts.append(patterned(element.pattern))
        if element.definition.get("maxLength"):
            parts.append({"maxLength": element.definition["maxLength"]})
        if element.min_length:
            parts.append({"minLength": element.min_length})
        for key, limit in element.definition.items():
            if key.startswith(("minValue", "maxValue")):
                number = not isinstance(limit, (str, dict))
                parts.append({"minimum" if key.startswith("min") else "maximum": limit} if number else NEVER)
        binding = element.binding
        if binding and binding.get("strength") == "required":
            parts.append(coded.bound(self.terminology, binding["valueSet"], code))
        if binding:
            parts += [coded.bound(self.terminology, canonical, code) for canonical in limits(binding)]
        return parts


def _is_unusual(element: Element, ref: TypeRef | None) -> bool:
    """Whether this is a value that an extension might have and seldom has, with nothing said about it here."""
    plain = not element.children and ref is not None and not ref.profiles and ref.code not in _USUAL
    return plain and element.path == "Extension.value[x]"
