"""Where a reader stands in a room: positions, and holes that are filled late, announced late, or never."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from client.reconnect import Reconnect
from loadtest.readers.reader import Place, Reader
from loadtest.readers.receptions import Room
from wire.client_messages import Position


def missing(place: Place) -> set[int]:
    return {offset for hole in place.holes or () for offset in range(hole.first, hole.after)}


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60), st.integers(1, 10)), max_size=40))
def test_holes_are_exactly_what_was_jumped_over_and_not_filled(steps: list[tuple[bool, int, int]]) -> None:
    place, expected = Place(Room("a/b"), "e", 1), set[int]()
    for is_jump, at, length in steps:
        if is_jump and at > place.next:
            expected |= set(range(place.next, at))
            place.jump_to(at, 0)
            assert place.next == at
        else:
            taken = set(range(at, at + length))
            assert place.fill(at, at + length) == bool(taken & expected)
            expected -= taken
        assert missing(place) == expected


def test_a_part_of_a_hole_that_was_told_stays_told() -> None:
    place = Place(Room("a/b"), "e", 1)
    place.jump_to(10, at_ns=5)
    assert place.holes is not None
    place.holes[0].is_told = True
    place.fill(4, 5)
    assert [(hole.first, hole.after, hole.at_ns, hole.is_told) for hole in place.holes] == [(1, 4, 5, True), (5, 10, 5, True)]


def test_holes_are_bounded() -> None:
    place = Place(Room("a/b"), "e", 1)
    for offset in range(3, 1000, 2):
        place.jump_to(offset, 0)
        place.next += 1
    assert place.holes is not None
    assert len(place.holes) == 100
    assert place.holes[-1].after == 999


def test_the_chain_is_said_at_the_head_of_the_join_only() -> None:
    place = Place(Room("a/b"), "e", 8)
    place.chain, place.chain_at = "00112233445566aa", 7
    assert place.position() == Position("e", 7, "00112233445566aa")
    place.next = 9
    assert place.position() == Position("e", 8)


def test_a_reader_stands_where_it_was_until_it_enters_again() -> None:
    reader = Reader(3, "Lurker", ("a/b",), 0, Reconnect(["ws://a"], Random(1)))
    assert reader.name == "Lurker-3"
    assert reader.standing("a/b") is None
    place = Place(Room("a/b"), "e", 8)
    reader.left[place.room] = place
    assert reader.standing("a/b") is place
    assert reader.standing("a/c") is None
