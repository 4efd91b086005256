"""What a search asks of a resource, as a tree; and how a parameter's name and value become one.

Sources: http://hl7.org/fhir/R4/search.html#modifiers, #chaining and #has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhirbridge.search import values
from fhirbridge.search.parameters import Catalogue, Kind, Parameter
from fhirbridge.search.refused import SearchError, shortened
from fhirbridge.search.splitting import plain, split
from fhirbridge.search.table import NOT_SERVED
from fhirbridge.search.values import Surroundings, Value

Index = Literal["token", "text", "date", "string", "reference", "quantity", "uri"]
"""Which rows a filter looks at; ``text`` are the token rows' texts."""


@dataclass(frozen=True, slots=True)
class Match:
    """Some row of a parameter has one of the values; ``negated``: none has."""

    code: str
    index: Index
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no row of a parameter; or, where ``missing`` is false, there is one."""

    code: str
    index: Index
    missing: bool


@dataclass(frozen=True, slots=True)
class Together:
    """For one of the alternatives, rows of one and the same part meet every one of its matches (a composite)."""

    code: str
    alternatives: tuple[tuple[Match, ...], ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A reference of this resource points to a resource of one of the types that meets that type's filter."""

    code: str
    targets: tuple[tuple[str, Filter], ...]


@dataclass(frozen=True, slots=True)
class Has:
    """A resource of a type that meets a filter points to this one with its reference."""

    type: str
    code: str
    filter: Filter


_HOW: dict[str, Literal["starts", "contains", "exact"]] = {"": "starts", "contains": "contains", "exact": "exact"}

Filter = Match | Missing | Together | Chain | Has


class UnknownParameter(SearchError):
    """A parameter that is not served; a lenient search goes on without it."""

    def __init__(self, name: str, type_: str, why: str | None = None) -> None:
        reason = f": {why}" if why else ""
        super().__init__(
            name, None, f"{shortened(type_)} has no such search parameter here{reason}",
            "See the CapabilityStatement at /metadata.", "not-supported",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads filters. ``depth`` is how many references one filter may follow."""

    catalogue: Catalogue
    around: Surroundings
    depth: int

    def filter(self, type_: str, name: str, text: str) -> Filter:
        """Return what ``name=text`` asks. Raises UnknownParameter, or SearchError for what is wrong with it."""
        return self._read(type_, name, text, name, 0)

    def _read(self, type_: str, name: str, text: str, whole: str, depth: int) -> Filter:
        if depth > self.depth:
            raise SearchError(
                whole, None, f"it follows more than {self.depth} references", "Ask in two searches.", "too-costly"
            )
        if name.startswith("_has:"):
            return self._has(type_, name, text, whole, depth)
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        parameter = self.catalogue.find(type_, code)
        if parameter is None:
            raise UnknownParameter(whole, type_, _reason(type_, code))
        if dot:
            return self._chain(type_, parameter, modifier, rest, text, whole, depth)
        return self._plain(parameter, modifier, text, whole)

    def _has(self, type_: str, name: str, text: str, whole: str, depth: int) -> Filter:
        pieces = name.split(":", 3)
        if len(pieces) < 4 or not pieces[3]:
            raise SearchError(
                whole, None, "_has needs a type, a reference and a parameter", "Write _has:Observation:patient:code=…"
            )
        _, source, code, rest = pieces
        parameter = self.catalogue.find(source, code)
        if parameter is None:
            raise UnknownParameter(whole, source, _reason(source, code))
        if not parameter.may_point_to(type_):
            raise SearchError(whole, None, f"{source}.{code} points to no {type_}", "Name a reference that does.")
        return Has(source, code, self._read(source, rest, text, whole, depth + 1))

    def _chain(
        self, type_: str, parameter: Parameter, modifier: str, rest: str, text: str, whole: str, depth: int
    ) -> Filter:
        if parameter.kind != "reference":
            raise SearchError(whole, None, f"{parameter.code} is no reference", "Only references can be followed.")
        if modifier:
            targets: tuple[str, ...] = (_target(parameter, modifier, whole),)
        elif parameter.targets:
            targets = parameter.targets
        else:
            raise SearchError(
                whole, None, f"{parameter.code} may point to anything", f"Name the type: {parameter.code}:Patient.…"
            )
        found, unknown = [], UnknownParameter(whole, type_)
        for target in targets:
            try:
                found.append((target, self._read(target, rest, text, whole, depth + 1)))
            except UnknownParameter as error:
                unknown = error
        if not found:
            raise unknown
        return Chain(parameter.code, tuple(found))

    def _plain(self, parameter: Parameter, modifier: str, text: str, whole: str) -> Filter:
        if modifier == "missing" and "missing" in parameter.modifiers:
            if text not in ("true", "false"):
                raise SearchError(whole, text, "missing is true or false", "Ask for one of them.")
            return Missing(parameter.code, _index(parameter.kind), text == "true")
        given = split(text, ",")
        if not all(given):
            raise SearchError(whole, text, "one of the values is empty", "Leave it out, with its comma.")
        if parameter.kind == "composite":
            if modifier:
                raise _refused(parameter, modifier, whole)
            return Together(parameter.code, tuple(self._parts(parameter, one, whole) for one in given))
        return self._match(parameter, modifier, given, whole)

    def _parts(self, parameter: Parameter, text: str, whole: str) -> tuple[Match, ...]:
        pieces = split(text, "$")
        if len(pieces) != len(parameter.parts) or not all(pieces):
            raise SearchError(
                whole, text, f"it takes {len(parameter.parts)} values: {' and '.join(parameter.parts)}",
                "Write them with a $ between.",
            )  # fmt: skip
        found = []
        for code, piece in zip(parameter.parts, pieces, strict=True):
            part = self.catalogue.find(parameter.base, code)
            if part is None:
                raise UnknownParameter(whole, parameter.base)
            found.append(self._match(part, "", [piece], whole))
        return tuple(found)

    def _match(self, parameter: Parameter, modifier: str, given: list[str], whole: str) -> Match:
        """Return the match of one parameter that is no composite."""
        code, around, kind = parameter.code, self.around, parameter.kind
        if kind == "reference" and modifier == "identifier":
            found = tuple(values.token(one, parameter, whole) for one in given)
            return Match(f"{code}:identifier", "token", found)
        if kind == "reference":
            type_ = _target(parameter, modifier, whole) if modifier else None
            read = tuple(values.reference(one, type_, whole, around.base) for one in given)
            return Match(code, "reference", read)
        if modifier and modifier not in parameter.modifiers:
            raise _refused(parameter, modifier, whole)
        if kind == "token":
            return self._tokens(parameter, modifier, given, whole)
        return Match(code, _index(kind), tuple(self._ordered(kind, modifier, one, whole) for one in given))

    def _tokens(self, parameter: Parameter, modifier: str, given: list[str], whole: str) -> Match:
        code = parameter.code
        if modifier == "text":
            return Match(code, "text", tuple(values.string(one, "starts", whole) for one in given))
        if modifier in ("in", "not-in"):
            sets = tuple(values.codes(one, parameter, whole, self.around.value_sets) for one in given)
            return Match(code, "token", sets, negated=modifier == "not-in")
        found = tuple(values.token(one, parameter, whole) for one in given)
        return Match(code, "token", found, negated=modifier == "not")

    def _ordered(self, kind: Kind, modifier: str, text: str, whole: str) -> Value:
        match kind:
            case "date":
                return values.date(text, whole, self.around)
            case "string":
                return values.string(text, _HOW[modifier], whole)
            case "quantity":
                return values.quantity(text, whole)
            case "number":
                return values.number(text, whole)
        return values.UriValue(plain(text))


def _index(kind: Kind) -> Index:
    """Return which rows a kind of parameter has; numbers are quantities without a unit."""
    if kind == "number":
        return "quantity"
    if kind == "composite":
        raise ValueError("a composite has no rows of its own")
    return kind


def _target(parameter: Parameter, modifier: str, whole: str) -> str:
    """Return the type that a reference's modifier names."""
    if not modifier[:1].isupper():
        raise _refused(parameter, modifier, whole)
    if not parameter.may_point_to(modifier):
        raise SearchError(
            whole,
            None,
            f"{parameter.code} points to no {shortened(modifier)}",
            f"It points to: {', '.join(parameter.targets)}.",
        )
    return modifier


def _refused(parameter: Parameter, modifier: str, whole: str) -> SearchError:
    known = ", ".join(f":{one}" for one in parameter.modifiers) or "none"
    return SearchError(
        whole, None, f"{parameter.code} does not take the modifier :{shortened(modifier)}", f"It takes: {known}.",
        "not-supported",
    )  # fmt: skip


def _reason(type_: str, code: str) -> str | None:
    return NOT_SERVED.get(f"{type_}.{code}") or NOT_SERVED.get(f"Resource.{code}")
