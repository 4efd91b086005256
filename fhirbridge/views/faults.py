"""What is wrong with a ViewDefinition, or with what it finds: the view, the place in it, the rule."""

from __future__ import annotations

from fhirbridge.errors import InputError


class ViewError(InputError):
    """A view that cannot be run, or that found what it may not; ``place`` is where in the view, as a path.

    Rules: structure, sql-name, type, fhirpath, unknown-constant, constant, duplicate-column, union-columns,
    where-boolean, several-values, value-type, too-many-rows, too-costly.
    """

    issue_code = "invalid"
    http_status = 422

    def __init__(self, view: str, place: str, rule: str, message: str) -> None:
        super().__init__(f"view {view}, {place}: {message} [{rule}]")
        self.view, self.place, self.rule, self.message = view, place, rule, message
