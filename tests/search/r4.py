"""R4's own definitions, as hl7.fhir.r4.core has them: what the table of search parameters is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.search.parameters import Parameter, Path
from fhirbridge.search.table import SERVED
from fhirbridge.validation.definitions import locate

BASES = (*SERVED, "Resource", "DomainResource")
_SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"
SEARCHED_AS = {
    "reference": {"Reference"},
    "date": {"date", "dateTime", "instant", "Period", "Timing"},
    "token": {"code", "boolean", "CodeableConcept", "Coding", "Identifier", "ContactPoint", "string", "id"},
}
"""Types that R4's page on search lists for a kind; a path without `as` means those of its choice."""


class Place(NamedTuple):
    """Where values stand: `Observation.value`, its type, a condition on the element, the one type referred to."""

    path: str
    type: str
    where: str = ""
    only: str = ""


@cache
def definitions() -> dict[tuple[str, str], Resource]:
    """R4's SearchParameter resources of the served types, by base and code."""
    found: dict[tuple[str, str], Resource] = {}
    for file in sorted((locate() / "package").glob("SearchParameter-*.json")):
        definition = fhirjson.loads(file.read_bytes())
        if definition["id"] == "example":  # a second _id, from the specification's examples
            continue
        for base in definition.get("base", ()):
            if base in BASES:
                found[base, definition["code"]] = definition
    return found


@cache
def elements(type_: str) -> dict[str, Any]:
    """The elements of a type by path below it, `value[x]` with its types."""
    structure = fhirjson.loads((locate() / "package" / f"StructureDefinition-{type_}.json").read_bytes())
    return {one["path"].partition(".")[2]: one for one in structure["snapshot"]["element"]}


def types_of(path: str) -> list[str]:
    """The types of an element by its path without choices' types: `Observation.component.value`."""
    base, _, rest = path.partition(".")
    done: list[str] = []
    for name in rest.split("."):
        element = next((elements(base)[one] for one in _names(done, name) if one in elements(base)), None)
        if element is None:  # into a datatype
            (base,), done = types_of(f"{base}." + ".".join(done)), []
            element = elements(base)[name]
        done.append(name)
    return ["string" if one["code"] == _SYSTEM_STRING else one["code"] for one in element["type"]]


def _names(done: list[str], name: str) -> tuple[str, str]:
    path = ".".join([*done, name])
    return path, f"{path}[x]"


def stated(base: str, parameter: Parameter) -> set[Place]:
    """Where R4's definition finds the values."""
    expression = definitions()[base, parameter.code].get("expression", "")
    ours = [one.strip() for one in expression.split("|")]
    return {
        place
        for one in ours
        if re.match(rf"\(?{base}\.", one) or base == "Resource"
        for place in _places(one, parameter)
    }  # fmt: skip


def _places(expression: str, parameter: Parameter) -> Iterator[Place]:
    text, only, where = expression, "", ""
    if found := re.search(r"\.where\(resolve\(\) is (\w+)\)", text):
        only, text = found[1], text.replace(found[0], "")
    if found := re.search(r"\.where\((\w+)='(\w+)'\)", text):
        where, text = f"{found[1]}={found[2]}", text.replace(found[0], "")
    if found := re.fullmatch(r"\(([\w.]+) as (\w+)\)(.*)", text):
        path, rest = found[1], found[3]
        type_ = types_of(found[2] + rest)[0] if rest else found[2]
        yield Place(path + rest, type_, where, only)
        return
    meant = types_of(text)
    for type_ in meant:
        if len(meant) == 1 or type_ in SEARCHED_AS.get(parameter.kind, {type_}):
            yield Place(text, type_, where, only)


def ours(base: str, parameter: Parameter) -> set[Place]:
    """Where our row finds them, in the same terms."""
    return {_place(base, path) for path in parameter.paths}


def _place(base: str, path: Path) -> Place:
    """Say a path of ours without the types in its elements' names: `valueQuantity` is `value`."""
    at, names, where = base, list[str](), ""
    done: list[str] = []
    for step in path.steps:
        if step.where:
            where = "=".join(step.where)
        known = elements(at)
        name = step.name
        if ".".join([*done, name]) not in known:
            choices = [one[:-3] for one in known if one.endswith("[x]")]
            inside = [one.rpartition(".")[2] for one in choices if one.rpartition(".")[0] == ".".join(done)]
            chosen = next((one for one in inside if name.startswith(one)), None)
            if chosen is None:  # into a datatype
                at, done = types_of(".".join([at, *done]))[0] if not names_of_choice(done, at) else _kind(path), []
            else:
                name = chosen
        done.append(name)
        names.append(name)
    return Place(".".join([base, *names]), path.type, where, path.only or "")


def names_of_choice(done: list[str], at: str) -> bool:
    return f"{'.'.join(done)}[x]" in elements(at)


def _kind(path: Path) -> str:
    """The type in the name of the last but one step: `valueCodeableConcept.text` goes into a CodeableConcept."""
    return re.sub(r"^[a-z]+", "", path.steps[-2].name)
