"""Every kind of tampering with the trail, told by file and line; and what a crash leaves, told apart from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhirbridge.audit.anchors import NAME
from fhirbridge.audit.chain import START, Chain
from fhirbridge.audit.trail import Trail
from fhirbridge.audit.verifying import verify
from fhirbridge.errors import ConfigurationError, InputError
from tests.audit.conftest import ACCESS, KEY, trail_files

Edit = Callable[[list[bytes]], list[bytes]]


@pytest.fixture
def written(folder: Path, make: Callable[..., Trail]) -> Path:
    """A trail of two closed files, of five events and of one."""
    for count in (5, 1):
        trail = make(key=KEY)
        for _ in range(count):
            trail.record(ACCESS)
        trail.close()
    return folder


def longest(folder: Path) -> Path:
    return max((folder / name for name in trail_files(folder)), key=lambda path: path.stat().st_size)


def edit(path: Path, change: Edit) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def told(folder: Path, head: str | None = None) -> list[str]:
    return [f"{one.line} {one.text}" for one in verify(folder, KEY, head).problems]


def test_a_trail_that_nobody_touched_is_whole(written: Path) -> None:
    verdict = verify(written, KEY)
    assert (verdict.files, verdict.events, verdict.problems, verdict.remarks) == (2, 6, [], [])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [*lines[:3], lines[3].replace(b"client-1", b"client-2"), *lines[4:]], "4 was changed"),
        (lambda lines: [*lines[:2], *lines[3:]], "3 follows a gap: 1 line is missing before it"),
        (lambda lines: [lines[0], *lines[4:]], "2 follows a gap: 3 lines are missing before it"),
        (lambda lines: [*lines[:4], lines[2], *lines[4:]], "5 is out of order: it has number 2 where 4 belongs"),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "4 is out of order"),
        (lambda lines: [*lines[:3], b"gibberish\n", *lines[4:]], "4 cannot be read: it was changed"),
        (lambda lines: lines[:-1], "None ends after 4 events, and had 5: its end was cut off"),
        (lambda lines: lines[1:], "1 follows a gap"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "None ends after 4 events, and had 5"),
        (lambda lines: [], "None ends after 0 events, and had 5"),
    ],
)
def test_lines_changed_deleted_inserted_reordered_or_cut_are_told(change: Edit, problem: str, written: Path) -> None:
    edit(longest(written), change)
    assert any(one.startswith(problem) for one in told(written)), told(written)


def test_a_changed_digit_of_any_line_is_told(written: Path) -> None:
    path = longest(written)
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert told(written), at


def test_a_line_made_without_the_key_is_told(written: Path) -> None:
    def forge(lines: list[bytes]) -> list[bytes]:
        last = Chain(KEY).read(lines[-1].rstrip(b"\n"))
        assert last is not None
        line, _ = Chain().line(6, last.hash, "event", last.content)
        return [*lines, line]

    edit(longest(written), forge)
    assert told(written) == ["7 was changed, or made under another key", "7 was added after the file was closed"]


def test_a_trail_without_a_key_that_was_made_anew_is_told_by_a_head_kept_elsewhere(
    folder: Path, make: Callable[..., Trail], tmp_path: Path
) -> None:
    """Whoever can write to the folder can make a keyless trail anew; the head that was kept elsewhere shows it."""
    for _ in range(2):
        trail = make()
        trail.record(ACCESS)
        trail.close()
    head = verify(folder).head
    for path in folder.iterdir():
        path.unlink()
    trail = make()
    trail.record(ACCESS)
    trail.close()
    assert verify(folder).problems == []
    assert [one.text for one in verify(folder, None, head).problems] == [
        "does not hold the head that was given: the trail was cut or written anew"
    ]


def test_a_head_kept_elsewhere_stays_true_while_the_trail_grows(written: Path, make: Callable[..., Trail]) -> None:
    head = verify(written, KEY).head
    make(key=KEY).record(ACCESS)
    assert told(written, head) == []
    assert verify(written, KEY).head != head
    assert told(written, START) == []


def test_a_file_that_was_deleted_is_told(written: Path) -> None:
    longest(written).unlink()
    assert told(written) == ["None is missing: the anchor file knows it"]


def test_a_file_that_was_put_there_is_told(written: Path) -> None:
    (written / "2026-03-03.1-aaaaaaaa.ndjson").write_bytes(longest(written).read_bytes())
    assert len(told(written)) == 2
    assert told(written)[0].startswith("1 is the header of another file")
    assert told(written)[1].startswith("None is not known to the anchor file")


def test_anchors_that_were_changed_or_deleted_are_told(written: Path) -> None:
    path = written / NAME
    whole = path.read_bytes()
    edit(path, lambda lines: [lines[0], lines[1].replace(b'"events":5', b'"events":4'), *lines[2:]])
    assert any(one.startswith("2 was changed") for one in told(written))
    path.write_bytes(whole)
    edit(path, lambda lines: [lines[0], *lines[2:]])
    assert any(one.startswith("2 follows a gap") for one in told(written))
    path.write_bytes(whole)
    edit(path, lambda lines: lines[:2])
    assert any("is not known to the anchor file" in one for one in told(written))
    path.unlink()
    assert any("names an anchor that is not there" in one for one in told(written))


def test_another_key_is_told_and_no_line_is_blamed_for_it(written: Path) -> None:
    for key in (bytes(32), None):
        with pytest.raises(ConfigurationError, match="audit_key: the trail was written under another key"):
            verify(written, key)


def test_a_trail_without_a_key_is_told_where_a_key_is_set(folder: Path, trail: Trail) -> None:
    trail.record(ACCESS)
    with pytest.raises(ConfigurationError, match="the trail was written without a key"):
        verify(folder, KEY)


def test_a_crash_at_any_byte_leaves_a_line_that_is_told_and_a_trail_that_goes_on(
    folder: Path, make: Callable[..., Trail]
) -> None:
    trail = make(key=KEY)
    trail.record(ACCESS)
    [name] = trail_files(folder)
    before, anchors = (folder / name).read_bytes(), (folder / NAME).read_bytes()
    trail.record(ACCESS)
    after = (folder / name).read_bytes()
    trail.close()
    for cut in range(len(before) + 1, len(after), 131):
        (folder / name).write_bytes(after[:cut])
        (folder / NAME).write_bytes(anchors)
        for other in set(trail_files(folder)) - {name}:
            (folder / other).unlink()
        next_one = make(key=KEY)
        next_one.record(ACCESS)
        next_one.close()
        verdict = verify(folder, KEY)
        assert verdict.problems == []
        assert [(one.file, one.line) for one in verdict.remarks] == [(name, 3)]


def test_a_crash_while_anchoring_is_told_and_the_anchors_go_on(written: Path, make: Callable[..., Trail]) -> None:
    path, kept = written / NAME, set(trail_files(written))
    whole, count = path.read_bytes(), verify(written, KEY).anchors
    again = whole.splitlines()[-1].split(b'"anchor":')[1].rsplit(b',"hash"', 1)[0]
    line, _ = Chain(KEY).line(count, verify(written, KEY).head, "anchor", again)
    for cut in (1, 40, len(line) - 2, len(line) - 1):
        path.write_bytes(whole + line[:cut])
        trail = make(key=KEY)
        trail.record(ACCESS)
        trail.close()
        verdict = verify(written, KEY)
        assert verdict.problems == []
        torn = cut < len(line) - 1
        assert [(one.file, one.line) for one in verdict.remarks] == ([(NAME, count + 1)] if torn else [])
        for name in set(trail_files(written)) - kept:
            (written / name).unlink()


def test_a_crash_before_the_first_anchor_of_a_file_is_told(written: Path) -> None:
    path = longest(written)
    for cut in (0, 20):
        (written / "2026-03-09.1-aaaaaaaa.ndjson").write_bytes(path.read_bytes()[:cut])
        verdict = verify(written, KEY)
        assert verdict.problems == []
        assert {one.file for one in verdict.remarks} == {"2026-03-09.1-aaaaaaaa.ndjson"}


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        verify(tmp_path / "none")


def test_an_empty_folder_is_whole(tmp_path: Path) -> None:
    assert (verify(tmp_path).problems, verify(tmp_path).head) == ([], START)
