"""Which encoding a CSV file is in: UTF-8, or GB18030 where it is not UTF-8; anything else is refused, never guessed."""

from __future__ import annotations

import codecs
from pathlib import Path

from fhirbridge.errors import InputError

_CHUNK = 1 << 20
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE = "Save the file as CSV UTF-8"


def detect(path: Path) -> str:
    """Return ``utf-8``, ``utf-8-sig`` (with byte order mark) or ``gb18030``, having read the whole file once.

    Raises InputError naming the byte offset where the file is empty, UTF-16 or UTF-32, holds a NUL byte, or is
    neither of the two encodings.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise InputError(
            f"{path.name} is empty: it has not even a header line. Give the header, or leave the file out."
        )
    if start.startswith(_WIDE):
        raise InputError(f"{path.name} is UTF-16 or UTF-32 (byte order mark at byte 0). {_SAVE}.")
    not_utf8 = _fault(path, "utf-8")
    if not_utf8 is None:
        return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"
    not_gb = _fault(path, "gb18030")
    if not_gb is not None:
        raise InputError(
            f"{path.name} is neither UTF-8 (byte {not_utf8}, counted from 0) nor GB18030 (byte {not_gb}). {_SAVE}."
        )
    if not _plausible(path):
        raise InputError(
            f"{path.name} is not UTF-8 (byte {not_utf8}, counted from 0), and as GB18030 it reads as rare characters "
            f"only, so it is probably in a Western encoding. {_SAVE}."
        )
    return "gb18030"


def _fault(path: Path, encoding: str) -> int | None:
    """Return the offset of the first byte that is not of this encoding, None where all are. Refuses NUL bytes."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if (nul := chunk.find(b"\0")) >= 0:
                raise InputError(
                    f"{path.name} has a NUL at byte {offset + nul}, counted from 0: it is binary, or UTF-16. {_SAVE}."
                )
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return offset - pending + error.start
            if not chunk:
                return None
            offset += len(chunk)


def _plausible(path: Path) -> bool:
    """Tell whether text that decodes as GB18030 is Chinese.

    Latin-1 often decodes too, as an accented letter and the letter after it make a code of the rare part of the set.
    Chinese text lives in the GB2312 part: half of its characters at least are asked to.
    """
    wide = common = 0
    with path.open(encoding="gb18030", newline="") as file:
        while chunk := file.read(_CHUNK):
            for character in chunk:
                if character > "\x7f":
                    wide += 1
                    common += _common(character)
    return common * 2 >= wide


def _common(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
