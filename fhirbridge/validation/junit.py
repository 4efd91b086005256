"""Writes findings as JUnit XML, which CI systems show as test results: a suite per file, a case per resource.

The structure is what Jenkins, GitLab and GitHub's reporters agree on (https://github.com/testmoapp/junitxml).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO
from xml.etree.ElementTree import Element, SubElement, tostring  # writes only, reads nothing

from fhirbridge.validation.outcome import ERRORS, Issue
from fhirbridge.validation.report import FileOutcome

_SPOOL = 16 * 1024 * 1024
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, not even escaped."""


def write(outcomes: Iterable[FileOutcome], stream: IO[str]) -> None:
    """Write a JUnit report as the outcomes come; a suite waits in a temporary file until its counts are known."""
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="fhirbridge validate">\n')
    for file, found in groupby(outcomes, key=lambda one: one.file):
        _suite(file, found, stream)
    stream.write("</testsuites>\n")


def _suite(file: str, found: Iterable[FileOutcome], stream: IO[str]) -> None:
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    with tempfile.SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8", newline="") as cases:
        for one in found:
            for case in _cases(one):
                counts["tests"] += 1
                counts["failures"] += case.find("failure") is not None
                counts["errors"] += case.find("error") is not None
                cases.write("    " + tostring(case, "unicode") + "\n")
        cases.seek(0)
        head = Element("testsuite", {"name": _clean(file), "time": "0", **{k: str(n) for k, n in counts.items()}})
        stream.write("  " + tostring(head, "unicode", short_empty_elements=False).removesuffix("</testsuite>") + "\n")
        while block := cases.read(1 << 20):
            stream.write(block)
    stream.write("  </testsuite>\n")


def _cases(one: FileOutcome) -> Iterator[Element]:
    """Yield the case of a resource, and of each entry of a Bundle."""
    place = "" if one.line is None else f"line {one.line} "
    if one.error is not None:
        case = Element("testcase", name=_clean(place + (one.label or "input")), classname=_clean(one.file), time="0")
        wrong = SubElement(case, "error", message=_clean(str(one.error)), type="input")
        wrong.text = _clean(str(one.error))
        yield case
        return
    by_entry: dict[int | None, list[Issue]] = {None: [], **{number: [] for number in range(len(one.entries))}}
    for issue in one.issues:
        by_entry[one.entry_of(issue)].append(issue)
    for entry, issues in by_entry.items():
        name = one.label if entry is None else f"{one.label} entry[{entry}] {one.entries[entry]}"
        yield _case(one.file, place + name, issues)


def _case(file: str, name: str, issues: list[Issue]) -> Element:
    case = Element("testcase", name=_clean(name), classname=_clean(file), time="0")
    errors = [issue for issue in issues if issue.severity in ERRORS]
    rest = [issue for issue in issues if issue.severity not in ERRORS]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        first = errors[0]
        wrong = SubElement(case, "failure", message=_clean(f"{first.path}: {first.text}{more}"), type=first.rule)
        wrong.text = _clean("\n".join(map(_line, errors)))
    if rest:
        SubElement(case, "system-out").text = _clean("\n".join(map(_line, rest)))
    return case


def _line(issue: Issue) -> str:
    remedy = f" {issue.remedy}" if issue.remedy else ""
    profile = f" ({issue.profile})" if issue.profile else ""
    return f"{issue.severity} [{issue.rule}] {issue.path}: {issue.text}{remedy}{profile}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
