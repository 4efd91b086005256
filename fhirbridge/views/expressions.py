"""Makes a view's FHIRPath ready to run: constants in their places, a view's own functions, names checked against R4."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation.fhirpath import check
from fhirbridge.validation.fhirpath.check import Kinds
from fhirbridge.validation.fhirpath.compiler import CONSTANTS, compile_tree
from fhirbridge.validation.fhirpath.environment import Run
from fhirbridge.validation.fhirpath.functions import FUNCTIONS
from fhirbridge.validation.fhirpath.grammar import Tree, parse
from fhirbridge.validation.node import Model
from fhirbridge.views.constants import Constants
from fhirbridge.views.faults import ViewError
from fhirbridge.views.functions import OWN

ELSEWHERE = frozenset({"resolve", "memberOf", "conformsTo"})
"""Functions that look beyond the resource at hand, which a view has not."""
_OURS = frozenset({"resource", "rootResource", "context", *CONSTANTS})
_HARMLESS = re.compile(r"one item is needed here, found \d+|`?[A-Za-z]+(?:\(\)|`) [A-Za-z() ]+(?:\d+ items)?")
"""Messages of the engine that tell of an expression and of numbers of items, and quote no value."""

Fault = Callable[[str, str], ViewError]
"""Makes the error of one place from a rule and a message."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression, compiled; ``kinds`` is what it may find, None where that cannot be told."""

    run: Run
    kinds: Kinds


def expression(text: str, constants: Constants, model: Model, this: Kinds, fault: Fault) -> Expression:
    """Compile an expression that starts at ``this``. Raises ViewError: fhirpath, unknown-constant."""
    try:
        tree = _with_constants(parse(text), constants, fault)
        kinds = check.found(tree, text, model, this)
        return Expression(compile_tree(_with_own(tree)), kinds)
    except ProfileError as error:
        raise fault("fhirpath", str(error)) from error
    except RecursionError as error:
        raise fault("fhirpath", "the expression is nested too deep") from error


def reason(error: Exception) -> str:
    """Return why an expression could not be worked out on a resource, without what stood in the resource."""
    text = str(error)
    return text if _HARMLESS.fullmatch(text) else "cannot be worked out on what it finds there"


def _over(change: Callable[[Tree], Tree], tree: Tree) -> Tree:
    """Return a tree with its branches changed."""

    def changed(part: Any) -> Any:
        if isinstance(part, list):
            return [change(one) for one in part]
        return change(part) if isinstance(part, tuple) else part

    return tree if tree[0] in ("literal", "type") else (tree[0], *map(changed, tree[1:]))


def _with_constants(tree: Tree, constants: Constants, fault: Fault) -> Tree:
    if tree[0] == "constant":
        name = tree[1]
        if name in constants:
            return ("literal", constants[name])
        if name not in _OURS and not name.startswith(("vs-", "ext-")):
            known = ", ".join(f"%{one}" for one in sorted(constants)) or "none"
            raise fault("unknown-constant", f"%{name} is no constant of this view ({known}). Declare it")
    if tree[0] == "call":
        tree = _call(tree, fault)
    return _over(lambda branch: _with_constants(branch, constants, fault), tree)


def _call(tree: Tree, fault: Fault) -> Tree:
    _, on, name, arguments = tree
    if name in ELSEWHERE:
        raise fault("fhirpath", f"{name}() looks beyond the resource at hand, which a view cannot")
    if name not in OWN:
        if name not in FUNCTIONS:
            raise fault("fhirpath", f"FHIRPath has no function {name}()")
        return tree
    most, types, _ = OWN[name]
    if len(arguments) > most:
        raise fault("fhirpath", f"{name}() takes {most} arguments at most, found {len(arguments)}")
    return ("call", on, name, [_type(one, name, fault) for one in arguments] if types else arguments)


def _type(argument: Tree, name: str, fault: Fault) -> Tree:
    """Return the type that was read as a path: ``Patient``, ``FHIR.Patient``."""
    match argument:
        case ("path", None | ("path", None, "FHIR"), str(type_)) | ("type", str(type_)):
            return ("type", type_)
    raise fault("fhirpath", f"{name}() takes the name of a resource type, such as Patient")


def _with_own(tree: Tree) -> Tree:
    if tree[0] == "call" and tree[2] in OWN:
        tree = ("apply", tree[1], OWN[tree[2]][2], tree[3])
    return _over(_with_own, tree)
