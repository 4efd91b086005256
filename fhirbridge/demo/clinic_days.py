"""The days of the clinic's month, one function each: what happened, and where that must leave each result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace

from fhirbridge.demo.clinic_laboratories import NORTH, SOUTH, Printed, Test
from fhirbridge.demo.clinic_month import Day, Month, Standing, Verdict, Writing, amount, words
from fhirbridge.demo.clinic_people import patient_resource
from fhirbridge.demo.clinic_results import Sample, organizations, ours, report
from fhirbridge.demo.cohort import SEED
from fhirbridge.errors import Resource
from fhirbridge.records.types import Subject
from fhirbridge.study import Study

PENDING, CANCELLED, UNMAPPED = Standing("pending"), Standing("cancelled"), Standing("unmapped")
UNREADABLE, DUPLICATE, REOPENED = Standing("unreadable"), Standing("duplicate"), Standing("reopened")
UNSEEN = frozenset({"A.alt", "A.ours", "H.dna", "G.hbsag"})


def month(study: Study, subjects: Sequence[Subject], seed: int = SEED) -> Month:
    """Return the month of the cohort's first seven subjects; all must have an index date by then.

    Raises ConfigurationError for fewer, and for a study without the visit.
    """
    pen = Writing(study, subjects, seed)
    days = tuple(make(pen) for make in _DAYS)
    patients = [patient_resource(who) for letter, who in pen.patients.items() if letter != "E2"]
    log = [(pen.numbers[letter], pen.patients[letter]) for letter in "ABCDEFG"]
    # Somebody mistyped F's birth date: its pull stops, and only its, until the log is mended on day 8.
    log[5] = (log[5][0], replace(log[5][1], birth_date=log[5][1].birth_date + dt.timedelta(days=9)))
    return Month(
        start=pen.start,
        beginning=(*organizations(), *patients),
        log=tuple(log),
        days=days,
        names=dict(pen.names),
        unseen=UNSEEN,
    )


def _first_results(pen: Writing) -> Day:
    alt = next(test for test in NORTH.others if test.code == "ALT")
    hbsag = amount(NORTH, "HBSAG", "532.14")
    return Day(
        number=1,
        what="The first results: a preliminary one, final ones, one without a value, and some that we may not have.",
        written=(
            pen.result("A.dna", NORTH, amount(NORTH, "HBV-DNA", "1250"), day=1, status="preliminary"),
            pen.result("A.hbsag", NORTH, hbsag, day=1),
            pen.result("A.alt", NORTH, Printed(alt, {"valueString": "41 U/L"}), day=1),
            ours(pen.result("A.ours", NORTH, hbsag, day=1), pen.study.id),
            pen.result("B.dna", SOUTH, words(SOUTH, "HBV-DNA", "< 20 IU/ml"), day=1),
            pen.result("B.hbsag", SOUTH, amount(SOUTH, "HBSAG", "0,85"), day=1),
            pen.result("C.dna", NORTH, words(NORTH, "HBV-DNA", "未检出"), day=1),
            pen.result("C.hbsag", NORTH, words(NORTH, "HBSAG", "标本溶血"), day=1),
            pen.result("G.dna", SOUTH, words(SOUTH, "HBV-DNA", "nicht nachweisbar"), day=1),
            pen.result("H.dna", NORTH, amount(NORTH, "HBV-DNA", "4100"), day=1),
        ),
        becomes={
            "A.dna": PENDING,
            "A.hbsag": Standing("waiting", "532.14"),
            "B.dna": Standing("accepted", "<20"),
            "B.hbsag": Standing("waiting", "0.85"),
            # Two assays share North's code, and words do not say which: so a person looks.
            "C.dna": Standing("waiting", "not detected"),
            "C.hbsag": CANCELLED,
            "G.dna": Standing("accepted", "not detected"),
        },
        verdicts=(
            Verdict(name="A.hbsag", action="accept", reason="as in the patient's file"),
            Verdict(name="C.dna", action="accept", reason="the usual assay"),
        ),
    )


def _finals(pen: Writing) -> Day:
    new = Test(code="HBVDNA2", label="HBV-DNA(新平台)", unit="IU/mL", ucum="[IU]/mL")
    value = amount(NORTH, "HBV-DNA", "1300").value
    return Day(
        number=2,
        what="A preliminary result is final; one nobody decided yet is corrected; a code is new.",
        written=(
            pen.result("A.dna", NORTH, amount(NORTH, "HBV-DNA", "1250"), day=2),
            pen.result("A.mystery", NORTH, Printed(new, value), day=2),
            pen.result("B.hbsag", SOUTH, amount(SOUTH, "HBSAG", "0,95"), day=2, status="corrected"),
            pen.result("D.dna", SOUTH, amount(SOUTH, "HBV-DNA", "250"), day=2),
            pen.result("E.dna", NORTH, amount(NORTH, "HBV-DNA", "1170"), day=2),
        ),
        becomes={
            "A.dna": Standing("accepted", "1250"),
            "A.hbsag": Standing("accepted", "532.14"),
            "A.mystery": UNMAPPED,
            "B.hbsag": Standing("waiting", "0.95"),
            "C.dna": Standing("accepted", "not detected"),
            "D.dna": Standing("accepted", "250"),
            "E.dna": Standing("accepted", "1170"),
        },
    )


def _correction(pen: Writing) -> Day:
    return Day(
        number=3,
        what="An accepted result is corrected; another comes twice; blood is drawn again where it was haemolysed.",
        written=(
            pen.result("A.dna", NORTH, amount(NORTH, "HBV-DNA", "1350"), day=3, status="corrected"),
            pen.result("C.again", NORTH, amount(NORTH, "HBSAG", "15.23"), day=3, after=3),
            pen.result("D.twin", SOUTH, amount(SOUTH, "HBV-DNA", "250"), day=3),
        ),
        becomes={
            "A.dna": Standing("reopened", "1350"),
            "C.again": Standing("waiting", "15.23"),
            "D.twin": DUPLICATE,
        },
        verdicts=(
            Verdict(name="A.dna", action="accept", reason="the laboratory confirmed the correction"),
            Verdict(name="B.hbsag", action="accept", reason="as corrected"),
        ),
    )


def _nothing_but_noise(pen: Writing) -> Day:
    return Day(
        number=4,
        what="The hospital writes a result again as it was; another comes in a unit that the laboratory does not use.",
        written=(
            pen.result("A.dna", NORTH, amount(NORTH, "HBV-DNA", "1350"), day=3, status="corrected"),
            pen.result("D.hbsag", SOUTH, words(SOUTH, "HBSAG", "0,40 mIU/mL"), day=4),
        ),
        becomes={
            "A.dna": Standing("accepted", "1350"),
            "B.hbsag": Standing("accepted", "0.95"),
            "D.hbsag": UNMAPPED,
        },
    )


def _right_unit(pen: Writing) -> Day:
    mislabelled = replace(SOUTH.tests["HBSAG"], label="Anti-HBs")
    return Day(
        number=5,
        what="The unit is mended. A subject whose link does not fit has results that nobody asks for.",
        written=(
            pen.result("D.hbsag", SOUTH, amount(SOUTH, "HBSAG", "0,40"), day=5, status="corrected"),
            pen.result("F.hbsag", SOUTH, Printed(mislabelled, {"valueString": "12,0 kIU/L"}), day=5),
        ),
        becomes={"D.hbsag": Standing("waiting", "0.40")},
    )


def _merge(pen: Writing) -> Day:
    old, new = pen.patients["E"], pen.patients["E2"]
    return Day(
        number=6,
        what="The hospital merges two records of one patient: a result moves, a new one is filed under the other.",
        written=(
            patient_resource(new, replaces=old.id),
            patient_resource(old, active=False, replaced_by=new.id),
            pen.result("E.dna", NORTH, amount(NORTH, "HBV-DNA", "1170"), day=2, patient="E2"),
            pen.result("E.hbsag", NORTH, amount(NORTH, "HBSAG", "901.35"), day=6, patient="E2"),
        ),
        becomes={"E.hbsag": Standing("waiting", "901.35")},
    )


def _mended_log(pen: Writing) -> Day:
    return Day(
        number=8,
        what="The enrolment log is mended, and a subject's results of days come at once; an accepted one is amended.",
        log=((pen.numbers["F"], pen.patients["F"]),),
        written=(
            pen.result("A.hbsag", NORTH, amount(NORTH, "HBSAG", "540.12"), day=8, status="amended"),
            pen.result("F.dna", SOUTH, words(SOUTH, "HBV-DNA", "1500 IE/ml"), day=8),
        ),
        becomes={
            "A.hbsag": Standing("reopened", "540.12"),
            "F.dna": Standing("accepted", "1500"),
            # A person must decide, and there is no value to accept.
            "F.hbsag": Standing("waiting"),
        },
        verdicts=(
            Verdict(name="A.hbsag", action="accept", reason="amended by the laboratory"),
            Verdict(name="F.hbsag", action="reject", reason="an antibody under the antigen's code"),
        ),
    )


def _taken_back(pen: Writing) -> Day:
    return Day(
        number=9,
        what="An accepted result was another patient's: the hospital marks it as entered in error.",
        written=(pen.result("A.dna", NORTH, amount(NORTH, "HBV-DNA", "1350"), day=9, status="entered-in-error"),),
        becomes={
            "A.dna": REOPENED,
            "A.hbsag": Standing("accepted", "540.12"),
            "F.hbsag": Standing("rejected"),
        },
        verdicts=(Verdict(name="A.dna", action="reject", reason="entered in error"),),
    )


def _withdrawal(pen: Writing) -> Day:
    recalled = pen.result("E.recalled", NORTH, amount(NORTH, "HBV-DNA", "77"), day=10, after=2, patient="E2")
    sample = Sample(
        patient=pen.patients["E2"].id,
        laboratory=NORTH,
        collected=dt.datetime.fromisoformat(recalled["effectiveDateTime"]),
        issued=dt.datetime.fromisoformat(recalled["issued"]),
    )
    return Day(
        number=10,
        what="A subject withdraws its consent, so its results are not asked for; a report is taken back as a whole.",
        withdrawn=(pen.numbers["G"],),
        written=(
            pen.result("G.hbsag", NORTH, amount(NORTH, "HBSAG", "61.07"), day=10),
            pen.result("G.dna", SOUTH, amount(SOUTH, "HBV-DNA", "99"), day=10, status="corrected"),
            recalled,
            report(pen.id("E.report"), sample, [recalled], status="entered-in-error"),
        ),
        becomes={"A.dna": Standing("rejected"), "E.recalled": CANCELLED},
    )


def _windows(pen: Writing) -> Day:
    return Day(
        number=14,
        what="A result outside its window, two beside others in theirs (one in copies), one that cannot be read.",
        written=(
            pen.result("A.late", NORTH, amount(NORTH, "HBV-DNA", "900"), day=14, after=20),
            pen.result("B.second", SOUTH, amount(SOUTH, "HBV-DNA", "35"), day=14, after=5),
            pen.result("E.copies", NORTH, amount(NORTH, "copies", "7000"), day=14, after=9, patient="E2"),
            pen.result("F.words", SOUTH, words(SOUTH, "HBSAG", "siehe Anlage"), day=14, after=1),
        ),
        becomes={
            "A.late": Standing("waiting", "900"),
            # The policy took them because they were alone in their windows, which they are no more.
            "B.dna": Standing("reopened", "<20"),
            "E.dna": Standing("reopened", "1170"),
            "B.second": Standing("waiting", "35"),
            "E.copies": Standing("waiting"),
            "F.words": UNREADABLE,
        },
        verdicts=(
            Verdict(name="B.dna", action="accept", reason="nearest to the visit"),
            Verdict(name="B.second", action="reject", reason="the first one is the visit's"),
            Verdict(name="E.dna", action="accept", reason="nearest to the visit"),
            Verdict(name="E.copies", action="reject", reason="of another assay"),
            Verdict(
                name="F.words", action="override", reason="read in the attachment",
                value={"value": "15.5", "unit": "[IU]/mL"},
            ),
        ),
    )  # fmt: skip


def _late_corrections(pen: Writing) -> Day:
    return Day(
        number=18,
        what="What was rejected is corrected; of two that said the same, one is; an order is placed.",
        written=(
            pen.result("B.second", SOUTH, amount(SOUTH, "HBV-DNA", "30"), day=18, after=5, status="corrected"),
            pen.result("D.dna", SOUTH, amount(SOUTH, "HBV-DNA", "260"), day=18, status="corrected"),
            pen.result("C.order", NORTH, Printed(NORTH.tests["HBV-DNA"], {}), day=18, after=9, status="registered"),
        ),
        becomes={
            "B.dna": Standing("accepted", "<20"),
            "B.second": Standing("reopened", "30"),
            "C.order": PENDING,
            "D.dna": Standing("reopened", "260"),
            "D.twin": Standing("waiting", "250"),
            "E.copies": Standing("rejected"),
            "E.dna": Standing("accepted", "1170"),
            "F.words": Standing("accepted"),
        },
        verdicts=(Verdict(name="D.dna", action="accept", reason="as corrected"),),
    )


def _last_changes(pen: Writing) -> Day:
    return Day(
        number=25,
        what="The order is cancelled; a result no living person can have comes in.",
        written=(
            pen.result("C.order", NORTH, Printed(NORTH.tests["HBV-DNA"], {}), day=25, after=9, status="cancelled"),
            pen.result("E.absurd", NORTH, amount(NORTH, "HBV-DNA", "9000000000000"), day=25, after=6, patient="E2"),
        ),
        becomes={
            "C.order": CANCELLED,
            "D.dna": Standing("accepted", "260"),
            "E.absurd": Standing("waiting", "9000000000000"),
        },
    )


def _quiet(_: Writing) -> Day:
    return Day(number=30, what="Nothing happens.")


_DAYS: tuple[Callable[[Writing], Day], ...] = (
    _first_results, _finals, _correction, _nothing_but_noise, _right_unit, _merge, _mended_log, _taken_back,
    _withdrawal, _windows, _late_corrections, _last_changes, _quiet,
)  # fmt: skip


def written(days: Sequence[Day]) -> dict[str, Resource]:
    """Return what the hospital holds after these days, by reference, each as it was written last."""
    found: dict[str, Resource] = {}
    for day in days:
        for resource in day.written:
            found[f"{resource['resourceType']}/{resource['id']}"] = resource
    return found
