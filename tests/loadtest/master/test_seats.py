"""The workers of a run."""

import pytest

from loadtest.figures.messages import Goal
from loadtest.master.seats import ALIVE, Seat, Seats, WorkerState, many


def test_an_index_is_given_out_once() -> None:
    seats = Seats()
    seats.take(0, Seat("w-1", 100, 0))
    with pytest.raises(AssertionError):
        seats.take(0, Seat("w-2", 100, 0))


def test_workers_are_found_by_their_state_in_order() -> None:
    seats = Seats()
    for index in (2, 0, 1):
        seats.take(index, Seat(f"w-{index}", 100, 0, users=index))
    seats[1].state = WorkerState.DEAD
    assert seats.having(*ALIVE) == [0, 2]
    assert seats.having(WorkerState.DEAD) == [1]
    assert seats.users == 3


def test_those_who_share_evenly_carry_as_much_as_the_poorest_allows() -> None:
    seats = Seats()
    assert seats.carried([]) == 0
    seats.take(0, Seat("w-1", 1000, 0))
    seats.take(1, Seat("w-2", 200, 0))
    assert seats.carried([0, 1]) == 400


def test_a_run_is_loaded_from_its_first_goal_on() -> None:
    seats = Seats()
    seats.take(0, Seat("w-1", 100, 0))
    assert not seats.are_loaded
    seats[0].goal = Goal({}, 1.0, {})
    assert seats.are_loaded


def test_one_is_no_plural() -> None:
    assert [many(count, "worker") for count in (0, 1, 2)] == ["0 workers", "1 worker", "2 workers"]
