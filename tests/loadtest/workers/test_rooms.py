"""Rooms are dealt out evenly."""

from collections import Counter

import pytest

from loadtest.workers.rooms import Deal

_ROOMS = [f"qna/room-{number}" for number in range(5)]


def test_everybody_is_in_all_rooms_unless_the_class_says_how_many() -> None:
    assert Deal(_ROOMS, 0, 3, 4).next() == tuple(_ROOMS)
    assert Deal(_ROOMS, 5, 3, 4).next() == tuple(_ROOMS)
    assert Deal([], 0, 0, 1).next() == ()


def test_rooms_fill_evenly_and_nobody_is_in_one_twice() -> None:
    deal = Deal(_ROOMS, 2, 0, 1)
    dealt = [deal.next() for _ in range(10)]
    assert Counter(room for rooms in dealt for room in rooms) == dict.fromkeys(_ROOMS, 4)
    assert all(len(set(rooms)) == 2 for rooms in dealt)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("each", [1, 2])
def test_workers_together_fill_rooms_evenly(workers: int, each: int) -> None:
    deals = [Deal(_ROOMS, each, worker, workers) for worker in range(workers)]
    dealt = Counter(room for _ in range(10) for deal in deals for room in deal.next())
    assert set(dealt.values()) == {10 * workers * each // 5}
    # One each of five hosts, however few they are on each worker: nobody is left without one.
    hosts = Counter(room for number in range(5) for room in Deal(_ROOMS, 1, number, 5).next())
    assert set(hosts.values()) == {1}
