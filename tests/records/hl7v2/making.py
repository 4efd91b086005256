"""Result messages made by the tests: one that is in order, and ways to change it."""

from __future__ import annotations

from fhirbridge.records.hl7v2.reader import Reading, read
from fhirbridge.records.hl7v2.types import Order, Result

MSH = "MSH|^~\\&|LIS^1.2.3^ISO|LAB|FHIRBRIDGE|STUDY|20260330120000+0800||ORU^R01^ORU_R01|M-1|P|2.5.1"
PID = "PID|1||H0042^^^HOSP&1.2.3.4&ISO^MR||Secret^Person||19700102|F|||1 Hidden Street"
OBR = "OBR|1|P-7^CLINIC|F-9^LAB^1.2.3^ISO|HBV^HBV panel^L|||20260330081500+0800|||||||||||||||20260330115900+0800|||F"
OBX = "OBX|1|NM|42595-9^HBV DNA^LN||1234|[IU]/mL^IU/mL^UCUM|10-100|H|||F|||20260330081000+0800"


def message(*segments: str, msh: str = MSH, end: str = "\r") -> bytes:
    """Return a message with these segments after its header."""
    return (end.join((msh, *segments)) + end).encode()


def oru(*segments: str, msh: str = MSH, end: str = "\r") -> bytes:
    """Return a message of the usual patient and order with these segments under it."""
    return message(PID, OBR, *segments, msh=msh, end=end)


def obx(
    kind: str = "NM", value: str = "1234", unit: str = "[IU]/mL^IU/mL^UCUM", *, number: int = 1, code: str = "42595-9",
    sub_id: str = "", status: str = "F",
) -> str:  # fmt: skip
    """Return a result segment."""
    return f"OBX|{number}|{kind}|{code}^a test^LN|{sub_id}|{value}|{unit}|||||{status}"


def accepted(raw: bytes, **how: str) -> list[tuple[Order, Result]]:
    """Read a message that must be taken whole; return its results with their orders."""
    reading = read(raw, **how)
    assert reading.faults == ()
    assert reading.message is not None
    return [(order, result) for _, order, result in reading.message.results]


def only(raw: bytes, **how: str) -> Result:
    """Read a message that must be taken whole and has one result."""
    ((_, result),) = accepted(raw, **how)
    return result


def faults(reading: Reading) -> list[tuple[str, str]]:
    """Return rule and place of each fault."""
    return [(fault.rule, fault.place) for fault in reading.faults]
