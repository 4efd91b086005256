"""The two laboratories of the synthetic clinic: what they call their tests, and how they print what they find.

Codes, labels and units are those of the laboratories' files in ``mappings/laboratories``; a test compares them. North
Hospital sends numbers in international units, sometimes copies or logarithms, with Chinese names; South Reference
Laboratory sends texts with a comma, with German names.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from fhirbridge.demo.draws import Draws
from fhirbridge.elements import SNOMED, Element, coding, quantity
from fhirbridge.records.types import AbsentReason
from fhirbridge.records.values import Censored, LabValue, Number
from fhirbridge.terminology.logarithms import log10

NOT_DETECTED = coding(SNOMED, "260415000", "Not detected")
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test as its laboratory names it. ``unit`` is what is printed, ``ucum`` the code beside it, if any."""

    code: str
    label: str
    unit: str = ""
    ucum: str | None = None
    low: Decimal = Decimal(1)
    high: Decimal = Decimal(2)
    """Between these lie the values that are drawn for a test that the study does not collect."""
    words: tuple[str, ...] = ()
    """Answers instead, for a test that has no numbers."""
    __test__ = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicLaboratory:
    """A laboratory: its name as in its file, the system of its codes, and its tests."""

    name: str
    id: str
    system: str
    tests: dict[str, Test]
    """By the study's analyte, and by a name of ours for its other units."""
    others: tuple[Test, ...]
    """Tests that its file maps and the study does not collect."""
    unknown: tuple[Test, ...]
    """Tests that no row of its file names."""
    dna_lloq: Decimal
    hbsag_uloq: Decimal
    decimal_comma: bool
    haemolysed: str
    pending: str
    not_detected: str

    def number(self, value: Decimal) -> str:
        """Return a number in the laboratory's decimal habit."""
        text = f"{value:f}"
        return text.replace(".", ",") if self.decimal_comma else text


def _test(code: str, label: str, unit: str, low: str, high: str, ucum: str | None = None) -> Test:
    return Test(code=code, label=label, unit=unit, ucum=ucum, low=Decimal(low), high=Decimal(high))


NORTH = ClinicLaboratory(
    name="North Hospital",
    id="north-laboratory",
    system="https://fhirbridge.github.io/sid/synthetic/north-hospital/test",
    tests={
        "HBV-DNA": Test(code="HBVDNA", label="HBV-DNA定量", unit="IU/mL", ucum="[IU]/mL"),
        "copies": Test(code="HBVDNA", label="HBV-DNA定量", unit="拷贝/ml", ucum="{copies}/mL"),
        "log": Test(code="HBVDNALOG", label="HBV-DNA对数值", unit="lg IU/mL"),
        "HBSAG": Test(code="HBSAGQ", label="乙肝表面抗原定量", unit="IU/mL", ucum="[IU]/mL"),
    },
    others=(
        _test("ALT", "丙氨酸氨基转移酶", "U/L", "12", "95"),
        _test("AST", "天门冬氨酸氨基转移酶", "U/L", "14", "80"),
        _test("TBIL", "总胆红素", "umol/L", "5", "34", "umol/L"),
        _test("ALB", "白蛋白", "g/L", "35", "52", "g/L"),
        _test("PLT", "血小板计数", "10^9/L", "70", "320", "10*9/L"),
        _test("AFP", "甲胎蛋白", "ng/mL", "2", "40", "ng/mL"),
        _test("CREA", "肌酐", "umol/L", "48", "110", "umol/L"),
        Test(code="HBEAG", label="乙肝e抗原", words=("阴性(-)", "阳性(+)")),
    ),
    unknown=(
        _test("WBC", "白细胞计数", "10^9/L", "3", "9"),
        _test("GLU", "葡萄糖", "mmol/L", "4", "7"),
        Test(code="URCOL", label="尿液颜色", words=("淡黄色", "黄色")),
    ),
    dna_lloq=Decimal(10),
    hbsag_uloq=Decimal(125_000),
    decimal_comma=False,
    haemolysed="标本溶血",
    pending="待报",
    not_detected="未检出",
)
SOUTH = ClinicLaboratory(
    name="South Reference Laboratory",
    id="south-laboratory",
    system="https://fhirbridge.github.io/sid/synthetic/south-reference/analysis",
    tests={
        "HBV-DNA": Test(code="4711", label="HBV-DNA quantitativ", unit="IU/ml"),
        "copies": Test(code="4712", label="HBV-DNA Kopien", unit="Kopien/ml"),
        "HBSAG": Test(code="4720", label="HBs-Antigen quantitativ", unit="kIU/L"),
        "HBSAG per litre": Test(code="4720", label="HBsAg quantitativ", unit="IU/L"),
    },
    others=(
        _test("1010", "GPT (ALAT)", "U/l", "12", "95"),
        _test("1011", "GOT (ASAT)", "U/l", "14", "80"),
        _test("1020", "Bilirubin gesamt", "mg/dl", "0.3", "2"),
        _test("1021", "Albumin", "g/dl", "3.5", "5.2"),
        _test("2001", "Thrombozyten", "G/l", "70", "320"),
        _test("4731", "AFP", "µg/l", "2", "40"),
    ),
    unknown=(_test("3001", "Leukozyten", "G/l", "3", "9"), _test("3010", "Glukose", "mg/dl", "70", "130")),
    dna_lloq=Decimal(20),
    hbsag_uloq=Decimal(52_000),
    decimal_comma=True,
    haemolysed="Probe hämolytisch",
    pending="folgt",
    not_detected="nicht nachweisbar",
)
LABORATORIES = (NORTH, SOUTH)


@dataclass(frozen=True, slots=True)
class Printed:
    """A result as a laboratory sends it: the test, the ``value[x]`` or dataAbsentReason, and a remark."""

    test: Test
    value: Element
    note: str | None = None


def printed(laboratory: ClinicLaboratory, analyte: str, value: LabValue, draws: Draws) -> Printed:
    """Return a value of the study as this laboratory would have reported it; what it cannot measure is censored."""
    test = laboratory.tests[analyte]
    limited = _limited(laboratory, analyte, value)
    if isinstance(limited, Number):
        if laboratory is NORTH:
            return _north_number(analyte, limited.value, draws)
        return _south_number(analyte, limited.value, draws)
    if isinstance(limited, Censored):
        return Printed(test, _censored(laboratory, test, limited, draws))
    if laboratory is NORTH and draws.chance(0.3):
        return Printed(test, {"valueCodeableConcept": {"coding": [NOT_DETECTED], "text": laboratory.not_detected}})
    return Printed(test, {"valueString": laboratory.not_detected})


def absent(laboratory: ClinicLaboratory, analyte: str, reason: AbsentReason, draws: Draws) -> Printed:
    """Return a result without a value: in words as laboratories do, or with FHIR's reason."""
    test = laboratory.tests[analyte]
    if reason == "error" and draws.chance(0.5):
        return Printed(test, {"valueString": laboratory.haemolysed})
    system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
    note = laboratory.haemolysed if reason == "error" else None
    return Printed(test, {"dataAbsentReason": {"coding": [coding(system, reason)]}}, note)


def other(laboratory: ClinicLaboratory, test: Test, draws: Draws) -> Printed:
    """Return a value of a test that the study does not collect."""
    if test.words:
        return Printed(test, {"valueString": draws.pick(tuple((word, 1 / len(test.words)) for word in test.words))})
    drawn = Decimal(repr(draws.uniform(float(test.low), float(test.high)))).quantize(_CENT, ROUND_HALF_EVEN)
    return Printed(test, _amount(laboratory, test, drawn))


def _limited(laboratory: ClinicLaboratory, analyte: str, value: LabValue) -> LabValue:
    """Return what this laboratory's assay would have said, whose limits may be others than the study's table knows."""
    if not isinstance(value, Number | Censored):
        return value
    if analyte == "HBV-DNA" and value.value < laboratory.dna_lloq:
        return Censored("<", laboratory.dna_lloq)
    if analyte == "HBSAG" and value.value > laboratory.hbsag_uloq:
        return Censored(">", laboratory.hbsag_uloq)
    return value


def _north_number(analyte: str, value: Decimal, draws: Draws) -> Printed:
    habit = draws.pick((("units", 0.84), ("copies", 0.06), ("log", 0.05), ("text", 0.05)))
    copies = value * Decimal("5.6")
    if analyte == "HBV-DNA" and habit == "copies" and 100 <= copies <= 10**9:
        test = NORTH.tests["copies"]
        return Printed(test, _amount(NORTH, test, Decimal(f"{copies.normalize():f}")))
    if analyte == "HBV-DNA" and habit == "log":
        test = NORTH.tests["log"]
        return Printed(test, _amount(NORTH, test, log10(value)))
    test = NORTH.tests[analyte]
    if habit == "text":
        return Printed(test, {"valueString": f"{value:f} {test.unit}"})
    return Printed(test, _amount(NORTH, test, value))


def _south_number(analyte: str, value: Decimal, draws: Draws) -> Printed:
    test = SOUTH.tests[analyte]
    if analyte == "HBSAG" and draws.chance(0.1):
        test, value = SOUTH.tests["HBSAG per litre"], value * 1000
    return Printed(test, _amount(SOUTH, test, value))


def _censored(laboratory: ClinicLaboratory, test: Test, value: Censored, draws: Draws) -> Element:
    number = laboratory.number(value.value)
    if laboratory.decimal_comma:
        return {"valueString": f"{value.comparator} {number} {test.unit}"}
    if draws.chance(0.5):
        wide = {"<": "＜", ">": "＞"}.get(value.comparator, value.comparator)
        return {"valueString": f"{wide}{number}{test.unit}"}
    return {"valueQuantity": quantity(value.value, test.unit, test.ucum or "", value.comparator)}


def _amount(laboratory: ClinicLaboratory, test: Test, value: Decimal) -> Element:
    """Return a number as the laboratory sends it: South as text, North as a Quantity."""
    if laboratory.decimal_comma:
        return {"valueString": f"{laboratory.number(value)} {test.unit}".strip()}
    if test.ucum:
        return {"valueQuantity": quantity(value, test.unit, test.ucum)}
    return {"valueQuantity": {"value": value} | ({"unit": test.unit} if test.unit else {})}
