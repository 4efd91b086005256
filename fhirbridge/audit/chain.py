"""Lines that hang together: each holds the digest of the one before it, and its own.

A line is ``{"number":…,"previous":"…","KIND":{…},"hash":"…"}``: the hash is over everything before it, so that a line
proves itself, its place and, through ``previous``, all before it. With a key it is HMAC-SHA-256 and nobody without the
key can make one; without a key it is SHA-256, which anybody can.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fhirbridge.errors import ConfigurationError

START = "0" * 64
"""What the very first line names as the one before it."""

_KEY_BYTES = 32
_LINE = re.compile(
    rb'(\{"number":([0-9]{1,15}),"previous":"([0-9a-f]{64})","([a-z]+)":(\{.*\})),"hash":"([0-9a-f]{64})"\}', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Link:
    """A line that was read: ``sound`` says that its hash is the one that belongs to it."""

    number: int
    previous: str
    kind: str
    content: bytes
    hash: str
    sound: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one line (from 1), and whether it is only that a crash cut it short."""

    line: int
    text: str
    torn: bool = False


class Chain:
    """Makes lines and reads them, under a key (32 bytes or more) or none."""

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and len(key) < _KEY_BYTES:
            raise ConfigurationError(
                f"audit_key: the key has fewer than {_KEY_BYTES} bytes. Make one with `fhirbridge key new FILE`."
            )
        self._key = key

    @property
    def fingerprint(self) -> str:
        """Tell one key from another without showing it; ``none`` where there is none."""
        return "none" if self._key is None else self._hash(b"fhirbridge audit fingerprint")[:16]

    def line(self, number: int, previous: str, kind: str, content: bytes) -> tuple[bytes, str]:
        """Return a line with its line end, and its hash. ``content`` is compact JSON of an object."""
        body = b'{"number":%d,"previous":"%s","%s":%s' % (number, previous.encode(), kind.encode(), content)
        hash = self._hash(body)
        return body + b',"hash":"' + hash.encode() + b'"}\n', hash

    def read(self, line: bytes) -> Link | None:
        """Return the link of a line without its line end; None for what is none."""
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        body, number, previous, kind, content, hash = found.groups()
        sound = hmac.compare_digest(self._hash(body), hash.decode())
        return Link(int(number), previous.decode(), kind.decode(), content, hash.decode(), sound)

    def _hash(self, body: bytes) -> str:
        if self._key is None:
            return hashlib.sha256(body).hexdigest()
        return hmac.digest(self._key, body, "sha256").hex()


def walk(lines: Iterable[bytes], chain: Chain, faults: list[Fault], previous: str | None = None) -> Iterator[Link]:
    """Yield every line that can be read, and note in ``faults`` what is wrong with it or between it and the last.

    ``previous`` is what the first line must name as the one before it; None if whoever calls checks that.
    """
    expected, unread = 0, list[int]()
    for at, line in enumerate(lines, 1):
        link = chain.read(line.rstrip(b"\n"))
        if link is None:
            unread.append(at)
            continue
        if not link.sound:
            faults.append(Fault(at, "was changed, or made under another key"))
        if link.number == expected and previous in (None, link.previous):
            faults.extend(Fault(one, "was cut short by a crash", torn=True) for one in unread)
        else:
            faults.append(Fault(at, _break(link, expected, len(unread))))
            faults.extend(Fault(one, "cannot be read: it was changed") for one in unread)
        unread.clear()
        expected, previous = link.number + 1, link.hash
        yield link
    faults.extend(Fault(one, "was cut short, by a crash if by nobody", torn=len(unread) == 1) for one in unread)


def _break(link: Link, expected: int, unread: int) -> str:
    missing = link.number - expected
    if missing > 0 and missing == unread:
        return "follows lines that cannot be read"
    if missing > 0:
        return f"follows a gap: {missing} {'line is' if missing == 1 else 'lines are'} missing before it"
    if missing < 0:
        return f"is out of order: it has number {link.number} where {expected} belongs"
    return "does not follow the line before it: one of the two was inserted or replaced"
