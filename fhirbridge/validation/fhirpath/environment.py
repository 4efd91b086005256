"""What a running expression can see, and the shape of everything that is compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.fhirpath.values import EvaluationError, Items, single
from fhirbridge.validation.node import Model

if TYPE_CHECKING:
    from fhirbridge.validation.walker import Walker


@dataclass
class Env:
    """What an expression can see: the model, ``%resource`` and its kin, and ``$this``."""

    model: Model
    resource: Items
    rootResource: Items  # noqa: N815  (FHIRPath's own name)
    context: Items
    walker: Walker | None = None
    this: Items = field(default_factory=list)
    index: Items = field(default_factory=list)
    total: Items = field(default_factory=list)


Run = Callable[[Env, Items], Items]
"""A compiled expression: the items it finds, started at some."""
Body = Callable[..., Items]
"""A function's body: the environment, its input, and one Run an argument."""


def each(env: Env, items: Items, run: Run) -> list[Items]:
    """Run an expression with ``$this`` set to each item in turn."""
    this, index = env.this, env.index
    answers = []
    try:
        for number, item in enumerate(items):
            env.this, env.index = one, _ = [item], [number]
            answers.append(run(env, one))
    finally:
        env.this, env.index = this, index
    return answers


def argument(env: Env, run: Run) -> Items:
    """Return what an argument that is no criterion finds: it starts at ``$this``, not at the function's input."""
    return run(env, env.this)


def number(env: Env, run: Run) -> int:
    """Return the whole number an argument gives."""
    value = single(argument(env, run))
    if not isinstance(value, int):
        raise EvaluationError(f"a whole number is needed here, found {value}")
    return value


def with_value(body: Callable[..., Any], read: Callable[[Items], Any] = single) -> Body:
    """Return a function on one value: empty where the value or an argument is. ``read`` takes it from the input."""

    def run(env: Env, items: Items, *arguments: Run) -> Items:
        value = read(items)
        told = [single(argument(env, a)) for a in arguments]
        if value is None or any(v is None for v in told):
            return []
        try:
            found = body(value, *told)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise EvaluationError(f"the function cannot be worked out on these values: {error}") from error
        return found if isinstance(found, list) else [] if found is None else [found]

    return run
