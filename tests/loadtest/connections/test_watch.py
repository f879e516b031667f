"""One client under watch: measured, audited, counted."""

from random import Random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from client.client import connect
from tests.support.loadtest_ground import a_ground
from wire.client_messages import Welcome

ROOM = "square/main"


async def test_everything_of_a_client_is_measured_audited_and_told(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        heard: list[object] = []
        watch = it.watch("ada", heard.append)
        dial = watch.counted(it.dials.dial(watch.meter.turn_came))
        async with connect(["ws://a"], rng=Random(1), rooms=[ROOM], dial_url=dial, observer=watch):
            await wait_all_tasks_blocked()
            it.gateway.say(ROOM, "bonsoir")
            await wait_all_tasks_blocked()
            assert isinstance(heard[0], Welcome)
            assert len(heard) == 2
            assert watch.meter.server
            counts = it.tally.counts
            assert (counts["connects"], counts["deliveries"], counts["audited"]) == (1, 1, 1)
            assert counts["bytes_received"] > 100
            watch.leave()
        watch.close()
        assert watch.meter.server == ""
        assert it.tally.counts["disconnects"] == 0
        assert it.tally.take_refusals() == {}


async def test_what_is_refused_after_figures_were_taken_is_told_the_next_time(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        it.gateway.refuse_dials = True
        watch = it.watch("ada", lambda _: None)
        async with connect(["ws://a"], rng=Random(1), dial_url=it.dials.dial(watch.meter.turn_came), observer=watch):
            await trio.sleep(1)
            assert sum(it.tally.take_refusals().values()) == 1
            await trio.sleep(60)
            assert sum(it.tally.take_refusals().values()) > 0
            watch.leave()
