"""The fast path: a compiled schema and the invariants it cannot say; True means valid, False means ask the walker."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jsonschema_rs

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import invariants
from fhirbridge.validation.compiled import Compiled, Store
from fhirbridge.validation.fhirpath import evaluate
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.references import Surroundings
from fhirbridge.validation.schema import Compiler, Keyword
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import Element
from fhirbridge.validation.walker import Walker

Check = Callable[[Resource], bool]
Passes = Callable[[Walker, Node], bool]


def check_for(canonical: str, model: Model, terminology: Terminology, store: Store) -> Check:
    """Return the check for one profile on a resource type, compiled now or taken from the disk."""
    compiled = store.load(canonical)
    if compiled is None:
        tree = model.snapshots.tree(canonical)
        if tree is None:
            return lambda _: False
        compiler = Compiler(model, terminology)
        document = compiler.document(tree)
        compiled = Compiled(document, compiler.keywords, [rule["expression"] for rule in compiler.rest])
        store.keep(canonical, compiled)
    return _check(canonical, compiled, model, terminology)


def _check(canonical: str, compiled: Compiled, model: Model, terminology: Terminology) -> Check:
    keywords: dict[str, Any] = {"x-whole": _Whole, "x-code": _code(terminology)}
    for name, keyword in compiled.keywords.items():
        keywords[name] = _keyword(model, terminology, keyword)
    schema = jsonschema_rs.Draft202012Validator(
        compiled.schema, keywords=keywords, pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )
    accepts = schema.is_valid
    rest = [_runner(expression) for expression in compiled.rest]

    def check(resource: Resource) -> bool:
        if not accepts(resource):
            return False
        root = model.snapshots.tree(canonical) if rest else None
        if root is None:
            return not rest
        node = Node(resource, root.path, root, root.path)
        walker = Walker(model, terminology, Surroundings(resource), node)
        try:
            return all(passes(walker, node) for passes in rest)
        except ProfileError:
            return False

    return check


def _runner(expression: str) -> Passes:
    """Look up once how an invariant is run."""
    hot = invariants.HOT.get(expression)
    text = invariants.mended(expression)
    return hot if hot is not None else lambda walker, node: evaluate.holds(text, node, walker)


class _Whole:
    """Refuses 5.0 where a whole number is asked for: JSON Schema calls it an integer, FHIR does not."""

    def __init__(self, *told: Any) -> None:
        pass

    def validate(self, instance: Any) -> None:
        if isinstance(instance, (Decimal, float)):
            raise ValueError


def _code(terminology: Terminology) -> type:
    class Code:
        """Refuses a Coding whose own code system is loaded whole and lacks the code."""

        def __init__(self, *told: Any) -> None:
            pass

        def validate(self, instance: Any) -> None:
            system, code = instance.get("system"), instance.get("code")
            if isinstance(code, str) and terminology.system_has(system, code) is False:
                raise ValueError

    return Code


def _keyword(model: Model, terminology: Terminology, keyword: Keyword) -> type:
    home, id_, expression = keyword
    passes = _runner(expression)
    found: list[tuple[str, Element | None]] = []

    def place() -> tuple[str, Element | None]:
        """Find the element when an instance first asks for it: most keywords never run."""
        if not found:
            tree = model.snapshots.tree(home)
            element = next(element for element in tree.walk() if element.id == id_) if tree else None
            if element is not None:
                kind = element.types[0].code if element.types else element.path
                found.append((kind, model.snapshots.shape_of(element)))
        return found[0]

    class Invariant:
        """One invariant that needs nothing but the value it stands on."""

        def __init__(self, *told: Any) -> None:
            pass

        def validate(self, instance: Any) -> None:
            kind, shape = place()
            node = Node(instance, kind if "." not in kind else "BackboneElement", shape, id_)
            walker = Walker(model, terminology, Surroundings({}), node)
            try:
                holds = passes(walker, node)
            except ProfileError:
                holds = False
            if not holds:
                raise ValueError

    return Invariant
