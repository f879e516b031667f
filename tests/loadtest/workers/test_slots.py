"""Slots of a plan are begun by whoever is free, and each of them is counted."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadtest.figures.messages import Stretch
from loadtest.figures.tally import Tally
from loadtest.workers.arrivals import SLOT_WAIT_S_MAX
from loadtest.workers.slots import SlotFeed

_S = 1_000_000


def _now_us() -> int:
    return round(trio.current_time() * _S)


class _Feed:
    """A feed, what it counted, and users of it that take a fixed time for each slot."""

    def __init__(self, per_s: float = 1.0) -> None:
        self.tally = Tally()
        self.looks: list[int] = []
        self.begun: list[tuple[str, int, int]] = []
        """Who, the slot's moment, the moment it was begun."""
        self.feed = SlotFeed(self.tally, _now_us, self.looks.extend)
        self.feed.follow(Stretch(0, 0, 0, per_s, 0, 1))

    async def user(self, name: str, takes_s: float) -> None:
        while True:
            slot_us = await self.feed.wait()
            self.begun.append((name, slot_us, _now_us()))
            await trio.sleep(takes_s)

    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.tally.counts.items() if count}


async def _run(feed: _Feed, seconds: float, *users: Callable[[], object]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.feed.run)
        for user in users:
            nursery.start_soon(user)  # type: ignore[arg-type]  # a coroutine function each
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def test_slots_are_begun_at_their_moments_by_users_in_turn(autojump_clock: MockClock) -> None:
    feed = _Feed()
    await _run(feed, 3.5, lambda: feed.user("ada", 0.1), lambda: feed.user("bea", 0.1))
    assert {(slot, at) for _, slot, at in feed.begun} == {(n * _S, n * _S) for n in range(4)}
    names = [name for name, _, _ in feed.begun]
    assert names in (["ada", "bea"] * 2, ["bea", "ada"] * 2)
    assert feed.counts() == {"slots": 4}
    assert feed.looks == [0, 0, 0, 0]


async def test_a_slot_that_waits_is_begun_late_and_keeps_its_moment(autojump_clock: MockClock) -> None:
    feed = _Feed()
    await _run(feed, 3.5, lambda: feed.user("ada", 1.2))
    assert [(slot, at) for _, slot, at in feed.begun] == [(0, 0), (_S, 1.2 * _S), (2 * _S, 2.4 * _S)]
    assert feed.counts() == {"slots": 4, "slots_late": 2}
    assert feed.looks == [0, 0, 0, 0], "the generator saw each in time: nobody was free"


async def test_slots_that_nobody_serves_are_missed_and_never_hidden(autojump_clock: MockClock) -> None:
    feed = _Feed()
    await _run(feed, SLOT_WAIT_S_MAX + 4.5)
    assert feed.counts() == {"slots": 15, "slots_missed": 5}


async def test_what_waits_when_the_plan_ends_is_missed(autojump_clock: MockClock) -> None:
    feed = _Feed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.feed.run)
        await trio.sleep(2.5)
        feed.feed.end()
    assert feed.counts() == {"slots": 3, "slots_missed": 3}


async def test_a_plan_may_change_while_it_is_followed(autojump_clock: MockClock) -> None:
    feed = _Feed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.feed.run)
        nursery.start_soon(feed.user, "ada", 0)
        await trio.sleep(0.5)
        feed.feed.follow(Stretch(_S, 1, _S, 4.0, 0, 1))
        await trio.sleep(1.2)
        nursery.cancel_scope.cancel()
    assert [slot / _S for _, slot, _ in feed.begun] == [0, 1, 1.25, 1.5]


async def test_a_generator_that_was_held_up_begins_what_was_due_and_says_how_late_it_looked(mock_clock: MockClock) -> None:
    feed = _Feed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.feed.run)
        nursery.start_soon(feed.user, "ada", 0)
        await wait_all_tasks_blocked()
        mock_clock.jump(2.5)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [slot / _S for _, slot, _ in feed.begun] == [0, 1, 2]
    assert feed.looks == [0, 1.5 * _S, 0.5 * _S]
    assert feed.counts() == {"slots": 3, "slots_late": 2}


@pytest.mark.parametrize("is_served", [False, True])
async def test_a_user_who_leaves_takes_no_slot_along(is_served: bool, autojump_clock: MockClock) -> None:
    feed = _Feed()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as leaves:
            if is_served:
                nursery.start_soon(feed.feed.run)
            leaves.cancel()
            await feed.user("ada", 0)
        if not is_served:
            nursery.start_soon(feed.feed.run)
        nursery.start_soon(feed.user, "bea", 0)
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert feed.begun == [("bea", 0, 0)]


async def test_a_slot_given_to_a_user_who_is_cancelled_goes_to_the_next(autojump_clock: MockClock) -> None:
    feed = _Feed()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as leaves:
            async with trio.open_nursery() as users:
                users.start_soon(feed.user, "ada", 0)
                await wait_all_tasks_blocked()
                # Both happen before ada runs again: she is gone, and is given a slot.
                leaves.cancel()
                feed.feed._hand_out()
        nursery.start_soon(feed.user, "bea", 0)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert feed.begun == [("bea", 0, 0)]


async def test_a_slot_given_to_a_user_who_is_cancelled_at_the_end_is_missed(autojump_clock: MockClock) -> None:
    feed = _Feed()
    async with trio.open_nursery() as users:
        users.start_soon(feed.user, "ada", 0)
        await wait_all_tasks_blocked()
        users.cancel_scope.cancel()
        feed.feed.end()
    assert feed.begun == []
    assert feed.counts() == {"slots": 1, "slots_missed": 1}
