"""Finds views: the shipped ones by name, others by file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.validation.node import Model
from fhirbridge.views.view import View


def names(folder: Path) -> list[str]:
    """Return the names of the views in a folder, one file each, in the order of the alphabet."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load(path: Path, model: Model) -> View:
    """Read and compile the view in a file. Raises InputError; ViewError, which names the place and the rule."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"the view {path} cannot be read: {error.strerror}.") from error
    try:
        source = fhirjson.loads(text)
    except InputError as error:
        raise InputError(f"the view {path} is {error}") from error
    return View.of(source, model, path.stem)


def chosen(wanted: Sequence[str], folder: Path, model: Model) -> list[View]:
    """Return the views asked for, each a name of a shipped view or a file; all shipped ones where none is asked for.

    Raises InputError for a view that is not there, for two of one name; ViewError for one that cannot be run.
    """
    shipped = names(folder)
    found: dict[str, View] = {}
    for one in wanted or shipped:
        if one not in shipped and not Path(one).is_file():
            raise InputError(f"there is no view {one!r}. Name one of {', '.join(shipped)}, or a file.")
        view = load(folder / f"{one}.json" if one in shipped else Path(one), model)
        if view.name in found:
            raise InputError(f"two views are called {view.name}, so one table would overwrite the other. Rename one.")
        found[view.name] = view
    return list(found.values())
