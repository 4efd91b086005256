"""Answers that are remembered: the latest used ones, as many or as heavy as there is room."""

from __future__ import annotations

from fhirbridge.store.release_remembering import Remembered


def test_the_latest_used_answers_are_kept() -> None:
    known = Remembered[str](2)
    known.put("a", "A")
    known.put("b", "B")
    assert known.get("a") == "A"
    known.put("c", "C")
    assert [known.get(each) for each in "abc"] == ["A", None, "C"]


def test_heavy_answers_take_the_room_of_many_light_ones() -> None:
    known = Remembered[int](80)
    for number in range(8):
        known.put(number, number, 5)
    known.put("heavy", 10, 10)
    assert all(known.get(number) == number for number in range(8))
    assert known.get("heavy") == 10
    for number in range(100, 104):
        known.put(number, number, 10)
    assert [number for number in range(8) if known.get(number) is None] == [0, 1]
    assert known.get("heavy") == 10


def test_an_answer_given_anew_takes_the_place_and_the_weight_of_the_old() -> None:
    known = Remembered[int](80)
    for _ in range(50):
        known.put("one", 1, 10)
    for number in range(7):
        known.put(number, number, 10)
    assert known.get("one") == 1
    assert known.get(0) == 0


def test_what_would_push_out_all_others_is_not_kept() -> None:
    known = Remembered[str](80)
    known.put("light", "light", 1)
    known.put("great", "great", 11)
    assert known.get("great") is None
    assert known.get("light") == "light"
