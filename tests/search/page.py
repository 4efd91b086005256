"""The table of docs/search.md, from the rows: ``python -m tests.search.page`` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fhirbridge.search.parameters import COMMON, Parameter
from fhirbridge.search.table import NOT_SERVED, PARAMETERS, SERVED

PAGE = Path(__file__).parent.parent.parent / "docs" / "search.md"
_PLACE = re.compile(r"(?<=<!-- parameters -->\n).*?(?=<!-- /parameters -->)", re.DOTALL)


def tables() -> str:
    """Return a section for each type, and the list of what is not served."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for base in (COMMON, *SERVED):
        yield f"### {'Every type' if base == COMMON else base}"
        yield from ("", "| parameter | type | what it finds |", "|---|---|---|")
        for one in sorted((row for row in PARAMETERS if row.base == base), key=lambda row: row.code):
            yield f"| `{one.code}` | {_kind(one)} | {one.description}{_of_our_own(one)} |"
        yield ""
    yield from ("### Parameters of R4 that are not served", "", "| parameter | why |", "|---|---|")
    for name, why in NOT_SERVED.items():
        yield f"| `{name}` | {why} |"
    yield ""


def _kind(one: Parameter) -> str:
    if one.kind == "reference":
        return "reference to " + (", ".join(one.targets) or "anything")
    return f"composite of {', '.join(one.parts)}" if one.kind == "composite" else one.kind


def _of_our_own(one: Parameter) -> str:
    return f" (this project's own: `{one.url}`)" if one.expression else ""


def written(page: str) -> str:
    """Return the page with the tables in their place."""
    return _PLACE.sub(lambda _: "\n" + tables(), page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
