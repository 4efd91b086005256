"""Files of messages: one or many, in batches (FHS, BHS) or not, framed as for MLLP or not, with any line ends."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from fhirbridge.errors import InputError
from fhirbridge.records.hl7v2.faults import Fault
from fhirbridge.records.hl7v2.framing import START, Deframer, Frame, Garbage, TooLong
from fhirbridge.records.hl7v2.header import PROCESSING
from fhirbridge.records.hl7v2.reader import Reading, read, too_long

LARGEST = 512 * 1024 * 1024
"""Bytes of one file."""
MOST_MESSAGES = 100_000
"""Messages, and headers and trailers of batches, in one file."""

_HEADS = re.compile(rb"(?:(?<=[\r\n])|\A)(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s]|[\r\n]|\Z)")
_BOM = b"\xef\xbb\xbf"
_OUTSIDE = Fault("not-hl7", "there is text outside any message", "Begin every message with its MSH.")
_AGAIN = "Ask for the file again, whole."


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: its messages in order, and what is wrong with the file itself."""

    readings: tuple[Reading, ...]
    messages: tuple[bytes, ...] = field(repr=False)
    """Each one's bytes, without framing."""
    faults: tuple[Fault, ...]


def read_file(path: Path, *, assume: str | None = None, processing: Collection[str] = PROCESSING) -> Contents:
    """Read a file of messages. Raises InputError where it cannot be read, is empty or is beyond LARGEST."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST:,} bytes. Split it between messages.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path and its permissions.") from error
    if not data.strip(b"\r\n\t \x0b\x1c"):
        raise InputError(f"{path} is empty: it has no HL7 message.")
    return read_bytes(data, assume=assume, processing=processing)


def read_bytes(data: bytes, *, assume: str | None = None, processing: Collection[str] = PROCESSING) -> Contents:
    """Read what a file holds; never raises."""
    faults: list[Fault] = []
    messages = [found for piece in _pieces(data.removeprefix(_BOM), faults) for found in _messages(piece, faults)]
    if data.startswith(_BOM):
        # The mark stands for the whole file, and tells its character set to each of its messages.
        messages = [_BOM + message for message in messages]
    if not messages and not faults:
        faults.append(_OUTSIDE)
    readings = tuple(read(message, assume=assume, processing=processing) for message in messages)
    return Contents(readings, tuple(messages), tuple(faults))


def _pieces(data: bytes, faults: list[Fault]) -> Iterator[bytes]:
    """Yield what the frames of a file hold, or the whole of one without frames."""
    if START not in data:
        yield data
        return
    deframer = Deframer()
    for event in deframer.feed(data):
        if isinstance(event, Frame):
            yield event.content
        elif isinstance(event, TooLong):
            faults.append(too_long())
        elif isinstance(event, Garbage):
            faults.append(_OUTSIDE)
        else:
            faults.append(_half())
    if deframer.close() is not None:
        faults.append(_half())


def _half() -> Fault:
    return Fault("cut", "a frame was not ended: what it holds is cut and not read", _AGAIN)


def _messages(data: bytes, faults: list[Fault]) -> Iterator[bytes]:
    """Yield the messages between the headers and trailers of batches, whose counts are checked."""
    heads = list(islice(_HEADS.finditer(data), MOST_MESSAGES + 1))
    if len(heads) > MOST_MESSAGES:
        faults.append(Fault("too-many-parts", f"there are more than {MOST_MESSAGES:,} messages in one", "Split it."))
        return
    if data[: heads[0].start() if heads else len(data)].strip():
        faults.append(_OUTSIDE)
    batch = _Counts()
    for head, following in zip(heads, [*heads[1:], None], strict=False):
        text = data[head.start() : following.start() if following else len(data)]
        if head[1] == b"MSH":
            batch.messages += 1
            yield text
        else:
            faults += batch.meet(head[1], text)
    faults += batch.unclosed()


class _Counts:
    """What has been met of a file's and a batch's envelope."""

    def __init__(self) -> None:
        self.messages = 0
        self.batches = 0
        self.open: dict[bytes, bytes] = {}

    def meet(self, name: bytes, text: bytes) -> list[Fault]:
        """Take in a header or trailer; return what is wrong with it."""
        line, _, rest = re.sub(rb"[\r\n]+", b"\r", text).partition(b"\r")
        faults = [_OUTSIDE] if rest.strip() else []
        if name in (b"FHS", b"BHS"):
            if name == b"BHS" and name in self.open:
                faults += self._missing("BTS")
            self.open[name] = line[3:4]
            if name == b"BHS":
                self.messages = 0
                self.batches += 1
            return faults
        head, counted = (b"BHS", self.messages) if name == b"BTS" else (b"FHS", self.batches)
        separator = self.open.pop(head, None) or line[3:4] or b"|"
        told = [*line.split(separator), b""][1].strip()
        if (
            told.isdigit()
            and told.lstrip(b"0") != str(counted or "").encode()
            and not (name == b"FTS" and not self.batches)
        ):
            what = "messages" if name == b"BTS" else "batches"
            message = f"the trailer counts other {what} than there are: some are lost"
            faults.append(Fault("count", message, _AGAIN, segment=name.decode(), field=1))
        return faults

    def unclosed(self) -> list[Fault]:
        """Return what is missing at the end."""
        return [fault for head in self.open for fault in self._missing("BTS" if head == b"BHS" else "FTS")]

    def _missing(self, trailer: str) -> list[Fault]:
        return [Fault("cut", f"there is no {trailer}: the file was cut, or was written without it", _AGAIN, trailer)]
