"""MLLP's frames out of a stream of bytes: <VT> message <FS> <CR>, with whatever a network puts between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhirbridge.records.hl7v2.reader import LONGEST

START = b"\x0b"
END = b"\x1c"
_BETWEEN = b"\r\n\t \0"
_KEPT = 4096
"""Bytes kept of a frame that is too long: enough for its MSH."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole message."""

    content: bytes


@dataclass(frozen=True, slots=True)
class TooLong:
    """A frame that ended, but was too long to be kept; ``start`` is how it began."""

    start: bytes


@dataclass(frozen=True, slots=True)
class Half:
    """A frame that another one, or the end of the stream, cut off."""

    length: int


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes outside any frame, other than blanks and line ends."""

    length: int


Event = Frame | TooLong | Half | Garbage


class Deframer:
    """Takes bytes as they come and gives frames as they end; keeps no more than one frame."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._held = bytearray()
        self._length = 0
        self.inside = False
        """A frame has begun and not ended."""
        self.begun = 0
        """Frames that have begun so far."""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what these bytes complete."""
        at = 0
        while at < len(data):
            start = data.find(START, at)
            if not self.inside:
                junk = data[at:] if start < 0 else data[at:start]
                if stray := len(junk.strip(_BETWEEN)):
                    yield Garbage(stray)
                if start < 0:
                    return
                self._begin()
                at = start + 1
                continue
            end = data.find(END, at)
            if start >= 0 and (end < 0 or start < end):
                yield Half(self._length + start - at)
                self._begin()
                at = start + 1
                continue
            self._hold(data[at:] if end < 0 else data[at:end])
            if end < 0:
                return
            self.inside = False
            # The carriage return that belongs to the end may come later, or not at all: it counts as a blank between.
            yield TooLong(bytes(self._held)) if self._length > self._longest else Frame(bytes(self._held))
            at = end + 1

    def close(self) -> Half | None:
        """Return the frame that the end of the stream cut off."""
        cut = Half(self._length) if self.inside else None
        self.inside = False
        return cut

    def _begin(self) -> None:
        self._held.clear()
        self._length = 0
        self.inside = True
        self.begun += 1

    def _hold(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._longest:
            del self._held[_KEPT:]
            piece = piece[: _KEPT - len(self._held)]
        self._held += piece


def framed(content: bytes) -> bytes:
    """Return a message in its frame."""
    return START + content + END + b"\r"
