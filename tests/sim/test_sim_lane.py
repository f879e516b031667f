"""The simulated lane: in order, in time, and never stopped by who waits."""

from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from broker.journal.protocol import Unavailable
from runtime.offload import OffloadTimeout
from tests.support.sim_lane import LanePace, SimLane


async def test_jobs_take_time_and_run_in_order(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    lane = SimLane("lane", Random(1), LanePace(usual_s=(0.5, 1.0)))
    nursery.start_soon(lane.run)
    done: list[int] = []
    async with trio.open_nursery() as asking:
        for number in range(3):
            asking.start_soon(lambda number=number: lane(lambda: done.append(number), deadline_s=None))
            await trio.sleep(0.1)
    assert done == [0, 1, 2]
    assert trio.current_time() >= 3.0


async def test_an_answer_and_an_error_come_back(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    lane = SimLane("lane", Random(1), LanePace())
    nursery.start_soon(lane.run)
    assert await lane(lambda: 7, deadline_s=1.0) == 7
    with pytest.raises(ZeroDivisionError):
        await lane(lambda: 1 // 0, deadline_s=1.0)


async def test_a_deadline_ends_the_waiting_and_the_effect_still_comes(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    lane = SimLane("lane", Random(1), LanePace(usual_s=(2.0, 2.0)))
    nursery.start_soon(lane.run)
    done: list[int] = []
    with pytest.raises(OffloadTimeout):
        await lane(lambda: done.append(1), deadline_s=1.0)
    assert not done
    await lane(lambda: done.append(2), deadline_s=None)
    assert done == [1, 2]


async def test_a_cancelled_waiter_does_not_stop_the_effect(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    lane = SimLane("lane", Random(1), LanePace(usual_s=(2.0, 2.0)))
    nursery.start_soon(lane.run)
    done: list[int] = []
    with trio.move_on_after(1.0):
        await lane(lambda: done.append(1), deadline_s=None)
    await trio.sleep(5.0)
    assert done == [1]


def test_what_was_under_way_when_the_node_died_happens_by_a_coin() -> None:
    async def play(seed: int) -> list[int]:
        lane = SimLane("lane", Random(seed), LanePace(usual_s=(2.0, 2.0)))
        done: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.run)
            async with trio.open_nursery() as node:
                for number in range(3):
                    node.start_soon(lambda number=number: lane(lambda: done.append(number), deadline_s=None))
                    await wait_all_tasks_blocked()
                node.cancel_scope.cancel()
            lane.node_died()
        return done

    fates = [trio.run(play, seed, clock=MockClock(autojump_threshold=0)) for seed in range(20)]
    assert [] in fates
    assert [0] in fates
    assert [0, 1, 2] in fates
    assert all(done == list(range(len(done))) for done in fates)


async def test_a_store_that_dies_breaks_off_what_is_under_way_and_what_follows_reaches_the_next_one(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lane = SimLane("lane", Random(1), LanePace(usual_s=(2.0, 2.0)))
    nursery.start_soon(lane.run)
    done: list[int] = []
    errors: list[Unavailable] = []

    async def ask(number: int) -> None:
        try:
            await lane(lambda: done.append(number), deadline_s=None)
        except Unavailable as error:
            errors.append(error)

    async with trio.open_nursery() as asking:
        asking.start_soon(ask, 1)
        await trio.sleep(1.0)
        asking.start_soon(ask, 2)
        lane.store_died()
    assert (done, len(errors)) == ([2], 1)


def test_the_answer_of_a_store_that_died_after_the_effect_is_lost_by_a_coin() -> None:
    async def play(seed: int) -> tuple[list[int], bool]:
        lane = SimLane("lane", Random(seed), LanePace(usual_s=(2.0, 2.0)))
        done: list[int] = []
        is_answered = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.run)
            nursery.start_soon(_break_off_later, lane, 3.0)
            try:
                await lane(lambda: done.append(1), deadline_s=None)
                is_answered = True
            except Unavailable:
                pass
            lane.node_died()
        return done, is_answered

    fates = [trio.run(play, seed, clock=MockClock(autojump_threshold=0)) for seed in range(20)]
    assert {tuple(done) for done, _ in fates} == {(1,)}
    assert {is_answered for _, is_answered in fates} == {True, False}


async def _break_off_later(lane: SimLane, after_s: float) -> None:
    await trio.sleep(after_s)
    lane.store_died()
