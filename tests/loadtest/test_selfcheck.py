"""A worker's watch over itself: a loop that is kept busy is seen, a loop that waits for others is not blamed."""

import os
import time

import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair, wait_all_tasks_blocked

from loadtest.arrivals import LATE_SLOT_S
from loadtest.selfcheck import WAKE_EVERY_S, SelfCheck

Stream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


def _keep_busy(seconds: float) -> None:
    """What a scenario does that computes without ever waiting."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def test_a_generator_that_computes_instead_of_serving_its_loop_is_unfit() -> None:
    check = SelfCheck("worker-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(check.run)
        for _ in range(4):
            await wait_all_tasks_blocked()
            _keep_busy(0.2)
            await trio.sleep(WAKE_EVERY_S / 2)
        nursery.cancel_scope.cancel()
    health = check.take()
    # Each stall began while the check slept, so it saw all of it but what was left of its sleep.
    assert health.lag_us_max >= (0.2 - WAKE_EVERY_S) * 1e6
    (sentence,) = check.stops()
    assert sentence.startswith("worker-1: its event loop was more than 100 ms late for ")


async def test_waiting_for_a_slow_server_is_no_lag() -> None:
    check = SelfCheck("worker-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(check.run)
        # Three hundred users whose answers do not come.
        for _ in range(300):
            nursery.start_soon(_ask, *memory_stream_pair())
        await trio.sleep(5 * WAKE_EVERY_S)
        nursery.cancel_scope.cancel()
    assert check.fitness.seconds >= 4 * WAKE_EVERY_S
    assert check.stops() == []


async def _ask(near: Stream, far: Stream) -> None:
    async with near, far:
        await near.send_all(b"?")
        await near.receive_some(1)


def test_slots_are_late_beyond_their_bound_and_each_beat_has_its_worst() -> None:
    check = SelfCheck("worker-1")
    bound_us = int(LATE_SLOT_S * 1e6)
    check.looked_at([10, bound_us, bound_us + 1])
    check.looked_at([])
    assert (check.fitness.slots, check.fitness.slots_late) == (3, 1)
    assert check.take().late_us_max == bound_us + 1
    assert check.take().late_us_max == 0
    check.looked_at([bound_us + 5] * 200)
    assert check.stops()[0].startswith("worker-1: it came late to 99.0% of the plan's slots, at worst 50 ms")


def test_cpu_memory_and_descriptors_are_the_processs_own() -> None:
    check = SelfCheck("worker-1")
    pipes = [os.pipe() for _ in range(20)]
    before = check.take()
    for reading, writing in pipes:
        os.close(reading)
        os.close(writing)
    _keep_busy(0.05)
    after = check.take()
    assert before.open_fds - after.open_fds >= 40
    assert after.rss_bytes > 1_000_000
    assert after.cpu_share > 0
