"""OBX, OBR, SPM, NTE and PID as their types; each raises Faulty where a field it needs is wrong."""

from __future__ import annotations

from fhirbridge.records.hl7v2.datatypes import (
    authority_of,
    concept,
    concept_in,
    concepts_in,
    entities_in,
    entity_in,
    joined,
    numbers_in,
    subparts,
    time_in,
)
from fhirbridge.records.hl7v2.faults import Faulty
from fhirbridge.records.hl7v2.segments import Segment
from fhirbridge.records.hl7v2.types import (
    STATUSES,
    Authority,
    Concept,
    Lost,
    Note,
    Number,
    Order,
    Parent,
    Patient,
    Result,
    Specimen,
)
from fhirbridge.records.hl7v2.values import range_of, unit_of, value_of

_CUT = "Look whether the segment was cut or its fields have shifted; send it again, whole."


def patient_of(segment: Segment) -> Patient:
    """Return what a PID says of who the patient is, without names, addresses or anything else."""
    numbers = numbers_in(segment, 3)
    if not numbers:
        raise segment.fault("required", "PID-3 has no patient number", "Give it with its assigning authority.", 3)
    sex = segment.first(8)
    if len(sex) > 10 or any(character.isdigit() for character in sex[1:]):
        raise segment.fault("shifted", "PID-8 holds something else than a sex", _CUT, 8)
    return Patient(numbers=numbers, birth_date=time_in(segment, 7), sex=sex)


def order_of(segment: Segment, common: Segment | None) -> Order:
    """Return an OBR; what it lacks of numbers is taken from the ORC before it."""
    service = concept_in(segment, 4)
    if service is None:
        raise segment.fault("required", "OBR-4 does not say which test was ordered", _CUT, 4)
    placer, filler = (
        entity_in(segment, number) or (entity_in(common, number) if common is not None else None) for number in (2, 3)
    )
    source = _source(segment)
    return Order(
        line=segment.line,
        placer=placer,
        filler=filler,
        service=service,
        collected=time_in(segment, 7),
        reported=time_in(segment, 22),
        status=segment.first(25),
        parent=_parent(segment),
        specimens=(Specimen(type=source),) if source else (),
    )


def _source(segment: Segment) -> Concept | None:
    """Return OBR-15's first component, a coded element of subcomponents (v2.3 to 2.4)."""
    raw = segment.raw(15)
    return concept(subparts(segment, raw[0][0], 15)) if raw else None


def _parent(segment: Segment) -> Parent | None:
    placer, filler = entities_in(segment, 29)
    code, sub_id = [*(segment.raw(26) or [[]])[0], "", ""][:2]
    told = concept(subparts(segment, code, 26))
    if placer is None and filler is None and told is None:
        return None
    return Parent(placer=placer, filler=filler, code=told, sub_id=segment.text(sub_id, 26))


def specimen_of(segment: Segment) -> Specimen:
    """Return an SPM: the filler's specimen number, else the placer's; the start of SPM-17."""
    placer, filler = entities_in(segment, 2)
    return Specimen(number=filler or placer, type=concept_in(segment, 4), collected=time_in(segment, 17))


def note_of(segment: Segment) -> Note:
    """Return an NTE; repetitions of its text become lines."""
    marks = segment.header.separators
    lines = [segment.text(joined(parts, marks), 3, strip=False).rstrip() for parts in segment.raw(3)]
    return Note(segment.first(2), "\n".join(lines))


def result_of(segment: Segment, *, of_specimen: bool) -> Result:
    """Return an OBX without its notes and identity."""
    code = concept_in(segment, 3)
    if code is None:
        raise segment.fault("required", "OBX-3 does not say which test this is", _CUT, 3)
    value = value_of(segment)
    status = segment.first(11).upper()
    if status not in STATUSES:
        what = "is no result status of HL7" if status else "is empty: the result has no status"
        raise segment.fault("status", f"OBX-11 {what}", _CUT, 11)
    laboratory, name = _laboratory(segment)
    return Result(
        line=segment.line,
        set_id=segment.first(1),
        sub_id=segment.first(4),
        code=code,
        value=value,
        unit=unit_of(segment),
        reference_range=range_of(segment),
        flags=tuple(parts[0] for parts in segment.repetitions(8) if parts[0]),
        status=status,
        observed=time_in(segment, 14),
        analysed=time_in(segment, 19),
        methods=concepts_in(segment, 17),
        laboratory=laboratory,
        laboratory_name=name,
        of_specimen=of_specimen,
    )


def lost_of(segment: Segment) -> Lost:
    """Return which result an OBX would have been that is set aside, as far as it says."""
    try:
        code, sub_id = concept_in(segment, 3), segment.first(4)
    except Faulty:
        return Lost(segment.line)
    return (
        Lost(segment.line, code.first.code or code.first.text, code.first.system, sub_id)
        if code
        else Lost(segment.line)
    )


def _laboratory(segment: Segment) -> tuple[Number | None, str]:
    """Return who performed a test: OBX-23 (an XON: name, number in 10 or 3, authority in 6), else OBX-15."""
    raw = segment.raw(23)
    if raw and any(raw[0]):
        parts = [*raw[0], *[""] * 10][:10]
        name, old, number = (segment.text(parts[index], 23) for index in (0, 2, 9))
        value = number or old
        return (Number(value, authority_of(segment, parts[5], 23)) if value else None), name
    producer = concept_in(segment, 15)
    if producer is None:
        return None, ""
    first = producer.first
    return (Number(first.code, Authority(first.system)) if first.code else None), first.text
