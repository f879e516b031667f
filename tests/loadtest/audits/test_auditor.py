"""The real client under watch, over a gateway that is honest but for one fault at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadtest.audits.auditor import Auditor
from loadtest.audits.places import id_hash
from loadtest.audits.sightings import Sightings
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.figures.messages import Placed
from loadtest.figures.tally import Tally
from tests.support.honest_gateway import HonestGateway
from wire.client_messages import Event

ROOM = "town/square"


class Rig:
    """One auditor at one gateway; the master's clock is trio's."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.gateway = HonestGateway(nursery)
        self.tally = Tally()
        self.sightings = Sightings("k7", self.tally)
        self.auditor = Auditor("auditor-1", "k7", self.tally, self.sightings, now_us)
        self._nursery = nursery

    async def begin(self) -> None:
        self._nursery.start_soon(self.auditor.run, ["ws://a", "ws://b"], [ROOM], Random(1), self.gateway.dial)
        await wait_all_tasks_blocked()

    def publish(self, offset: int) -> Event:
        text = stamp_text("hello", ROOM, now_us(), 0, offset)
        event = self.gateway.room(ROOM).append("message", "ada", text, message_id("k7", 0, offset))
        assert event.offset == offset
        return event

    @property
    def found(self) -> list[tuple[str, str, int, int]]:
        return [(each.kind, each.room, each.offset, each.count) for each in self.tally.take()[2]]


def now_us() -> int:
    return int(trio.current_time() * 1e6)


@asynccontextmanager
async def audited() -> AsyncIterator[Rig]:
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)
        await rig.begin()
        yield rig
        nursery.cancel_scope.cancel()


async def test_an_honest_gateway_is_found_so_and_its_deliveries_are_timed(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        events = [rig.publish(offset) for offset in (1, 2, 3)]
        await trio.sleep(0.25)
        for event in events:
            rig.gateway.fan_out(event)
        await rig.auditor.finish({ROOM: ("e1", 3)}, 5.0)
        rows, counts, findings = rig.tally.take()
        assert findings == []
        row = next(row for row in rows if row.name == "deliver (small)")
        assert (row.count, row.total_us) == (3, 750_000)
        assert (counts["connects"], counts["deliveries"], counts["audited"]) == (1, 3, 3)
        assert counts["bytes_received"] > 3 * 100
        ids = [part for offset in (1, 2, 3) for part in (offset, id_hash(message_id("k7", 0, offset)))]
        # Where it had been is told when it leaves, together with what was not told yet.
        assert rig.sightings.take() == [Placed(ROOM, "e1", ids, [1, 3])]
        assert rig.auditor.meter.server == ""


async def test_a_loss_that_the_client_repairs_is_found(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        rig.gateway.lose = {2}
        for offset in (1, 2, 3):
            rig.gateway.fan_out(rig.publish(offset))
        await wait_all_tasks_blocked()
        await rig.auditor.finish({ROOM: ("e1", 3)}, 5.0)
        assert rig.found == [("lost", ROOM, 2, 1)]


async def test_what_comes_twice_is_found_before_the_client_leaves_it_out(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        event = rig.publish(1)
        rig.gateway.fan_out(event)
        rig.gateway.fan_out(event)
        await wait_all_tasks_blocked()
        assert rig.found == [("duplicated", ROOM, 1, 1)]


async def test_what_is_swapped_is_found(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        first, second = rig.publish(1), rig.publish(2)
        rig.gateway.fan_out(second)
        rig.gateway.fan_out(first)
        await rig.auditor.finish({ROOM: ("e1", 2)}, 5.0)
        assert rig.found == [("reordered", ROOM, 1, 1)]


async def test_a_broken_message_is_found_and_the_client_comes_back(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        rig.gateway.peers[0].send_raw(b"\xc1")
        await trio.sleep(30)
        rig.gateway.fan_out(rig.publish(1))
        await rig.auditor.finish({ROOM: ("e1", 1)}, 5.0)
        _, counts, findings = rig.tally.take()
        assert [finding.kind for finding in findings] == ["protocol"]
        assert counts["resumes"] == 1


async def test_a_goaway_doubles_nothing(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        rig.gateway.fan_out(rig.publish(1))
        rig.gateway.goaway(deadline_ms=5000, retry_after_ms=300)
        for offset in range(2, 12):
            rig.gateway.fan_out(rig.publish(offset))
            await trio.sleep(0.1)
        await rig.auditor.finish({ROOM: ("e1", 11)}, 5.0)
        _, counts, findings = rig.tally.take()
        assert findings == []
        assert counts["moves"] == 1
        assert counts.get("disconnects", 0) == 0


async def test_what_does_not_come_in_time_is_undelivered(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        rig.gateway.fan_out(rig.publish(1))
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await rig.auditor.finish({ROOM: ("e1", 3)}, 5.0)
        assert rig.found == [("undelivered", ROOM, 2, 2)]
        assert trio.current_time() - began >= 5.0


async def test_what_comes_while_it_is_waited_for_is_not(autojump_clock: MockClock) -> None:
    async with audited() as rig, trio.open_nursery() as nursery:
        nursery.start_soon(rig.auditor.finish, {ROOM: ("e1", 2)}, 60.0)
        for offset in (1, 2):
            await trio.sleep(1)
            rig.gateway.fan_out(rig.publish(offset))
        await trio.sleep(1)
        assert rig.found == []


async def test_who_leaves_early_misses_nothing(autojump_clock: MockClock) -> None:
    async with audited() as rig:
        rig.gateway.fan_out(rig.publish(1))
        await wait_all_tasks_blocked()
        rig.auditor.leave()
        await wait_all_tasks_blocked()
        _, counts, findings = rig.tally.take()
        assert findings == []
        assert "disconnects" not in counts
        assert rig.sightings.take()[0].watched == [1, 1]
        # Nothing is left to wait for.
        await rig.auditor.finish({ROOM: ("e1", 9)}, 60.0)
        assert rig.found == []


async def test_a_gateway_that_is_not_there_is_counted(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)
        rig.gateway.refuse_dials = True
        await rig.begin()
        assert rig.tally.counts["connects_failed"] == 2
        assert rig.tally.refusals == {"failed": 2}
        nursery.cancel_scope.cancel()
