"""Rooms are dealt out evenly."""

from collections import Counter

from loadtest.rooms import Deal

_ROOMS = [f"qna/room-{number}" for number in range(5)]


def test_everybody_is_in_all_rooms_unless_the_class_says_how_many() -> None:
    assert Deal(_ROOMS, 0, 3).next() == tuple(_ROOMS)
    assert Deal(_ROOMS, 5, 3).next() == tuple(_ROOMS)
    assert Deal([], 0, 0).next() == ()


def test_rooms_fill_evenly_and_nobody_is_in_one_twice() -> None:
    deal = Deal(_ROOMS, 2, 0)
    dealt = [deal.next() for _ in range(10)]
    assert Counter(room for rooms in dealt for room in rooms) == dict.fromkeys(_ROOMS, 4)
    assert all(len(set(rooms)) == 2 for rooms in dealt)


def test_workers_begin_at_different_rooms() -> None:
    assert [Deal(_ROOMS, 1, worker).next()[0] for worker in range(5)] == _ROOMS
