"""Says in JSON Schema which items belong to a slice, and which extensions need no closer look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import coded, slicing
from fhirbridge.validation.shapes import NEVER, Schema, equals, patterned
from fhirbridge.validation.tree import Element, TypeRef

if TYPE_CHECKING:
    from fhirbridge.validation.schema import Compiler


def schema(compiler: Compiler, sliced: Element, given: dict[str, Any]) -> Schema | None:
    """Return what matches a slice, or None where only the walker can tell."""
    parts: list[Schema] = []
    for discriminator in given.get("discriminator") or [{}]:
        path = str(discriminator.get("path", "")).removeprefix("$this.")
        try:
            steps = slicing.split(path, sliced) if path else None
        except ProfileError:
            steps = None
        if steps is None or discriminator.get("type") not in ("value", "pattern", "exists", "type"):
            return None
        told = _along(compiler, sliced, steps, discriminator["type"])
        if told is None:
            return None
        parts.append(told)
    return parts[0] if len(parts) == 1 else {"allOf": parts}


def _along(compiler: Compiler, at: Element, steps: list[str], kind: str) -> Schema | None:
    if not steps:
        return _test(compiler, at, kind)
    step, rest = steps[0], steps[1:]
    if step.startswith(("resolve", "ofType")):
        return None
    shape = compiler.snapshots.shape_of(at)
    if shape is None:
        return None
    if step.startswith("extension("):
        return _extension_step(shape, step, rest, kind)
    child = shape.children.get(step)
    if child is None or child.slices or child.is_choice or (kind == "exists" and rest):
        return None
    if kind == "exists":
        return {"required": [step]} if child.min > 0 else {"not": {"required": [step]}} if child.max == 0 else True
    if child.max == 0:
        return {"not": {"required": [step]}}
    inner = _along(compiler, child, rest, kind)
    if inner is None:
        return None
    return {"required": [step], "properties": {step: {"contains": inner} if child.is_array else inner}}


def _extension_step(shape: Element, step: str, rest: list[str], kind: str) -> Schema | None:
    url = step[len("extension('") : -2]
    if rest or kind != "exists":
        return None
    sliced = [s for s in shape.children["extension"].slices.values() if slicing.extension_url(s) == url]
    has: Schema = {
        "required": ["extension"],
        "properties": {"extension": {"contains": {"properties": {"url": {"const": url}}, "required": ["url"]}}},
    }
    if len(sliced) != 1:
        return None
    return has if sliced[0].min > 0 else {"not": has} if sliced[0].max == 0 else True


def _test(compiler: Compiler, rule: Element, kind: str) -> Schema | None:
    if kind == "exists":
        return None
    if kind == "type":
        return None
    if rule.max == 0:
        return None
    if rule.fixed is not None:
        return equals(rule.fixed)
    if rule.pattern is not None:
        return patterned(rule.pattern)
    if rule.children or not rule.types:
        return None
    code = rule.types[0].code
    binding = rule.binding
    if binding is not None and binding.get("strength") == "required":
        expansion = compiler.terminology.expansion(binding["valueSet"])
        if expansion is None or expansion.unknown or expansion.open or expansion.caseless:
            return None
        return coded.bound(compiler.terminology, binding["valueSet"], code)
    return None


def extension(compiler: Compiler, element: Element, ref: TypeRef | None, shape: Element) -> Schema:
    """Accept an extension that its slice binds to a profile here; have any other looked up (in Python) by its URL."""
    modifier = element.name == "modifierExtension"
    carriers = _carriers(compiler, element)
    if ref is not None and len(ref.profiles) == 1:
        structure = compiler.snapshots.definitions.structure(ref.profiles[0])
        tree = compiler.snapshots.tree(ref.profiles[0])
        if structure is None or tree is None:
            return NEVER
        if bool(tree.definition.get("isModifier")) != modifier or not fits(structure, carriers):
            return NEVER
        return True if shape is tree else compiler.profile(tree)
    if element.slice_name is not None and element.children:
        url = element.children["url"].fixed if "url" in element.children else None
        return bool(isinstance(url, str) and (":" not in url and "Extension.extension" in element.path))
    return {"x-modifier" if modifier else "x-extension": carriers}


def fits(structure: dict[str, Any], carriers: list[str]) -> bool:
    """Whether an extension's context surely allows what carries it."""
    if structure.get("contextInvariant"):
        return False
    contexts = structure.get("context")
    return not contexts or any(c.get("type") == "element" and c.get("expression") in carriers for c in contexts)


def _carriers(compiler: Compiler, element: Element) -> list[str]:
    """Return names that the element carrying this extension surely has."""
    above = element.path.rpartition(".")[0]
    if compiler.model.is_resource(above):
        return [above, "DomainResource", "Resource", "Element"]
    if "." not in above or not compiler.elsewhere:
        return [*dict.fromkeys([above, above.removesuffix("[x]")]), "Element"]
    return ["Element"]
