"""What holds of the reader and the deframer for any bytes at all."""

from __future__ import annotations

import datetime as dt
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from fhirbridge.protocol.civil import Day, civil_day
from fhirbridge.records.hl7v2.acknowledgement import acknowledgement, answer_to
from fhirbridge.records.hl7v2.files import read_bytes
from fhirbridge.records.hl7v2.framing import Deframer, Event, Frame, Garbage, Half, framed
from fhirbridge.records.hl7v2.reader import Reading, read
from fhirbridge.records.hl7v2.times import iso
from fhirbridge.study import Schedule
from tests.records.hl7v2.making import MSH, obx, oru

WHOLE = oru(
    obx(value="1234"),
    obx("SN", "<^10", number=2, code="63557-3"),
    obx("ST", "Target not detected", "", number=3, code="29615-2"),
    obx("CWE", "260385009^Negative^SCT", "", number=4, code="5195-3"),
    "NTE|1|L|a comment",
    msh=f"{MSH}||||||UNICODE UTF-8",
)
Values = dict[str, tuple[object, object, str]]


def values(reading: Reading) -> Values:
    """Return value, unit and status of each result that a reading gives, by code."""
    found = reading.message.results if reading.message else ()
    return {result.code.first.code: (result.value, result.unit, result.status) for _, _, result in found}


RIGHT = values(read(WHOLE))
SCHEDULE = Schedule(time_zone="Asia/Shanghai", before_days=7, after_days=7, visits=())
LINES = WHOLE.decode().split("\r")
OBXES = [number for number, line in enumerate(LINES) if line.startswith("OBX")]


def test_the_whole_message_gives_four_results() -> None:
    assert len(RIGHT) == 4


@given(st.integers(0, len(WHOLE)))
def test_a_message_cut_anywhere_never_gives_another_value(at: int) -> None:
    assert values(read(WHOLE[:at])).items() <= RIGHT.items()


@given(st.sampled_from(OBXES), st.data())
def test_a_segment_cut_anywhere_never_gives_another_value(number: int, data: st.DataObject) -> None:
    line = LINES[number]
    cut = line[: data.draw(st.integers(0, len(line)))]
    assert values(read("\r".join([*LINES[:number], cut, *LINES[number + 1 :]]).encode())).items() <= RIGHT.items()


@given(st.sampled_from(OBXES), st.data())
def test_a_separator_lost_or_gained_anywhere_never_gives_another_value(number: int, data: st.DataObject) -> None:
    line = LINES[number]
    at = data.draw(st.integers(4, len(line)))
    moved = line[:at] + "|" + line[at:]
    bars = [index for index, character in enumerate(line) if character == "|"]
    if data.draw(st.booleans()):
        lost = data.draw(st.sampled_from(bars))
        moved = line[:lost] + line[lost + 1 :]
    found = values(read("\r".join([*LINES[:number], moved, *LINES[number + 1 :]]).encode()))
    assert found.items() <= RIGHT.items()


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: MSH.encode() + b"\r" + tail))
def test_any_bytes_are_read_without_an_exception_and_can_be_answered(raw: bytes) -> None:
    read_bytes(raw)
    reading = read(raw)
    answer = answer_to(reading)
    if answer is not None:
        acknowledgement(reading, answer, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), control_id="A")


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE) - 1), st.sampled_from(list(b"|^~\\&\r\n\x00\x0bA1/<")), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_a_message_with_any_bytes_changed_is_read_without_an_exception(changes: list[tuple[int, int, bool]]) -> None:
    raw = bytearray(WHOLE)
    for at, byte, insert in changes:
        if insert:
            raw.insert(at, byte)
        else:
            raw[at] = byte
    reading = read(bytes(raw))
    assert (reading.message is None) == (reading.outcome != "accepted")
    assert reading.message is not None or reading.faults


PIECES = st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"x", b"noise", b"MSH|"]), max_size=20).map(b"".join)


def events(pieces: list[bytes]) -> list[Event]:
    deframer = Deframer()
    found = [event for piece in pieces for event in deframer.feed(piece)]
    rest = deframer.close()
    return [*found, *([rest] if rest else [])]


@given(PIECES, st.lists(st.integers(0, 60), max_size=6))
def test_how_the_network_cuts_the_stream_changes_no_frame(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    whole, torn = events([data]), events(pieces)
    assert [event for event in torn if not isinstance(event, Garbage)] == [
        event for event in whole if not isinstance(event, Garbage)
    ]
    assert any(isinstance(event, Garbage) for event in torn) == any(isinstance(event, Garbage) for event in whole)


@given(st.lists(st.binary(max_size=30).filter(lambda found: not set(found) & {0x0B, 0x1C}), max_size=5))
def test_what_is_framed_comes_out_as_it_went_in(contents: list[bytes]) -> None:
    assert events([b"".join(map(framed, contents))]) == [Frame(content) for content in contents]


@given(st.binary(max_size=30).filter(lambda found: not set(found) & {0x0B, 0x1C}))
def test_a_half_frame_never_passes_for_a_whole_one(content: bytes) -> None:
    assert events([b"\x0b" + content]) == [Half(len(content))]
    assert events([b"\x0b" + content + framed(b"next")]) == [Half(len(content)), Frame(b"next")]
    assert events([b"\x0b" + content, framed(b"next")]) == [Half(len(content)), Frame(b"next")]


@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2099, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001
def test_a_time_stamp_means_the_same_day_as_the_text_made_of_it(moment: dt.datetime, hours: int) -> None:
    there = moment.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    found = civil_day(iso(there.strftime("%Y%m%d%H%M%S%z").rjust(19, "0")), SCHEDULE.zone)
    assert isinstance(found, Day)
    assert found.date == there.astimezone(SCHEDULE.zone).date()
