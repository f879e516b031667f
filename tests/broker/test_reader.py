"""The reading task: rooms and history take turns, what waits is bounded, failures are told."""

from random import Random

import structlog
import trio

from broker.effects import Read
from broker.hosted import LinkId
from broker.journal.memory import MemoryJournal
from broker.journal.protocol import JournalCorrupt, LoadedRoom
from broker.reader import Reader
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.offloads import InlineOffload
from tests.support.shard_driver import ROOM, ShardDriver, message
from tests.support.shard_links import GatewayEnd, connect, parts_of, running_shard
from wire.limits import READS_WAITING_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import Epoch, RoomName
from wire.node_messages import Attach, Attached, AttachRefused, CommandRefused, Committed, Range, RangeRead


async def test_old_history_is_read_while_rooms_are_loaded_and_events_committed() -> None:
    journal = MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        await fill(gateway)
        gateway.say(RangeRead(1, ROOM, after=0, limit=2), Attach("town/other", 1), RangeRead(2, ROOM, after=2, limit=1))
        assert [frame.offset for frame in (await gateway.expect(Range)).frames] == [1, 2]
        assert [frame.offset for frame in (await gateway.expect(Range)).frames] == [3]
        assert any(isinstance(told, Attached) for told in gateway.heard)


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
        gateway.say(RangeRead(1, ROOM, after=0), RangeRead(2, ROOM, after=0))
        assert (await gateway.expect(CommandRefused)).request == 1
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
        assert (await gateway.expect(AttachRefused)).code == "unavailable"
        assert (await gateway.expect(Attached)).room == ROOM
