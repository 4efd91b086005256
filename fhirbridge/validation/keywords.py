"""What runs as Python inside a compiled schema: a keyword refuses by raising; what it refuses the walker decides."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import invariants
from fhirbridge.validation.compiled import Keyword
from fhirbridge.validation.fhirpath import evaluate
from fhirbridge.validation.mended import mended
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.references import Surroundings
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import STRUCTURES, Element
from fhirbridge.validation.walker import Walker

Check = Callable[[Any], bool]
Datatype = Callable[[str], Check]
"""The check for a datatype, or a profile on one, by canonical URL."""

_CODES = 8192
"""Codes whose verdict is remembered: data repeat a few."""
MAX_NESTED = 50
"""Objects within objects where a type holds itself (extensions, items); the walker counts what is deeper."""


class Refused(ValueError):
    """Not surely valid."""


def keywords(model: Model, terminology: Terminology, datatype: Datatype, own: dict[str, Keyword]) -> dict[str, Any]:
    """Return the classes that jsonschema-rs makes keywords of."""
    found: dict[str, Any] = {"x-whole": _Whole, "x-shallow": _Shallow, "x-code": _code(terminology)}
    found["x-type"] = _type(datatype)
    found["x-canonical"] = _canonical(model)
    found["x-extension"] = _extension(model, datatype, modifier=False)
    found["x-modifier"] = _extension(model, datatype, modifier=True)
    return found | {name: _invariant(model, terminology, keyword) for name, keyword in own.items()}


def runner(expression: str, model: Model, terminology: Terminology) -> Callable[[Node, Resource], bool]:
    """Return how an invariant is run on a node of a resource."""
    hot = invariants.HOT.get(expression)
    text = mended(expression)

    def run(node: Node, resource: Resource) -> bool:
        walker = Walker(model, terminology, Surroundings(resource), node)
        try:
            return evaluate.holds(text, node, walker) if hot is None else hot(walker, node)
        except ProfileError:
            return False

    if hot is None or expression in invariants.NEEDS_WALKER:
        return run
    idle = Walker(model, terminology, Surroundings({}), Node({}, "Element", None, ""))
    return lambda node, _: hot(idle, node)


class _Whole:
    """Refuses 5.0 where a whole number is asked for: JSON Schema calls it an integer, FHIR does not."""

    def __init__(self, *told: Any) -> None:
        pass

    def validate(self, instance: Any) -> None:
        if isinstance(instance, (Decimal, float)):
            raise Refused


class _Shallow:
    """Refuses deep nesting, which the walker counts."""

    def __init__(self, *told: Any) -> None:
        pass

    def validate(self, instance: Any) -> None:
        level = [instance]
        for _ in range(MAX_NESTED):
            level = [below for value in level for below in _inside(value)]
            if not level:
                return
        raise Refused


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, (dict, list))]
    return [item for item in value if isinstance(item, (dict, list))] if isinstance(value, list) else []


def _code(terminology: Terminology) -> type:
    problem = lru_cache(maxsize=_CODES)(terminology.problem)

    class Code:
        """Refuses a Coding whose system is none, or is loaded whole and lacks the code."""

        def __init__(self, *told: Any) -> None:
            pass

        def validate(self, instance: Any) -> None:
            system, code = instance.get("system"), instance.get("code")
            if isinstance(system, str) and isinstance(code, str) and problem(system, code):
                raise Refused

    return Code


def _canonical(model: Model) -> type:
    class Canonical:
        """Refuses a canonical that leads to a loaded definition of a kind the element may not name."""

        def __init__(self, _: Any, targets: list[str], *__: Any) -> None:
            self.kinds = {target.rpartition("/")[2] for target in targets}

        def validate(self, instance: Any) -> None:
            kinds = model.snapshots.definitions.kinds(instance)
            if kinds and not kinds & self.kinds:
                raise Refused

    return Canonical


def _type(datatype: Datatype) -> type:
    class Type:
        """Checks a value of a seldom used datatype by that datatype's own schema, compiled when first met."""

        def __init__(self, *told: Any) -> None:
            self.canonical = STRUCTURES + str(told[1])
            self.check: Check | None = None

        def validate(self, instance: Any) -> None:
            if self.check is None:
                self.check = datatype(self.canonical)
            if not self.check(instance):
                raise Refused

    return Type


def _extension(model: Model, datatype: Datatype, *, modifier: bool) -> type:
    class Extension:
        """Checks an extension that is known by its definition, if that surely allows it here."""

        def __init__(self, *told: Any) -> None:
            self.carriers: list[str] = told[1]
            self.checks: dict[str, Check] = {}

        def validate(self, instance: Any) -> None:
            url = instance.get("url")
            if url.__class__ is not str or ":" not in url or "|" in url or "#" in url:
                raise Refused
            check = self.checks.get(url)
            if check is None:
                structure = model.snapshots.definitions.structure(url)
                if structure is None:
                    return  # not known, which is no error
                check = self.checks[url] = self.known(url, structure)
            if not check(instance):
                raise Refused

        def known(self, url: str, structure: Resource) -> Check:
            from fhirbridge.validation.discriminate import fits  # here: what is compiled already needs no compiler

            try:
                tree = model.snapshots.tree(url)
            except ProfileError:
                return never
            if structure.get("type") != "Extension" or tree is None or not fits(structure, self.carriers):
                return never
            return datatype(url) if bool(tree.definition.get("isModifier")) == modifier else never

    return Extension


def never(_: Any) -> bool:
    """Leave it to the walker."""
    return False


def _invariant(model: Model, terminology: Terminology, keyword: Keyword) -> type:
    home, id_, expression = keyword
    passes = runner(expression, model, terminology)
    found: list[tuple[str, Element | None]] = []

    def place() -> tuple[str, Element | None]:
        """Find the element when an instance first asks for it: most keywords never run."""
        if not found:
            tree = model.snapshots.tree(home)
            element = next(element for element in tree.walk() if element.id == id_) if tree else None
            if element is not None:
                kind = element.types[0].code if element.types else element.path
                found.append((kind if "." not in kind else "BackboneElement", model.snapshots.shape_of(element)))
        return found[0]

    class Invariant:
        """One invariant that needs nothing but the value it stands on."""

        def __init__(self, *told: Any) -> None:
            pass

        def validate(self, instance: Any) -> None:
            kind, shape = found[0] if found else place()
            if not passes(Node(instance, kind, shape, id_), {}):
                raise Refused

    return Invariant
