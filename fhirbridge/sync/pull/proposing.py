"""Writes down what a result would become, for a person to see, a decision to keep, and recording to read.

``details`` of a proposal holds, each where there is one:

=================== =====================================================================================
``codes``           the source's codes, ``system|code``
``part``            which component of the source it is
``method``          as the source names it
``notes``           those that are kept
``interpretation``  the source's own codes for the value
``text``            the value's original text
``rule``            the rule that read it
``unreadable``      why it was not read
``absence``         why there is no result, in a word
``answer``          in the study's words
``loinc``           of the value as it was mapped
``canonical``       value, comparator and unit after conversion
``quantification``  within, below, above the assay's limits, or not detected
``lloq``, ``uloq``  limits of the assay at the specimen's date
``derived``         every value computed from it: LOINC code, value, unit, rule
``flags``           what harmonising found: code, detail, meaning
``near``            the visit whose target ``offset`` counts from
``offset``          days from that target
``inside``          whether it lies in a window
``picked``          whether it is the visit's
``placed_by``       the rule that gave it its visit
``chosen_by``       the rule that picked it, or another
``same_as``         of a duplicate: feed and reference of the result that is kept
``terms``           the conditions of the analyte's policy
``relinked``        since when it is in doubt whose it is: its subject was linked anew after it came by a message
=================== =====================================================================================
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any
from zoneinfo import ZoneInfo

from fhirbridge.protocol.civil import Day, Undated
from fhirbridge.protocol.windows import Placement
from fhirbridge.records import values
from fhirbridge.sync.pull.duplicates import Name
from fhirbridge.sync.pull.meaning import Meaning, written
from fhirbridge.sync.pull.proposal import Measured, Proposal
from fhirbridge.terminology.units import Amount


def propose(
    meaning: Meaning,
    placement: Placement | None,
    *,
    zone: ZoneInfo,
    mapping: str | None,
    same_as: Name | None = None,
    doubted: str | None = None,
) -> Proposal:
    """Return the proposal for one result; ``mapping`` is the digest of the laboratories' rows."""
    incoming, harmonised = meaning.incoming, meaning.harmonised
    value = value_of(meaning)
    return Proposal(
        analyte=meaning.analyte.name if meaning.analyte else None,
        visit=placement.visit if placement else None,
        collected=moment(incoming.collected, meaning.day, zone),
        value=value,
        unit=meaning.analyte.unit if meaning.analyte and value and meaning.amount else None,
        absent_reason=harmonised.absent_reason if value is None else None,
        assay=harmonised.assay,
        reported=_reported(meaning),
        status=incoming.status,
        laboratory=incoming.laboratory,
        row=harmonised.test.source if harmonised.test else None,
        mapping=mapping,
        measured=_measured(meaning),
        details=_details(meaning, placement, same_as) | ({"relinked": doubted} if doubted else {}),
    )


def value_of(meaning: Meaning) -> str | None:
    """Return the value in the grammar of the study's tables; None where there is none that they can say."""
    if meaning.analyte is None:
        return None
    if meaning.harmonised.answer is not None:
        text: str = meaning.harmonised.answer
    elif meaning.amount is not None:
        text = written(meaning.amount)
    else:
        return None
    try:
        values.parse(text, meaning.analyte.scale)
    except ValueError:
        return None
    return text


def moment(collected: str | None, day: Day | Undated, zone: ZoneInfo) -> str | None:
    """Return a specimen's date, or its time in the study's time zone; None where it has no day."""
    if not isinstance(day, Day):
        return None
    if day.seconds is None:
        return day.date.isoformat()
    seconds = int(day.seconds)
    local = dt.datetime.combine(day.date, dt.time(seconds // 3600, seconds // 60 % 60, seconds % 60), tzinfo=zone)
    later = local.replace(fold=1)
    if later.utcoffset() != local.utcoffset() and collected and _same_instant(collected, later):
        return later.isoformat()
    return local.isoformat()


def _same_instant(collected: str, local: dt.datetime) -> bool:
    """Tell which of the two hours that one clock time may be, on the night that clocks are set back, was sent."""
    try:
        sent = dt.datetime.fromisoformat(collected)
    except ValueError:
        return False
    return sent.tzinfo is not None and sent.utcoffset() == local.utcoffset()


def _reported(meaning: Meaning) -> str | None:
    text, unit = meaning.reading.text, meaning.incoming.unit
    return (f"{text} {unit}" if unit and text else text) or None


def _measured(meaning: Meaning) -> Measured | None:
    test, canonical, derived = meaning.harmonised.test, meaning.harmonised.canonical, meaning.derived
    if test is None or canonical is None or derived is None:
        return None
    return Measured(
        loinc=test.loinc, display=test.loinc_name, unit=canonical.unit, value=written(canonical), rule=derived.rule
    )


def _details(meaning: Meaning, placement: Placement | None, same_as: Name | None) -> dict[str, Any]:
    incoming, harmonised, reading = meaning.incoming, meaning.harmonised, meaning.reading
    found: dict[str, Any] = {
        "codes": [f"{code.system or ''}|{code.code}" for code in incoming.codes],
        "label": incoming.label,
        "part": incoming.part,
        "method": incoming.method,
        "notes": list(incoming.notes),
        "interpretation": list(incoming.interpretation),
        "text": reading.text,
        "rule": reading.rule,
        "unreadable": reading.reason,
        "absence": reading.absence,
        "answer": harmonised.answer,
        "loinc": harmonised.loinc,
        "canonical": _amount(harmonised.canonical),
        "quantification": harmonised.quantification,
        "lloq": None if harmonised.lloq is None else str(harmonised.lloq),
        "uloq": None if harmonised.uloq is None else str(harmonised.uloq),
        "derived": [{"loinc": one.loinc, "rule": one.rule} | _amount(one.amount) for one in harmonised.derived],
        "flags": [{"code": one.code, "detail": one.detail, "meaning": one.meaning} for one in harmonised.flags],
        "same_as": list(same_as) if same_as else None,
        "terms": list(meaning.analyte.accept) if meaning.analyte else None,
    } | (_place(placement) if placement else {})
    return {name: value for name, value in found.items() if value not in _EMPTY}


_EMPTY: Collection[Any] = (None, [], {}, "")


def _place(placement: Placement) -> dict[str, Any]:
    return {
        "near": placement.near,
        "offset": placement.offset,
        "inside": placement.inside,
        "picked": placement.picked,
        "placed_by": placement.placed_by,
        "chosen_by": placement.chosen_by,
    }


def _amount(amount: Amount | None) -> dict[str, Any]:
    return {} if amount is None else {"value": written(amount), "unit": amount.unit}
