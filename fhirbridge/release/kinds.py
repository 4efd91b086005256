"""How each kind of element is let out: what goes through, what is renamed or moved, and what is hidden.

A kind takes an element of one resource, of any shape whatever, and returns what the registry sees, or None to hide it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fhirbridge.elements import UCUM, Element
from fhirbridge.release.agreement import Text, ViewRules
from fhirbridge.release.pseudonyms import Pseudonyms
from fhirbridge.release.shifting import shifted
from fhirbridge.release.vocabulary import is_code

PUBLIC = frozenset({"Organization", "Location", "Group", "ResearchStudy"})
"""Types of the study itself, whose ids and dates stand in public registers."""

_CODE = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)
_UNIT = re.compile(r"[!-~]{1,40}")
_REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?", re.ASCII)
_LESION = re.compile(r"Lesion [A-Z]?[0-9]{1,3}", re.ASCII)
_YEAR = re.compile(r"([0-9]{4})(?:-[0-9]{2}){0,2}", re.ASCII)
_COMPARATORS = ("<", "<=", ">", ">=")


class Letting:
    """Letting one resource out: whose it is, by which rules, and what had to be done to it so far."""

    __slots__ = ("coarsened", "days", "hidden", "names", "rules", "systems", "words")

    def __init__(
        self, names: Pseudonyms, rules: ViewRules, words: frozenset[str], systems: frozenset[str], days: int
    ) -> None:
        self.names = names
        self.rules = rules
        self.words = words
        self.systems = systems
        self.days = days
        self.hidden = False
        self.coarsened = False


Kind = Callable[[Any, Letting], Any]
Kinds = Mapping[str, Kind]


def let(element: Mapping[Any, Any], kinds: Kinds, one: Letting) -> Element:
    """Return those elements that have a kind, each as its kind lets it out; notes whether anything was hidden."""
    made: Element = {}
    for name, value in element.items():
        kind = kinds.get(name)
        if kind is None:
            one.hidden = True
            continue
        if type(value) is list:
            kept: Any = [seen for part in value if (seen := kind(part, one)) is not None]
            if len(kept) < len(value):
                one.hidden = True
        else:
            kept = kind(value, one)
            if kept is None:
                one.hidden = True
        if kept is not None and kept != []:
            made[name] = kept
    return made


def parts(**kinds: Kind) -> Kind:
    """Return the kind of an element made of these; a trailing underscore of a name is dropped."""
    table = {name.rstrip("_"): kind for name, kind in kinds.items()}
    return lambda value, one: (let(value, table, one) or None) if isinstance(value, dict) else None


def public(value: Any, one: Letting) -> Any:  # noqa: ARG001
    """Let out as it is: for the study's own design alone."""
    return value


def boolean(value: Any, one: Letting) -> Any:  # noqa: ARG001
    return value if isinstance(value, bool) else None


def number(value: Any, one: Letting) -> Any:  # noqa: ARG001
    return value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def code(value: Any, one: Letting) -> Any:  # noqa: ARG001
    """Let out a code of FHIR's own, such as a status."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def comparator(value: Any, one: Letting) -> Any:  # noqa: ARG001
    return value if value in _COMPARATORS else None


def word(value: Any, one: Letting) -> Any:
    """Let out a text of the study's vocabulary; any other is free text."""
    return value if isinstance(value, str) and value in one.words else None


def lesion(value: Any, one: Letting) -> Any:  # noqa: ARG001
    """Let out the number that a lesion has within one person."""
    return value if isinstance(value, str) and _LESION.fullmatch(value) else None


def free(text: Text) -> Kind:
    """Return the kind of a free text, let out where the agreement lists it."""
    return lambda value, one: value if isinstance(value, str) and text in one.rules.texts else None


def canonical(*names: str) -> Kind:
    """Return the kind of a URI of the study's own, cut to its name: what follows tells table, row or run."""

    def kind(value: Any, one: Letting) -> Any:
        if not isinstance(value, str):
            return None
        for name in names:
            for system in one.systems:
                if system.endswith(f"/{name}") and (value == system or value.startswith((f"{system}/", f"{system}#"))):
                    one.hidden = one.hidden or value != system
                    return system
        return None

    return kind


def coding(value: Any, one: Letting) -> Any:
    """Let out a code of a public system, and its display if it is in the vocabulary."""
    if not isinstance(value, dict) or not is_code(value.get("system"), value.get("code")):
        return None
    made = {"system": value["system"], "code": value["code"]}
    display = value.get("display")
    if isinstance(display, str) and display in one.words:
        made["display"] = display
    if len(made) < len(value):
        one.hidden = True
    return made


concept = parts(coding=coding, text=word)


def quantity(value: Any, one: Letting) -> Any:
    """Let out a number with its UCUM unit; what people read as the unit, if it is no free text."""
    if not isinstance(value, dict):
        return None
    unit = value.get("unit")
    known = isinstance(unit, str) and (unit == value.get("code") or unit in one.words)
    ucum = value.get("system") == UCUM
    kinds: dict[str, Kind] = {"value": number, "comparator": comparator}
    kinds |= {"unit": _as_it_is} if known and isinstance(unit, str) and len(unit) <= 40 else {}
    kinds |= {"system": _as_it_is, "code": _unit} if ucum else {}
    return let(value, kinds, one) or None


def _as_it_is(value: Any, one: Letting) -> Any:  # noqa: ARG001
    return value


def _unit(value: Any, one: Letting) -> Any:  # noqa: ARG001
    return value if isinstance(value, str) and _UNIT.fullmatch(value) else None


range_ = parts(low=quantity, high=quantity)
ratio = parts(numerator=quantity, denominator=quantity)


def moment(value: Any, one: Letting) -> Any:
    """Let out a date, dateTime or instant of a person, moved by the person's days."""
    if not isinstance(value, str):
        return None
    one.coarsened = one.coarsened or one.days != 0
    return shifted(value, one.days, partial=one.rules.partial_dates == "shift")


period = parts(start=moment, end=moment)
timing = parts(event=moment, repeat=parts(boundsPeriod=period), code=concept)


def birth_date(value: Any, one: Letting) -> Any:
    """Let out a birth date's year, or the first of its five; it is never moved, so that ages stay about right."""
    known = _YEAR.fullmatch(value) if isinstance(value, str) else None
    if known is None:
        return None
    year = int(known[1])
    coarse = f"{year if one.rules.birth_date == 'year' else year - year % 5:04d}"
    one.coarsened = one.coarsened or coarse != value
    return coarse


def deceased(value: Any, one: Letting) -> Any:
    """Let out the day of death as any date of the person, its year, or nothing."""
    if one.rules.deceased == "hide":
        return None
    seen = moment(value, one)
    if seen is None or one.rules.deceased == "day":
        return seen
    one.coarsened = True
    return seen[:4]


def identifier(value: Any, one: Letting) -> Any:
    """Let out an identifier of the study's own systems, its value as the registry's pseudonym; hide any other."""
    if not isinstance(value, dict):
        return None
    system, held = value.get("system"), value.get("value")
    if not isinstance(system, str) or system not in one.systems or not isinstance(held, str):
        return None
    return let(value, _IDENTIFIER, one) | {"system": system, "value": one.names.identifier(system, held)}


_IDENTIFIER: Kinds = {"use": code, "type": concept, "system": _as_it_is, "value": _as_it_is}


def reference(*types: str) -> Kind:
    """Return the kind of a reference to one of these types: relative, to the registry's id, of no version."""

    def literal(value: Any, one: Letting) -> Any:
        found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if found is None or found[1] not in types:
            return None
        kind, id = found[1], found[2]
        return f"{kind}/{id if kind in PUBLIC else one.names.id(kind, id)}"

    def named(value: Any, one: Letting) -> Any:  # noqa: ARG001
        return value if value in types else None

    return parts(reference=literal, type=named, identifier=identifier, display=word)


def source(value: Any, one: Letting) -> Any:
    """Let out that there is a source, the same for the same version of it; never its URL, nor where it lies."""
    if not isinstance(value, dict):
        return None
    named = value.get("identifier")
    held = named.get("value") if isinstance(named, dict) else value.get("reference")
    system = next((system for system in one.systems if system.endswith("/source")), None)
    if not isinstance(held, str) or system is None:
        return None
    one.hidden = one.hidden or not isinstance(named, dict) or named.get("system") != system
    kept = let({"type": value["type"]} if "type" in value else {}, {"type": _source_type}, one)
    return kept | {"identifier": {"system": system, "value": one.names.identifier(system, held)}}


def _source_type(value: Any, one: Letting) -> Any:  # noqa: ARG001
    return value if value in ("Observation", "DiagnosticReport") else None


def extension(table: Mapping[str, Kinds]) -> Kind:
    """Return the kind of an extension that has one of these URLs, with its elements' kinds; any other is hidden."""

    def kind(value: Any, one: Letting) -> Any:
        url = value.get("url") if isinstance(value, dict) else None
        kinds = table.get(url) if isinstance(url, str) else None
        if kinds is None:
            return None
        made = let(value, {"url": _as_it_is, **kinds}, one)
        return made if len(made) > 1 else None

    return kind


def agent(value: Any, one: Letting) -> Any:
    """Let out what an agent did; of who it was only that it was the study's policy, its software, or its staff."""
    if not isinstance(value, dict):
        return None
    made = let({name: part for name, part in value.items() if name != "who"}, {"type": concept}, one)
    who = value.get("who")
    display = who.get("display") if isinstance(who, dict) else None
    software = any(part.get("code") == "assembler" for part in made.get("type", {}).get("coding", ()))
    seen = "policy" if display == "policy" else "fhirbridge" if software else "study staff"
    one.hidden = one.hidden or who != {"display": seen}
    return made | {"who": {"display": seen}}
