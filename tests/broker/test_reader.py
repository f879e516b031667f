"""The reading task: rooms and history take turns, what waits is bounded, failures are told."""

from collections.abc import Callable
from random import Random
from typing import TypeVar

import structlog
import trio

from broker.effects import Read
from broker.hosted import LinkId
from broker.journal.memory import MemoryJournal
from broker.journal.protocol import JournalCorrupt, LoadedRoom
from broker.reader import JOBS_AT_ONCE, Reader
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.offloads import InlineOffload
from tests.support.shard_driver import ROOM, ShardDriver, message
from tests.support.shard_links import GatewayEnd, connect, parts_of, running_shard
from wire.limits import READS_WAITING_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import Epoch, RoomName
from wire.node_messages import Attach, Attached, AttachRefused, CommandRefused, Committed, Range, RangeRead

T = TypeVar("T")
ATTACH_ANSWER = (AttachRefused, Attached)


async def test_old_history_is_read_while_rooms_are_loaded_and_events_committed() -> None:
    journal = MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        await fill(gateway)
        gateway.say(RangeRead(1, ROOM, after=0, limit=2), Attach("town/other", 1), RangeRead(2, ROOM, after=2, limit=1))
        pages = {page.request: page for page in [await gateway.expect(Range) for _ in range(2)]}
        assert [frame.offset for frame in pages[1].frames] == [1, 2]
        assert [frame.offset for frame in pages[2].frames] == [3]
        with trio.fail_after(10):
            while not any(isinstance(told, Attached) for told in gateway.heard):
                await trio.sleep(0.001)


async def fill(gateway: GatewayEnd) -> None:
    """Give the room more events than its tail holds."""
    gateway.say(message(0))
    await gateway.expect(Committed)
    gateway.say(*(message(number) for number in range(1, ROOM_TAIL_EVENTS_MAX + 10)))
    await gateway.expect(Committed, lambda answer: answer.request == ROOM_TAIL_EVENTS_MAX + 9)


async def test_reads_beyond_the_bound_are_not_taken() -> None:
    driver = ShardDriver()
    reader = Reader(
        driver.shard, driver.journal, InlineOffload(),
        deadline_s=1.0, do=driver.run, wall_ms=lambda: 0, log=structlog.get_logger(),
    )  # fmt: skip
    effect = Read(LinkId(1), 1, RoomName(ROOM), Epoch("e"), 0, 10, False)
    assert all(reader.read(effect) for _ in range(READS_WAITING_MAX))
    assert not reader.read(effect)


async def test_a_read_that_fails_is_refused_for_now() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        await fill(gateway)
        journal.fail("read", Fault.BEFORE)
        gateway.say(RangeRead(1, ROOM, after=0))
        assert (await gateway.expect(CommandRefused)).request == 1
        gateway.say(RangeRead(2, ROOM, after=0))
        assert (await gateway.expect(Range)).request == 2


class DamagedJournal(MemoryJournal):
    """One room of it cannot be read."""

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        if room == "town/damaged":
            raise JournalCorrupt("a page is not what its checksum says")
        return super().load(room, tail_events, tail_bytes, ids_since_ms, ids_min)


async def test_a_room_whose_log_is_damaged_hurts_no_other() -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(DamagedJournal("store"))) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach("town/damaged", 1), Attach(ROOM, 1))
        # Either may come first: rooms are loaded side by side.
        told = {type(answer): answer for answer in [await gateway.expect(ATTACH_ANSWER) for _ in range(2)]}
        assert told[AttachRefused].room == "town/damaged"
        assert told[AttachRefused].code == "unavailable"
        assert told[Attached].room == ROOM


class CountingOffload(InlineOffload):
    """How many jobs are on the lane at once; while `go` is not set none ends."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.go = trio.Event()
        self.go.set()

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        return await super().__call__(job, deadline_s=deadline_s)


async def test_rooms_are_loaded_a_few_at_a_time() -> None:
    lane = CountingOffload()
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"), read_lane=lane)) as server:
        gateway = await connect(nursery, server)
        lane.go = trio.Event()
        rooms = {f"town/{number}" for number in range(3 * JOBS_AT_ONCE)}
        gateway.say(*(Attach(room, 1) for room in sorted(rooms)))
        with trio.fail_after(10):
            while lane.now < JOBS_AT_ONCE:
                await trio.sleep(0.001)
        lane.go.set()
        assert {(await gateway.expect(Attached)).room for _ in rooms} == rooms
        assert lane.most == JOBS_AT_ONCE
