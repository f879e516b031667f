"""A worker's watch over itself: a loop that is kept busy is seen, a loop that waits for others is not blamed."""

import os
import time
from random import Random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from client.client import connect
from loadtest.audits.auditor import Auditor
from loadtest.audits.sightings import Sightings
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.figures.tally import Tally
from loadtest.verdicts.selfcheck import WAKE_EVERY_S, SelfCheck
from loadtest.workers.arrivals import LATE_SLOT_S
from tests.support.honest_gateway import HonestGateway, Peer
from wire.client_messages import AnyClientMessage, Publish

ROOM = "town/square"


def _keep_busy(seconds: float) -> None:
    """What a scenario does that computes without ever waiting."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def test_a_generator_that_computes_instead_of_serving_its_loop_is_unfit() -> None:
    check = SelfCheck()
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
    assert sentence.startswith("its event loop was more than 100 ms late for ")


async def test_a_slow_server_is_no_reason_against_the_generator(autojump_clock: MockClock) -> None:
    check = SelfCheck(trio.current_time)
    tally = Tally()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(check.run)
        gateway = HonestGateway(nursery)
        gateway.on[Publish] = lambda peer, message: _answer_late(nursery, gateway, peer, message)
        auditor = Auditor("auditor-1", "k7", tally, Sightings("k7", tally), _now_us)
        nursery.start_soon(auditor.run, ["ws://a"], [ROOM], Random(1), gateway.dial)
        async with connect(["ws://a"], rng=Random(2), rooms=[ROOM], dial_url=gateway.dial) as client:
            # An open plan, 20 a second for 5 s, of which the server answers each 3 s too late.
            for sequence in range(100):
                intended_us = _now_us()
                check.looked_at([_now_us() - intended_us])
                text = stamp_text("hello", ROOM, intended_us, 0, sequence)
                nursery.start_soon(client.publish, ROOM, text, message_id("k7", 0, sequence))
                await trio.sleep(0.05)
            await trio.sleep(20)
        nursery.cancel_scope.cancel()
    rows, _, findings = tally.take()
    deliver = next(row for row in rows if row.name == "deliver (small)")
    assert (deliver.count, findings) == (100, [])
    assert deliver.total_us / deliver.count >= 3_000_000
    assert check.fitness.seconds >= 20
    assert check.stops() == []


def _answer_late(nursery: trio.Nursery, gateway: HonestGateway, peer: Peer, message: AnyClientMessage) -> bool:
    async def answer() -> None:
        await trio.sleep(3)
        gateway.take_honestly(peer, message)

    nursery.start_soon(answer)
    return True


def _now_us() -> int:
    return int(trio.current_time() * 1e6)


def test_it_is_one_verdict() -> None:
    check = SelfCheck()
    assert check.stops() == []
    check.looked_at([10**6] * 100)
    assert check.stops() == []


def test_slots_are_late_beyond_their_bound_and_each_beat_has_its_worst() -> None:
    check = SelfCheck()
    bound_us = int(LATE_SLOT_S * 1e6)
    check.looked_at([10, bound_us, bound_us + 1])
    check.looked_at([])
    assert (check.fitness.slots, check.fitness.slots_late) == (3, 1)
    assert check.take().late_us_max == bound_us + 1
    assert check.take().late_us_max == 0
    check.looked_at([bound_us + 5] * 200)
    assert check.stops()[0].startswith("it came late to 99.0% of the plan's slots, at worst 50 ms")


def test_cpu_memory_and_descriptors_are_the_processs_own() -> None:
    check = SelfCheck()
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
