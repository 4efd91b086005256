"""read: the current version of a resource. http://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from werkzeug.exceptions import Gone, NotFound
from werkzeug.http import parse_date

from fhirbridge.api.registry import answers, options
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.service import ID, Asking, Question
from fhirbridge.search import results
from fhirbridge.store.releases import Released


def read(asking: Asking, type: str, id: str) -> Answer:
    """Return a resource, or 304 for who has this version already.

    Raises NotFound for what is not released under this agreement, whatever else there is; Gone for what was.
    """
    asking.require("read", type)
    return version(asking, type, id)


def version(asking: Asking, type: str, id: str, number: int | None = None) -> Answer:
    """Return one version of a resource, or the current one."""
    given = options.given(asking.question, options.PARTS, asking.service.limits)
    found = asking.service.releases.read(asking.agreement.id, type, id, number) if ID.fullmatch(id) else None
    if found is None:
        raise NotFound(f"There is no such {type} here.")
    if found.body is None:
        raise Gone(f"This {type} is released no longer.")
    answer = answers.of_version(found)
    if _has_it(asking.question, found):
        answer.status, answer.body = 304, b""
    else:
        answer.body = part(
            asking, found, given.get("_summary"), results.elements(given["_elements"]) if "_elements" in given else ()
        )
    return answer


def part(asking: Asking, found: Released, summary: str | None, elements: tuple[str, ...]) -> bytes:
    """Return the body of a version, or what ``_summary`` and ``_elements`` leave of it."""
    body, subsets = found.body or b"", asking.service.subsets
    if summary not in (None, "false", "count"):
        return subsets.summary(body, found.type, summary or "")
    return subsets.elements(body, found.type, elements) if elements else body


def _has_it(question: Question, found: Released) -> bool:
    """Tell whether who asks has this version: by If-None-Match, and only without it by If-Modified-Since."""
    if question.if_none_match:
        tags = (tag.strip().removeprefix("W/").strip('"') for tag in question.if_none_match.split(","))
        return any(tag in ("*", str(found.version)) for tag in tags)
    if not question.if_modified_since:
        return False
    since = parse_date(question.if_modified_since)
    released = parse_date(answers.last_modified(found))
    return since is not None and released is not None and released <= since
