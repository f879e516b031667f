"""Sketches: merging in any order and number, windows that slide, and how far off they are."""

from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.limits import SKETCH_MINUTES_MAX
from wire.sketch import RANK_MAX, REGISTERS, Sketch, cell_of, pack_entries, unpack_entries

STANDARD_ERROR = 1.04 / sqrt(REGISTERS)

# Few registers and ranks, so that entries meet.
entries = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(0, SKETCH_MINUTES_MAX)), max_size=40)


def sketch_of(*parts: list[tuple[int, int, int]]) -> Sketch:
    sketch = Sketch()
    for part in parts:
        sketch.merge(part)
    return sketch


def crowd(first: int, last: int, minute: int, sketch: Sketch | None = None, room: str = "town/square") -> Sketch:
    sketch = sketch if sketch is not None else Sketch()
    for number in range(first, last):
        sketch.see(*cell_of(room, f"g-{number}"), minute)
    return sketch


@given(entries, entries, entries)
def test_merging_is_commutative_associative_and_changes_nothing_the_second_time(
    one: list[tuple[int, int, int]], two: list[tuple[int, int, int]], three: list[tuple[int, int, int]]
) -> None:
    whole = sketch_of(one, two, three)
    assert sketch_of(three, two, one) == whole
    assert sketch_of(sketch_of(one, two).entries(), three) == sketch_of(one, sketch_of(two, three).entries()) == whole
    assert not whole.merge(whole.entries())
    assert not whole.merge(two)
    assert whole == sketch_of(one, two, three)


@given(entries, st.integers(0, SKETCH_MINUTES_MAX))
def test_a_window_is_what_a_sketch_of_that_window_alone_would_say(seen: list[tuple[int, int, int]], since: int) -> None:
    alone = sketch_of([entry for entry in seen if entry[2] >= since])
    whole = sketch_of(seen)
    assert whole.estimate(since) == alone.estimate(0)
    whole.forget_before(since)
    assert whole == alone


@pytest.mark.parametrize("people", [0, 1, 2, 5, 20])
def test_a_handful_is_counted_exactly(people: int) -> None:
    assert crowd(0, people, 1).estimate(0) == people


@pytest.mark.parametrize("people", [100, 1000, 3000, 5000, 10_000, 30_000])
def test_the_error_is_what_the_theory_says(people: int) -> None:
    """Over a dozen rooms: the mean error squared, and no bias, also where other estimators change their formula."""
    errors = [crowd(0, people, 1, room=f"town/{room}").estimate(0) / people - 1 for room in range(12)]
    assert sqrt(sum(error * error for error in errors) / len(errors)) <= 1.6 * STANDARD_ERROR
    assert abs(sum(errors) / len(errors)) <= 3 * STANDARD_ERROR / sqrt(len(errors))


def test_five_minutes_and_sixty_come_from_one_sketch_and_who_comes_back_is_one_person() -> None:
    sketch = Sketch()
    for minute in range(60):
        crowd(minute * 50, minute * 50 + 200, minute, sketch)
    assert sketch.estimate(55) == pytest.approx(400, rel=4 * STANDARD_ERROR)
    assert sketch.estimate(0) == pytest.approx(3150, rel=4 * STANDARD_ERROR)
    assert len(sketch.entries()) < 3 * REGISTERS


def test_who_stays_for_an_hour_takes_no_more_room() -> None:
    sketch = crowd(0, 100, 0)
    before = len(sketch.entries())
    for minute in range(1, 60):
        crowd(0, 100, minute, sketch)
    assert len(sketch.entries()) == before


def test_a_person_is_somebody_else_in_another_room() -> None:
    same = [author for author in map(str, range(1000)) if cell_of("town/a", author) == cell_of("town/b", author)]
    assert len(same) <= 5


@given(entries, st.integers(0, 10**6))
def test_entries_survive_the_wire_by_their_age_whatever_the_clock_there(seen: list[tuple[int, int, int]], there: int) -> None:
    sent = sketch_of(seen).entries()
    got = unpack_entries(pack_entries(sent, SKETCH_MINUTES_MAX), there)
    assert sorted((register, rank, minute - there) for register, rank, minute in got) == sorted(
        (register, rank, minute - SKETCH_MINUTES_MAX) for register, rank, minute in sent
    )


def test_what_is_older_than_the_longest_window_is_not_sent() -> None:
    assert pack_entries([(1, 1, 0)], SKETCH_MINUTES_MAX + 1) == b""


@given(st.binary(max_size=200))
def test_any_bytes_are_entries_or_left_out(data: bytes) -> None:
    for register, rank, minute in unpack_entries(data, 1000):
        assert 0 <= register < REGISTERS
        assert 0 < rank <= RANK_MAX
        assert 1000 - SKETCH_MINUTES_MAX <= minute <= 1000


def test_only_named_registers_are_taken_out() -> None:
    sketch = sketch_of([(1, 2, 3), (4, 5, 6)])
    assert sketch.entries([4, 9]) == [(4, 5, 6)]
    assert sketch
    assert not Sketch()
    rng = Random(1)
    assert sketch != sketch_of([(rng.randrange(REGISTERS), 1, 1)])
