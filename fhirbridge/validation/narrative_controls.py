"""Makes invariants of what a profile asks of narratives by extension: text in the languages wanted, sources marked.

The extensions are narrative-language-control and narrative-source-control
(https://hl7.org/fhir/extensions/StructureDefinition-narrative-language-control.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from fhirbridge.validation.tree import STRUCTURES, Element

if TYPE_CHECKING:
    from fhirbridge.validation.node import Node
    from fhirbridge.validation.walker import Walker

LANGUAGE = STRUCTURES + "narrative-language-control"
SOURCE = STRUCTURES + "narrative-source-control"
SOURCED = "div.children().all(source().exists())"
KEYS = ("txt-language", "txt-source")

_SECTION = r"div.matches('<div[^>]*>.*<div[^>]*[\\s:]lang\\s*=')"
_IN = r"div.matches('<div[^>]*>.*<div[^>]*[\\s:]lang\\s*=\\s*.' & {} & '[\"\']')"
_CODE = re.compile(r"[A-Za-z0-9-]+")
_SOURCES = frozenset({"generated", "boilerplate", "original"})
_LEVELS = {"fatal": "error", "error": "error", "warning": "warning", "information": "information"}


def rules(element: Element) -> Iterator[dict[str, Any]]:
    """Yield the invariants that an element's extensions ask for."""
    for told in element.definition.get("extension", ()):
        code = told.get("valueCode")
        if told.get("url") == LANGUAGE and isinstance(code, str) and _CODE.fullmatch(code.lstrip("_")):
            yield _rule("txt-language", *_language(code))
        elif told.get("url") == SOURCE and code in _LEVELS:
            human = f"every part of the narrative has a class that tells its source: {', '.join(sorted(_SOURCES))}"
            yield _rule("txt-source", SOURCED, human, _LEVELS[code])


def _language(code: str) -> tuple[str, str]:
    if code == "_no":
        return f"{_SECTION}.not()", "the narrative has no sections by language"
    if code == "_yes":
        return _SECTION, "the narrative is in sections by language"
    if code == "_resource":
        wanted = _IN.format("%resource.language")
        text = "the narrative's sections by language include the resource's own"
        return f"{_SECTION} and %resource.language.exists() implies {wanted}", text
    return f"{_SECTION} implies {_IN.format(repr(code))}", f"the narrative's sections by language include {code}"


def _rule(key: str, expression: str, human: str, severity: str = "error") -> dict[str, Any]:
    return {"key": key, "severity": severity, "human": human, "expression": expression}


def sourced(_walker: Walker, node: Node) -> bool:
    """Tell whether every part of a Narrative has a class that says where it comes from."""
    div = node.value.get("div") if isinstance(node.value, dict) else None
    if not isinstance(div, str):
        return True
    parts = _Parts()
    parts.feed(div)
    parts.close()
    return parts.all_marked


class _Parts(HTMLParser):
    """Looks at what stands directly in the outermost element."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.all_marked = True

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.depth == 1 and not _SOURCES & set((dict(attrs).get("class") or "").split()):
            self.all_marked = False
        self.depth += 1

    def handle_endtag(self, _tag: str) -> None:
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        if self.depth == 1 and data.strip():
            self.all_marked = False
