"""Runs FHIRPath: an expression is parsed and compiled once, then run on any node."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.fhirpath.compiler import compile_tree
from fhirbridge.validation.fhirpath.environment import Env, Run
from fhirbridge.validation.fhirpath.grammar import parse
from fhirbridge.validation.fhirpath.values import Items, truth
from fhirbridge.validation.node import Node

if TYPE_CHECKING:
    from fhirbridge.validation.walker import Walker


@lru_cache(maxsize=4096)
def compiled(expression: str) -> Run:
    """Return the closure for an expression. Raises ProfileError where it cannot be read."""
    return compile_tree(parse(expression))


def evaluate(expression: str, node: Node, walker: Walker) -> Items:
    """Return what an expression finds, started at a node. Raises ProfileError (EvaluationError while running)."""
    focus: list[Any] = [node]
    env = Env(walker.model, [walker.resource_node], [_container(walker)], focus, walker, this=focus)
    return compiled(expression)(env, focus)


def _container(walker: Walker) -> Node:
    """Return the resource that contains the one at hand, or that one itself; a Bundle is no such container."""
    container = walker.around.container
    for node in (walker.resource_node, walker.root):
        if node.value is container:
            return node
    return walker.model.root(container) or walker.root


def holds(expression: str, node: Node, walker: Walker) -> bool:
    """Tell whether an invariant is true on a node; empty is not true."""
    return truth(evaluate(expression, node, walker)) is True
