"""Which character set a message is in, by MSH-18 and by its bytes; where the two disagree it is refused."""

from __future__ import annotations

import codecs
import re

from fhirbridge.records.hl7v2.faults import Fault, Faulty

CODECS = {
    "ASCII": "ascii",
    "ISOIR6": "ascii",
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    **{f"{prefix}8859{part}": f"iso8859_{part}" for part in (1, 2, 5, 7, 9, 15) for prefix in ("", "ISO", "ISOIEC")},
}
"""By name of HL7 table 0211, without blanks and punctuation; and the names that senders use beside it."""

_MSH_18 = 18
_NAMES = "ASCII, UNICODE UTF-8, GB 18030-2000, or 8859/1, /2, /5, /7, /9 and /15"


def is_known(name: str) -> bool:
    """Tell whether a character set of this name (table 0211) is read here."""
    return _plain(name) in CODECS


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def decode(raw: bytes, assume: str | None = None) -> tuple[str, str]:
    """Return a message's text and codec. ``assume`` is the name to go by where MSH-18 is empty (table 0211).

    Raises Faulty where MSH-18 names an unknown set, where the bytes are not of the named set, where they are plainly of
    another, and where it is empty although the message is not plain ASCII.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw:
        raise _fault("the message has NUL bytes: it is UTF-16 or UTF-32, or binary", "Send it in UNICODE UTF-8.")
    marked = raw.startswith(codecs.BOM_UTF8)
    raw = raw.removeprefix(codecs.BOM_UTF8)
    named = _declared(raw) or assume or ""
    codec = CODECS.get(_plain(named)) if named else ("utf-8" if marked else "ascii")
    if codec is None:
        raise _fault("MSH-18 names a character set that is not read here", f"Use {_NAMES}.")
    if raw.isascii():
        return raw.decode("ascii"), codec
    if marked and codec != "utf-8":
        raise _fault("the message starts with the mark of UTF-8, but MSH-18 names another set", "Correct MSH-18.")
    if not named and not marked:
        raise _fault("the message is not plain ASCII, and MSH-18 names no character set", f"Fill it: {_NAMES}.")
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        raise _fault(
            f"byte {error.start}, counted from 0, is not of the character set that MSH-18 names", "Correct MSH-18."
        ) from None
    _check(raw, text, codec)
    return text, codec


def _declared(raw: bytes) -> str:
    """Return MSH-18's first repetition. GB18030's second bytes may look like separators, so that is tried first."""
    line = re.split(rb"[\r\n]", raw, maxsplit=1)[0]
    if not line.isascii():
        name = _field(line.decode("gb18030", errors="replace"))
        if CODECS.get(_plain(name)) == "gb18030":
            return name
    return _field(line.decode("latin-1"))


def _field(line: str) -> str:
    fields = line.split(line[3:4] or "|")
    names = fields[_MSH_18 - 1].split(line[5:6] or "~") if len(fields) >= _MSH_18 else [""]
    used = {name.strip() for name in names} - {"", '""'}
    if len(used) > 1:
        raise _fault("MSH-18 names several character sets; switching within a message is not read here", "Use one.")
    return used.pop() if used else ""


def _check(raw: bytes, text: str, codec: str) -> None:
    """Refuse text that decodes only by accident; its bytes are those of another set."""
    if codec.startswith("iso8859"):
        if _as_utf8(raw) is not None:
            raise _fault("the bytes are UTF-8, but MSH-18 names an 8859 set", "Correct MSH-18: UNICODE UTF-8.")
        if any("\x80" <= character <= "\x9f" for character in text):
            raise _fault("the message has bytes that no 8859 set has (windows-1252?)", "Send it in UNICODE UTF-8.")
    if codec == "gb18030":
        wide = [character for character in text if character > "\x7f"]
        common = sum(map(_common, wide))
        other = _as_utf8(raw)
        # Chinese in UTF-8 takes three bytes a character; read as GB18030 it yields other, mostly rare characters.
        if other is not None and (common < len(wide) or any(character > "\u07ff" for character in other)):
            raise _fault("the bytes are UTF-8, but MSH-18 names GB 18030", "Correct MSH-18: UNICODE UTF-8.")
        if common * 3 < len(wide) * 2:
            raise _fault("as GB 18030 the message reads as rare characters only", "Correct MSH-18.")


def _as_utf8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _common(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _fault(message: str, remedy: str) -> Faulty:
    return Faulty(Fault("charset", message, remedy, segment="MSH", line=1, field=_MSH_18))
