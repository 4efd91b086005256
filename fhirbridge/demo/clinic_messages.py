"""The clinic's results as HL7 v2 messages, with each laboratory's habits: what a listener of the demo is sent.

North Hospital sends version 2.5.1 in UTF-8 or GB 18030 with numbers as NM and limits as SN; South Reference Laboratory
sends version 2.3.1 in ISO 8859-1 with texts and decimal commas, where a limit and its unit share one field.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from fhirbridge.demo.clinic_laboratories import NORTH, SOUTH, ClinicLaboratory
from fhirbridge.demo.clinic_people import AUTHORITY, HOSPITAL_NUMBERS, ClinicPatient
from fhirbridge.errors import Resource

AUTHORITIES = {AUTHORITY: HOSPITAL_NUMBERS}
"""What the setting ``linking_authorities`` must say for these messages."""

_CODECS = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030", "8859/1": "iso8859-1"}
_ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})
_STATUS = {
    "registered": "I", "preliminary": "P", "final": "F", "amended": "C", "corrected": "C", "cancelled": "X",
    "entered-in-error": "W",
}  # fmt: skip
_SEX = {"male": "M", "female": "F", "other": "O", "unknown": "U"}


@dataclass(frozen=True, slots=True)
class Habit:
    """How a laboratory's interface writes its messages."""

    application: str
    version: str
    charset: str
    numbers: bool
    """Numbers travel as NM and SN, with their unit in OBX-6; else as texts with their unit."""


HABITS = {
    NORTH.name: Habit("NORTHLIS", "2.5.1", "UNICODE UTF-8", True),
    SOUTH.name: Habit("SUEDLIS", "2.3.1", "8859/1", False),
}
OLD_NORTH = Habit("NORTHLIS", "2.5.1", "GB 18030-2000", True)
"""North's older interface, which writes GB 18030."""


def message(
    results: Sequence[Resource], laboratory: ClinicLaboratory, who: ClinicPatient, *, control: str,
    habit: Habit | None = None,
) -> bytes:  # fmt: skip
    """Return one ORU^R01 of some Observations of one sample and laboratory, in the laboratory's character set."""
    used = habit or HABITS[laboratory.name]
    sent = _time(results[0]["issued"])
    header = (
        f"MSH|^~\\&|{used.application}|{laboratory.id}|FHIRBRIDGE|STUDY|{sent}||ORU^R01|{control}|P|{used.version}"
        f"||||||{used.charset}"
    )
    pid = f"PID|1||{who.number}^^^{AUTHORITY}^MR||合成^病人||{who.birth_date:%Y%m%d}|{_SEX[who.sex]}"
    if used.charset == "8859/1":
        pid = pid.replace("合成^病人", "Synthetisch^Person")
    taken = _time(results[0]["effectiveDateTime"])
    order = f"OBR|1||{results[0]['id']}^{used.application}|PANEL^{_plain('Laboratory')}^L|||{taken}"
    order += "|" * 15 + f"{sent}|||{_STATUS[results[0]['status']]}"
    lines = [header, pid, order, *(_obx(number, one, used) for number, one in enumerate(results, 1))]
    return ("\r".join(lines) + "\r").encode(_CODECS[used.charset])


def _obx(number: int, result: Resource, habit: Habit) -> str:
    [coding] = result["code"]["coding"]
    kind, value, unit = _value(result, habit)
    code = f"{coding['code']}^{_plain(coding['display'])}^L"
    status, taken = _STATUS[result["status"]], _time(result["effectiveDateTime"])
    return f"OBX|{number}|{kind}|{code}||{value}|{unit}|||||{status}|||{taken}"


def _value(result: Resource, habit: Habit) -> tuple[str, str, str]:
    """Return OBX-2, OBX-5 and OBX-6."""
    if "valueQuantity" in result:
        number = result["valueQuantity"]
        unit = _plain(number.get("unit", ""))
        if not habit.numbers:
            return "ST", _plain(f"{number.get('comparator', '')}{number['value']:f} {number.get('unit', '')}"), ""
        if "comparator" in number:
            return "SN", f"{number['comparator']}^{number['value']:f}", unit
        return "NM", f"{number['value']:f}", unit
    if "valueCodeableConcept" in result:
        [coding] = result["valueCodeableConcept"]["coding"]
        return "CE", f"{coding['code']}^{_plain(coding['display'])}^SCT", ""
    return ("ST", _plain(result["valueString"]), "") if "valueString" in result else ("", "", "")


def _plain(text: str) -> str:
    """Escape HL7's own separators."""
    return text.translate(_ESCAPES)


def _time(text: str) -> str:
    """Return a FHIR date or instant as HL7 writes it."""
    if len(text) == 10:
        return text.replace("-", "")
    return dt.datetime.fromisoformat(text).strftime("%Y%m%d%H%M%S%z")
