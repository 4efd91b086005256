"""Assigns the items of a sliced element to its slices (https://hl7.org/fhir/R4/profiling.html#slicing)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import bindings, structure
from fhirbridge.validation.matching import carries, same
from fhirbridge.validation.tree import Element

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

_STEP = re.compile(
    r"(\$this|extension\('[^']+'\)|resolve\(\)|ofType\([A-Za-z.]+\)|[A-Za-z_][A-Za-z0-9_]*(?:\[x\])?)(?:\.|$)"
)


def check(walker: Walker, element: Element, items: list[Node], above: str) -> dict[int, list[Element]]:
    """Assign items to slices, check slice cardinality, order and closedness; return the slices by id(item)."""
    top = {name: s for name, s in element.slices.items() if name.rpartition("/")[0] not in element.slices}
    return _assign(walker, element, element.slicing or {}, top, items, above)


def _assign(
    walker: Walker,
    element: Element,
    slicing: dict[str, Any],
    slices: dict[str, Element],
    items: list[Node],
    above: str,
) -> dict[int, list[Element]]:
    assigned: dict[int, list[Element]] = {}
    members: dict[str, list[Node]] = {name: [] for name in slices}
    for item in items:
        for name, sliced in slices.items():
            if belongs(walker, item, sliced, slicing):
                members[name].append(item)
                assigned.setdefault(id(item), []).append(sliced)
        mine = assigned.get(id(item), ())
        if len(mine) > 1 and slicing.get("discriminator"):
            named = ", ".join(str(sliced.slice_name) for sliced in mine)
            text = f"{item.path} is in more than one slice of {element.path}: {named}."
            walker.error("structure", "slice-ambiguous", text, item.path)
    for name, sliced in slices.items():
        structure.cardinality(
            walker,
            len(members[name]),
            sliced,
            f"{above}.{element.name}",
            sliced.id if ":" in sliced.id else f"{element.path}:{name}",
        )
        _reslice(walker, element, sliced, name, members[name], above, assigned)
    _check_rules(walker, element, slicing, slices, items, assigned)
    return assigned


def _reslice(
    walker: Walker,
    element: Element,
    sliced: Element,
    name: str,
    members: list[Node],
    above: str,
    assigned: dict[int, list[Element]],
) -> None:
    below = {n: s for n, s in element.slices.items() if n.rpartition("/")[0] == name}
    if not below:
        return
    deeper = _assign(walker, element, sliced.slicing or element.slicing or {}, below, members, above)
    for key, found in deeper.items():
        assigned[key] = [s for s in assigned[key] if s is not sliced] + found


def _check_rules(
    walker: Walker,
    element: Element,
    slicing: dict[str, Any],
    slices: dict[str, Element],
    items: list[Node],
    assigned: dict[int, list[Element]],
) -> None:
    order = {id(sliced): number for number, sliced in enumerate(slices.values())}
    latest, strayed = -1, False
    for item in items:
        mine = [order[id(s)] for s in assigned.get(id(item), []) if id(s) in order]
        if not mine:
            strayed = strayed or id(item) not in assigned
            if slicing.get("rules") == "closed" and id(item) not in assigned:
                allowed = ", ".join(slices)
                walker.error(
                    "structure",
                    "slice-closed",
                    f"{item.path} is in none of the slices of {element.path}: {allowed}.",
                    item.path,
                    "Make it match a slice, or remove it.",
                )
            continue
        if slicing.get("rules") == "openAtEnd" and strayed:
            walker.error("structure", "slice-open-at-end", f"{item.path}: items in no slice must come last.", item.path)
        if slicing.get("ordered") and min(mine) < latest:
            walker.error(
                "structure",
                "slice-order",
                f"{item.path} stands out of the slices' order: {', '.join(slices)}.",
                item.path,
            )
        latest = max(latest, min(mine))


def belongs(walker: Walker, item: Node, sliced: Element, slicing: dict[str, Any]) -> bool:
    """Tell whether an item belongs to a slice: every discriminator must say so."""
    discriminators = slicing.get("discriminator") or []
    if not discriminators:
        return walker.quiet(lambda quiet: quiet.item(item, sliced))
    told = [_matches(walker, item, sliced, d) for d in discriminators]
    if not any(answer is not None for answer in told):
        paths = ", ".join(str(d.get("path", "$this")) for d in discriminators)
        raise ProfileError(f"{sliced.home}: slice {sliced.id} has nothing at its discriminator {paths}.")
    return all(answer is not False for answer in told)


def _matches(walker: Walker, item: Node, sliced: Element, discriminator: dict[str, Any]) -> bool | None:
    """Ask one discriminator; None where the slice says nothing there, and another one has to tell."""
    kind, path = discriminator.get("type"), str(discriminator.get("path", "$this"))
    steps = split(path, sliced)
    wanted = list(_defined(walker, sliced, steps))
    url = extension_url(sliced) if steps == ["url"] else None
    if url is not None and not any(map(_says_something, wanted)):  # an extension whose definition is not loaded
        return isinstance(item.value, dict) and bool(item.value.get("url") == url)
    if not wanted or (kind in ("value", "pattern") and not any(map(_says_something, wanted))):
        return None
    found = list(_found(walker, [item], steps))
    if kind == "exists":
        return any(_exists_fits(rule, bool(found)) for rule in wanted)
    if not found:
        return any(rule.max == 0 for rule in wanted)
    if kind == "type":
        return any(_type_fits(rule, node) for rule in wanted for node in found)
    if kind == "profile":
        return any(_profile_fits(walker, rule, node, steps) for rule in wanted for node in found)
    return any(_value_fits(walker, rule, node) for rule in wanted for node in found)


def _says_something(rule: Element) -> bool:
    """Tell whether an element distinguishes values: fixed, patterned, bound, of a profile, forbidden, or below it."""
    bound = (rule.binding or {}).get("strength") == "required"
    shaped = rule.fixed is not None or rule.pattern is not None or bool(rule.children) or rule.max == 0
    return shaped or bound or any(t.profiles for t in rule.types)


def _exists_fits(rule: Element, there: bool) -> bool:
    return there if rule.min > 0 else not there if rule.max == 0 else True


def _type_fits(rule: Element, node: Node) -> bool:
    return any(t.code in (node.type, "Resource", "DomainResource") for t in rule.types) or rule.path == node.type


def _profile_fits(walker: Walker, rule: Element, node: Node, steps: list[str]) -> bool:
    profiles = [p for t in rule.types for p in t.profiles]
    if not rule.types and rule.home and "." not in rule.path:
        profiles = [rule.home]  # behind resolve(): the rule is the target profile's own root
    del steps
    return any(_of_type(walker, p, node) and walker.conforms(node, p) for p in profiles)


def _of_type(walker: Walker, profile: str, node: Node) -> bool:
    structure = walker.snapshots.definitions.structure(profile)
    return structure is not None and structure.get("type") in (node.type, "Resource", "DomainResource")


def _value_fits(walker: Walker, rule: Element, node: Node) -> bool:
    """Compare with what the slice fixes at the discriminator: a value, a pattern, a binding, or what is below."""
    if rule.max == 0:
        return False
    if rule.fixed is not None:
        return same(rule.fixed, node.value)
    if rule.pattern is not None:
        return carries(rule.pattern, node.value)
    told = [_below(walker, rule, node)] if rule.children else []
    if rule.binding is not None and rule.binding.get("strength") == "required":
        expansion = walker.terminology.expansion(rule.binding["valueSet"])
        told.append(expansion is not None and bindings.in_value_set(node, expansion) is True)
    if not told and rule.types and any(t.profiles for t in rule.types):
        return any(walker.conforms(node, p) for t in rule.types for p in t.profiles)
    return bool(told) and all(told)


def _below(walker: Walker, rule: Element, node: Node) -> bool:
    """Whether everything fixed or patterned below the discriminator's element is there."""
    return walker.quiet(lambda quiet: quiet.item(node, rule))


def split(path: str, sliced: Element) -> list[str]:
    """Split a discriminator's restricted FHIRPath into steps. Raises ProfileError where it is not one."""
    steps, at = [], 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ProfileError(
                f"{sliced.home}: the discriminator {path} of {sliced.path} is not a path R4 allows there."
            )
        steps.append(found[1])
        at = found.end()
    return [s for s in steps if s != "$this"]


def _defined(walker: Walker, at: Element, steps: list[str]) -> Iterator[Element]:
    """Follow the path through the slice's definition, and through its types' and targets' profiles."""
    if not steps:
        yield at
        return
    step, rest = steps[0], steps[1:]
    if step == "resolve()":
        for ref in at.types:
            for target in ref.targets:
                tree = walker.snapshots.tree(target)
                if tree is not None:
                    yield from _defined(walker, tree, rest)
        return
    if step.startswith("ofType("):
        code = step[7:-1]
        options = [at, *at.slices.values()]
        fitting = [s for s in options if [t.code for t in s.types] == [code]]
        yield from _defined(walker, (fitting or [at])[-1], rest)
        return
    shape = walker.snapshots.shape_of(at)
    if shape is None:
        return
    if step.startswith("extension("):
        url = step[len("extension('") : -2]
        for sliced in shape.children["extension"].slices.values():
            if extension_url(sliced) == url:
                yield from _defined(walker, sliced, rest)
        return
    child = shape.children.get(step) or shape.children.get(step.removesuffix("[x]") + "[x]")
    if child is not None:
        only = list(child.slices.values())
        found = list(_defined(walker, only[0] if child.is_choice and len(only) == 1 else child, rest))
        yield from found if any(map(_says_something, found)) else [*found, *_profiled(walker, at, shape, steps)]


def _profiled(walker: Walker, at: Element, shape: Element, steps: list[str]) -> Iterator[Element]:
    """Follow the path through the profiles on an element's type, which its own children (with the slice) hide."""
    for canonical in [p for t in at.types for p in t.profiles] if at.children else ():
        tree = walker.snapshots.tree(canonical)
        if tree is not None and tree is not shape:
            yield from _defined(walker, tree, steps)


def extension_url(sliced: Element) -> str | None:
    """Return the URL of the extension that a slice is for."""
    for ref in sliced.types:
        if ref.profiles:
            return ref.profiles[0].partition("|")[0]
    url = sliced.children.get("url")
    return url.fixed if url else None


def _found(walker: Walker, nodes: list[Node], steps: list[str]) -> Iterator[Node]:
    """Follow the path through the instance."""
    if not steps:
        yield from nodes
        return
    step, rest = steps[0], steps[1:]
    following: list[Node] = []
    for node in nodes:
        if step == "resolve()":
            literal = node.value.get("reference") if isinstance(node.value, dict) else node.value
            found = walker.around.resolve(literal) if isinstance(literal, str) else None
            target = walker.model.root(found, node.path) if found else None
            following.extend([target] if target else [])
        elif step.startswith("ofType("):
            following.extend([node] if node.type == step[7:-1] else [])
        elif step.startswith("extension("):
            url = step[len("extension('") : -2]
            following.extend(
                e
                for e in walker.model.children(node, "extension")
                if isinstance(e.value, dict) and e.value.get("url") == url
            )
        else:
            following.extend(walker.model.children(node, step.removesuffix("[x]")))
    yield from _found(walker, following, rest)
