"""The mark in a next link: which state of the release the pages are of, and where to go on. It holds ids at most."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

import msgspec

from fhirbridge.search.query import Limits
from fhirbridge.search.refused import SearchError
from fhirbridge.store.releases import Position

PAGE = "_page"
"""The parameter; a client follows the link and need not know it."""

_decoder = msgspec.json.Decoder(tuple[int, str])


def marked(at: int, after: str) -> str:
    """Return the mark of a next page."""
    return base64.urlsafe_b64encode(msgspec.json.encode((at, after))).rstrip(b"=").decode()


def read(mark: str | None, position: Position) -> tuple[int, str | None]:
    """Return the state that a page is of and where it goes on: the present and the beginning without a mark.

    Raises SearchError for a mark that this service never made.
    """
    if mark is None:
        return position.number, None
    try:
        at, after = _decoder.decode(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)))
    except (msgspec.DecodeError, binascii.Error, ValueError):
        at, after = -1, ""
    if not 0 <= at <= position.number or "\0" in after or "\\u0000" in after:  # which PostgreSQL takes in no text
        raise SearchError(PAGE, mark, "this is not the mark of a page", "Follow the next link as it stands.", "invalid")
    return at, after


def bounds(limits: Limits, query: bytes) -> Limits:
    """Return what a query may hold: a next link repeats what a form held, in more characters."""
    return replace(limits, characters=4 * limits.characters) if b"_page=" in query else limits
