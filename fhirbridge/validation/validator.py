"""The public validator: packages in, OperationOutcomes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import by_type
from fhirbridge.validation.compiled import Store, default_folder
from fhirbridge.validation.definitions import locate
from fhirbridge.validation.fast import FastPath
from fhirbridge.validation.fhirpath.check import problems
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.outcome import Issue, outcome
from fhirbridge.validation.packages import Definitions, Source
from fhirbridge.validation.references import surroundings
from fhirbridge.validation.snapshot import Snapshots
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import STRUCTURES, Element
from fhirbridge.validation.walker import Walker


class Validator:
    """Validates resources against R4 and the loaded profiles. Make one with ``Validator.load``."""

    def __init__(self, definitions: Definitions, cache: Path | None = None) -> None:
        self.definitions = definitions
        self.snapshots = Snapshots(definitions)
        self.model = Model(self.snapshots)
        self.terminology = Terminology(definitions)
        self.reload: Callable[[], Validator] = partial(type(self), definitions, cache)
        """Makes the same validator again, in another process too."""
        self.problems_elsewhere: set[str] = set()
        """What this validator's like found in other processes (see ``parallel``)."""
        self.fast = FastPath(self.model, self.terminology, Store(cache or default_folder(), definitions))

    @classmethod
    def load(
        cls,
        sources: Sequence[Source] = (),
        *,
        definitions: Path | None = None,
        packages: Path | None = None,
        cache: Path | None = None,
    ) -> Validator:
        """Load packages: folders, .tgz files, JSON files or dicts.

        ``definitions`` is the folder or .tgz of hl7.fhir.r4.core 4.0.1 if it is not in the package cache
        (``packages``, by default ``~/.fhir/packages``). ``cache`` is where compiled results are kept. Raises
        DefinitionsMissing, InputError (unreadable source) or ProfileError (a definition that is itself wrong).
        """
        if isinstance(sources, (str, Path, dict)):
            sources = [sources]
        made = cls(Definitions(locate(definitions, packages), sources), cache)
        made.reload = partial(cls.load, sources, definitions=definitions, packages=packages, cache=cache)
        return made

    @property
    def problems(self) -> list[str]:
        """What the authors of the profiles used so far should mend, one sentence each, in the order of their URLs."""
        made = [url for url in self.snapshots.made() if not url.startswith(STRUCTURES)]
        used = [self.definitions.structure(url) or {} for url in made]
        invariants = (text for structure in used for text in problems(self.model, structure))
        return sorted({*self.snapshots.problems, *invariants, *self.problems_elsewhere})

    def validate(
        self, resource: Resource, profiles: Iterable[str] = (), *, group: bool = False, limit: int | None = None
    ) -> Resource:
        """Return an OperationOutcome (a dict): errors first, one "All OK" information where nothing is wrong.

        The resource is checked against its base type, every profile named and every loaded profile that a
        ``meta.profile`` names, contained resources and Bundle entries included. A resource is never changed.
        ``group`` tells the same finding at many indexes once, with a count; ``limit`` is the most issues told.
        Raises ProfileError for a named profile that is not loaded or is broken.
        """
        return outcome(self.issues(resource, profiles), group=group, limit=limit)

    def issues(self, resource: Resource, profiles: Iterable[str] = ()) -> list[Issue]:
        """Return the findings of ``validate`` as they were found."""
        named = [self._known(p) for p in profiles]
        root = self.model.root(resource) if isinstance(resource, dict) else None
        around = surroundings(resource if isinstance(resource, dict) else {})
        walker = Walker(self.model, self.terminology, around, root or _nothing())
        try:
            walker.resource(resource, root.type if root else "", named)
        except RecursionError:
            walker.error("too-long", "depth", "Nested too deep to be checked.", root.type if root else "")
        return walker.issues

    def is_valid(self, resource: Resource, profiles: Iterable[str] = ()) -> bool:
        """Tell whether ``validate`` would find no error; the fast path for bulk work."""
        if self._surely_valid(resource, profiles):
            return True
        return not any(issue.severity == "error" for issue in self.issues(resource, profiles))

    def _surely_valid(self, resource: Resource, profiles: Iterable[str]) -> bool:
        """Ask the compiled checks; False means only that the walker has to look."""
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(kind, str) or "contained" in resource or by_type.needs_walker(resource):
            return False
        meta = resource.get("meta")
        named = meta.get("profile") if meta.__class__ is dict else None
        wanted = [*profiles, *named] if named.__class__ is list else list(profiles)
        wanted += self.definitions.everywhere(kind)
        if not all(isinstance(canonical, str) for canonical in wanted):
            return False
        if not wanted:
            wanted = [STRUCTURES + kind]
        return all(self.fast.resource(canonical, kind)(resource) for canonical in wanted)

    def snapshot(self, url: str) -> Resource:
        """Return a StructureDefinition with its snapshot. Raises ProfileError if it is not loaded or is broken."""
        found = self.snapshots.snapshot(self._known(url))
        assert found is not None
        return found

    def _known(self, url: str) -> str:
        if self.definitions.structure(url) is None:
            raise ProfileError(f"the profile {url} is not loaded. Load the package that defines it.")
        return url


def _nothing() -> Node:
    """What stands for the root where the input is no resource at all."""
    return Node({}, "Resource", Element({"path": "Resource"}, "Resource"), "Resource")
