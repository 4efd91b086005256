"""The fast path: a compiled schema and the invariants it cannot say; True means valid, False means ask the walker."""

from __future__ import annotations

import jsonschema_rs

from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation.compiled import Compiled, Store
from fhirbridge.validation.keywords import Check, keywords, never, runner
from fhirbridge.validation.node import Model, Node
from fhirbridge.validation.terminology import Terminology
from fhirbridge.validation.tree import Element


class FastPath:
    """Checks by canonical URL, each compiled (or taken from the disk) when first asked for."""

    def __init__(self, model: Model, terminology: Terminology, store: Store) -> None:
        self.model = model
        self.terminology = terminology
        self.store = store
        self._resources: dict[tuple[str, str], Check] = {}
        self._datatypes: dict[str, Check] = {}

    def resource(self, canonical: str, kind: str) -> Check:
        """Return the check for a profile on a resource type; one that is for another type never accepts."""
        found = self._resources.get((canonical, kind))
        if found is None:
            found = self._resource(canonical, kind)
            if found is not never:
                self._resources[canonical, kind] = found
        return found

    def datatype(self, canonical: str) -> Check:
        """Return the check for a datatype, or for a profile on one."""
        found = self._datatypes.get(canonical)
        if found is None:
            found = self._datatypes[canonical] = self._datatype(canonical)
        return found

    def _resource(self, canonical: str, kind: str) -> Check:
        structure = self.model.snapshots.definitions.structure(canonical)
        if structure is None or structure.get("type") != kind or structure.get("kind") != "resource":
            return never
        compiled = None if structure.get("abstract") else self.compiled(canonical)
        return self._check(canonical, compiled) if compiled else never

    def _datatype(self, canonical: str) -> Check:
        try:
            compiled = self.compiled(canonical)
        except ProfileError:
            return never
        return self._schema(compiled).is_valid if compiled else never

    def compiled(self, canonical: str) -> Compiled | None:
        compiled = self.store.load(canonical)
        if compiled is not None:
            return compiled
        from fhirbridge.validation.schema import Compiler  # here: a start that finds everything compiled needs none

        tree = self.model.snapshots.tree(canonical)
        if tree is None:
            return None
        compiler = Compiler(self.model, self.terminology)
        document = compiler.document(tree) if self.model.is_resource(tree.path) else compiler.datatype(tree)
        compiled = Compiled(document, compiler.rules.keywords, [rule["expression"] for rule in compiler.rest])
        self.store.keep(canonical, compiled)
        return compiled

    def _schema(self, compiled: Compiled) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(
            compiled.schema,
            keywords=keywords(self.model, self.terminology, self.datatype, compiled.keywords),
            pattern_options=jsonschema_rs.RegexOptions(),
            offline=True,
        )

    def _check(self, canonical: str, compiled: Compiled) -> Check:
        accepts = self._schema(compiled).is_valid
        if not compiled.rest:
            return accepts
        rest = [runner(expression, self.model, self.terminology) for expression in compiled.rest]
        roots: list[Element] = []

        def check(resource: Resource) -> bool:
            if not accepts(resource):
                return False
            if not roots:
                tree = self.model.snapshots.tree(canonical)
                if tree is None:
                    return False
                roots.append(tree)
            root = roots[0]
            node = Node(resource, root.path, root, root.path)
            return all(passes(node, resource) for passes in rest)

        return check
