"""The tables of docs/views.md, from the files: ``python -m tests.views.page`` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fhirbridge import fhirjson
from fhirbridge.errors import Resource

ROOT = Path(__file__).parent.parent.parent
VIEWS = ROOT / "profiles" / "views"
PAGE = ROOT / "docs" / "views.md"
_PLACE = re.compile(r"(?<=<!-- views -->\n).*?(?=<!-- /views -->)", re.DOTALL)


def shipped() -> list[Resource]:
    """Return the shipped ViewDefinitions."""
    return [fhirjson.loads(path.read_bytes()) for path in sorted(VIEWS.glob("*.json"))]


def tables() -> str:
    """Return a section for each view, as the page is to have it."""
    return "\n".join(line for view in shipped() for line in _section(view)) + "\n"


def _section(view: Resource) -> Iterator[str]:
    yield f"### {view['name']}"
    yield f"{view['description']} From {view['resource']}."
    yield from ("", "| column | type | what it is |", "|---|---|---|")
    for select in view["select"]:
        for column in select["column"]:
            yield f"| `{column['name']}` | {column['type']} | {column['description']} |"
    yield ""


def written(page: str) -> str:
    """Return the page with the tables in their place."""
    return _PLACE.sub(lambda _: "\n" + tables(), page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
